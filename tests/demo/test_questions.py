import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import Explainer
from engine.demo import method_list
from engine.demo.controls import DEFAULTS, RefusalError, uploaded
from engine.demo.question import Look, Question, read_question
from engine.demo.scene import Model, Scene
from engine.demo.studio import settle
from tests.demo.hands import (
    LITE,
    TIGER_CAT,
)


@pytest.fixture
def posted(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "cat.png").write_bytes(b"a photo")
    return DEFAULTS | {"photo": {"path": str(tmp_path / "cat.png")}, "layer": 30.0, "target": 5, "contrast": 7}


def test_a_question_counts_layers_from_zero_and_reads_every_control(
    posted: dict[str, Any], tmp_path: Path
) -> None:
    changed = {"untrained": True, "view": "negative", "gray": True, "show": "alone", "strength": 1}
    changed |= {"colours": "turbo", "scale": "common", "at": "layers"}
    question = read_question(posted | changed, tmp_path)
    assert question == Question(
        tmp_path / "cat.png",
        LITE,
        "random",
        "hires_cam",
        29,
        5,
        7,
        Look("negative", True, True, 1.0, "turbo", "common"),
        "layers",
    )
    assert read_question({"photo": posted["photo"]}, tmp_path) == Question(tmp_path / "cat.png", LITE)


@pytest.mark.parametrize(
    ("control", "value", "complaint"),
    [
        ("model", "resnet-fifty", "no model 'resnet-fifty'"),
        ("model", ["vgg16"], "no model"),
        ("model", "x" * 5000, "…"),
        ("view", "inverted", "all, positive, negative"),
        ("layer", "last", "layer is a whole number"),
        ("layer", 2.5, "layer is a whole number"),
        ("layer", float("nan"), "layer is a whole number"),
        ("target", float("inf"), "class is a whole number"),
        ("contrast", {}, "class is a whole number"),
        ("strength", 1.01, "between 0 and 1"),
        ("strength", float("nan"), "between 0 and 1"),
        ("strength", None, "between 0 and 1"),
        ("colours", "coolwarm", "colours are one of viridis, inferno, turbo"),
        ("colours", ["turbo"], "colours are one of"),
        ("scale", "log", "scale is one of own, common"),
    ],
)
def test_a_control_never_offered_this(
    posted: dict[str, Any], tmp_path: Path, control: str, value: Any, complaint: str
) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)) as refusal:
        read_question(posted | {control: value}, tmp_path)
    assert len(str(refusal.value)) < 200


def test_only_files_in_the_upload_folder_are_photos(tmp_path: Path) -> None:
    folder, outside = tmp_path / "uploads", tmp_path / "secret.png"
    (folder / "a").mkdir(parents=True)
    outside.write_bytes(b"a secret")
    inside = folder / "a" / "cat.png"
    inside.write_bytes(b"a photo")
    (folder / "link.png").symlink_to(outside)
    assert uploaded({"path": str(inside)}, folder) == inside
    hostile = [
        {"path": "/etc/passwd"},
        {"path": str(folder / "a" / ".." / ".." / "secret.png")},
        {"path": str(folder / "link.png")},
        {"path": str(folder)},
        {"path": str(folder / "gone.png")},
        {"path": str(inside) + "\0.png"},
        {"path": "data:image/png;base64,AAAA"},
        {"path": "https://example.org/cat.png"},
        {"path": 7},
        {},
        str(inside),
        None,
    ]
    for payload in hostile:
        with pytest.raises(RefusalError, match="not uploaded here"):
            uploaded(payload, folder)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"method": "lime"}, "no method 'lime'"),
        ({"layer": 73}, "no layer 74: this model has 73"),
        ({"layer": -1}, "no layer 0"),
        ({"target": 1000}, "no class 1000: this model has 1000"),
        ({"contrast": -5}, "no class -5"),
    ],
)
def test_what_the_model_does_not_have(scene: Scene, changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)):
        settle(replace(scene.question, **changed), scene.model, TIGER_CAT)


def test_an_absent_method_tells_its_reason(scene: Scene) -> None:
    explainer = scene.model.explainer
    without = Model(
        Explainer(explainer.module, explainer.manifest | {"absent": {"cam": "the head is no linear layer"}})
    )
    with pytest.raises(RefusalError, match=r"CAM does not apply here: the head is no linear layer\."):
        settle(replace(scene.question, method="cam"), without, TIGER_CAT)
    line = method_list.method_line("grad_cam", without.explainer.manifest["absent"])
    assert "No CAM here: the head is no linear layer." in line and "arxiv.org/abs/1610.02391" in line
    assert "At all layers but the last: Not class-specific here" in line
    assert "https://doi.org/10.1109/TIP.2021.3089943" in method_list.method_line("layer_cam", {})
