"""Boxes of maps: drawn by hand on small maps, brought to photos, and held against pictures of them."""

import json

import numpy as np
import pytest
import torch

from engine.pictures.boxes import (
    Box,
    boxes_of,
    boxes_on_photo,
    clipped,
    cut,
    draw_boxes,
    in_window,
    iou,
    placed,
    told_boxes,
)
from engine.pictures.geometry import Geometry, Window


def corners(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def two_parts() -> np.ndarray:
    """A bright point beside a larger, fainter part, with something faint and something negative elsewhere."""
    values = np.zeros((8, 10))
    values[1, 1] = 10.0
    values[4:7, 5:9] = 3.0
    values[4, 5] = 0.0  # the corner is left out, and the box is the same
    values[0, 9], values[7, 0] = 1.0, -50.0
    return values


def test_the_largest_part_has_the_box_and_not_the_brightest() -> None:
    (box,) = boxes_of(two_parts(), threshold=0.2)
    assert corners(box) == (5, 4, 9, 7)
    assert box.score == pytest.approx(33 / 44)
    assert box.peak == pytest.approx(3.0)


def test_the_threshold_is_a_share_of_the_maximum() -> None:
    values = two_parts()
    for threshold, wanted in ((0.31, (1, 1, 2, 2)), (0.3, (5, 4, 9, 7)), (1.0, (1, 1, 2, 2))):
        assert corners(boxes_of(values, threshold)[0]) == wanted
        assert corners(boxes_of(values * 1e-30, threshold)[0]) == wanted
    assert len(boxes_of(values, 0.1, several=True)) == 3
    assert len(boxes_of(values, 0.11, several=True)) == 2
    assert len(boxes_of(values, 0.0, several=True)) == 3, "nothing that is zero is marked"


def test_several_come_with_the_strongest_first_and_without_the_smallest() -> None:
    boxes = boxes_of(two_parts(), 0.1, several=True)
    assert [corners(box) for box in boxes] == [(5, 4, 9, 7), (1, 1, 2, 2), (9, 0, 10, 1)]
    assert [box.score for box in boxes] == pytest.approx([33 / 44, 10 / 44, 1 / 44])
    assert [corners(box) for box in boxes_of(two_parts(), 0.1, several=True, smallest=2 / 80)] == [(5, 4, 9, 7)]


def test_corners_connect() -> None:
    assert corners(boxes_of(np.eye(4))[0]) == (0, 0, 4, 4)


@pytest.mark.parametrize("values", [np.zeros((3, 4)), -np.ones((3, 4)), np.full((3, 4), np.nan)])
def test_where_nothing_is_positive_there_is_no_box(values: np.ndarray) -> None:
    assert boxes_of(values) == []
    assert boxes_of(values, several=True) == []
    assert told_boxes([], "tiger cat") == ["no box: nothing in the map speaks for tiger cat"]


def test_the_largest_numbers_do_not_spill_over() -> None:
    values = np.full((2, 2), np.finfo(np.float64).max)
    values[0, 0] = np.inf  # counts as zero, as in pictures
    (box,) = boxes_of(values)
    assert box.score == 1.0 and np.isfinite(box.peak)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((3, 4, 4), {}, r"a map \[h, w\]; got \[3, 4, 4\]"),
        ((4, 4), {"threshold": 1.5}, "threshold is a share between 0 and 1; got 1.5"),
        ((4, 4), {"threshold": float("nan")}, "threshold is a share"),
        ((4, 4), {"several": True, "smallest": -1}, "smallest is a share"),
    ],
)
def test_what_is_no_map_and_no_share_is_refused(
    shape: tuple[int, ...], options: dict[str, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        boxes_of(np.ones(shape), **options)


def test_a_box_comes_back_to_where_the_photo_was_marked() -> None:
    """What a photo shows in a rectangle is found there again, through resize and crop."""
    geometry = Geometry(32, (28, 28), "bilinear", (0.0,), (1.0,))
    photo = np.zeros((96, 144, 3), np.uint8)
    photo[30:60, 66:90] = 255
    seen = geometry.preprocess(torch.from_numpy(photo))[0, 0].numpy()
    (box,) = boxes_on_photo(seen, geometry.window(96, 144), (96, 144), 0.5, label="square")
    assert corners(box) == pytest.approx((66, 30, 90, 60), abs=1.5)
    assert box.label == "square"


def test_what_is_marked_in_the_padding_is_in_no_box() -> None:
    """A photo of 4 x 8 in the middle of an input of 8 x 8: two rows above and below are padding."""
    values = np.zeros((8, 8))
    values[0, 0], values[1:3, 3:5], values[7, 7] = 100.0, 1.0, 100.0
    window = Window(-2.0, 0.0, 8.0, 8.0)
    (box,) = boxes_on_photo(values, window, (4, 8))
    assert corners(box) == (3, 0, 5, 1)
    assert box.score == 1.0 and box.peak == 1.0
    assert values[0, 0] == 100.0, "the map is the caller's"
    values[1:3] = 0.0
    assert boxes_on_photo(values, window, (4, 8)) == []


@pytest.mark.parametrize("size", [(5, 70), (70, 5), (33, 47), (300, 451)])
def test_no_box_lies_outside_of_the_photo(size: tuple[int, int]) -> None:
    geometry = Geometry(20, (32, 32), "bilinear", (0.0,) * 3, (1.0,) * 3)  # the crop exceeds the photo
    values = np.random.default_rng(0).random((32, 32))
    boxes = boxes_on_photo(values, geometry.window(*size), size, 0.8, several=True)
    assert boxes
    for box in boxes:
        assert 0 <= box.left < box.right <= size[1] and 0 <= box.top < box.bottom <= size[0]


def test_iou_is_that_of_the_pixels() -> None:
    a, b = Box(0, 0, 4, 4), Box(2, 1, 6, 5)
    grid = np.zeros((2, 8, 8), bool)
    grid[0, 0:4, 0:4], grid[1, 1:5, 2:6] = True, True
    assert iou(a, b) == iou(b, a) == (grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum()
    assert iou(a, a) == 1.0
    assert iou(a, Box(4, 0, 8, 4)) == iou(a, Box(9, 9, 10, 10)) == iou(Box(1, 1, 1, 1), Box(1, 1, 1, 1)) == 0.0


def test_a_box_as_json_has_coco_s_numbers_too() -> None:
    told = json.loads(json.dumps(Box(1.5, 2, 11.5, 22, 0.25, "cat", 7.0).as_dict()))
    assert told["coco"] == [1.5, 2, 10.0, 20]
    assert (told["label"], told["score"], told["peak"]) == ("cat", 0.25, 7.0)
    assert str(Box(1.5, 2, 11.5, 22, 0.25, "cat")) == "cat: 1.5, 2 to 11.5, 22 (10 × 20), 25% of the map"
    assert told_boxes([Box(0, 0, 1, 1)]) == ["box 1: 0, 0 to 1, 1 (1 × 1), 0% of the map"]


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_an_outline_is_seen_on_any_ground(ground: int) -> None:
    picture = np.full((60, 80, 3), ground, np.uint8)
    drawn = draw_boxes(picture, [Box(20, 10, 50, 40)])
    assert (picture == ground).all(), "the picture is the caller's"
    contrast = np.abs(drawn.astype(int) - ground).max(2)
    for line in (drawn[10, 25:45], drawn[39, 25:45], drawn[15:35, 20], drawn[15:35, 49]):
        assert (line == 255).all()
    assert (contrast[8:12, 30].max()) > 100
    assert (contrast[15:35, 25:45] == 0).all(), "the inside is left"
    assert (contrast[:, 55:] == 0).all()


def test_numbers_are_written_where_there_are_several() -> None:
    picture = np.full((200, 200, 3), 90, np.uint8)
    boxes = [Box(10, 10, 90, 90), Box(100, 100, 190, 190)]
    one, plain = draw_boxes(picture, boxes[:1]), draw_boxes(picture, boxes[:1], numbers=False)
    assert np.array_equal(one, plain)
    both, without = draw_boxes(picture, boxes), draw_boxes(picture, boxes, numbers=False)
    written = (both != without).any(2)
    assert written[10:50, 10:50].any() and written[100:140, 100:140].any()
    assert not written[60:90, 60:90].any()


def test_drawing_outside_of_the_picture_and_on_something_else() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    assert draw_boxes(picture, [Box(-50, -50, 500, 500)]).any()
    assert not draw_boxes(picture, [Box(5, 5, 5, 9)]).any()
    assert clipped(Box(-5, 3, 50, 60), (20, 30)) == Box(0, 3, 30, 20)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]; got float64 \[20, 20, 3\]"):
        draw_boxes(picture.astype(np.float64), [])  # type: ignore[arg-type]


def test_what_is_cut_out_is_what_lies_there() -> None:
    picture = np.random.default_rng(0).integers(1, 256, (40, 60, 3)).astype(np.uint8)
    assert np.array_equal(cut(picture, Box(10, 5, 30, 25), (20, 20)), picture[5:25, 10:30])
    blocks = cut(picture, Box(10, 5, 14, 7), (20, 40), smooth=False)
    assert np.array_equal(blocks, picture[5:7, 10:14].repeat(10, 0).repeat(10, 1))
    means = cut(picture, Box(0, 0, 60, 40), (10, 15)).astype(float)
    assert np.abs(means - picture.reshape(10, 4, 15, 4, 3).mean((1, 3))).max() <= 1
    beyond = cut(picture, Box(-10, -5, 10, 5), (10, 20))
    assert np.array_equal(beyond[5:, 10:], picture[:5, :10])
    assert not beyond[:5].any() and not beyond[:, :10].any()
    even = np.full((8, 8, 3), 200, np.uint8)
    assert (cut(even, Box(0, 0, 2, 2), (16, 16)) == 200).all(), "no dark edge"
    with pytest.raises(ValueError, match="without area"):
        cut(picture, Box(5, 5, 5, 9), (4, 4))


def test_a_box_in_the_padding_is_kept_where_it_is_asked_for() -> None:
    window, size = Window(-10, 0, 60, 40), (30, 20)  # a photo of 40 x 40 with ten black rows above and below
    box = Box(5, 0, 10, 15)
    assert corners(in_window(box, window, size)) == (10, -10, 20, 20)
    assert corners(placed(box, window, size, (40, 40))) == (10, 0, 20, 20)
