"""Removal without holes: pixels become what their neighbours say, and little of the mask is left to see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..methods.paths import standard_normal
from .curves import AT_ONCE, Curve
from .maps import Score, check_images, places, plane, score_of, scored

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NOISE = 0.01
DIRECT, DIAGONAL = 1 / 6, 1 / 12
PRECISION, MOST_ROUNDS = 1e-4, 1000  # far below the noise


@dataclass(frozen=True, eq=False)
class Road:
    """most_first, least_first: the scores when what the map marks most, or least, goes first; both begin with the
    image as it is."""

    most_first: Curve
    least_first: Curve

    @property
    def value(self) -> Tensor:
        """Half the mean of how far the second curve lies over the first, over the shares that are removed, [N]. An
        order by chance has zero; the more, the better the map tells what counts from what does not."""
        return (self.least_first.values - self.most_first.values)[:, 1:].mean(1) / 2


def road(
    score: Score | Sequence[Score],
    x: Tensor,
    map: Tensor,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    at_once: int = AT_ONCE,
) -> Road:
    """Remove and debias: Rong et al. 2022, arXiv:2202.00449.

    The pixels that are removed are filled by `fill`. Smooth regions, as CAMs mark them, stay readable from their
    border, and what is filled is blurry, which networks that live on texture mind more.
    score, x, map: as in `deletion`. shares: of the pixels that are removed, rising, between 0 and 1, neither
    included. noise: see `fill`. Raises ValueError for what does not fit.
    """
    check_images(x)
    values = plane(map, x)
    rising = [float(share) for share in shares]
    if not rising or rising != sorted({*rising}) or not 0 < rising[0] <= rising[-1] < 1:
        raise ValueError(f"shares are {rising}: they rise, and lie between 0 and 1")
    place, total = places(values), x[0, 0].numel()
    counts = [max(1, min(total - 1, round(share * total))) for share in rising]

    def rows(image: int) -> Iterator[Tensor]:
        yield x[image]
        for least_first in (False, True):
            for count in counts:
                gone = place[image] >= total - count if least_first else place[image] < count
                yield fill(x[image][None], gone[None], noise)[0]

    one_by_one = [scored(score_of(score, i, len(x)), rows(i), at_once) for i in range(len(x))]
    found = torch.stack(one_by_one)
    first, most, least = torch.split(found, [1, len(counts), len(counts)], 1)
    removed = torch.tensor([0, *counts], dtype=torch.float64) / total
    return Road(
        Curve(torch.cat([first, most], 1), removed, first[:, 0]),
        Curve(torch.cat([first, least], 1), removed, first[:, 0]),
    )


def fill(x: Tensor, missing: Tensor, noise: float = NOISE) -> Tensor:
    """The images [N, C, H, W] with each missing pixel, bool [N, H, W], as the weighted mean of its neighbours, 1/6
    for those beside it and 1/12 for those at its corners, all missing ones solved for together; plus normal noise
    of this deviation, the same at each call, so that no network finds the mask by its smoothness.

    At the edge the weights of the neighbours that there are count alone. Of 0..15 in four rows, with (1, 1)
    missing it becomes 5, with the corner (0, 0) missing 3. Raises ValueError where all pixels of an image are
    missing.
    """
    check_images(x)
    if missing.dtype != torch.bool or missing.shape != x[:, 0].shape:
        raise ValueError(f"missing is {missing.dtype} {list(missing.shape)}: it is bool {list(x[:, 0].shape)}")
    if bool(missing.flatten(1).all(1).any()):
        raise ValueError("all pixels of an image are missing: nothing is left to fill them from")
    gone = missing[:, None].to(x.device)
    found = torch.where(gone, _solved(torch.where(gone, 0, x), gone), x)
    if noise:
        drawn = standard_normal(0, 1, x[0].numel()).view(1, *x.shape[1:]).to(x.device)
        found = torch.where(gone, found + noise * drawn.to(x.dtype), found)
    return found


def _solved(known: Tensor, gone: Tensor) -> Tensor:
    """The missing values v of (D - W) v = W known, by conjugate gradients: W are the neighbours' weights, D their
    sums. The matrix is symmetric, and positive as soon as one pixel is known."""
    weights = known.new_tensor([[DIAGONAL, DIRECT, DIAGONAL], [DIRECT, 0, DIRECT], [DIAGONAL, DIRECT, DIAGONAL]])

    def neighbours(v: Tensor) -> Tensor:
        return F.conv2d(v.flatten(0, 1)[:, None], weights[None, None], padding=1).view_as(v)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((2, 3), keepdim=True)

    sums, least = neighbours(torch.ones_like(known)), torch.finfo(known.dtype).tiny
    v = torch.zeros_like(known)
    residual = torch.where(gone, neighbours(known), 0)
    direction = _smooth(residual, gone)
    size = dot(residual, direction)
    enough = PRECISION**2 * size
    for _ in range(MOST_ROUNDS):
        if bool((size <= enough).all()):
            break
        bent = torch.where(gone, sums * direction - neighbours(direction), 0)
        length = size / dot(direction, bent).clamp(min=least)
        v, residual = v + length * direction, residual - length * bent
        close = _smooth(residual, gone)
        before, size = size, dot(residual, close)
        direction = close + size / before.clamp(min=least) * direction
    return v


def _smooth(residual: Tensor, gone: Tensor) -> Tensor:
    """About what the residual lacks, summed over grids that double: what is missing in a wide hole would else move
    by one pixel in a round. Bramble, Pasciak and Xu 1990, doi:10.1090/S0025-5718-1990-1023042-6. A place of a
    coarse grid counts where all that it reaches is missing."""
    tent = residual.new_tensor([0.5, 1.0, 0.5])
    kernel = (tent[:, None] * tent)[None, None]
    grids, hole = [residual.flatten(0, 1)[:, None]], gone.to(residual).expand_as(residual).flatten(0, 1)[:, None]
    while min(grids[-1].shape[2:]) > 2 and bool(hole.any()):
        hole = -F.max_pool2d(-hole, 3, 2, 1)
        grids.append(F.conv2d(grids[-1], kernel, stride=2, padding=1) * hole)
    found = grids.pop()
    while grids:
        finer = grids.pop()
        margin = [finer.shape[axis] - (2 * found.shape[axis] - 1) for axis in (2, 3)]
        found = finer + F.conv_transpose2d(found, kernel, stride=2, padding=1, output_padding=margin)
    return torch.where(gone, found.view_as(residual), 0)
