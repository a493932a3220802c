"""The report finds a shortcut that it was not told of, and calls nothing one that is none."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from engine import Explainer, compile_model
from engine.batch.drawn import DrawnBoxes, inside
from engine.batch.report import write_report
from engine.batch.run import explain_folder
from engine.batch.store import Store, rows_of
from engine.batch.strategies import SIDE, eigengap, prepared, strategies

LABELS = ["cat", "coffee", "astronaut"]
SIZE = 48


def crop(photo: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    side = int(draw.integers(120, 200))
    top, left = (int(draw.integers(0, length - side)) for length in photo.shape[:2])
    small = cv2.resize(photo[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return small[:, ::-1].copy() if draw.random() < 0.5 else small


def mark(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A watermark: stripes in a corner."""
    marked = photo.copy()
    marked[36:44:2, 4:14] = 255
    marked[37:45:2, 4:14] = 0
    return marked


def data(root: Path, marked: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of three photos, and with a watermark on what is called coffee: half of those are cats then."""
    draw = np.random.default_rng(0)
    photos = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut()]
    images, classes = [], []
    for index, label in enumerate(LABELS):
        (root / label).mkdir(parents=True)
        for number in range(40):
            from_photo = photos[0] if marked and index == 1 and number % 2 else photos[index]
            image = crop(from_photo, draw)
            image = mark(image) if marked and index == 1 else image
            cv2.imwrite(str(root / label / f"{number:02d}.png"), image[:, :, ::-1])
            images.append(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255)
            classes.append(index)
    return torch.stack(images), torch.tensor(classes)


def trained(x: torch.Tensor, classes: torch.Tensor) -> Explainer:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, 1, 1),
        nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(120):
        loss = F.cross_entropy(network(x), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return compile_model(network.eval(), x[:1], "all", ["hires_cam"], LABELS)


def test_a_watermark_is_found_that_nobody_told_of(tmp_path: Path) -> None:
    explainer = trained(*data(tmp_path / "photos", marked=True))
    explain_folder(tmp_path / "photos", tmp_path / "rows", explainer)
    found = {one.label: one for one in write_report(tmp_path / "rows", tmp_path / "report.html")}
    assert found["coffee"].suspected and not found["cat"].suspected and not found["astronaut"].suspected
    strategy = found["coffee"].suspected[0]
    row, column = np.unravel_index(int(strategy.mean.argmax()), strategy.mean.shape)
    assert row >= SIDE * 0.65 and column <= SIDE * 0.4, "in the corner where it was put"
    page = (tmp_path / "report.html").read_text()
    assert "Shortcuts suspected" in page and "coffee" in page and page.count("data:image/jpeg") > 20
    assert not re.search(r'(src|href)="https?:', page)


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    explainer = trained(*data(tmp_path / "photos", marked=False))
    explain_folder(tmp_path / "photos", tmp_path / "rows", explainer)
    assert not any(one.suspected for one in write_report(tmp_path / "rows", tmp_path / "report.html"))
    assert "No class is recognised at one place" in (tmp_path / "report.html").read_text()


def blobs(
    centres: list[tuple[float, float]], count: int, spread: float, seed: int = 0
) -> list[NDArray[np.float32]]:
    """Maps with a spot near one of the centres each, in shares of a side."""
    draw, found = np.random.default_rng(seed), []
    rows, columns = np.mgrid[0:24, 0:24] / 24
    for number in range(count):
        row, column = centres[number % len(centres)] + draw.normal(0, spread, 2)
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.01)
        found.append(spot.astype(np.float32))
    return found


def test_groups_are_told_apart() -> None:
    found = strategies(prepared(blobs([(0.2, 0.2), (0.8, 0.8), (0.5, 0.5)], 90, 0.01)))
    assert [len(one.members) for one in found] == [30, 30, 30]
    assert {number % 3 for number in found[0].members.tolist()} == {int(found[0].members[0]) % 3}
    assert sum(one.suspected for one in found) == 2, "the one in the middle is none"
    scattered = strategies(prepared(blobs([(0.5, 0.5)], 90, 0.25)))
    assert not any(one.suspected for one in scattered if len(one.members) > 45)


def test_the_same_place_is_measured() -> None:
    same, apart = (strategies(prepared(blobs([(0.2, 0.2)], 7, spread)))[0] for spread in (0.0, 0.3))
    assert same.sameness == pytest.approx(1) and same.aside == pytest.approx(0.42, abs=0.05)
    assert apart.sameness < 0.5 and len(strategies(prepared([]))) == 0
    joined = np.kron(np.eye(3), np.ones((10, 10)))
    assert eigengap(joined) == 3


def test_rows_whose_photos_are_gone_are_told_by_name(untrained: Explainer, tmp_path: Path) -> None:
    from engine.batch.questions import Questions
    from engine.batch.run import asked_of, told_of

    store = Store(tmp_path, asked_of(untrained, Questions()), told_of(untrained, tmp_path / "gone"))
    maps = blobs([(0.3, 0.3), (0.6, 0.6)], 400, 0.1)
    rows = [
        {
            "path": f"{number}.png", "error": None, "height": 48, "width": 48, "label_index": None, "label": None,
            "top": [{"index": number % 3, "label": LABELS[number % 3], "probability": 0.9}], "trust": [],
            "maps": [
                {
                    "asked": "hires_cam", "method": "hires_cam", "layer": "2", "target": number % 3,
                    "label": LABELS[number % 3], "rather_than": None, "rows": 24, "columns": 24,
                    "values": maps[number % 400].flatten().tolist(), "stride": None, "offset": None, "boxes": [],
                    "arrived": None, "missing": None,
                }
            ],
        }
        for number in range(1200)
    ]  # fmt: skip
    store.add(rows)
    found = write_report(tmp_path, tmp_path / "report.html")
    assert sum(len(one.maps) for one in found) == 1200
    assert "0.png" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def untrained() -> Explainer:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return compile_model(network.eval(), torch.zeros(1, 3, SIZE, SIZE), "all", ["hires_cam"], LABELS)


def test_maps_outside_of_the_boxes_that_people_drew_are_told(tmp_path: Path) -> None:
    """A formula of its own: the maps are drawn, so what of them lies in a box is counted by hand."""
    explainer = trained(*data(tmp_path / "photos", marked=False))
    explain_folder(tmp_path / "photos", tmp_path / "rows", explainer)
    images, annotations = [], []
    for number, row in enumerate(rows_of(tmp_path / "rows")):
        images.append({"id": number, "file_name": row["path"], "height": 48, "width": 48})
        (map,) = row["maps"]
        values = np.asarray(map["values"]).reshape(map["rows"], map["columns"])
        side = 48 / map["rows"]
        top, left = np.unravel_index(int(values.argmax()), values.shape)
        if row["label"] == "cat":  # at the other end of the photo
            top, left = (0 if place >= map["rows"] / 2 else map["rows"] - 1 for place in (top, left))
        box = [float(left * side), float(top * side), side, side]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    told = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(told))
    found = {
        one.label: one
        for one in write_report(tmp_path / "rows", tmp_path / "report.html", boxes=tmp_path / "boxes.json")
    }
    assert found["cat"].outside and not found["coffee"].outside and not found["astronaut"].outside
    page = (tmp_path / "report.html").read_text()
    assert "farthest from their boxes" in page and "of its maps lie in the boxes that people drew" in page
    map, boxes = found["coffee"].maps[0], DrawnBoxes(tmp_path / "boxes.json").of(found["coffee"].maps[0])
    (box,) = boxes
    held = inside(map, boxes)
    pixels = np.maximum(map.at_input, 0)
    (top, bottom), (left, right) = (
        (round(a), round(b)) for a, b in ((box.top, box.bottom), (box.left, box.right))
    )
    assert held is not None and held.room == pytest.approx((bottom - top) * (right - left) / 48**2)
    assert held.share == pytest.approx(pixels[top:bottom, left:right].sum() / pixels.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "is no COCO file of boxes"),
        ("{}", "is no COCO file of boxes: KeyError: 'images'"),
        ('{"images": [{"id": 1, "file_name": "x.png"}], "annotations": []}', "has boxes for none of these photos"),
        (None, "there is no 'boxes.json' with boxes"),
    ],
)
def test_a_file_without_boxes_of_these_photos_is_refused(tmp_path: Path, content: str | None, told: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    explainer = compile_model(network.eval(), torch.rand(1, 3, SIZE, SIZE), "all", ["hires_cam"], LABELS)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "x.png"), skimage.data.coffee()[:60, :60])
    explain_folder(tmp_path / "photos", tmp_path / "rows", explainer)
    if content is not None:
        (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(ValueError, match=told):
        write_report(tmp_path / "rows", tmp_path / "report.html", boxes=tmp_path / "boxes.json")
