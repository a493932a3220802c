"""How the maps of several passes become one: (mean, variance) of the maps over the steps -> map."""

import torch
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


def competing(maps: Tensor, temperature: float) -> Tensor:
    """The first of K maps [K, N, S, S], at each place times its softmax over all of them.

    temperature: a share of the largest absolute value of an image's maps.
    """
    largest = maps.abs().amax([0, 2, 3], keepdim=True)
    largest = torch.where(largest == 0, torch.ones_like(largest), largest)
    return maps[0] * (maps / (temperature * largest)).softmax(0)[0]
