"""What is erased: cells that a browser posts, what lies there instead, and what the network says without them."""

import base64
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.demo.controls import RefusalError
from engine.demo.panels import PANELS
from engine.demo.panels.erase import TOPS, chances
from engine.demo.panels.erasing import (
    FILLS,
    LONGEST,
    elsewhere,
    erased,
    filling,
    grid,
    importance,
    packed,
    seen_cells,
    strongest,
    unpacked,
)
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from tests.demo.hands import asks

NOISE = np.random.default_rng(0)


def block(scene: Scene, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(grid(scene.photo), bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture
def half(scene: Scene) -> np.ndarray:
    return block(scene, slice(0, 30), slice(0, 40))


def steps(studio: Studio, scene: Scene, **wish: object) -> Iterator[str]:
    return PANELS["erase"].steps(studio, scene, wish)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (64, 96), (96, 41)])
def test_cells_come_back_as_they_were_posted(size: tuple[int, int]) -> None:
    mask = NOISE.random(size) < 0.5
    text = packed(mask)
    assert (unpacked(text, size) == mask).all()
    bits = "".join(f"{byte:08b}" for byte in base64.b64decode(text))  # the first cell is the highest bit
    assert bits[: mask.size] == "".join("01"[int(cell)] for cell in mask.flat)
    assert len(bits) == 8 * math.ceil(mask.size / 8)


@pytest.mark.parametrize(
    "text", [None, 7, [], "", "AAAA", "A" * 1_000_000, "%" * 1024, "é" * 1024, {"a": 1}, "=" * 1024, "AAA\n" * 256]
)
def test_what_is_no_mask_is_refused_in_a_sentence(text: object) -> None:
    with pytest.raises(RefusalError, match=r"That is no part of this photo: it has 64 × 96 cells\. Erase anew\."):
        unpacked(text, (64, 96))


def test_the_grid_follows_the_photo(scene: Scene) -> None:
    tall, wide = scene.photo.pixels.shape[:2]
    rows, columns = grid(scene.photo)
    assert columns == LONGEST and rows == round(tall / wide * LONGEST)
    seen = seen_cells(scene)
    window = scene.model.explainer.geometry.window(tall, wide)
    assert abs(seen.sum() / seen.size - window.height * window.width / (tall * wide)) < 0.03


def test_erasing_nothing_changes_nothing(studio: Studio, scene: Scene) -> None:
    nothing = np.zeros(grid(scene.photo), bool)
    assert erased(scene, nothing, "black") is scene.photo
    assert chances(studio, scene, nothing, "mean") is scene.probabilities


@pytest.mark.parametrize("fill", FILLS)
def test_what_is_erased_shows_the_fill_and_the_rest_the_photo(scene: Scene, half: np.ndarray, fill: str) -> None:
    pixels, changed = scene.photo.pixels, erased(scene, half, fill).pixels
    tall, wide = pixels.shape[:2]
    # Each pixel belongs to the cell that its corner lies in.
    inside = half[np.arange(tall) * half.shape[0] // tall][:, np.arange(wide) * half.shape[1] // wide]
    assert (changed[~inside] == pixels[~inside]).all()
    assert (changed[inside] == filling(scene, pixels, fill)[inside]).all()
    assert (scene.photo.pixels == cv2.cvtColor(cv2.imread(str(scene.question.photo)), cv2.COLOR_BGR2RGB)).all()


@pytest.mark.parametrize(("fill", "value"), [("mean", 128), ("black", 0)])
def test_erasing_all_equals_the_fill(studio: Studio, scene: Scene, fill: str, value: int) -> None:
    everything = np.ones(grid(scene.photo), bool)
    assert (erased(scene, everything, fill).pixels == value).all()
    explainer = scene.model.explainer
    x = torch.full((1, 3, 224, 224), value / 255.0).sub(0.5).div(0.5)  # the network's own mean and spread
    wanted = explainer.forward(x)[0].softmax(0).numpy()
    assert np.abs(chances(studio, scene, everything, fill) - wanted).max() < 1e-4


def test_a_blurred_photo_has_its_colours_and_no_details(scene: Scene) -> None:
    pixels = scene.photo.pixels.astype(float)
    soft = filling(scene, scene.photo.pixels, "blur").astype(float)
    assert np.abs(soft.mean((0, 1)) - pixels.mean((0, 1))).max() < 6
    assert np.abs(np.diff(soft, axis=1)).mean() < 0.1 * np.abs(np.diff(pixels, axis=1)).mean()


def test_a_part_is_asked_about_once_and_lies_nowhere(
    studio: Studio, scene: Scene, half: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(studio.folder.parent.rglob("*"))
    first = chances(studio, scene, half, "blur")
    assert abs(first.sum() - 1) < 1e-4 and np.abs(first - scene.probabilities).max() > 1e-4
    monkeypatch.setattr(studio, "compute", None)  # it would be called for another pass
    assert chances(studio, scene, half, "blur") is first
    assert sorted(studio.folder.parent.rglob("*")) == files


@pytest.mark.parametrize("method", ["hires_cam", "saliency", "guided_backprop"])
@pytest.mark.parametrize("percent", TOPS)
def test_what_the_map_makes_most_of_is_chosen(studio: Studio, scene: Scene, method: str, percent: int) -> None:
    scene = studio.scene(asks(scene, method=method).question)
    seen, found, mask = seen_cells(scene), importance(scene), strongest(scene, percent / 100)
    wanted = round(percent / 100 * seen.sum())
    assert mask.sum() == min(wanted, int((seen & (found > 0)).sum()))
    assert not (mask & ~seen).any()
    assert found[mask].min() >= found[seen & ~mask].max()


def test_both_signs_of_a_channel_are_of_importance(studio: Studio, scene: Scene) -> None:
    scene = studio.scene(asks(scene, method="gradient").question)
    found, values = importance(scene), np.abs(scene.attribution(0)).sum(0)
    tall, wide = scene.photo.pixels.shape[:2]
    top, left, height, width = scene.model.explainer.geometry.window(tall, wide)
    rows, columns = found.shape
    down, right = (np.arange(rows) + 0.5) * tall / rows, (np.arange(columns) + 0.5) * wide / columns
    y, x = (down - top) / height * 224 - 0.5, (right - left) / width * 224 - 0.5
    inside = np.ix_((y > 4) & (y < 219), (x > 4) & (x < 219))
    near = cv2.remap(
        cv2.GaussianBlur(values, (5, 5), 0), *np.meshgrid(x.astype(np.float32), y.astype(np.float32)),
        cv2.INTER_LINEAR,
    )  # fmt: skip
    assert np.corrcoef(found[inside].ravel(), near[inside].ravel())[0, 1] > 0.95


def test_as_much_elsewhere_is_the_same_shape_at_another_place(scene: Scene) -> None:
    seen, mask = seen_cells(scene), strongest(scene, 0.1)
    inside = np.ix_(seen.any(1), seen.any(0))
    own = mask[inside]
    twice = sorted(
        int((own & np.roll(own, (down, right), (0, 1))).sum())
        for down in range(own.shape[0])
        for right in range(own.shape[1])
    )
    places = set()
    for draw in range(6):
        moved = elsewhere(mask, seen, draw)
        assert moved.sum() == mask.sum() and not (moved & ~seen).any()
        assert (moved & mask).sum() <= twice[len(twice) // 10]
        assert (elsewhere(mask, seen, draw) == moved).all()
        places.add(packed(moved))
    assert len(places) > 3


def test_nothing_elsewhere_is_nothing(scene: Scene) -> None:
    nothing = np.zeros(grid(scene.photo), bool)
    assert not elsewhere(nothing, seen_cells(scene), 0).any()


def test_the_panel_opens_with_nothing_erased(studio: Studio, scene: Scene) -> None:
    (answer,) = steps(studio, scene)
    assert "Nothing is erased yet" in answer and answer.count('<tr class="asked">') == 1
    assert "Is the map honest?" in answer and "same shape" not in answer


def test_the_class_falls_in_words_and_in_bars(studio: Studio, scene: Scene) -> None:
    middle = block(scene, slice(5, 60), slice(20, 70))
    wish = {"photo": scene.photo.key, "mask": packed(middle), "fill": "black"}
    (answer,) = steps(studio, scene, **wish)
    after = float(chances(studio, scene, middle, "black")[282])
    before = float(scene.probabilities[282])
    assert f"tiger cat falls from {100 * before:.1f} % to {100 * after:.1f} % with" in answer
    assert f"width:{100 * before:.1f}%" in answer and f"width:{100 * after:.1f}%" in answer


def test_the_test_of_the_map_has_three_sizes_and_a_verdict(studio: Studio, scene: Scene) -> None:
    answers = list(steps(studio, scene, top=10))
    assert len(answers) == 1 + len(TOPS)
    assert answers[-1].count("as much elsewhere:") == 3 and "of 3 sizes" in answers[-1]
    mask = strongest(scene, 0.1)
    assert f'data-mask="{packed(mask)}"' in answers[-1]
    assert (
        f"the map&#x27;s choice: <b>{100 * float(chances(studio, scene, mask, 'mean')[282]):.1f} %" in answers[-1]
    )


def test_a_mask_of_another_photo_is_forgotten(studio: Studio, scene: Scene, half: np.ndarray) -> None:
    (answer,) = steps(studio, scene, photo="another", mask=packed(half))
    assert "Nothing is erased yet" in answer


@pytest.mark.parametrize(
    "wish",
    [
        {"fill": "white"}, {"fill": 3}, {"fill": ["black"]}, {"top": 7}, {"top": True}, {"top": "10"},
        {"draw": -1}, {"draw": 1e9}, {"draw": float("nan")}, {"draw": 0.5}, {"draw": "1"}, {"turn": []},
        {"elsewhere": "yes"}, {"elsewhere": 1},
    ],
)  # fmt: skip
def test_a_hostile_wish_is_a_sentence(studio: Studio, scene: Scene, wish: dict[str, object]) -> None:
    with pytest.raises(RefusalError, match=r"^“(fill|top|draw|turn|elsewhere)” is .*; got .*\.$"):
        list(steps(studio, scene, **wish))
    with pytest.raises(RefusalError, match="no part of this photo"):
        list(steps(studio, scene, photo=scene.photo.key, mask="A" * 10))


def test_a_photo_of_one_row_can_be_erased(studio: Studio, scene: Scene, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "thin.png"), np.full((1, 300, 3), 90, np.uint8))
    thin = studio.scene(replace(scene.question, photo=tmp_path / "thin.png", target=None))
    answers = list(steps(studio, thin, top=20))
    assert len(answers) == 4 and grid(thin.photo) == (1, LONGEST)
