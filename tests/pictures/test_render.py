import cv2
import numpy as np
import pytest
import torch
from skimage import data

from engine.pictures.colours import COLORMAPS, colors_of, heatmap, tables
from engine.pictures.figures import Look, picture
from engine.pictures.geometry import Geometry
from engine.pictures.render import (
    contact_sheet,
    gradient_picture,
    on_photo,
    overlay,
    unit,
)

CAT = data.chelsea()
NET = Geometry(256, (224, 224), "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
RNG = np.random.default_rng(0)

DEGENERATE = {
    "zero": np.zeros((3, 8, 9), np.float32),
    "positive": np.full((3, 8, 9), 0.25, np.float32),
    "negative": np.full((3, 8, 9), -7.0, np.float32),
    "nan": np.full((3, 8, 9), np.nan, np.float32),
    "infinite": np.full((3, 8, 9), np.inf, np.float32),
    "tiny": np.full((3, 8, 9), 1e-45, np.float32),
    "huge": np.full((3, 8, 9), 3e38, np.float32),
    "integer": np.ones((3, 8, 9), np.int64),
}


# Fault 10: NaN or all-zero maps where a map is constant or negative; the magnitude lost.


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("scale", [None, 0.0, 1e-45, 1.0, float("nan"), float("inf")])
def test_unit_of_degenerate_maps(name, scale):
    values = unit(DEGENERATE[name], scale)
    assert values.dtype == np.float32
    assert values.shape == (3, 8, 9)
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1
    if scale is None:
        assert (values == (name in ("positive", "tiny", "huge", "integer"))).all()


def test_unit_is_the_positive_part_over_its_maximum():
    values = RNG.normal(size=(20, 30)).astype(np.float32)
    expected = [[max(float(v), 0.0) / float(values.max()) for v in row] for row in values]
    np.testing.assert_allclose(unit(values), expected, rtol=1e-6)


def test_shared_scale_keeps_magnitudes_apart():
    strong, weak = np.array([[0.0, 8.0]]), np.array([[0.0, 2.0]])
    assert unit(strong, 8.0).max() == 4 * unit(weak, 8.0).max() == 1
    assert unit(strong, 4.0).max() == 1  # beyond the scale is clipped


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("gray", [False, True])
def test_gradient_pictures_of_degenerate_maps(name, gray):
    value = DEGENERATE[name].flat[0]
    sign = int(np.sign(value)) if np.isfinite(value) else 0
    for view, level in (
        ("all", 128 + 127 * sign),
        ("positive", 255 * (sign > 0)),
        ("negative", 255 * (sign < 0)),
    ):
        picture = gradient_picture(DEGENERATE[name], view, gray)
        assert picture.dtype == np.uint8
        assert picture.shape == (8, 9, 3)
        assert (picture == level).all(), (view, level, picture[0, 0])


def test_gradient_views():
    attribution = RNG.normal(size=(3, 6, 5)).astype(np.float32)
    attribution[:, 0, 0] = 0
    top = np.abs(attribution).max()
    every = gradient_picture(attribution)
    assert (every[0, 0] == 128).all()
    expected = 128 + 127 * attribution.transpose(1, 2, 0) / top
    assert abs(every - expected).max() <= 0.51
    assert (every.astype(int) + gradient_picture(-attribution) == 256).all()
    positive, negative = gradient_picture(attribution, "positive"), gradient_picture(attribution, "negative")
    assert np.array_equal(negative, gradient_picture(-attribution, "positive"))
    assert not ((positive > 0) & (negative > 0)).any()
    assert positive.max() == negative.max() == 255
    for row, column, channel in np.ndindex(6, 5, 3):
        value = max(float(attribution[channel, row, column]), 0)
        assert positive[row, column, channel] == pytest.approx(255 * value / attribution.max(), abs=0.51)


def test_gray_gradient_is_the_luma_of_the_attribution_before_scaling():
    attribution = np.zeros((3, 1, 4), np.float32)
    attribution[0, 0, 0], attribution[1, 0, 1], attribution[2, 0, 2] = 1, 1, 1
    attribution[:, 0, 3] = [1, -1, 0]  # 0.299 - 0.587 < 0: black, where the luma of positive parts is not
    levels = gradient_picture(attribution, "positive", gray=True)
    assert (levels == levels[:, :, :1]).all()
    assert levels[0, :, 0].tolist() == [round(255 * 0.299 / 0.587), 255, round(255 * 0.114 / 0.587), 0]


def test_one_channel_gradient_and_shared_scale():
    one = np.array([[[-1.0, 0.0, 2.0]]])
    assert gradient_picture(one)[0, :, 1].tolist() == [128 - 64, 128, 255]  # 63.5 is rounded to even
    assert gradient_picture(one, scale=4.0)[0, :, 1].tolist() == [96, 128, 192]
    assert gradient_picture(one, "negative", gray=True, scale=2.0)[0, :, 1].tolist() == [128, 0, 0]


def test_wrong_attribution_or_view_is_named():
    with pytest.raises(ValueError, match=r"\[4, 2, 2\]"):
        gradient_picture(np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match=r"all, positive or negative.*'both'"):
        gradient_picture(np.zeros((3, 2, 2)), "both")


# Fault 11: H and W swapped or the photo squashed, so that heat lands beside the object.


def centroid(weights):
    y, x = np.indices(weights.shape)
    return np.array([(weights * y).sum(), (weights * x).sum()]) / weights.sum()


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (1200, 640), (640, 1200), (90, 120), (333, 333)])
@pytest.mark.parametrize("offset", [(0, 0), (-0.08, 0.06), (0.1, -0.04)])  # in shorter sides, from the centre
@pytest.mark.parametrize("crop", [(224, 224), (128, 200)])
def test_heat_lands_on_what_the_network_saw(size, offset, crop):
    """A blob goes through the network's own input, as its luminance, and comes back to where it was."""
    geometry = Geometry(256, crop, "bicubic", NET.mean, NET.std)
    y, x = np.indices(size) + 0.5
    centre = np.array(size) / 2 + np.array(offset) * min(size)
    radius = 0.04 * min(size)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * radius**2))
    photo = np.rint(255 * blob)[:, :, None].repeat(3, axis=2).astype(np.uint8)
    luminance = geometry.preprocess(torch.from_numpy(photo))[0].mean(dim=0).numpy()
    heat, seen = on_photo(luminance, geometry.window(*size), size)
    assert heat.shape == seen.shape == size
    assert np.abs(centroid(heat) - centroid(blob)).max() < 0.1
    assert np.abs(heat - blob)[seen].max() < 0.1
    assert (heat[~seen] == 0).all()


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (64, 64)])
def test_map_on_photo_is_bilinear_between_cell_centres(size):
    """Against the definition, pixel by pixel."""
    values = RNG.normal(size=(5, 4)).astype(np.float32)
    window = top, left, tall, wide = 3.25, 7.5, 30.0, 25.5
    heat, seen = on_photo(values, window, size)
    for row, column in np.ndindex(*size):
        inside = row + 1 > top and row < top + tall and column + 1 > left and column < left + wide
        assert seen[row, column] == inside
        if not inside:
            assert heat[row, column] == 0
            continue
        y = min(max((row + 0.5 - top) * 5 / tall - 0.5, 0), 4)
        x = min(max((column + 0.5 - left) * 4 / wide - 0.5, 0), 3)
        i, j = min(int(y), 3), min(int(x), 2)
        near = values[i : i + 2, j : j + 2]
        expected = np.array([1 - (y - i), y - i]) @ near @ np.array([1 - (x - j), x - j])
        assert heat[row, column] == pytest.approx(expected, abs=1e-4)


def test_coarse_map_has_no_steps_on_a_large_photo():
    heat, _ = on_photo(np.arange(7, dtype=np.float32)[None].repeat(7, axis=0), (0, 0, 50, 1400), (50, 1400))
    np.testing.assert_allclose(heat[25], np.clip((np.arange(1400) + 0.5) / 200 - 0.5, 0, 6), atol=1e-3)


def test_fine_map_on_a_small_photo_is_averaged():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (224, 112))
    heat, seen = on_photo(stripes, NET.window(8, 8), (8, 8))
    assert seen.all()
    np.testing.assert_allclose(heat, 0.5, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (2, 5000), (1, 5000), (4999, 1)])
def test_extreme_photos_are_seen_at_their_centre_only(size):
    heat, seen = on_photo(np.ones((224, 224)), NET.window(*size), size)
    rows, columns = np.nonzero(seen)
    assert rows.mean() == (size[0] - 1) / 2
    assert columns.mean() == (size[1] - 1) / 2
    assert 1 <= seen.sum() <= 4
    assert np.array_equal(heat, seen)


def test_padded_input_covers_the_whole_photo():
    geometry = Geometry(100, (140, 100), "bilinear", NET.mean, NET.std)
    values = np.zeros((140, 100), np.float32)
    values[20:120] = 1  # the photo; above and below is padding
    heat, seen = on_photo(values, geometry.window(50, 50), (50, 50))
    assert seen.all()
    np.testing.assert_allclose(heat, 1, atol=1e-5)


# Fault 12: colormap in BGR; a uint8 mask that overflows when blended.


def test_colormaps_are_rgb():
    ends = np.array([[0.0, 1.0]])
    # The published first and last colours, RGB.
    published = {
        "viridis": [(68, 1, 84), (253, 231, 37)],
        "inferno": [(0, 0, 4), (252, 255, 164)],
        "magma": [(0, 0, 4), (252, 253, 191)],
        "plasma": [(13, 8, 135), (240, 249, 33)],
        "cividis": [(0, 34, 78), (254, 232, 56)],
        "turbo": [(48, 18, 59), (122, 4, 3)],
        "jet": [(0, 0, 128), (128, 0, 0)],
        "hot": [(0, 0, 0), (255, 255, 255)],
        "coolwarm": [(59, 76, 192), (180, 4, 38)],
    }
    assert published.keys() == COLORMAPS.keys()
    for name, colours in published.items():
        assert abs(heatmap(ends, name)[0].astype(int) - colours).max() <= 3, name


def test_jet_follows_its_formula():
    ramp = np.linspace(0, 1, 256)
    expected = [np.clip(1.5 - np.abs(4 * ramp - centre), 0, 1) for centre in (3, 2, 1)]
    picture = heatmap(ramp[None], "jet")[0]
    assert picture.dtype == np.uint8
    assert abs(picture - 255 * np.stack(expected, axis=1)).max() <= 4


def test_heatmap_clips_and_takes_nan_as_zero():
    picture = heatmap(np.array([[-1.0, np.nan, 0.0, 1.0, 300 / 255]]))
    assert (picture[0, :3] == picture[0, 2]).all()
    assert (picture[0, 3] == picture[0, 4]).all()
    with pytest.raises(ValueError, match="choose one of viridis, turbo"):
        heatmap(np.zeros((2, 2)), "rainbow")


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("signed", [False, True])
def test_evidence_is_opaque_and_none_is_transparent(strength, signed):
    """As the formula has it, on white, black and a cat; it never overflows, and no evidence leaves every bit."""
    photo = np.full((4, 256, 3), 255, np.uint8)
    photo[1], photo[2] = 0, CAT[100, :256]
    ramp = (np.arange(256) - 128) / 127 if signed else np.arange(256) / 255
    ramp = np.clip(ramp, -1, 1)[None].repeat(4, axis=0)
    drawn = overlay(photo, ramp, np.ones(ramp.shape, bool), strength, "hot", signed)
    opacity = strength * (1 - (1 - np.abs(ramp)) ** 2)[..., None]
    expected = opacity * heatmap(ramp, "hot", signed).astype(float) + (1 - opacity) * photo
    assert drawn.dtype == np.uint8
    assert abs(drawn - expected).max() <= 2
    nothing = 128 if signed else 0
    assert np.array_equal(drawn[:, nothing], photo[:, nothing])
    if strength == 1:
        assert np.array_equal(drawn[:, 255], colors_of("hot")[[255] * 4])


def test_full_evidence_has_the_last_colour_and_signs_are_told_apart():
    photo = np.full((1, 3, 3), 90, np.uint8)
    drawn = overlay(photo, np.array([[-1.0, 0.0, 1.0]]), np.ones((1, 3), bool), 1.0, signed=True)
    assert np.array_equal(drawn[0, [0, 2]], colors_of("coolwarm")[[0, 255]])
    assert np.array_equal(drawn[0, 1], photo[0, 1])
    half = overlay(photo, np.array([[-0.5, 0.0, 0.5]]), np.ones((1, 3), bool), 1.0, signed=True)
    assert half[0, 0, 2] > half[0, 0, 0] and half[0, 2, 0] > half[0, 2, 2]  # blue, and red


def test_both_signs_are_equally_opaque():
    """Of a ramp and its negative, the same share of the photo is left."""
    ramp = np.linspace(-1, 1, 201)[None]
    photos = [np.full((1, 201, 3), level, np.uint8) for level in (0, 255)]
    left = [
        np.subtract(*(overlay(photo, sign * ramp, ramp < 2, 0.85, signed=True).astype(int) for photo in photos))
        for sign in (1, -1)
    ]
    assert np.array_equal(left[0], left[1])
    assert np.array_equal(left[0], left[0][:, ::-1])
    cool, warm = colors_of("coolwarm")[1:129].astype(int), colors_of("coolwarm")[128:].astype(int)
    assert np.ptp(cool.sum(1)) > 300 and (np.diff(warm[:, 1]) <= 0).all() and (np.diff(cool[:, 1]) >= 0).all()


def test_alone_is_the_map_without_the_photo():
    ramp = np.linspace(0, 1, 256)[None]
    drawn = overlay(np.full((1, 256, 3), 255, np.uint8), ramp, np.ones((1, 256), bool), 0.3, alone=True)
    assert np.array_equal(drawn, heatmap(ramp, "viridis"))


# What eyes without the cones for green, or for red, see of linear RGB: Viénot et al. 1999,
# doi:10.1002/(SICI)1520-6378(199908)24:4<243::AID-COL5>3.0.CO;2-3.
BLIND = {
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
}


def seen_by(name, colours):
    linear = (colours / 255.0) ** 2.2
    return 255 * np.clip(linear @ np.array(BLIND[name]).T, 0, 1) ** (1 / 2.2)


def lab(colours):
    return cv2.cvtColor((colours / 255).astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("name", BLIND)
def test_colour_blind_eyes_tell_the_default_maps(name):
    lightness = seen_by(name, colors_of("viridis").astype(float)) @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness[::8]) > 0).all()  # more evidence is lighter, whatever one sees
    cool = lab(seen_by(name, colors_of("coolwarm").astype(float)))
    apart = [np.linalg.norm(np.diff(cool[at::16], axis=0), axis=1).min() for at in range(16)]
    assert min(apart) > 4  # a just noticeable difference is 2.3
    for half in (cool[128::-1], cool[128:]):  # from nothing to the most, darker and darker
        assert (np.diff(half[::8, 0]) < 0).all()
        assert (np.diff(np.linalg.norm(half - cool[128], axis=1)[::8]) > 0).all()
    mirrored = np.linalg.norm(cool[128:] - cool[128:0:-1], axis=1)  # as much evidence, against and for
    assert (np.diff(mirrored[::8]) > 0).all() and mirrored[127] > 60
    # Turbo, which is none of the defaults, goes up and down again.
    turbo = seen_by(name, colors_of("turbo").astype(float)) @ [0.299, 0.587, 0.114]
    assert (np.diff(turbo[::8]) < 0).any()


def test_tables_are_made_once():
    assert tables("viridis", 0.85)[0] is tables("viridis", 0.85)[0]
    assert not colors_of("viridis").flags.writeable


def test_unseen_margin_is_gray_and_dim_but_not_heated():
    heat, seen = on_photo(np.ones((7, 7)), NET.window(*CAT.shape[:2]), CAT.shape[:2])
    for strength in (0.0, 1.0):
        margin = overlay(CAT, heat, seen, strength)[~seen].astype(int)
        assert (margin == margin[:, :1]).all()
        np.testing.assert_allclose(margin[:, 0], 0.5 * (CAT[~seen] @ [0.299, 0.587, 0.114]), atol=1.01)
    assert np.array_equal(overlay(CAT, heat, seen, 0.0)[seen], CAT[seen])


def test_lines_of_pixels_stand_out_from_a_pale_photo():
    heat, seen = on_photo(np.zeros((7, 7)), NET.window(*CAT.shape[:2]), CAT.shape[:2])
    plain, pale = (overlay(CAT, heat, seen, signed=True, pale=pale) for pale in (False, True))
    assert np.array_equal(pale[~seen], plain[~seen])
    luma = CAT[seen] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(pale[seen], (140 + luma * 115 / 255)[:, None].repeat(3, 1), atol=1.01)
    # Whatever the photo, half the evidence is another colour than none; on the photo itself it need not be one.
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), -1).reshape(36, 6, 3).astype(np.uint8)
    whole = np.ones(colours.shape[:2], bool)
    for part in (-0.5, 0.5):
        drawn = [
            [
                lab(overlay(colours, np.full(whole.shape, at), whole, signed=True, pale=pale).reshape(-1, 3))
                for at in (0, part)
            ]
            for pale in (False, True)
        ]
        on_colours, on_pale = (np.linalg.norm(there - nothing, axis=1).min() for nothing, there in drawn)
        assert on_pale > 20 and on_colours < 10, (on_pale, on_colours)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("at_image", [False, True])
def test_the_photo_is_pale_under_signed_maps_of_the_image(signed, at_image):
    window = NET.window(*CAT.shape[:2])
    drawn = picture(CAT, window, np.zeros((7, 7)), Look(), at_image, signed)
    pale = overlay(CAT, *on_photo(np.zeros((7, 7)), window, CAT.shape[:2]), signed=signed, pale=True)
    assert np.array_equal(drawn, pale) is (signed and at_image)


def test_overlay_refuses_what_does_not_fit():
    seen = np.ones((300, 451), bool)
    with pytest.raises(ValueError, match=r"\[451, 300\].*on_photo"):
        overlay(CAT, np.zeros((451, 300)), seen)
    with pytest.raises(ValueError, match="float64"):
        overlay(CAT / 255, np.zeros((300, 451)), seen)
    with pytest.raises(ValueError, match=r"strength.*50"):
        overlay(CAT, np.zeros((300, 451)), seen, 50)


# The contact sheet.


def tiles(count, size=(30, 40)):
    return [np.full((*size, 3), (255, index, 0), np.uint8) for index in range(count)]


def places(sheet, count, size):
    """Top left corner of each tile on the sheet, found by its colour."""
    found = []
    for index in range(count):
        rows, columns = np.nonzero((sheet == (255, index, 0)).all(axis=2))
        assert len(rows) == size[0] * size[1]
        found.append((rows.min(), columns.min()))
    return found


def test_contact_sheet_holds_every_picture_in_reading_order():
    sheet = contact_sheet(tiles(7), [f"layer {index}" for index in range(7)], columns=3, title="Layers", cell=40)
    assert sheet.dtype == np.uint8
    corners = places(sheet, 7, (30, 40))
    assert corners == sorted(corners)
    assert [len({row for row, _ in corners}), len({column for _, column in corners})] == [3, 3]


def test_contact_sheet_of_mixed_shapes_is_not_squashed():
    pictures = [tiles(1, (40, 20))[0], tiles(2, (10, 40))[1]]
    sheet = contact_sheet(pictures, ["tall", "wide"], cell=80)
    for index, size in enumerate([(80, 40), (20, 80)]):
        assert (sheet == (255, index, 0)).all(axis=2).sum() == size[0] * size[1]


def test_captions_are_cut_and_stay_below_their_picture():
    plain = contact_sheet(tiles(2), ["", ""], columns=2, cell=40)
    long = contact_sheet(tiles(2), ["features.denseblock4.denselayer16.relu2", ""], columns=2, cell=40)
    rows, columns = np.nonzero((plain != long).any(axis=2))
    (top, left), _ = places(plain, 2, (30, 40))
    assert len(rows) > 50  # something is written
    assert rows.min() >= top + 30
    assert columns.min() >= left - 1
    assert columns.max() <= left + 41


def test_captions_of_one_width_are_written_in_full(monkeypatch):
    written = []
    monkeypatch.setattr(cv2, "putText", lambda _, text, *__: written.append(text))
    contact_sheet(tiles(2), ["layer1.0\n64×56×56", "features.denseblock4.denselayer16.relu2"], title="A")
    assert written[:3] == ["A", "layer1.0", "64×56×56"]
    head, tail = written[3].split("…")
    assert "features.denseblock4.denselayer16.relu2".startswith(head)
    assert "features.denseblock4.denselayer16.relu2".endswith(tail)
    assert len(tail) > 5


def test_contact_sheet_needs_a_caption_each():
    with pytest.raises(ValueError, match="3 pictures, 2 captions"):
        contact_sheet(tiles(3), ["a", "b"])
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], [])
