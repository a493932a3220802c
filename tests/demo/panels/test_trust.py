"""How far a map can be believed: what the panel says of maps whose worth is known."""

import html
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from engine import Explainer
from engine.demo.language import speaking
from engine.demo.panels import PANELS
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from engine.trust import one_picture
from engine.trust.one_picture import SENTENCES, Verdict

HEADS = (
    "Does it know the class?",
    "Does the class hang on what it marks?",
    "Does it agree with hiding parts of the photo?",
    "Does it show what was learnt?",
)


@pytest.fixture(scope="module")
def redrawn(scene: Scene) -> Explainer:
    return scene.model.explainer.randomised(seed=0)


def said(verdicts: list[Verdict]) -> dict[str, bool | None]:
    return {verdict.name: verdict.good for verdict in verdicts}


@pytest.mark.parametrize(
    ("method", "knows", "learnt"),
    [
        ("hires_cam", True, True),
        ("lrp_epsilon_plus", True, True),
        ("guided_grad_cam", True, True),
        ("deconvnet", False, True),
        ("guided_backprop", False, True),
        ("eigen_cam", False, False),
    ],
)
def test_what_ignores_the_class_or_the_weights_is_called_so(
    scene: Scene, redrawn: Explainer, method: str, knows: bool, learnt: bool
) -> None:
    asked = one_picture.subject(scene.model.explainer, scene.photo.pixels, None, method)
    maps, verdicts = one_picture.check_class(asked)
    assert verdicts[0].good is knows
    assert list(maps) == [asked.second, asked.middle] and len({asked.target, *maps}) == 3
    assert asked.label(asked.second) == "Egyptian cat"  # which may well be seen by the same pixels
    _, (verdict,) = one_picture.check_weights(asked, redrawn)
    assert verdict.good is learnt
    for one in [*verdicts, verdict]:
        assert "{" not in str(one)


def test_a_network_that_learnt_nothing_is_caught(scene: Scene, redrawn: Explainer) -> None:
    """What its map marks matters to it no more than any other pixels do."""
    verdicts = one_picture.check_curves(one_picture.subject(redrawn, scene.photo.pixels))[1]
    assert [verdict.good for verdict in verdicts] == [False, False]


def test_a_network_that_is_not_sure_is_told(scene: Scene) -> None:
    first = {
        target: one_picture.subject(scene.model.explainer, scene.photo.pixels, target) for target in (None, "lynx")
    }
    assert said(one_picture.first_verdicts(first[None])) == {}
    assert said(one_picture.first_verdicts(first["lynx"])) == {"unsure": None}


def test_curves_are_held_against_the_best_control(scene: Scene) -> None:
    explainer = scene.model.explainer
    asked = one_picture.subject(explainer, scene.photo.pixels, None, "integrated_gradients", options={"most": 16})
    curves, verdicts = one_picture.check_curves(asked, steps=6)
    assert set(curves) == {"deletion", "insertion"}
    assert set(curves["deletion"]) == {"map", "random", "centre", "sobel"}
    assert said(verdicts)["deletion good"] is True
    chance = replace(asked, map=torch.rand(224, 224, generator=torch.Generator().manual_seed(1)))
    _, verdicts = one_picture.check_curves(chance, steps=6)
    assert set(said(verdicts)) == {"deletion bad", "insertion bad"}
    for verdict in verdicts:
        assert verdict.fields["control"] in ("random", "centre", "sobel")


def test_other_maps_are_asked_as_the_map_itself_was(scene: Scene, redrawn: Explainer) -> None:
    explainer, photo, rival = scene.model.explainer, scene.photo.pixels, "Egyptian cat"
    asked = one_picture.subject(explainer, photo, "tiger cat", contrast=rival)
    maps, _ = one_picture.check_class(asked)
    assert explainer.class_index(rival) not in maps
    for index, map in maps.items():
        wanted = explainer.ask(asked.x, index, asked.method, contrast=rival).values[0]
        torch.testing.assert_close(map, wanted)
    other, _ = one_picture.check_weights(asked, redrawn)
    torch.testing.assert_close(other, redrawn.ask(asked.x, "tiger cat", asked.method, contrast=rival).values[0])


def test_one_map_is_tested(scene: Scene) -> None:
    explainer = scene.model.explainer
    with pytest.raises(ValueError, match="one map is put to the test"):
        one_picture.subject(explainer, scene.photo.pixels, None, "hires_cam", "all")
    both = explainer.preprocess(torch.from_numpy(scene.photo.pixels)).repeat(2, 1, 1, 1)
    with pytest.raises(ValueError, match="one map is put to the test"):
        one_picture.subject(explainer, both)


def steps(studio: Studio, scene: Scene, **wish: Any) -> list[str]:
    return [html.unescape(step) for step in PANELS["trust"].steps(studio, scene, wish)]


def test_the_panel_tells_more_at_each_step(studio: Studio, scene: Scene) -> None:
    found = steps(studio, scene)
    assert [sum(f"<h4>{head}</h4>" in step for head in HEADS) for step in found] == [1, 2, 4]
    assert ["More is being measured" in step for step in found] == [True, True, False]
    whole = found[-1]
    assert whole.count("<polyline") == 8 and whole.count('class="legend"') == 2
    assert "It knows the class" in whole and re.search(r"Egyptian cat · 3\d\.\d %", whole)
    areas = [float(area) for area in re.findall(r"<b>(\.\d{3})</b>", whole)]
    assert len(areas) == 8 and len(set(areas)) >= 6
    assert "Shuffle the network's weights" in whole
    shuffled = steps(studio, scene, weights=True)[-1]
    assert "its weights shuffled" in shuffled and "weights are redrawn" in shuffled


def test_nothing_is_measured_twice(studio: Studio, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = steps(studio, scene)
    monkeypatch.setattr(studio, "compute", lambda *given, **named: pytest.fail("asked the network again"))
    assert steps(studio, scene) == before


def test_a_map_that_is_nothing_is_not_measured(studio: Studio, scene: Scene) -> None:
    goldfish = studio.scene(replace(scene.question, target=scene.model.labels.index("African hunting dog")))
    assert not goldfish.shown(goldfish.layer).any()
    (only,) = steps(studio, goldfish)
    assert SENTENCES["empty"] in only


def test_it_speaks_chinese(studio: Studio, scene: Scene) -> None:
    with speaking("zh-CN"):
        told = re.sub('<svg.*?</svg>|<span lang="en">[^<]*|<[^>]*>', " ", steps(studio, scene)[-1])
    assert re.findall("[A-Za-z]{4,}", told) == []
