"""What every metric asks of a map and of a score, checked in one place."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice

import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # images [M, C, H, W] -> a number for each, [M]


def check_images(x: Tensor) -> None:
    """Raise ValueError unless x is images [N, C, H, W] of numbers."""
    if x.ndim != 4 or not len(x) or not x.is_floating_point():
        raise ValueError(f"x is {x.dtype} {list(x.shape)}: give images [N, C, H, W], as the network takes them")


def plane(map: Tensor, x: Tensor | None = None) -> Tensor:
    """One value for each pixel, float64 [N, H, W], of a map [N, H, W], or [N, 1 or C, H, W] whose channels are
    summed: a pixel is removed with all of its colours, and what they add to a score is their sum.

    x: images [N, C, H, W] that the map is of; a map of other pixels is enlarged as heat is drawn, bilinearly.
    Raises ValueError for NaN or infinity, which have no place in an order, and for what fits no image.
    """
    if map.ndim not in (3, 4) or not map.numel():
        raise ValueError(f"map is {list(map.shape)}: give [N, H, W], or [N, C, H, W] with values of each channel")
    values = map.detach().double()
    values = values if values.ndim == 3 else values.sum(1)
    if not bool(values.isfinite().all()):
        raise ValueError("the map has NaN or infinity in it, which have no place among its values")
    if x is None:
        return values
    check_images(x)
    if len(values) != len(x):
        raise ValueError(f"{len(values)} maps for {len(x)} images: give one for each")
    if values.shape[1:] != x.shape[2:]:
        size = [int(length) for length in x.shape[2:]]
        values = F.interpolate(values[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return values.to(x.device)


def positive_part(map: Tensor) -> Tensor:
    """What speaks for the score, [N, H, W]: the sum over channels where it is above zero."""
    return plane(map).clamp(min=0)


def ordered(values: Tensor) -> Tensor:
    """The pixels of maps [N, H, W] from the largest value to the least, int64 [N, H·W]. Of equal ones the first
    as one reads comes first, on every machine."""
    return values.flatten(1).argsort(dim=1, descending=True, stable=True)


def places(values: Tensor) -> Tensor:
    """The place of each pixel of maps [N, H, W] in that order, int64 [N, H, W]: 0 for the largest value."""
    order = ordered(values)
    numbers = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, numbers).view_as(values)


def score_of(score: Score | Sequence[Score], image: int, images: int) -> Score:
    """The score of one of the images: one function for all, or one for each."""
    if callable(score):
        return score
    if len(score) != images:
        raise ValueError(f"{len(score)} scores for {images} images: give one for all, or one for each")
    return score[image]


def scored(score: Score, rows: Iterable[Tensor], at_once: int) -> Tensor:
    """The score of each row [C, H, W], float64 [M]; as many go through at once, the last ones fewer.

    Raises ValueError where the score is no number for each.
    """
    found, left = list[Tensor](), iter(rows)
    for first in left:
        batch = torch.stack(list(chain([first], islice(left, at_once - 1))))
        with torch.no_grad():
            values = torch.as_tensor(score(batch))
        if list(values.shape) != [len(batch)]:
            raise ValueError(
                f"score gives {list(values.shape)} for {len(batch)} images: it is one number for each, [M]"
            )
        found.append(values.detach().double().cpu())
    return torch.cat(found)
