"""Which units of its sources each call reads along rows and along columns: windows, all, or each its own."""

import inspect
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor, fx

from ..rules import kinds
from ..rules.pages import KINDS, VJPS
from .axes import Axes, Axis, length_of, merged
from .program import aten
from .reach import Windows, binned, interpolated, mixed, moved, nearest, sliding, spread
from .trace import REDUCTIONS, SPATIAL

ALL = "all"  # in the place of windows: what is read can't be told, or is everything
Read = Windows | str | None  # None: each result reads its own unit


def size_of(axes: Axes, letter: str) -> int:
    """How many rows (H) or columns (W) the units of a value are told apart by; a rolled one counts alike."""
    count = 1
    for axis in axes or ():
        for factor in axis.factors:
            count *= factor.size if factor.letter.upper() == letter else 1
    return count


def read_by(
    node: fx.Node, source: fx.Node, before: tuple[Axis, ...], letter: str, units: int, length: int
) -> list[Read]:
    """Which units of a source the results of a call read along a letter, H or W, step by step.

    before: the source's axes, of which that letter has `units`; the result's have `length`. What is not known here
    reads all.
    """
    op, kind = node.target, KINDS.get(node.target)
    value = node.meta["val"] if isinstance(node.meta["val"], Tensor) else node.meta["val"][0]
    if op is operator.getitem or kind is None:
        return [None if units == length else ALL]
    given = _arguments(node)
    if given is None:
        return [ALL]
    if op in SPATIAL:
        if value.ndim == 4 and source is node.args[0]:
            own = size_of((before[2 + "HW".index(letter)],), letter)
            # Pixels that were stacked to channels are read together.
            return [sliding(units // own, units // own), _spatial(op, given, "HW".index(letter), own, length)]
        return [None if units == 1 else ALL]
    dims = _mixed_dims(node, source, before, given)
    if dims is not None:
        one_result = op in REDUCTIONS or kind == kinds.DENSE
        return [(_gathered if one_result else _mixing)(before, dims, letter, units)]
    if kind == kinds.CUT and op is not aten.slice:
        return [None if units == length else ALL]
    if op in (aten.slice, aten.roll, aten.flip, aten.pad, aten.constant_pad_nd):
        return [_shifted(node, given, before, letter, units)]
    if kind == kinds.SPECTRUM:
        return [ALL]
    return [None if units in (1, length) else ALL]


def _arguments(node: fx.Node) -> dict[str, Any] | None:
    """What an op is given, under the names that its rule has; None where the rule is for another use of the op,
    which the backward half refuses by its name."""
    try:
        bound = inspect.signature(VJPS[node.target]).bind(None, None, *node.args, **node.kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


def _spatial(op: Any, given: dict[str, Any], axis: int, units: int, length: int) -> Read:
    """Of a call over a grid of pixels, along one of its two axes."""
    kind = KINDS[op]

    def pick(name: str, default: int = 1) -> int:
        return int(_each(given.get(name) or [default], 2)[axis])

    if kind == kinds.CONVOLUTION:
        kernel = int(given["weight"].meta["val"].shape[2 + axis])
        stride, dilation = pick("stride"), pick("dilation")
        if op is aten.conv_transpose2d:
            return spread(kernel, stride, pick("padding", 0), dilation)
        same, text = dilation * (kernel - 1) // 2, isinstance(given["padding"], str)
        padding = (same if given["padding"] == "same" else 0) if text else pick("padding", 0)
        return sliding(kernel, stride, padding, dilation)
    if op in (aten.adaptive_avg_pool2d, aten.adaptive_max_pool2d):
        return binned(units, length)
    if kind in (kinds.MAX_POOL, kinds.AVERAGE_POOL):
        kernel = pick("kernel_size")
        return sliding(kernel, pick("stride", kernel), pick("padding", 0), pick("dilation"))
    if op is aten.pixel_shuffle:
        return nearest(Fraction(1, int(given["upscale_factor"])))
    if op is aten.pixel_unshuffle:
        return sliding(units // length, units // length)
    if "output_size" not in given or op is aten.col2im:
        return ALL  # it samples where the values say
    factors = given.get("scale_factors")
    scale = Fraction(units, length)
    if factors:
        factor = factors[axis] if isinstance(factors, (list, tuple)) else factors
        scale = 1 / Fraction(factor).limit_denominator(10_000)
    if "align_corners" not in given:
        return nearest(scale, op is aten._upsample_nearest_exact2d)
    name = op.__name__
    aligned = bool(given["align_corners"])
    if aligned:
        scale = Fraction(units - 1, length - 1) if length > 1 else Fraction(0)
    return interpolated(scale, 2 if "cubic" in name else 1, aligned, name.endswith("_aa"))


def _mixed_dims(
    node: fx.Node, source: fx.Node, before: tuple[Axis, ...], given: dict[str, Any]
) -> list[int] | None:
    """The axes of a source that a call sums, compares or normalises over; None where it does no such thing."""
    op, kind, axes = node.target, KINDS[node.target], len(before)
    every = list(range(1, axes))
    if op in REDUCTIONS or kind in (kinds.SOFTMAX, kinds.CUMULATION):
        if isinstance(given.get("other"), fx.Node) or (len(node.args) > 1 and isinstance(node.args[1], fx.Node)):
            return None  # the larger of two values
        dims = given.get("dim", given.get("dims"))
        return every if dims is None or dims == [] else [int(d) % axes for d in _each(dims, 1)]
    if kind == kinds.DENSE:
        return [axes - 1]
    if op in (aten.native_layer_norm, aten.rms_norm):
        return list(range(axes - len(given["normalized_shape"]), axes))
    if op is aten.group_norm or (op is aten.instance_norm and given["use_input_stats"]):
        return every
    if op is aten.einsum:
        return _summed(node, source, every)
    if kind == kinds.ATTENTION:
        return [] if source is node.args[0] and source not in node.args[1:] else [axes - 2]
    if kind == kinds.MATMUL:
        first = 1 if op in (aten.addmm, aten.baddbmm) else 0
        if op not in (aten.matmul, aten.mm, aten.bmm) and not first:
            return every
        operands = node.args[first : first + 2]
        return [axes - 1] * (source is operands[0]) + [axes - 2] * (source is operands[1])
    if kind == kinds.REORDER and op not in (aten.channel_shuffle, aten.flip):
        return (
            every if any(_places(axis) for axis in before) and "dim" not in given else [int(given["dim"]) % axes]
        )
    return None


def _summed(node: fx.Node, source: fx.Node, every: list[int]) -> list[int]:
    """The axes of an einsum's operand that its result has not."""
    equation, operands = str(node.args[0]).replace(" ", ""), node.args[1]
    inputs, _, output = equation.partition("->")
    assert isinstance(operands, (list, tuple))
    texts = [text for text, one in zip(inputs.split(","), operands, strict=False) if one is source]
    if "." in equation:
        return every
    return sorted({index for text in texts for index, one in enumerate(text) if one not in output})


def _places(axis: Axis) -> bool:
    return any(factor.letter.upper() in "HW" for factor in axis.factors)


def _factors(before: tuple[Axis, ...], dims: Sequence[int], letter: str) -> list[tuple[int, int]]:
    """(size, stride) of a letter's factors in some axes."""
    return [
        (factor.size, factor.stride)
        for dim in dims
        for factor in merged(before[dim].factors)
        if factor.letter.upper() == letter
    ]


def _mixing(before: tuple[Axis, ...], dims: Sequence[int], letter: str, units: int) -> Read:
    """Of a call whose results each read all along some axes: windows where it is a part of the image, else all."""
    found = _factors(before, dims, letter)
    if not found:
        return None
    (size, stride), *others = found
    return ALL if others or size * stride >= units else mixed(size, stride)


def _gathered(before: tuple[Axis, ...], dims: Sequence[int], letter: str, units: int) -> Read:
    """Of a call that has one result for all along some axes: means, and linear maps of places."""
    found = _factors(before, dims, letter)
    if not found:
        return None
    return binned(units, 1) if [size for size, _ in found] == [units] else ALL


def _shifted(node: fx.Node, given: dict[str, Any], before: tuple[Axis, ...], letter: str, units: int) -> Read:
    """Of a call that moves rows or columns: slices, pads, and rolls, of which what comes round is left out, since
    shifted windows mask it."""
    where = [index for index, axis in enumerate(before) if _factors(before, [index], letter)]
    op = node.target
    if op is aten.slice:
        at = int(given["dim"]) % len(before)
        if at not in where or before[at].lead:
            return None
        start, _, step = slice(given["start"], given["end"], given["step"]).indices(length_of(before[at]))
        read = moved(start, step)
    elif op in (aten.roll, aten.flip):
        dims = [int(d) % len(before) for d in _each(given["dims"], 1)]
        at = next((d for d in dims if d in where), -1)
        if at < 0:
            return None
        if op is aten.flip:
            return ALL
        read = moved(-int(_each(given["shifts"], 1)[dims.index(at)]))
    else:
        pad = list(given["pad"])
        at = next((d for d in where if 2 * (len(before) - 1 - d) < len(pad)), -1)
        if at < 0:
            return None
        first = 2 * (len(before) - 1 - at)
        if given.get("mode", "constant") == "circular" and any(pad[first : first + 2]):
            return ALL
        read = moved(-int(pad[first]))
    return read if size_of((before[at],), letter) == units and len(where) == 1 else ALL


def _each(value: Any, axes: int) -> list[Any]:
    """One number per axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
