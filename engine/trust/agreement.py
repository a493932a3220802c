"""How far two maps are the same one, and how a map spreads its weight. None of it says that a map is right."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .maps import plane

BINS = 100
WINDOW, DEVIATION = 11, 1.5  # of ssim, in pixels: Wang et al. 2004


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """The correlation of two maps' ranks, [N]: 1 where their order is the same, 0 of maps that know nothing of
    each other. Ties have their mean rank. NaN where a map is constant and has no order. Spearman 1904.

    a, b: [N, H, W] or [N, C, H, W], see `maps.plane`, of the same pixels. Unlike `ssim` it counts the many pixels
    near zero as much as the few large ones. Raises ValueError for maps of different shapes.
    """
    first, second = (_ranks(one).sub((one[0].numel() - 1) / 2) for one in _pair(a, b))
    return (first * second).sum(1) / (first.square().sum(1) * second.square().sum(1)).sqrt()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The mean structural similarity of two maps, [N], each scaled to 0..1 by its own least and largest value: 1
    where they are equal. Wang et al. 2004, doi:10.1109/TIP.2003.819861.

    Windows are Gaussians of 11 × 11 pixels, deviation 1.5, wholly inside; smaller on maps smaller than that. Of
    two sparse maps it is high whatever they mark, for nearly everywhere both are empty. Maps as in `spearman`.
    """
    first, second = (_scaled(one)[:, None] for one in _pair(a, b))
    kernel = _gaussian(first)
    mean_a, mean_b = F.conv2d(first, kernel), F.conv2d(second, kernel)
    var_a = F.conv2d(first * first, kernel) - mean_a.square()
    var_b = F.conv2d(second * second, kernel) - mean_b.square()
    both = F.conv2d(first * second, kernel) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a.square() + mean_b.square() + 0.01**2)
    structure = (2 * both + 0.03**2) / (var_a + var_b + 0.03**2)
    return (light * structure).mean((1, 2, 3))


def gini(map: Tensor) -> Tensor:
    """How sparse a map is, [N]: the Gini index of its absolute values, 0 where all are equal, towards 1 where one
    has everything; 0 for a map that is zero. Hurley and Rickard 2009, arXiv:0811.4706; Chalasani et al. 2020,
    arXiv:1810.06583. Of .4 .3 .2 .1 it is .25, of numbers by chance between 0 and 1 a third.

    map: as in `spearman`. A sparse map is easier to read and no truer.
    """
    values = plane(map).abs().flatten(1).sort(1).values
    count = values.shape[1]
    weights = 2 * torch.arange(1, count + 1, device=values.device) - count - 1
    total = values.sum(1)
    return torch.where(total > 0, (values * weights).sum(1) / (count * total.clamp(min=_TINY)), 0)


def complexity(map: Tensor) -> Tensor:
    """Over how many pixels a map spreads its weight, in nats, [N]: the entropy of its absolute values as shares of
    their sum, 0 where one pixel has everything, log(H·W) where all have the same. 0 for a map that is zero.
    Bhatt et al. 2020, arXiv:2005.00631. Of .4 .3 .2 .1 it is 1.2799."""
    sizes = plane(map).abs().flatten(1)
    total = sizes.sum(1, keepdim=True)
    found: Tensor = torch.special.entr(sizes / total.clamp(min=_TINY)).sum(1)
    return found


def histogram_entropy(map: Tensor, bins: int = BINS) -> Tensor:
    """How many different values a map has, in nats, [N]: the entropy of its histogram over equal bins between its
    least and largest value. 0 for a constant map. Hedström et al. 2024, arXiv:2401.06465, with 100 bins."""
    if bins < 1:
        raise ValueError(f"bins is {bins}: a histogram has at least one")
    scaled = _scaled(plane(map)).flatten(1)
    number = (scaled * bins).long().clamp(max=bins - 1)
    counts = torch.zeros(len(scaled), bins, dtype=torch.float64, device=scaled.device)
    shares = counts.scatter_add_(1, number, torch.ones_like(scaled)) / scaled.shape[1]
    entropy: Tensor = torch.special.entr(shares).sum(1)
    return entropy


_TINY = torch.finfo(torch.float64).tiny


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    first, second = plane(a), plane(b)
    if first.shape != second.shape:
        raise ValueError(
            f"maps of {list(a.shape)} and {list(b.shape)} are compared pixel by pixel: give equal ones"
        )
    return first, second.to(first.device)


def _ranks(values: Tensor) -> Tensor:
    """The rank of each value among its map's, from 0, [N, P]; equal values share the mean of theirs."""
    found = []
    for one in values.flatten(1):
        _, inverse, counts = one.unique(return_inverse=True, return_counts=True)
        ends = counts.cumsum(0).double()
        found.append((ends - (counts + 1) / 2)[inverse])
    return torch.stack(found)


def _scaled(values: Tensor) -> Tensor:
    """Maps [N, H, W] between 0 and 1; of a constant one 0."""
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    return torch.where(high > low, (values - low) / (high - low), 0)


def _gaussian(maps: Tensor) -> Tensor:
    sides = []
    for length in maps.shape[2:]:
        side = min(WINDOW, length - 1 + length % 2)
        offsets = torch.arange(side, dtype=maps.dtype, device=maps.device) - (side - 1) / 2
        weights = (-0.5 * (offsets / DEVIATION).square()).exp()
        sides.append(weights / weights.sum())
    return (sides[0][:, None] * sides[1])[None, None]
