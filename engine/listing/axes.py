"""What the axes of a value run over: the batch, channels, rows and columns of the image, whole or in parts.

Transformers flatten pixels to tokens, put a class token in front, cut the grid into windows. Each axis of a value
is therefore a product of factors, and a value is a stack of maps where its factors make up N, C, H and W again.
`trace` follows them along a listing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from .program import aten


@dataclass(frozen=True)
class Factor:
    """`size` steps of `stride` rows (H), columns (W), channels (C) or images (N, whose size counts as 1)."""

    letter: str
    size: int
    stride: int = 1


@dataclass(frozen=True)
class Axis:
    """Factors from the slowest to the fastest; `lead` entries that are no pixels (class tokens) stand before."""

    factors: tuple[Factor, ...] = ()
    lead: int = 0


Axes = tuple[Axis, ...] | None  # None: a mixture that is no map


def whole(letter: str, size: int) -> Axis:
    """An axis that runs over all of a letter."""
    return Axis((Factor(letter, size),) if size != 1 or letter == "N" else ())


class Recipe(NamedTuple):
    """How a value becomes [N, C, H, W]: cut the lead off, reshape to factors, permute and join them."""

    factors: tuple[Factor, ...]  # in the order in which they lie
    order: tuple[int, ...]  # of the factors, so that they make up N, C, H and W
    lead_axis: int  # the axis with class tokens in front, -1 where none has
    lead: int  # how many


def recipe(axes: Axes) -> Recipe | None:
    """The recipe of a value; None where it is no stack of maps."""
    if axes is None or sum(axis.lead > 0 for axis in axes) > 1:
        return None
    factors = tuple(factor for axis in axes for factor in axis.factors)
    order = list[int]()
    for letter in "NCHW":
        own = sorted((i for i, f in enumerate(factors) if f.letter == letter), key=lambda i: -factors[i].stride)
        strides = [prod(factors[i].size for i in own[k + 1 :]) for k in range(len(own))]
        if strides != [factors[i].stride for i in own] or (letter in "N" and len(own) != 1):
            return None
        order += own
    if len(order) != len(factors):
        return None
    at = next((index for index, axis in enumerate(axes) if axis.lead), -1)
    return Recipe(factors, tuple(order), at, axes[at].lead if at >= 0 else 0)


def map_shape(axes: Axes) -> tuple[int, int, int]:
    """[C, H, W] of a value that has a recipe."""
    factors = [factor for axis in axes or () for factor in axis.factors]
    channels, height, width = (prod(f.size for f in factors if f.letter == letter) for letter in "CHW")
    return channels, height, width


def as_map(value: Any, axes: Axes) -> Any:
    """Rearrange a value into [N, C, H, W] by its recipe; `value` is a tensor or a compiler's proxy of one."""
    found = recipe(axes)
    assert found is not None
    if found.lead_axis >= 0:
        value = aten.slice(value, found.lead_axis, found.lead, value.shape[found.lead_axis])
    # The batch is symbolic: its length is -1, and no factor of another letter may be.
    value = aten.reshape(value, [-1 if factor.letter == "N" else factor.size for factor in found.factors])
    value = aten.permute(value, list(found.order))
    return aten.reshape(value, [-1, *map_shape(axes)])


class WayBack(NamedTuple):
    """How [N, C, H, W] becomes a value again: reshape to factors, permute and join them, put the lead in front."""

    factors: list[int]  # their sizes, in the order in which they make up N, C, H and W; -1 is the batch
    order: list[int]
    shape: list[int]  # of the value without its lead
    lead_axis: int
    lead: int


def way_back(axes: Axes) -> WayBack:
    """What undoes `as_map`, for a value that has a recipe."""
    found = recipe(axes)
    assert found is not None and axes is not None
    sizes = [-1 if factor.letter == "N" else factor.size for factor in found.factors]
    shape = [
        -1 if any(factor.letter == "N" for factor in axis.factors) else length_of(axis) - axis.lead
        for axis in axes
    ]
    order = [found.order.index(position) for position in range(len(found.order))]
    return WayBack([sizes[position] for position in found.order], order, shape, found.lead_axis, found.lead)


def is_pixels(axes: Axes) -> bool:
    """Is the value [N, C, H, W] as it stands?"""
    letters = ["".join(sorted({factor.letter for factor in axis.factors})) for axis in axes or ()]
    fits = all(found in ("", wanted) for found, wanted in zip(letters, "NCHW", strict=False))
    found = recipe(axes)
    return (
        len(letters) == 4
        and fits
        and found is not None
        and found.order == tuple(range(len(found.factors)))
        and found.lead_axis < 0
    )


def merged(factors: Iterable[Factor]) -> list[Factor]:
    """Neighbours that go on where the other ends are one factor."""
    result = list[Factor]()
    for factor in factors:
        last = result[-1] if result else None
        if last and last.letter == factor.letter and last.stride == factor.stride * factor.size:
            result[-1] = Factor(factor.letter, last.size * factor.size, factor.stride)
        else:
            result.append(factor)
    return result


def length_of(axis: Axis) -> int:
    """How many entries an axis has, class tokens included."""
    return axis.lead + prod(factor.size for factor in axis.factors)
