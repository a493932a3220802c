import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from timm.data import create_transform
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from engine.pictures.geometry import Geometry, placement, preprocess

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
LITE0 = Geometry(256, (224, 224), "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

# (width, height): both orientations, smaller and larger than the input, every parity of the cropped margin.
SIZES = [(451, 300), (300, 451), (397, 395), (257, 259), (101, 123), (640, 333), (1023, 767), (767, 1023)]


def photos():
    for size, photo in zip(SIZES, [data.chelsea(), data.coffee(), data.astronaut()] * 3, strict=False):
        yield Image.fromarray(photo).resize(size)


def levels_apart(geometry, photo, reference):
    """Largest difference before normalisation, in 1/255."""
    ours = geometry.preprocess(torch.from_numpy(np.array(photo)))
    std = torch.tensor(geometry.std).view(1, -1, 1, 1)
    assert ours.dtype == torch.float32
    assert ours.shape == (1, len(geometry.mean), *geometry.crop)
    return ((ours - reference).abs() * std * 255).max().item()


@pytest.mark.parametrize(
    ("resize", "crop", "mode"),
    [(256, 224, "bilinear"), (232, 224, "bilinear"), (342, 299, "bilinear"), (384, 384, "bicubic")],
)
def test_input_is_that_of_torchvision_preset(resize, crop, mode):
    preset = ImageClassification(
        crop_size=crop, resize_size=resize, interpolation=InterpolationMode(mode), **IMAGENET
    )
    geometry = Geometry(resize, (crop, crop), mode, **IMAGENET)
    for photo in photos():
        assert levels_apart(geometry, photo, preset(photo)[None]) <= 2.01, photo.size


def test_input_is_that_of_timm_transform():
    transform = create_transform(
        (3, 224, 224), interpolation="bicubic", crop_pct=0.875, mean=LITE0.mean, std=LITE0.std
    )
    for photo in photos():
        assert levels_apart(LITE0, photo, transform(photo)[None]) <= 2.01, photo.size


@pytest.mark.parametrize("crop", [(299, 299), (225, 320), (320, 225)])
def test_crop_beyond_the_resized_photo_is_padded_as_torchvision_does(crop):
    preset = ImageClassification(crop_size=0, resize_size=256, **IMAGENET)
    preset.crop_size = list(crop)
    for photo in photos():
        assert levels_apart(Geometry(256, crop, "bilinear", **IMAGENET), photo, preset(photo)[None]) <= 2.01


def test_gray_network_gets_the_luma_of_a_colour_photo():
    geometry = Geometry(64, (56, 56), "bilinear", (0.4,), (0.3,))
    preset = ImageClassification(crop_size=56, resize_size=64, mean=(0.4,), std=(0.3,))
    for photo in photos():
        assert levels_apart(geometry, photo, preset(photo.convert("L"))[None]) <= 2.01


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_gray_photo_is_the_same_as_its_three_equal_channels(mode):
    gray = torch.from_numpy(data.camera().copy())[:, :300, None]
    for stats in (IMAGENET, {"mean": (0.4,), "std": (0.3,)}):
        geometry = Geometry(64, (56, 48), mode, **stats)
        torch.testing.assert_close(
            geometry.preprocess(gray), geometry.preprocess(gray.expand(-1, -1, 3)), atol=1e-5, rtol=0
        )


def test_long_photo_is_cut_to_its_middle_and_gives_the_same_input():
    strip = np.tile(data.chelsea()[::15], (1, 5, 1))[:, :2000]  # 20 x 2000 pixels
    preset = ImageClassification(crop_size=224, resize_size=256, **IMAGENET)
    geometry = Geometry(256, (224, 224), "bilinear", **IMAGENET)
    for photo in (strip, strip.transpose(1, 0, 2)):
        picture = Image.fromarray(photo)
        assert levels_apart(geometry, picture, preset(picture)[None]) <= 2.01


@pytest.mark.parametrize(("height", "width"), [(5000, 2), (2, 5000), (1, 4999), (1, 1), (3, 100)])
def test_extreme_photo_costs_little_and_is_seen_at_its_centre(height, width):
    rows, columns = placement(height, width, [256], [224, 224])
    assert rows.resized * columns.resized <= 20 * 256 * 256
    window = LITE0.window(height, width)
    assert window.top + window.height / 2 == pytest.approx(height / 2, abs=0.01)
    assert window.left + window.width / 2 == pytest.approx(width / 2, abs=0.01)
    photo = torch.full((height, width, 3), 51, dtype=torch.uint8)
    torch.testing.assert_close(LITE0.preprocess(photo), torch.full((1, 3, 224, 224), -0.6))


@pytest.mark.parametrize(("height", "width"), [(151, 250), (250, 151), (237, 173), (40, 255)])
@pytest.mark.parametrize(
    ("resize", "crop"),
    [
        (256, (224, 224)), (64, (40, 64)), (100, (100, 77)),
        ((128, 99), (128, 99)), ((90, 140), (60, 111)),
    ],
)  # fmt: skip
def test_window_is_what_a_ramp_says(height, width, resize, crop):
    """Each photo pixel holds its own coordinate, so the input tells where on the photo it was taken from."""
    geometry = Geometry(resize, crop, "bilinear", **RAW)
    window = geometry.window(height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    seen = geometry.preprocess(torch.stack([y, x, x], dim=2).to(torch.uint8))[0] * 255 + 0.5
    for coordinates, size, start, length in (
        (seen[0].mean(dim=1), crop[0], window.top, window.height),
        (seen[1].mean(dim=0), crop[1], window.left, window.width),
    ):
        step, first = np.polyfit(np.arange(size)[2:-2] + 0.5, coordinates.numpy()[2:-2], 1)
        assert first == pytest.approx(start, abs=0.25)
        assert step * size == pytest.approx(length, abs=0.25)


def test_window_reaches_over_the_edge_where_the_input_is_padded():
    assert Geometry(100, (120, 100), "bilinear", **RAW).window(50, 50) == (-5.0, 0.0, 60.0, 50.0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:FutureWarning")  # artifacts are TorchScript.
def test_preprocess_is_the_same_in_torchscript(tmp_path):
    scripted = torch.jit.script(preprocess)
    torch.jit.save(scripted, str(tmp_path / "preprocess.pt"))
    loaded = torch.jit.load(str(tmp_path / "preprocess.pt"))
    for photo in photos():
        image = torch.from_numpy(np.array(photo))
        for sides in ([240, 300], [256]):
            arguments = (sides, [224, 299], "bicubic", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            assert torch.equal(loaded(image, *arguments), preprocess(image, *arguments))
    with pytest.raises(torch.jit.Error, match=r"got shape \[3, 8, 8\]"):
        loaded(torch.zeros(3, 8, 8, dtype=torch.uint8), *arguments)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(8, 8, 3), "uint8.*floating-point"),
        (torch.zeros(8, 8, 3, dtype=torch.int64), "uint8.*wider integer"),
        (torch.zeros(1, 8, 8, 3, dtype=torch.uint8), r"shape \[1, 8, 8, 3\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"channels last.*\[3, 8, 8\]"),
        (torch.zeros(8, 8, 4, dtype=torch.uint8), r"\[8, 8, 4\]"),
        (torch.zeros(0, 8, 3, dtype=torch.uint8), r"not empty.*\[0, 8, 3\]"),
    ],
)
def test_wrong_image_is_refused_by_name(image, message):
    with pytest.raises(ValueError, match=message):
        LITE0.preprocess(image)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resize", 0),
        ("resize", 25.6),
        ("crop", (224,)),
        ("crop", (224, -1)),
        ("interpolation", "nearest"),
        ("resize", (12,)),
        ("resize", (12, 0)),
        ("resize", (12, 12.0)),
        ("resize", (12, 12, 12)),
        ("mean", ()),
        ("mean", (0.5, 0.5, float("nan"))),
        ("std", (0.5,)),
        ("std", (0.5, 0.5, 0.5, 0.5)),
        ("std", (0.5, 0.5, 0.0)),
    ],
)
def test_wrong_field_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        Geometry.from_dict(LITE0.as_dict() | {field: value})


SQUASHED = Geometry((40, 64), (40, 64), "bilinear", **IMAGENET)


@pytest.mark.parametrize("crop", [(40, 64), (33, 50), (48, 64)])
def test_squashed_input_is_that_of_torchvisions_resize_to_a_pair(crop):
    steps = [transforms.Resize((40, 64)), transforms.CenterCrop(crop), transforms.ToTensor()]
    reference = transforms.Compose([*steps, transforms.Normalize(IMAGENET["mean"], IMAGENET["std"])])
    for photo in photos():
        geometry = Geometry((40, 64), crop, "bilinear", **IMAGENET)
        assert levels_apart(geometry, photo, reference(photo)[None]) <= 2.01, photo.size


@pytest.mark.parametrize(("height", "width"), [(300, 451), (1, 5000), (5000, 2), (1, 1)])
def test_squashed_is_the_whole_photo(height, width):
    assert SQUASHED.window(height, width) == (0.0, 0.0, height, width)
    photo = torch.full((height, width, 3), 255, dtype=torch.uint8)
    photo[:, width // 2 :] = 0
    seen = Geometry((40, 64), (40, 64), "bilinear", **RAW).preprocess(photo)
    assert float(seen[..., 0].min()) == (1 if width > 1 else 0)
    assert float(seen[..., -1].max()) == 0


def test_other_channels_are_normalised_one_by_one():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8))
    mean, std = (0.1, 0.2, 0.3, 0.4), (1.0, 2.0, 3.0, 4.0)
    found = Geometry((9, 7), (9, 7), "bilinear", mean, std).preprocess(image)[0]
    for channel in range(4):
        expected = (image[..., channel] / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(found[channel], expected)
    with pytest.raises(ValueError, match=r"\[H, W, 4\].*got shape \[9, 7, 3\]"):
        Geometry(9, (9, 7), "bilinear", mean, std).preprocess(image[..., :3])


@pytest.mark.parametrize(
    ("geometry", "told"),
    [
        (LITE0, "RGB, the middle 224 × 224 of a photo brought to 256 on its shorter side (bicubic), mean [0.5, "),
        (SQUASHED, "RGB, a photo squashed to 40 × 64 (bilinear), mean [0.485, 0.456, 0.406], std [0.229, "),
        (replace(SQUASHED, crop=(32, 32)), "RGB, the middle 32 × 32 of a photo squashed to 40 × 64 (bilinear)"),
        (replace(LITE0, mean=(0.5,), std=(1.0,)), "gray, the middle 224 × 224"),
        (replace(LITE0, mean=(0.5,) * 4, std=(1.0,) * 4), "4 channels, the middle 224 × 224"),
    ],
)
def test_a_geometry_in_a_sentence(geometry, told):
    assert str(geometry).startswith(told)


def test_manifest_round_trip():
    assert Geometry.from_dict(json.loads(json.dumps(SQUASHED.as_dict()))) == SQUASHED
    assert Geometry.from_dict(json.loads(json.dumps(LITE0.as_dict()))) == LITE0
    with pytest.raises(ValueError, match="check size"):
        Geometry.from_dict(LITE0.as_dict() | {"size": 3})
    with pytest.raises(ValueError, match="check std"):
        Geometry.from_dict({name: value for name, value in LITE0.as_dict().items() if name != "std"})
