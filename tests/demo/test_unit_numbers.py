"""What the panel "What fires here" tells, without a browser: numbers, places, and wishes that no page makes."""

import html
import json
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine import compile_model
from engine.demo import passes
from engine.demo.answers import middle_of, pixel_of, place_of
from engine.demo.controls import RefusalError
from engine.demo.panels.places import field_told
from engine.demo.panels.units import UNITS, read_wish
from engine.demo.scene import Model, Photo, Scene
from engine.demo.studio import Studio
from engine.pictures.geometry import Geometry
from tests.demo.hands import EGYPTIAN_CAT, TIGER_CAT, asks

INNER, LAST = 40, 72
MIDDLE = {"row": 150, "column": 225}  # of the cat's photo, which has 300 rows and 451 columns


def drawn(studio: Studio, scene: Scene, **wish: Any) -> str:
    *_, answer = UNITS.steps(studio, scene, wish)
    return answer


def tiles(answer: str) -> list[int]:
    """The channels that are shown, the first first."""
    _, _, shown = answer.partition('<div class="tiles">')
    wishes = [json.loads(html.unescape(wish)) for wish in re.findall(r'data-wish="([^"]*)"', shown)]
    return [wish["channel"] for wish in wishes if "channel" in wish]


def numbers(answer: str, pattern: str) -> list[float]:
    return [float(found.replace("\u2212", "-")) for found in re.findall(pattern, html.unescape(answer))]


def shown_at(scene: Scene, layer: int) -> Scene:
    return asks(scene, layer=layer)


@pytest.mark.parametrize("layer", [0, INNER, LAST])
@pytest.mark.parametrize("contrast", [None, EGYPTIAN_CAT])
def test_what_channels_add_makes_up_hires_cam(
    studio: Studio, scene: Scene, layer: int, contrast: int | None
) -> None:
    explainer = scene.model.explainer
    values, terms = studio.ask(scene, passes.terms, TIGER_CAT, contrast, layer)
    assert list(values.shape) == list(terms.shape) == explainer.manifest["layers"][layer]["shape"]
    x = explainer.preprocess(torch.from_numpy(scene.photo.pixels))
    seed = explainer.one_hot(TIGER_CAT) if contrast is None else explainer.contrast(TIGER_CAT, contrast)
    wanted = explainer.explain(x, seed, "hires_cam", layer)[0]
    summed = torch.relu(torch.from_numpy(terms).sum(0))[None, None]
    map = F.interpolate(summed, wanted.shape, mode="bilinear")[0, 0]
    torch.testing.assert_close(map, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    whole = explainer.layer_value(x, layer)[0]
    np.testing.assert_allclose(values, whole, rtol=1e-4, atol=3e-5 * float(whole.abs().max()))


def test_behind_a_mean_and_a_linear_head_the_channels_make_up_the_score(studio: Studio, scene: Scene) -> None:
    """The logit less its bias: a sum over channels that knows neither the file's gradient nor its map."""
    explainer = scene.model.explainer
    _, terms = studio.ask(scene, passes.terms, TIGER_CAT, None, LAST)
    x = explainer.preprocess(torch.from_numpy(scene.photo.pixels))
    value = explainer.layer_value(x, LAST)
    bias = explainer.tail(LAST, torch.zeros_like(value))[0, TIGER_CAT]
    assert np.isclose(terms.sum(), float(explainer.forward(x)[0, TIGER_CAT] - bias), rtol=1e-3)
    one = value.clone()
    one[:, 7] = 0
    lost = explainer.forward(x) - explainer.tail(LAST, one)
    assert np.isclose(terms[7].sum(), float(lost[0, TIGER_CAT]), rtol=1e-2, atol=1e-3)


def test_tiles_stand_by_what_they_add_and_by_what_fires_at_a_place(studio: Studio, scene: Scene) -> None:
    scene = shown_at(scene, INNER)
    values, terms = studio.ask(scene, passes.terms, TIGER_CAT, None, INNER)
    answer = drawn(studio, scene)
    assert tiles(answer) == (-terms.sum((1, 2))).argsort(kind="stable")[:12].tolist()
    assert numbers(answer, "adds ([−+.e0-9]+), peaks") == pytest.approx(
        sorted(terms.sum((1, 2)), reverse=True)[:12], rel=1e-2
    )
    assert numbers(answer, "together add ([−+.e0-9]+) to the score of tiger cat") == pytest.approx(
        [terms.sum()], rel=1e-2
    )
    place = place_of(scene.model, scene.photo, INNER, (MIDDLE["row"], MIDDLE["column"]))
    assert place is not None
    there = drawn(studio, scene, **MIDDLE)
    assert tiles(there) == (-values[:, *place]).argsort(kind="stable")[:12].tolist() != tiles(answer)
    assert numbers(there, "fires ([−+.e0-9]+), adds")[0] == pytest.approx(values[:, *place].max(), rel=1e-2)
    assert numbers(there, "together add ([−+.e0-9]+) there") == pytest.approx([terms[:, *place].sum()], rel=1e-2)
    assert len(tiles(drawn(studio, scene, shown=24))) == 24
    assert len(tiles(drawn(studio, scene, shown=10**9))) <= 96


def test_a_channel_is_followed_back_as_explain_unit_does(studio: Studio, scene: Scene) -> None:
    explainer = scene.model.explainer
    x = explainer.preprocess(torch.from_numpy(scene.photo.pixels))
    name = explainer.layers[INNER]
    for method in ("deconvnet", "guided_backprop", "gradient", "lrp_epsilon_plus"):
        wanted, place, value = explainer.explain_unit(x, INNER, 7, method=method)
        map, where, told = studio.ask(shown_at(scene, INNER), passes.unit, INNER, 7, "strongest", method)
        torch.testing.assert_close(
            torch.from_numpy(map), wanted[0], rtol=1e-3, atol=1e-4 * float(wanted.abs().max())
        )
        assert (list(where), told) == (place[0].tolist(), pytest.approx(float(value), rel=1e-4))
    answer = drawn(studio, shown_at(scene, INNER), layer=name, channel=7)
    assert "Channel 7 where it is strongest" in answer and answer.count("<figure>") in (3, 4)
    assert '"point":[' in html.unescape(answer)
    there = drawn(studio, shown_at(scene, INNER), layer=name, channel=7, **MIDDLE)
    assert "Channel 7 at the chosen place" in there
    elsewhere = drawn(studio, shown_at(scene, INNER), layer=explainer.layers[LAST], channel=7, **MIDDLE)
    assert (
        "<figure>" not in elsewhere and "at place" in elsewhere
    )  # the channel was another layer's, the place is not


def test_what_was_asked_is_not_computed_anew(
    studio: Studio, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, asked, compute = shown_at(scene, 30), list[str](), studio.compute

    def counted(work: Any, *given: Any) -> Any:
        asked.append(work.__name__)
        return compute(work, *given)

    monkeypatch.setattr(studio, "compute", counted)
    name = scene.layer_name
    for wish in ({}, MIDDLE, {"shown": 24}, {"layer": name, "channel": 3}, {"layer": name, "channel": 3} | MIDDLE):
        for _ in range(2):
            drawn(studio, scene, **wish)
    assert asked == ["terms", "unit", "unit"]
    drawn(studio, scene, layer=name, channel=3, way="gradient")
    assert asked == ["terms", "unit", "unit", "unit"]


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({"row": 300, "column": 0}, "There is no pixel at 300, 0: the photo has 300 × 451, counted from 0."),
        ({"row": -1, "column": 0}, "The row is a whole number from 0 on; got -1."),
        ({"row": 1}, "The column is a whole number from 0 on; got None."),
        ({"row": "<b>", "column": 2}, "The row is a whole number"),
        ({"row": 1, "column": float("nan")}, "The column is a whole number"),
        ({"channel": 10**6, "layer": "bn2.act"}, "There is no channel 1000000: this layer has 1280"),
        ({"channel": [1], "layer": "bn2.act"}, "The channel is a whole number"),
        ({"way": "rise"}, "Nothing is followed back by 'rise'."),
        ({"way": ["deconvnet"]}, "Nothing is followed back by"),
        ({"shown": -5}, "The number of channels is a whole number from 1 on; got -5."),
    ],
)
def test_a_wish_that_no_page_makes(scene: Scene, wish: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)):
        read_wish(scene, wish)


def test_what_the_network_does_not_see_has_a_sentence(studio: Studio, scene: Scene) -> None:
    answer = drawn(studio, scene, row=150, column=20)  # it sees 262.5 columns in the middle of 451
    assert "The network does not see this place" in re.sub(r"data-places=\"[^\"]*\"", "", answer)
    assert tiles(answer) == []
    assert [read_wish(scene, {"row": 150, "column": column}).place is None for column in (93, 94, 356, 357)] == [
        True, False, False, True,
    ]  # fmt: skip


def test_fields_in_words(scene: Scene) -> None:
    first, last = shown_at(scene, 1), shown_at(scene, LAST)
    assert field_told(first, (5, 6)) == ("Place 5, 6 of 112 × 112 sees 3 × 3 pixels of the network's input.")
    told = field_told(last, (3, 3))
    assert re.fullmatch(
        r"Place 3, 3 of 7 × 7 sees (\d+) × \1 pixels, of which 224 × 224 lie in the network's input: .*", told
    )
    assert numbers(told, r"sees (\d+)")[0] > 224


class Blocks(nn.Module):
    """A layer whose units each add up a block of 4 x 4 pixels of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.head = nn.Conv2d(3, 2, 4, 4, bias=False), nn.Linear(2, 2)
        nn.init.ones_(self.blocks.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.blocks(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def blocks() -> Model:
    geometry = Geometry(32, (24, 32), "bilinear", (0, 0, 0), (1, 1, 1))
    return Model(compile_model(Blocks().eval(), torch.zeros(1, 3, 24, 32), preprocess=geometry))


@pytest.mark.parametrize("size", [(80, 120), (200, 160), (30, 300), (40, 33)])
def test_a_shifted_impulse_fires_where_its_pixel_is_said_to_lie(blocks: Model, size: tuple[int, int]) -> None:
    found = 0
    black = np.zeros((*size, 3), np.uint8)
    for place in np.ndindex(6, 8):
        row, column = pixel_of(blocks, Photo("", black), 0, place)
        reach = size[0] // 16  # less than half of a unit's block
        for down, right in ((0, 0), (-reach // 2, reach // 3), (reach // 2, -reach // 3)):
            pixel = row + down, column + right
            if not (0 <= pixel[0] < size[0] and 0 <= pixel[1] < size[1]):
                continue
            pixels = black.copy()
            pixels[pixel] = 255
            x = blocks.explainer.preprocess(torch.from_numpy(pixels))
            value = blocks.explainer.layer_value(x, 0)[0, 0]
            if float(value.max()) < 1e-3:  # too small a spot to be left at this size
                continue
            assert divmod(int(value.argmax()), 8) == place_of(blocks, Photo("", pixels), 0, pixel), pixel
            found += 1
    assert found > 40


def test_what_lies_outside_moves_nothing(blocks: Model) -> None:
    pixels = np.zeros((80, 200, 3), np.uint8)
    x = blocks.explainer.preprocess(torch.from_numpy(pixels))
    before = blocks.explainer.layer_value(x, 0)
    unseen = [column for column in range(200) if place_of(blocks, Photo("", pixels), 0, (40, column)) is None]
    assert len(unseen) == 120  # it sees a part that is as wide as the photo is tall
    pixels[:, [column for column in unseen if not 58 <= column <= 142]] = 255  # resizing blurs over the edge
    moved = blocks.explainer.layer_value(blocks.explainer.preprocess(torch.from_numpy(pixels)), 0)
    assert torch.equal(before, moved)


@pytest.mark.parametrize("size", [(80, 120), (3000, 2000), (300, 451)])
def test_the_middle_of_a_place_lies_on_it(scene: Scene, size: tuple[int, int]) -> None:
    photo = Photo("", np.zeros((*size, 3), np.uint8))
    entry = scene.model.explainer.manifest["layers"][INNER]
    for place in np.ndindex(*entry["shape"][1:]):
        middle = middle_of(scene.model, photo, INNER, place)
        assert place_of(scene.model, photo, INNER, (middle[0] - 0.5, middle[1] - 0.5)) == place  # type: ignore[arg-type]


def test_where_nothing_starts_channels_are_told_and_not_followed(
    studio: Studio, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.demo.panels.units.ways_back", lambda scene: [])
    answer = drawn(studio, scene, layer=scene.layer_name, channel=3)
    assert "Nothing is followed back from here" in answer and "<figure>" not in answer and tiles(answer) == []


def test_it_is_offered_where_there_are_layers(studio: Studio, scene: Scene) -> None:
    assert UNITS.applies(scene) and UNITS.applies(asks(scene, method="cam"))
    assert not UNITS.applies(asks(scene, method="gradient"))
    assert "does not apply" in drawn(studio, asks(scene, method="gradient"))
