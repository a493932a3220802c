"""How the maps of several passes become one: (mean, variance) of the maps over the steps -> map."""

from torch import Tensor


def mean_map(mean: Tensor, variance: Tensor) -> Tensor:
    """The mean over the steps."""
    return mean


def mean_square(mean: Tensor, variance: Tensor) -> Tensor:
    """The mean of the squares, never negative."""
    return variance + mean.square()


def spread(mean: Tensor, variance: Tensor) -> Tensor:
    """The variance over the steps (by their number, not one less), never negative."""
    return variance
