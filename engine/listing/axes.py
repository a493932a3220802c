"""What the axes of a value run over: the batch, channels, rows and columns of the image, whole or in parts.

Transformers flatten pixels to tokens, put a class token in front, cut the grid into windows. Each axis of a value
is therefore a product of factors, and a value is a stack of maps where its factors make up N, C, H and W again.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from .program import aten

RESHAPES = (aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze)
PERMUTES = (aten.permute, aten.transpose, aten.swapaxes)
SPATIAL = (
    aten.conv2d, aten.max_pool2d_with_indices, aten.avg_pool2d, aten.adaptive_avg_pool2d, aten.adaptive_max_pool2d,
    aten.conv_transpose2d, aten.upsample_nearest2d, aten._upsample_nearest_exact2d, aten.upsample_bilinear2d,
    aten.upsample_bicubic2d, aten._upsample_bilinear2d_aa, aten._upsample_bicubic2d_aa, aten.pixel_shuffle,
    aten.pixel_unshuffle,
)  # fmt: skip
CUTS = (aten.slice, aten.select, aten.split, aten.split_with_sizes, aten.chunk)
REDUCTIONS = (
    aten.mean, aten.sum, aten.amax, aten.amin, aten.var, aten.std, aten.linalg_vector_norm, aten.max, aten.min,
)  # fmt: skip
REORDERING = (aten.sort, aten.topk, aten.index_select, aten.gather)


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


def trace_axes(path: Sequence[fx.Node]) -> dict[fx.Node, Axes]:
    """The axes of each value on a path that begins with the image."""
    axes: dict[fx.Node, Axes] = {path[0]: _pixels(path[0].meta["val"])} if path else {}
    for node in path[1:]:
        sources = [source for source in node.all_input_nodes if axes.get(source) is not None]
        axes[node] = _after(node, sources, axes) if sources else None
    return axes


def recipe(axes: Axes) -> tuple[tuple[Factor, ...], tuple[int, ...], int, int] | None:
    """How a value becomes [N, C, H, W]: its factors in order, their permutation, and the axis and length of a
    lead; None where it is no stack of maps."""
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
    return factors, tuple(order), at, axes[at].lead if at >= 0 else 0


def map_shape(axes: Axes) -> tuple[int, int, int]:
    """[C, H, W] of a value that has a recipe."""
    factors = [factor for axis in axes or () for factor in axis.factors]
    channels, height, width = (prod(f.size for f in factors if f.letter == letter) for letter in "CHW")
    return channels, height, width


def as_map(value: Any, axes: Axes) -> Any:
    """Rearrange a value into [N, C, H, W] by its recipe; `value` is a tensor or a compiler's proxy of one."""
    found = recipe(axes)
    assert found is not None
    factors, order, at, lead = found
    if at >= 0:
        value = aten.slice(value, at, lead, value.shape[at])
    value = aten.reshape(value, [-1 if factor.letter == "N" else factor.size for factor in factors])
    value = aten.permute(value, list(order))
    return aten.reshape(value, [-1, *map_shape(axes)])


def is_pixels(axes: Axes) -> bool:
    """Is the value [N, C, H, W] as it stands?"""
    letters = ["".join(sorted({factor.letter for factor in axis.factors})) for axis in axes or ()]
    fits = all(found in ("", wanted) for found, wanted in zip(letters, "NCHW", strict=False))
    found = recipe(axes)
    return (
        len(letters) == 4
        and fits
        and found is not None
        and found[1] == tuple(range(len(found[0])))
        and found[2] < 0
    )


def _is_grid(axes: tuple[Axis, ...]) -> bool:
    """Do rows and columns lie on a regular grid over the whole image? Parts of them may be channels, as where
    blocks of pixels were stacked."""
    if len(axes) != 4 or any(axis.lead for axis in axes) or axes[0] != whole("N", 1):
        return False
    for axis, letter in zip(axes[2:], "HW", strict=True):
        within = prod(factor.size for factor in axes[1].factors if factor.letter == letter)
        if [f for f in _merged(axis.factors) if (f.letter, f.stride) != (letter, within)]:
            return False
    return True


def _pixels(value: Any) -> Axes:
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    return tuple(
        whole(letter, 1 if letter == "N" else int(s)) for letter, s in zip("NCHW", value.shape, strict=True)
    )


def _after(node: fx.Node, sources: list[fx.Node], axes: dict[fx.Node, Axes]) -> Axes:
    """The axes of a call's result from those of the values that depend on the image."""
    value, first = node.meta["val"], axes[sources[0]]
    assert first is not None
    args, op = node.args, node.target
    if not isinstance(value, Tensor):
        value = value[0]  # of several results, which differ in the length of an axis at most
    if op is operator.getitem or (op in (*CUTS, aten.pad, aten.constant_pad_nd) and op is not aten.select):
        return _resized(first, value.shape)
    if op in RESHAPES:
        return _regrouped(first, value.shape)
    if op in PERMUTES:
        order = list(range(len(first)))
        if op is aten.permute:
            order = [int(d) % len(first) for d in args[1]]  # type: ignore[union-attr,arg-type]
        else:
            a, b = (int(d) % len(first) for d in args[1:3])  # type: ignore[arg-type]
            order[a], order[b] = order[b], order[a]
        return tuple(first[d] for d in order)
    if op in SPATIAL:
        return _pixels(value) if _is_grid(first) else None
    if op in REDUCTIONS and not (len(args) > 1 and isinstance(args[1], fx.Node)):
        return _reduced(node, first, value)
    if op in REORDERING:
        at: Any = [*args[1:], -1][1 if op is aten.topk else 0]
        return _resized(first, value.shape) if _holds_channels(first[at % len(first)]) else None
    if op in (aten.select, aten.unbind):
        dim = int([*args[1:], 0][0]) % len(first)  # type: ignore[arg-type]
        return first[:dim] + first[dim + 1 :] if _holds_channels(first[dim]) else None
    if op in (aten.roll, aten.flip):
        return _rolled(first, [int(d) % len(first) for d in args[-1]])  # type: ignore[union-attr,arg-type]
    if op is aten.cat:
        return _joined(node, sources, axes, value)
    if op is aten.linear:
        return (*first[:-1], whole("C", int(value.shape[-1])))
    if op in (aten.matmul, aten.bmm, aten.scaled_dot_product_attention):
        if args[0] not in sources:
            return None
        last = axes[sources[-1]] if len(sources) > 1 else None
        return (*first[:-1], last[-1] if last else whole("C", int(value.shape[-1])))
    if op is aten.einsum:
        return _summed(str(args[0]), [axes[s] for s in sources])
    same = [s for s in sources if getattr(s.meta["val"], "shape", None) == value.shape]
    return axes[same[0]] if same else None


def _regrouped(axes: tuple[Axis, ...], shape: Sequence[Any]) -> Axes:
    """Axes after a reshape: factors in the same order, split and joined to the new lengths."""
    # An axis with class tokens in front stays whole: its own letter tells it again.
    tokens = {f"token axis {index}": axis for index, axis in enumerate(axes) if axis.lead}
    names = {id(axis): name for name, axis in tokens.items()}
    pending = _merged(
        factor
        for axis in axes
        for factor in ([Factor(names[id(axis)], _length(axis))] if axis.lead else axis.factors)
    )
    result = list[Axis]()
    for length in shape:
        symbolic = isinstance(length, torch.SymInt)
        remaining = int(length.node.expr.as_coeff_Mul()[0]) if symbolic else int(length)
        factors = list[Factor]()
        while remaining > 1 or symbolic:
            if not pending:
                return None
            factor = pending.pop(0)
            if factor.letter == "N":
                if not symbolic:
                    return None
                symbolic = False
            elif remaining % factor.size == 0:
                remaining //= factor.size
            elif factor.size % remaining == 0 and factor.letter not in tokens:
                inner = factor.size // remaining
                pending.insert(0, Factor(factor.letter, inner, factor.stride))
                factor, remaining = Factor(factor.letter, remaining, factor.stride * inner), 1
            else:
                return None
            factors.append(factor)
        if any(factor.letter in tokens for factor in factors):
            if len(factors) > 1:
                return None
            result.append(tokens[factors[0].letter])
        else:
            result.append(Axis(tuple(factors)))
    # Channels lie nowhere: where one axis holds them all, their order is as good as any.
    holding = [i for i, axis in enumerate(result) if "C" in {factor.letter for factor in axis.factors}]
    if len(holding) == 1 and {factor.letter for factor in result[holding[0]].factors} == {"C"}:
        result[holding[0]] = whole("C", _length(result[holding[0]]))
    return None if pending else tuple(result)


def _merged(factors: Iterable[Factor]) -> list[Factor]:
    """Neighbours that go on where the other ends are one factor."""
    merged = list[Factor]()
    for factor in factors:
        last = merged[-1] if merged else None
        if last and last.letter == factor.letter and last.stride == factor.stride * factor.size:
            merged[-1] = Factor(factor.letter, last.size * factor.size, factor.stride)
        else:
            merged.append(factor)
    return merged


def _resized(axes: tuple[Axis, ...], shape: Sequence[Any]) -> Axes:
    """Axes after a cut or a pad: an axis of one letter is a shorter or longer one of it; cutting off class tokens
    leaves the pixels."""
    if len(axes) != len(shape):
        return None
    result = list[Axis]()
    for axis, length in zip(axes, shape, strict=True):
        letters = {factor.letter for factor in axis.factors}
        if isinstance(length, torch.SymInt) or length == _length(axis):
            result.append(axis)
        elif axis.lead and length == _length(axis) - axis.lead:
            result.append(Axis(axis.factors))
        elif not axis.lead and len(letters) == 1 and "N" not in letters:
            result.append(whole(letters.pop(), int(length)))
        else:
            return None
    return tuple(result)


def _reduced(node: fx.Node, axes: tuple[Axis, ...], value: Tensor) -> Axes:
    at = 2 if node.target is aten.linalg_vector_norm else 1
    dims: Any = node.args[at] if len(node.args) > at else None
    dims = range(len(axes)) if dims is None else [dims] if isinstance(dims, int) else dims
    reduced = {int(d) % len(axes) for d in dims}
    if value.ndim == len(axes):
        return tuple(Axis() if index in reduced else axis for index, axis in enumerate(axes))
    return tuple(axis for index, axis in enumerate(axes) if index not in reduced)


def _rolled(axes: tuple[Axis, ...], dims: Sequence[int]) -> Axes:
    """A rolled image is no map until it is rolled back: its letters turn small meanwhile."""
    return tuple(
        Axis(tuple(Factor(f.letter.swapcase(), f.size, f.stride) for f in axis.factors), axis.lead)
        if index in dims
        else axis
        for index, axis in enumerate(axes)
    )


def _joined(node: fx.Node, sources: list[fx.Node], axes: dict[fx.Node, Axes], value: Tensor) -> Axes:
    """Axes after cat: channels beside channels, or class tokens in front of pixels."""
    first = axes[sources[0]] or ()
    dim = int(node.args[1] if len(node.args) > 1 else 0) % len(first)  # type: ignore[arg-type]
    others = {(axes[source] or ())[:dim] + (axes[source] or ())[dim + 1 :] for source in sources}
    if len(others) > 1:
        return None
    joined = first[dim]
    if {factor.letter for factor in joined.factors} <= {"C"}:
        joined = whole("C", int(value.shape[dim]))
    elif len(sources) == 1 and node.args[0][-1] is sources[0]:  # type: ignore[index]
        joined = Axis(joined.factors, int(value.shape[dim]) - prod(f.size for f in joined.factors))
    else:
        return None
    return (*first[:dim], joined, *first[dim + 1 :])


def _summed(equation: str, operands: list[Axes]) -> Axes:
    inputs, _, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        return None
    known = {
        letter: axis
        for text, axes in zip(letters, operands, strict=True)
        for letter, axis in zip(text, axes or (), strict=False)
    }
    return tuple(known[letter] for letter in output) if set(output) <= set(known) else None


def _holds_channels(axis: Axis) -> bool:
    return {factor.letter for factor in axis.factors} <= {"C"} and not axis.lead


def _length(axis: Axis) -> int:
    return axis.lead + prod(factor.size for factor in axis.factors)
