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

    def neighbours(v: Tensor) -> Tensor:
        return (_spread(v) - 2 * DIRECT * v).mul_(gone)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("ncij,ncij->nc", a, b)[:, :, None, None]

    least = torch.finfo(known.dtype).tiny
    sums, holes = neighbours_of_all(known), _holes(gone, known)
    v = torch.zeros_like(known)
    residual = neighbours(known)
    direction = _smooth(residual, holes)
    size = dot(residual, direction)
    enough = PRECISION**2 * size
    for _ in range(MOST_ROUNDS):
        if bool((size <= enough).all()):
            break
        bent = sums * direction - neighbours(direction)
        length = size / dot(direction, bent).clamp(min=least)
        v.addcmul_(length, direction)
        residual.addcmul_(length, bent, value=-1)
        close = _smooth(residual, holes)
        before, size = size, dot(residual, close)
        direction = close.addcmul_(size / before.clamp(min=least), direction)
    return v


def neighbours_of_all(like: Tensor) -> Tensor:
    """The sum of each pixel's neighbours' weights, [1, 1, H, W]: smaller at the edge."""
    ones = torch.ones_like(like[:1, :1])
    return _spread(ones) - 2 * DIRECT * ones


def _spread(v: Tensor) -> Tensor:
    """The weighted sum of each pixel's neighbours, and itself with twice the weight of a direct one: a third of a
    tent along each axis, (1/2 1 1/2), one after the other, since 1/6 = 1/2 / 3 and 1/12 = 1/4 / 3."""
    for axis in (2, 3):
        length = v.shape[axis]
        found = v.clone()
        if length > 1:
            found.narrow(axis, 1, length - 1).add_(v.narrow(axis, 0, length - 1), alpha=0.5)
            found.narrow(axis, 0, length - 1).add_(v.narrow(axis, 1, length - 1), alpha=0.5)
        v = found
    return v.mul_(2 * DIRECT)


def _holes(gone: Tensor, like: Tensor) -> list[Tensor]:
    """What is missing, [N, 1, H, W] of zeros and ones, on grids that double: a place of a coarse one counts where
    all that it reaches is missing. The last is that on which none counts, or the smallest."""
    holes = [gone.to(like)]
    while min(holes[-1].shape[2:]) > 2 and bool(holes[-1].any()):
        holes.append(-F.max_pool2d(-holes[-1], 3, 2, 1))
    return holes


def _smooth(residual: Tensor, holes: Sequence[Tensor]) -> Tensor:
    """About what the residual lacks, summed over grids that double: what is missing in a wide hole would else move
    by one pixel in a round. Bramble, Pasciak and Xu 1990, doi:10.1090/S0025-5718-1990-1023042-6."""
    grids = [residual.clone()]
    for hole in holes[1:]:
        grids.append(_halved(grids[-1]).mul_(hole))
    found = grids.pop()
    while grids:
        found = _doubled(found, grids.pop())
    return found.mul_(holes[0])


def _halved(v: Tensor) -> Tensor:
    """Every second place along both axes, with half of each of its neighbours."""
    for axis in (2, 3):
        length = v.shape[axis]
        coarse = (length + 1) // 2
        evens, odds = _every_second(v, axis, 0), _every_second(v, axis, 1)
        found = evens.clone()
        found.narrow(axis, 0, length // 2).add_(odds, alpha=0.5)
        if coarse > 1:
            found.narrow(axis, 1, coarse - 1).add_(odds.narrow(axis, 0, coarse - 1), alpha=0.5)
        v = found
    return v


def _doubled(coarse: Tensor, finer: Tensor) -> Tensor:
    """A finer grid and, added to it, a coarse one, between whose places the values are means: the adjoint of
    `_halved`."""
    rows = torch.zeros(*coarse.shape[:2], finer.shape[2], coarse.shape[3]).to(coarse)
    for axis, target in ((2, rows), (3, finer)):
        length, known = target.shape[axis], coarse.shape[axis]
        _every_second(target, axis, 0).add_(coarse)
        odds = _every_second(target, axis, 1)
        odds.add_(coarse.narrow(axis, 0, length // 2), alpha=0.5)
        if known > 1:
            odds.narrow(axis, 0, known - 1).add_(coarse.narrow(axis, 1, known - 1), alpha=0.5)
        coarse = target
    return coarse


def _every_second(v: Tensor, axis: int, first: int) -> Tensor:
    return v[:, :, first::2] if axis == 2 else v[:, :, :, first::2]
