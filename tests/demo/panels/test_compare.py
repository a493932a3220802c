"""Answers side by side: which they are, and by what scale they are drawn."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import app
from engine import METHODS
from engine.demo.controls import RefusalError
from engine.demo.offer import OwnModel
from engine.demo.panels import PANELS, compare, sides
from engine.demo.panels.compare import COMPARISONS, SIDE, scale_of_side
from engine.demo.scene import Scene, drawn_as, fitted
from engine.demo.studio import Studio
from engine.pictures.figures import picture
from tests.demo.hands import EGYPTIAN_CAT, LITE, asks


@pytest.fixture(scope="module")
def studio(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A page with examples and a file of its host's own."""
    uploads = tmp_path_factory.mktemp("uploads")
    first = Studio(uploads / "views", artifacts)
    first.open(LITE, "default")
    own = [OwnModel("mine.pt", first.offer.file(LITE, "default"), "Mine")]
    studio = Studio(uploads / "views", artifacts, own=own)
    studio.examples = app.write_examples(uploads / "examples")
    return studio


@pytest.fixture
def only_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever weights lie on this machine: no other model is at hand."""
    monkeypatch.setattr(sides, "availability", lambda name: "download")


def last(studio: Studio, scene: Scene, **wish: object) -> str:
    *_, answer = PANELS["compare"].steps(studio, scene, wish)
    return answer


def sides_of(studio: Studio, scene: Scene, by: str, **wish: object) -> list[sides.Side]:
    return list(COMPARISONS[by].sides(studio, scene, wish))


def pictures(studio: Studio, scene: Scene, monkeypatch: pytest.MonkeyPatch, **wish: object) -> list[np.ndarray]:
    """What is drawn, before it is packed for the browser."""
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(compare, "figure", lambda picture, *told: drawn.append(picture) or "")
    last(studio, scene, **wish)
    return drawn


def test_all_methods_of_one_pass_stand_beside_the_one_shown(studio: Studio, scene: Scene) -> None:
    *before, answer = PANELS["compare"].steps(studio, scene, {})
    names = [name for name in scene.model.methods if not METHODS[name].path]
    assert answer.count("<figure>") == len(names) == len(before) + 1
    clickable = re.findall(r'class="shown" data-method="(\w+)"', answer)
    assert sorted([*clickable, "hires_cam"]) == sorted(names)
    assert all(METHODS[name].title in answer for name in names)
    assert answer.index("<b>HiResCAM") < answer.index("<b>Grad-CAM")


def test_a_method_of_another_layer_says_so(studio: Studio, scene: Scene) -> None:
    inner = studio.scene(asks(scene, layer=40).question)
    cam = next(side for side in sides_of(studio, inner, "methods") if side.scene.question.method == "cam")
    assert cam.caption.endswith("At bn2.act.") and cam.scene.layer == 72


def test_the_three_gates_have_a_sentence_each(studio: Studio, scene: Scene) -> None:
    answer = last(studio, scene, by="gates")
    gates, beside = ["gradient", "deconvnet", "guided_backprop"], ["lrp_epsilon_plus"]
    assert re.findall(r'class="shown" data-method="(\w+)"', answer) == [*gates, *beside]
    assert answer.count("A ReLU passes on what comes back") == 3


def test_a_gates_own_sentence_holds() -> None:
    """By the rules that the files are compiled from, at a ReLU of four units."""
    import torch

    from engine.rules.policies import POLICIES
    from engine.rules.registry import VJPS  # type: ignore[attr-defined]

    relu = torch.ops.aten.relu
    x, ct = torch.tensor([-1.0, 1.0, -1.0, 1.0]), torch.tensor([2.0, 2.0, -2.0, -2.0])
    passed = {
        name: POLICIES[name].pull("rectifier", VJPS[relu], ct, relu(x), x)[0].ne(0).tolist()
        for name in ("gradient", "deconvnet", "guided")
    }
    assert passed["gradient"] == [False, True, False, True]  # wherever it was active
    assert passed["deconvnet"] == [True, True, False, False]  # where that is positive
    assert passed["guided"] == [False, True, False, False]  # both


def test_values_and_colours_are_drawn_from_one_map(studio: Studio, scene: Scene) -> None:
    found = sides_of(studio, scene, "values")
    assert len(found) == 6 and {side.scene.question.method for side in found} == {"guided_backprop"}
    assert all((side.scene.attribution(0) == found[0].scene.attribution(0)).all() for side in found)
    looks = {(side.scene.question.look.view, side.scene.question.look.gray) for side in found}
    assert len(looks) == 6
    everything, positive, negative = (side.scene.draw(0, SIDE).astype(int) for side in found[:3])
    # Light is what raises the score, dark what lowers it: the halves make up the whole, about mid-gray.
    assert np.abs(128 + (positive - negative) * 127 / 255 - everything).max() <= 1
    gray = found[3].scene.draw(0, SIDE)
    assert (gray[..., 0] == gray[..., 1]).all() and (gray[..., 1] == gray[..., 2]).all()


def test_two_classes_are_the_one_shown_and_the_strongest_other(studio: Studio, scene: Scene) -> None:
    found = sides_of(studio, scene, "classes")
    order = scene.probabilities.argsort()[::-1]
    assert [side.scene.asked for side in found] == [[282], [int(order[1])]]
    contrast = studio.scene(asks(scene, target=int(order[1]), contrast=EGYPTIAN_CAT).question)
    rival = EGYPTIAN_CAT if order[1] != EGYPTIAN_CAT else int(order[0])
    assert sides_of(studio, contrast, "classes")[1].scene.asked == [rival]


def test_photos_are_the_examples_each_for_its_first_class(studio: Studio, scene: Scene) -> None:
    answer = last(studio, scene, by="photos")
    assert answer.count("<figure>") == len(studio.examples)
    assert "<b>espresso</b>" in answer and answer.count("<b>tiger cat</b>") == 1
    same = last(studio, scene, by="photos", why="same")
    assert same.count("<b>tiger cat</b>") == len(studio.examples)


def test_a_photo_of_ones_own_stands_beside_the_examples(studio: Studio, scene: Scene) -> None:
    own = studio.folder.parent / "own.png"
    cv2.imwrite(str(own), np.full((80, 120, 3), (30, 160, 90), np.uint8))
    assert last(studio, scene, by="photos", own=str(own)).count("<figure>") == len(studio.examples) + 1
    for path in ("/etc/passwd", str(own.with_name("gone.png")), "\0", 7, ["a"]):
        with pytest.raises(RefusalError, match="not uploaded here"):
            last(studio, scene, by="photos", own=path)


@pytest.mark.usefixtures("only_mine")
def test_another_model_at_a_layer_of_the_same_size(studio: Studio, scene: Scene) -> None:
    inner = studio.scene(asks(scene, layer=30).question)
    here, there = sides_of(studio, inner, "models")
    assert here.scene is inner and there.scene.question.model == "mine.pt"
    shapes = [side.scene.model.explainer.manifest["layers"][side.scene.layer]["shape"] for side in (here, there)]
    assert shapes[0][1:] == shapes[1][1:] and there.scene.asked == [282]
    layers = there.scene.model.explainer.manifest["layers"]
    assert layers[there.scene.layer + 1]["shape"][1:] != shapes[1][1:]  # the last one of that size
    answer = last(studio, inner, by="models", model="mine.pt")
    assert answer.count("<figure>") == 2 and "The networks" not in answer and "different ranges" in answer


@pytest.mark.usefixtures("only_mine")
def test_a_class_that_the_other_model_does_not_know(studio: Studio, scene: Scene) -> None:
    labels = list(scene.model.labels)
    labels[282] = "Felis domestica"
    renamed = replace(scene, model=type(scene.model)(scene.model.explainer))
    vars(renamed.model)["labels"] = labels
    _, other = sides_of(studio, renamed, "models")
    assert "It knows no class Felis domestica: its own first one is explained." in other.caption
    assert other.scene.asked == [int(scene.probabilities.argmax())]


@pytest.mark.usefixtures("only_mine")
def test_a_page_with_one_model_says_so(artifacts: Path, scene: Scene, tmp_path: Path) -> None:
    alone = Studio(tmp_path / "views", artifacts)
    assert "No other model lies ready here." in last(alone, alone.scene(scene.question), by="models")


@pytest.mark.parametrize(("by", "layer"), [("classes", 72), ("photos", 50)])
def test_one_scale_for_all_is_the_largest_of_theirs(
    studio: Studio, scene: Scene, by: str, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = studio.scene(asks(scene, layer=layer).question)
    found = sides_of(studio, scene, by)
    scales = [scale_of_side(side) for side in found]
    for side, scale in zip(found, scales, strict=True):
        values = side.scene.attribution(side.scene.layer)
        own = np.percentile(np.abs(values), 99.5) if values.ndim == 3 else values.max()
        assert scale == pytest.approx(own)
    drawn = pictures(studio, scene, monkeypatch, by=by, scale="common")
    for side, shown in zip(found, drawn, strict=True):
        other, row = side.scene, METHODS[side.scene.question.method]
        photo, window = fitted(other.photo, other.model, SIDE)
        wanted = picture(
            photo, window, other.attribution(other.layer), drawn_as(other.question.look), row.at.at_image,
            row.signed, max(scales),
        )  # fmt: skip
        assert (shown == wanted).all()
    own = pictures(studio, scene, monkeypatch, by=by, scale="own")
    weak = int(np.argmin(scales))
    assert (own[weak] != drawn[weak]).any()


@pytest.mark.parametrize(
    "wish",
    [
        {"by": "nothing"}, {"by": None}, {"by": ["gates"]}, {"by": "classes", "scale": 1},
        {"by": "photos", "why": "because"}, {"by": "models", "model": "/etc/passwd"},
        {"by": "models", "model": {}},
    ],
)  # fmt: skip
@pytest.mark.usefixtures("only_mine")
def test_a_hostile_wish_is_a_sentence(studio: Studio, scene: Scene, wish: dict[str, object]) -> None:
    with pytest.raises(RefusalError, match=r"^“(by|scale|why|model)” is one of .*; got .*\.$"):
        last(studio, scene, **wish)
