"""Where a map points: masks, mosaics and boxes, by hand and by loops."""

import numpy as np
import pytest
import torch

from engine.pictures.boxes import Box, boxes_of, iou
from engine.trust import MaxBoxAcc, box_iou, energy, grid_energy, grid_hit, grid_mosaics, pointing_game
from engine.trust.controls import CONTROLS

DRAWN = torch.Generator().manual_seed(6)
SIGNED = torch.tensor([[[0.4, -0.6], [0.2, 0.1]]])
FIRST_ROW = torch.tensor([[[True, True], [False, False]]])


def test_only_what_is_positive_counts() -> None:
    assert float(energy(SIGNED, FIRST_ROW)) == pytest.approx(4 / 7)
    assert energy(-SIGNED.abs(), FIRST_ROW).tolist() == [0]
    colours = torch.randn(2, 3, 6, 8, generator=DRAWN)
    mask = torch.rand(2, 6, 8, generator=DRAWN) > 0.5
    for found, map, inside in zip(energy(colours, mask), colours.numpy(), mask.numpy(), strict=True):
        positive = np.maximum(map.sum(0, dtype=np.float64), 0)
        assert float(found) == pytest.approx(positive[inside].sum() / positive.sum(), rel=1e-5)


@pytest.mark.parametrize(("tolerance", "hit"), [(0, 0), (4.9, 0), (5, 1), (15, 1)])
def test_the_largest_value_may_lie_so_far_from_the_object(tolerance: float, hit: int) -> None:
    map, mask = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20, dtype=torch.bool)
    map[0, 10, 10], mask[0, 13:, 14:] = 1, True
    assert pointing_game(map, mask, tolerance).tolist() == [hit]


def test_of_equal_values_the_first_points() -> None:
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = True
    assert pointing_game(torch.ones(1, 2, 2), mask, 0).tolist() == [1]
    assert pointing_game(torch.ones(1, 2, 2), ~mask, 0).tolist() == [0]
    assert pointing_game(torch.ones(1, 2, 2), mask & ~mask, 9).tolist() == [0]


@pytest.mark.parametrize(("side", "size"), [(2, (8, 12)), (3, (10, 11))])
def test_a_mosaic_shows_each_image_in_its_cell_and_no_class_twice(side: int, size: tuple[int, int]) -> None:
    classes = torch.arange(12) % 10
    x = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 3, *size).contiguous()
    mosaics, members = grid_mosaics(x, classes, side, count=20)
    assert mosaics.shape == (20, 3, *size) and members.shape == (20, side * side)
    assert torch.equal(members, grid_mosaics(x, classes, side, count=20)[1])
    assert {*members.flatten().tolist()} == {*range(12)}
    for mosaic, own in zip(mosaics, members, strict=True):
        assert len({*classes[own].tolist()}) == side * side
        for cell, image in enumerate(own.tolist()):
            inside = (mosaic[0] - image).abs() < 1e-4
            assert int(inside.sum()) >= size[0] // side * (size[1] // side)
            alone = torch.where(inside, 1.0, 0.0)[None]
            assert grid_energy(alone, cell, side).tolist() == [1] and grid_hit(alone, cell, side).tolist() == [1]


def test_a_map_without_a_class_has_what_chance_has() -> None:
    flat = torch.ones(4, 8, 8)
    assert grid_energy(flat, torch.arange(4)).tolist() == [0.25] * 4
    assert grid_hit(flat, torch.arange(4)).tolist() == [1, 0, 0, 0]


def test_boxes_are_held_against_those_that_people_drew() -> None:
    map = torch.zeros(2, 10, 10)
    map[0, 2:6, 2:6], map[1, 0:2, 0:2] = 1, 1
    wanted = [[Box(2, 2, 6, 10), Box(8, 8, 9, 9)], [Box(5, 5, 9, 9)]]
    assert box_iou(map, wanted).tolist() == [0.5, 0]
    assert box_iou(-map, wanted).tolist() == [0, 0]
    with pytest.raises(ValueError, match="1 of 2 images have boxes, for 2 maps"):
        box_iou(map, [wanted[0], []])


@pytest.mark.parametrize("several", [False, True])
def test_the_best_threshold_is_one_for_the_whole_data_set(several: bool) -> None:
    x, maps = torch.rand(6, 3, 16, 16, generator=DRAWN), torch.rand(6, 16, 16, generator=DRAWN) ** 4
    wanted = [[Box(i, 2, i + 6, 10), Box(10, i, 15, i + 5)] for i in range(6)]
    maps[:, 4:9, 4:9] += torch.arange(6)[:, None, None] / 6
    over, overlaps = MaxBoxAcc(several), (0.3, 0.5, 0.7) if several else (0.5,)
    over.update(x[:2], maps[:2], wanted[:2])
    over.update(x[2:], maps[2:], wanted[2:])
    best = []
    for overlap in overlaps:
        shares = []
        for threshold in np.arange(100) / 100:
            hits = 0
            for map, own in zip(maps.double().numpy(), wanted, strict=True):
                found = boxes_of(map, float(threshold), several, 0.0)
                hits += any(iou(a, b) >= overlap for a in found for b in own)
            shares.append(hits / 6)
        best.append(max(shares))
    assert over.summary()["map"] == pytest.approx(np.mean(best))
    assert set(over.summary()) == {"map", *CONTROLS}
    over.reset()
    with pytest.raises(ValueError, match="nothing was measured yet"):
        over.summary()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: energy(SIGNED, FIRST_ROW[:, :1]), r"mask is torch\.bool \[1, 1, 2\]"),
        (lambda: energy(SIGNED, FIRST_ROW.int()), r"mask is torch\.int32"),
        (lambda: pointing_game(SIGNED, FIRST_ROW, -1), "tolerance is -1"),
        (lambda: grid_energy(SIGNED, 4), r"cell 4 is not one of 0\.\.3"),
        (lambda: grid_mosaics(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 2])), "takes as many classes"),
        (lambda: MaxBoxAcc(thresholds=()), "thresholds are none"),
    ],
)
def test_what_does_not_fit_is_refused(ask: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask()
