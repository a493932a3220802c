import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from engine.demo.controls import RefusalError
from engine.demo.question import Look, Question
from engine.demo.scene import Scene
from engine.demo.state import shown
from engine.demo.studio import Studio
from tests.demo.hands import (
    EGYPTIAN_CAT,
    LITE,
    TIGER_CAT,
    asks,
)


def test_one_pass_per_photo_model_and_classes(
    studio: Studio, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    explainer = studio.open(LITE, "default").explainer
    for name in ("forward", "survey", "answers"):
        run = getattr(explainer, name)
        monkeypatch.setattr(
            explainer, name, lambda *given, run=run, name=name: passes.append(name) or run(*given), raising=True
        )
    question = Question(chelsea.with_name("coffee.png"), LITE)
    top = studio.scene(question).question.target
    assert passes == ["answers"]
    for changed in (
        {"layer": 3}, {"method": "guided_grad_cam"}, {"method": "saliency"}, {"look": Look(strength=0.9)},
        {"look": Look("negative", True)}, {"target": top}, {"contrast": top},
    ):  # fmt: skip
        again = studio.scene(replace(question, **changed))
        studio.picture(again)
        studio.frames(again)
    assert passes == ["answers"]
    studio.scene(replace(question, contrast=EGYPTIAN_CAT))
    studio.scene(replace(question, target=EGYPTIAN_CAT))
    copy = tmp_path / "the same photo again.png"
    copy.write_bytes(question.photo.read_bytes())
    studio.scene(replace(question, photo=copy))
    assert passes == ["answers", "survey", "survey"]


def test_a_contrast_is_the_difference_of_two_classes(studio: Studio, chelsea: Path) -> None:
    question = Question(chelsea, LITE, target=TIGER_CAT)
    one, other, both = (
        studio.scene(replace(question, **changed)).attributions["gradient"]
        for changed in ({}, {"target": EGYPTIAN_CAT}, {"contrast": EGYPTIAN_CAT})
    )
    np.testing.assert_allclose(both, one - other, atol=1e-4 * np.abs(one).max())


def test_frames_are_one_per_layer_and_drawn_once(studio: Studio, scene: Scene) -> None:
    frames = studio.frames(scene)
    assert [line for _, line in frames] == scene.model.layers
    assert frames[-1][1].endswith("1280 × 7 × 7 · 73 of 73")
    last = cv2.imread(str(frames[-1][0]))[:, :, ::-1].astype(int)
    assert np.abs(last - scene.draw(72, 768)).mean() < 3  # JPEG is not exact
    times = [path.stat().st_mtime_ns for path, _ in frames]
    assert [path.stat().st_mtime_ns for path, _ in studio.frames(scene)] == times
    frames[0][0].unlink()  # as gradio's own cleaning does
    assert studio.frames(scene)[0][0].is_file()
    assert studio.frames(asks(scene, method="cam")) == studio.frames(asks(scene, method="saliency")) == []


def test_old_pictures_go_and_pinned_ones_stay(tmp_path: Path, scene: Scene) -> None:
    studio = Studio(tmp_path)
    looks = [asks(scene, look=Look(strength=strength)) for strength in (0.1, 0.2, 0.3, 0.4)]
    first = studio.picture(looks[0])
    studio.pinned.add(studio.home(looks[0]))
    studio._homes.limit = 2.5 * first.stat().st_size  # bytes: the room of two pictures
    homes = [first.parent, *(studio.picture(other).parent for other in looks[1:])]
    assert [home.exists() for home in homes] == [True, False, True, True]


def test_the_contact_sheet_has_every_layer(studio: Studio, scene: Scene) -> None:
    sheet = cv2.imread(str(studio.sheet(scene, "Grad-CAM for tiger cat")))
    assert sheet.shape[0] * sheet.shape[1] > 73 * 220 * 146
    with pytest.raises(RefusalError, match="single map"):
        studio.sheet(asks(scene, method="gradient"), "")


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.load.* is deprecated:FutureWarning"
)  # what a user's own two lines call
def test_the_models_file_needs_only_torch(studio: Studio, scene: Scene) -> None:
    path = studio.artifact(LITE, "default")
    assert path == studio.artifact(LITE, "default") and path.name == f"{LITE}.pt"
    code = re.search(r"```python\n(.*)```", shown(scene, path)["notes"]["value"], re.S)
    assert code is not None
    names: dict[str, Any] = {"torch": torch, "photo": torch.from_numpy(scene.photo.pixels)}
    exec(code[1].replace(f'"{LITE}.pt"', repr(str(path))), names)
    np.testing.assert_allclose(names["heat"][0].numpy(), scene.attribution(72), rtol=1e-4, atol=1e-6)
