"""ROAD: pixels filled from their neighbours, held against a dense solution, and curves of both orders."""

import numpy as np
import pytest
import torch

from engine.trust import road
from engine.trust.filling import fill
from tests.trust.toys import T1, total

DRAWN = torch.Generator().manual_seed(2)


def densely(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """One channel [H, W] by a matrix: each missing pixel is the mean of its neighbours, by their weights."""
    height, width = image.shape
    places = [(i, j) for i in range(height) for j in range(width) if missing[i, j]]
    number = {place: index for index, place in enumerate(places)}
    matrix, wanted = np.zeros((len(places), len(places))), np.zeros(len(places))
    for (i, j), row in number.items():
        for a, b in [(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1) if di or dj]:
            if 0 <= a < height and 0 <= b < width:
                weight = 1 / 6 if a == i or b == j else 1 / 12
                matrix[row, row] += weight
                if missing[a, b]:
                    matrix[row, number[a, b]] -= weight
                else:
                    wanted[row] += weight * image[a, b]
    filled = image.copy()
    filled[missing] = np.linalg.solve(matrix, wanted)
    return filled


@pytest.mark.parametrize(("place", "wanted"), [((1, 1), 5.0), ((0, 0), 3.0)])
def test_one_missing_pixel_is_the_mean_of_its_neighbours(place: tuple[int, int], wanted: float) -> None:
    missing = torch.zeros(1, 4, 4, dtype=torch.bool)
    missing[0, place[0], place[1]] = True
    filled = fill(T1, missing, noise=0)
    assert float(filled[0, 0, place[0], place[1]]) == pytest.approx(wanted, abs=1e-3)
    assert torch.equal(filled[0, 0][~missing[0]], T1[0, 0][~missing[0]])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("shape", ["by chance", "a square"])
def test_many_missing_pixels_are_solved_for_together(share: float, shape: str) -> None:
    x = torch.randn(2, 3, 13, 10, generator=DRAWN, dtype=torch.float64)
    missing = torch.rand(2, 13, 10, generator=DRAWN) < share
    if shape == "a square":
        missing[:] = False
        missing[:, : round(13 * share**0.5), : round(10 * share**0.5)] = True
    missing[:, 12, 9] = False
    filled = fill(x, missing, noise=0)
    for image in range(2):
        for channel in range(3):
            wanted = densely(x[image, channel].numpy(), missing[image].numpy())
            np.testing.assert_allclose(filled[image, channel], wanted, atol=1e-3)


def test_what_is_filled_is_noisy_and_the_same_each_time() -> None:
    x, missing = torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.bool)
    missing[:, 4:] = True
    filled = fill(x, missing)
    assert torch.equal(filled, fill(x, missing)) and not filled[:, :, :4].any()
    assert 0.008 < float(filled[:, :, 4:].std()) < 0.012


def test_a_score_that_reads_what_the_map_marks_is_told_from_others() -> None:
    x = torch.rand(2, 3, 16, 16, generator=DRAWN)
    marked = torch.zeros(2, 16, 16)
    marked[:, 4:10, 4:10] = torch.rand(2, 6, 6, generator=DRAWN) + 1
    x[:, :, 4:10, 4:10] += 3
    found = road(lambda x: x[:, :, 4:10, 4:10].mean((1, 2, 3)), x, marked)
    assert (found.value > 0.2).all()
    opposite = road(lambda x: x[:, :, 4:10, 4:10].mean((1, 2, 3)), x, -marked, noise=0)
    assert (opposite.value < -0.2).all()
    assert torch.equal(found.most_first.whole, found.least_first.values[:, 0])
    difference = found.least_first.values - found.most_first.values
    np.testing.assert_allclose(found.value, difference.numpy()[:, 1:].mean(1) / 2)
    np.testing.assert_allclose(found.most_first.shares, [0, *np.round(np.arange(1, 10) * 25.6) / 256])


@pytest.mark.parametrize("shares", [(), (0.5, 0.2), (0, 0.5), (0.5, 1), (0.5, 0.5)])
def test_shares_rise_between_zero_and_one(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="they rise, and lie between"):
        road(total, T1, T1[:, 0], shares)


def test_nothing_is_filled_from_nothing() -> None:
    with pytest.raises(ValueError, match="all pixels of an image are missing"):
        fill(T1, torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"missing is torch\.int64"):
        fill(T1, torch.ones(1, 4, 4, dtype=torch.int64))
