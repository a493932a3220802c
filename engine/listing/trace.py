"""Follow the axes of values along a listing: what each kind of op does with rows, columns and channels.

What is not known here is taken for a mixture, which is no map: a layer may be missed, never drawn wrongly.
"""

import inspect
import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from ..rules import kinds
from ..rules.pages import KINDS, VJPS, ops_of
from .axes import Axes, Axis, Factor, length_of, merged, whole
from .program import aten

# Ops over a grid of pixels, where their result has one: a convolution of [N, C, L] has none.
SPATIAL = ops_of(kinds.CONVOLUTION, kinds.MAX_POOL, kinds.AVERAGE_POOL, kinds.RESAMPLING)
REDUCTIONS = ops_of(kinds.REDUCTION, kinds.EXTREME)
# Where an op that reorders along one axis is given it, counted from the value; the others take several or none.
REORDERED_AXIS = {
    op: names.index("dim") - 2
    for op in ops_of(kinds.REORDER)
    if "dim" in (names := list(inspect.signature(VJPS[op]).parameters))
}


def trace_axes(path: Sequence[fx.Node]) -> dict[fx.Node, Axes]:
    """The axes of each value on a path that begins with the image."""
    axes: dict[fx.Node, Axes] = {path[0]: _pixels(path[0].meta["val"])} if path else {}
    for node in path[1:]:
        sources = [source for source in node.all_input_nodes if axes.get(source) is not None]
        axes[node] = _after(node, sources, axes) if sources else None
    return axes


def _is_grid(axes: tuple[Axis, ...]) -> bool:
    """Do rows and columns lie on a regular grid over the whole image? Parts of them may be channels, as where
    blocks of pixels were stacked."""
    if len(axes) != 4 or any(axis.lead for axis in axes) or axes[0] != whole("N", 1):
        return False
    for axis, letter in zip(axes[2:], "HW", strict=True):
        within = prod(factor.size for factor in axes[1].factors if factor.letter == letter)
        if [f for f in merged(axis.factors) if (f.letter, f.stride) != (letter, within)]:
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
    kind = KINDS.get(op)
    if not isinstance(value, Tensor):
        value = value[0]  # of several results, which differ in the length of an axis at most
    if op is operator.getitem or (kind in (kinds.CUT, kinds.PAD) and op not in (aten.select, aten.unbind)):
        return _resized(first, value.shape)
    if kind == kinds.RESHAPE:
        return _regrouped(first, value.shape)
    if kind == kinds.PERMUTE:
        order = list(range(len(first)))
        if op is aten.permute:
            order = [int(d) % len(first) for d in args[1]]  # type: ignore[union-attr,arg-type]
        else:
            a, b = (int(d) % len(first) for d in args[1:3])  # type: ignore[arg-type]
            order[a], order[b] = order[b], order[a]
        return tuple(first[d] for d in order)
    if op in SPATIAL and value.ndim == 4:
        return _pixels(value) if _is_grid(first) else None
    if op in REDUCTIONS and not (len(args) > 1 and isinstance(args[1], fx.Node)):
        return _reduced(node, first, value)
    if op in REORDERED_AXIS:
        at: Any = [*args[1:], -1][REORDERED_AXIS[op] - 1]
        return _resized(first, value.shape) if _holds_channels(first[at % len(first)]) else None
    if op in (aten.select, aten.unbind):
        dim = int([*args[1:], 0][0]) % len(first)  # type: ignore[arg-type]
        return first[:dim] + first[dim + 1 :] if _holds_channels(first[dim]) else None
    if op in (aten.roll, aten.flip):
        return _rolled(first, [int(d) % len(first) for d in args[-1]])  # type: ignore[union-attr,arg-type]
    if op is aten.cat:
        return _joined(node, sources, axes, value)
    if kind == kinds.DENSE:
        return (*first[:-1], whole("C", int(value.shape[-1])))
    if op is aten.einsum:
        return _summed(str(args[0]), [axes[s] for s in sources])
    if kind in (kinds.MATMUL, kinds.ATTENTION):
        if args[0] not in sources:
            return None
        last = axes[sources[-1]] if len(sources) > 1 else None
        return (*first[:-1], last[-1] if last else whole("C", int(value.shape[-1])))
    same = [s for s in sources if getattr(s.meta["val"], "shape", None) == value.shape]
    return axes[same[0]] if same else None


def _regrouped(axes: tuple[Axis, ...], shape: Sequence[Any]) -> Axes:
    """Axes after a reshape: factors in the same order, split and joined to the new lengths."""
    # An axis with class tokens in front stays whole: its own letter tells it again.
    tokens = {f"token axis {index}": axis for index, axis in enumerate(axes) if axis.lead}
    names = {id(axis): name for name, axis in tokens.items()}
    pending = merged(
        factor
        for axis in axes
        for factor in ([Factor(names[id(axis)], length_of(axis))] if axis.lead else axis.factors)
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
        result[holding[0]] = whole("C", length_of(result[holding[0]]))
    return None if pending else tuple(result)


def _resized(axes: tuple[Axis, ...], shape: Sequence[Any]) -> Axes:
    """Axes after a cut or a pad: an axis of one letter is a shorter or longer one of it; cutting off class tokens
    leaves the pixels."""
    if len(axes) != len(shape):
        return None
    result = list[Axis]()
    for axis, length in zip(axes, shape, strict=True):
        letters = {factor.letter for factor in axis.factors}
        if isinstance(length, torch.SymInt) or length == length_of(axis):
            result.append(axis)
        elif axis.lead and length == length_of(axis) - axis.lead:
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
