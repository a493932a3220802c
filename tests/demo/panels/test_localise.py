"""The boxes of the panel: those of the engine, in the photo's pixels, and as numbers to take along."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import label, regionprops

from engine.demo.controls import RefusalError
from engine.demo.panels import PANELS
from engine.demo.panels.localise import boxes
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from tests.demo.hands import EGYPTIAN_CAT, asks


def answer(studio: Studio, scene: Scene, **wish: object) -> str:
    (told,) = PANELS["localise"].steps(studio, scene, wish)
    return told


def copied(told: str, name: str) -> str:
    found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', told, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("threshold", "layer"), [(0.2, 72), (0.5, 60), (0.9, 72)])
def test_they_are_those_of_the_engine(
    studio: Studio, scene: Scene, threshold: float, layer: int, several: bool
) -> None:
    scene = studio.scene(asks(scene, layer=layer, contrast=EGYPTIAN_CAT).question)
    wanted = scene.model.explainer.boxes(
        scene.photo.pixels, 282, "hires_cam", layer, threshold, EGYPTIAN_CAT, several
    )
    found = boxes(scene, threshold, several)
    assert found and len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        corners = [(box.left, box.top, box.right, box.bottom, box.score) for box in (ours, theirs)]
        assert corners[0] == pytest.approx(corners[1], abs=1e-4)
        assert ours.label == theirs.label == "tiger cat rather than Egyptian cat"


@pytest.mark.parametrize("percent", [10, 20, 60])
def test_the_box_is_that_of_the_largest_part(studio: Studio, scene: Scene, percent: int) -> None:
    values = scene.attribution(scene.layer)
    parts = regionprops(label(values >= percent / 100 * values.max(), connectivity=2))
    top, left, bottom, right = max(parts, key=lambda part: part.area).bbox
    tall, wide = scene.photo.pixels.shape[:2]
    window = scene.model.explainer.geometry.window(tall, wide)
    x, y = (lambda c: window.left + c * window.width / 224), (lambda r: window.top + r * window.height / 224)
    wanted = [max(0.0, x(left)), max(0.0, y(top)), min(wide, x(right)), min(tall, y(bottom))]
    told = answer(studio, scene, threshold=percent)
    numbers = [float(number) for number in copied(told, "boxes-text").split()]
    assert numbers == pytest.approx(wanted, abs=0.051)
    read = json.loads(copied(told, "boxes-json"))
    assert read["threshold"] == percent / 100 and read["layer"] == "bn2.act" and read["photo"] == [tall, wide]
    (box,) = read["boxes"]
    assert [box["left"], box["top"], box["right"], box["bottom"]] == pytest.approx(wanted, abs=1e-3)


def test_all_parts_are_numbered_and_drawn(studio: Studio, scene: Scene) -> None:
    scene = studio.scene(asks(scene, layer=30).question)
    told = answer(studio, scene, threshold=30, parts="all")
    found = boxes(scene, 0.3, True)
    assert len(found) > 1 and told.count("<li>") == min(len(found), 30)
    assert len(json.loads(copied(told, "boxes-json"))["boxes"]) == len(found)
    assert told.count("data:image/webp") == 2


def test_a_map_that_is_zero_has_no_box(studio: Studio, scene: Scene) -> None:
    empty = replace(scene, attributions={"hires_cam": np.zeros_like(scene.attributions["hires_cam"])})
    told = answer(studio, empty)
    assert "No box: nothing in the map speaks for tiger cat." in told and "<pre" not in told


def test_it_is_not_offered_where_each_channel_has_a_value(studio: Studio, scene: Scene) -> None:
    channels = studio.scene(asks(scene, method="gradient").question)
    assert not PANELS["localise"].applies(channels)
    assert "does not apply" in answer(studio, channels)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"threshold": 4}, "“threshold” is a whole number from 5 to 95; got 4."),
        ({"threshold": "20"}, "got '20'."),
        ({"threshold": 20.5}, "got 20.5."),
        ({"threshold": True}, "got True."),
        ({"threshold": float("nan")}, "got nan."),
        ({"threshold": [1] * 1000}, "…."),
        ({"parts": "none"}, "“parts” is one of largest, all; got 'none'."),
        ({"parts": {}}, "got {}."),
    ],
)
def test_a_hostile_wish_is_a_sentence(studio: Studio, scene: Scene, wish: dict[str, object], told: str) -> None:
    with pytest.raises(RefusalError, match=re.escape(told)):
        answer(studio, scene, **wish)
