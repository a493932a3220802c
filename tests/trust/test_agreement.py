"""How far maps are the same, and how sparse they are: against other formulas of the same."""

import numpy as np
import pytest
import torch

from engine.trust import gini, histogram_entropy, spearman, ssim
from tests.trust.toys import FOUR

DRAWN = torch.Generator().manual_seed(3)
A, B = (torch.randn(3, 17, 23, generator=DRAWN, dtype=torch.float64) for _ in range(2))
B = B + A


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """How many values are smaller, and half of the equal ones."""
    return np.array([(values < v).sum() + 0.5 * (values == v).sum() for v in values])


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_correlate(ties: bool) -> None:
    a, b = (A.round(), B.round()) if ties else (A, B)
    for found, one, other in zip(spearman(a, b), a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True):
        assert float(found) == pytest.approx(np.corrcoef(mean_ranks(one), mean_ranks(other))[0, 1], rel=1e-12)
    assert spearman(a, a.exp()).tolist() == pytest.approx([1, 1, 1])
    assert spearman(a, -a).tolist() == pytest.approx([-1, -1, -1])
    assert torch.equal(spearman(torch.stack([a, b], 1), b), spearman(a + b, b))


def test_a_constant_map_has_no_order() -> None:
    assert bool(spearman(A, torch.ones_like(A)).isnan().all())


def by_windows(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM window after window, with centred moments."""
    scaled = [(one - one.min()) / (one.max() - one.min()) for one in (a, b)]
    offsets = np.arange(11) - 5
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            first, second = (one[i : i + 11, j : j + 11] for one in scaled)
            m, n = (kernel * first).sum(), (kernel * second).sum()
            v, w = (kernel * (first - m) ** 2).sum(), (kernel * (second - n) ** 2).sum()
            both = (kernel * (first - m) * (second - n)).sum()
            values.append((2 * m * n + 1e-4) / (m * m + n * n + 1e-4) * (2 * both + 9e-4) / (v + w + 9e-4))
    return float(np.mean(values))


def test_structure_is_compared_in_windows() -> None:
    wanted = [by_windows(a.numpy(), b.numpy()) for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(ssim(A, B), wanted, rtol=1e-9)
    np.testing.assert_allclose(ssim(5 * A - 3, B), wanted, rtol=1e-9)
    assert ssim(A, A).tolist() == pytest.approx([1, 1, 1])
    assert ssim(torch.zeros_like(A), torch.ones_like(A)).tolist() == pytest.approx([1, 1, 1]), "both constant"
    assert ssim(A[:, :4, :3], A[:, :4, :3]).tolist() == pytest.approx([1, 1, 1]), "smaller than a window"


def test_sparseness_is_half_the_mean_difference_over_the_mean() -> None:
    assert float(gini(FOUR)) == pytest.approx(0.25)
    for found, one in zip(gini(A), A.abs().flatten(1).numpy(), strict=True):
        wanted = np.abs(one[:, None] - one[None]).mean() / (2 * one.mean())
        assert float(found) == pytest.approx(wanted, rel=1e-12)
    assert gini(torch.ones(1, 2, 2)).tolist() == [0] and gini(torch.zeros(1, 2, 2)).tolist() == [0]


def test_entropy_is_that_of_a_histogram() -> None:
    for found, one in zip(histogram_entropy(A, 7), A.numpy(), strict=True):
        shares = np.histogram(one, 7)[0] / one.size
        assert float(found) == pytest.approx(-(shares[shares > 0] * np.log(shares[shares > 0])).sum(), rel=1e-12)
    assert histogram_entropy(torch.ones(1, 2, 2)).tolist() == [0]
    assert float(histogram_entropy(FOUR)) == pytest.approx(np.log(4))
    with pytest.raises(ValueError, match="bins is 0"):
        histogram_entropy(FOUR, 0)


@pytest.mark.parametrize("compare", [spearman, ssim])
def test_maps_of_other_pixels_are_refused(compare: object) -> None:
    with pytest.raises(ValueError, match="compared pixel by pixel"):
        compare(A, B[:, :5])
