"""One vector-Jacobian product per ATen op: the page of calculus.

A rule is `rule(ct, y, *arguments)`: the cotangent of the output, the output, and the op's own arguments under
their ATen names. It returns one cotangent per tensor argument, None where no path to the image can run. Called
on tensors it computes; called on the compiler's proxies the same source writes the backward listing.

An op that returns several tensors has a tuple of cotangents for `ct`, None for outputs that nobody reads.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.gates import RECTIFIER, SMOOTH

aten = torch.ops.aten

Rule = Callable[..., tuple[Any, ...]]

VJPS: dict[Any, Rule] = {}
ACTIVATIONS: dict[Any, str] = {}  # op -> RECTIFIER or SMOOTH: the ops that a gate acts on


def defvjp(*ops: Any, activation: str | None = None) -> Callable[[Rule], Rule]:
    """Register a rule for `ops`; `activation` says that gates act on it, and how it behaves below zero."""

    def register(rule: Rule) -> Rule:
        for op in ops:
            if op in VJPS:
                raise ValueError(f"{op} has a rule already: {VJPS[op].__name__}")
            VJPS[op] = rule
            if activation:
                ACTIVATIONS[op] = activation
        return rule

    return register


# Linear maps


@defvjp(aten.conv2d)
def conv2d_vjp(
    ct: Any,
    y: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> tuple[Any, ...]:
    """The adjoint of a convolution is the transposed convolution with the same kernel."""
    size, kernel = input.shape[2:], weight.shape[2:]
    stride, dilation = _pair(stride), _pair(dilation)
    if padding == "same":
        # An odd total is padded on the right, which the slice below takes off again.
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    padding = [0, 0] if isinstance(padding, str) else _pair(padding)
    reached = [
        (o - 1) * s - 2 * p + d * (k - 1) + 1
        for o, s, p, d, k in zip(y.shape[2:], stride, padding, dilation, kernel, strict=True)
    ]
    missing = [max(0, s - r) for s, r in zip(size, reached, strict=True)]
    out = aten.conv_transpose2d(ct, weight, None, stride, padding, missing, groups, dilation)
    for dim, (wanted, found) in enumerate(zip(size, reached, strict=True), start=2):
        if found > wanted:
            out = aten.narrow(out, dim, 0, wanted)
    return out, None, None


@defvjp(aten.linear)
def linear_vjp(ct: Any, y: Any, input: Any, weight: Any, bias: Any = None) -> tuple[Any, ...]:
    """x W^T + b, backwards: ct W."""
    return aten.matmul(ct, weight), None, None


# Normalisation


@defvjp(aten.batch_norm)
def batch_norm_vjp(
    ct: Any,
    y: Any,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> tuple[Any, ...]:
    """In evaluation BatchNorm is affine: multiply by weight / sqrt(running_var + eps)."""
    scale = aten.rsqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    return ct * aten.reshape(scale, [1, -1] + [1] * (len(input.shape) - 2)), None, None, None, None


@defvjp(aten.native_layer_norm)
def native_layer_norm_vjp(
    ct: Any, y: Any, input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Any, ...]:
    """Project out the mean and the direction of the normalised value, divide by the deviation."""
    only_input = [True, False, False]
    grads = aten.native_layer_norm_backward(ct[0], input, normalized_shape, y[1], y[2], weight, bias, only_input)
    return grads[0], None, None


# Activations: gates act on these


@defvjp(aten.relu, activation=RECTIFIER)
def relu_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """Pass where y > 0."""
    return (aten.threshold_backward(ct, y, 0),)


@defvjp(aten.hardtanh, aten.relu6, activation=RECTIFIER)
def hardtanh_vjp(ct: Any, y: Any, self: Any, min_val: float = -1, max_val: float = 1) -> tuple[Any, ...]:
    """Pass strictly between the ends. The output tells as much as the input, and is kept anyway."""
    return (aten.hardtanh_backward(ct, y, min_val, max_val),)


@defvjp(aten.silu, activation=SMOOTH)
def silu_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """With s = sigmoid(x): s (1 + x (1 - s))."""
    return (aten.silu_backward(ct, self),)


@defvjp(aten.gelu, activation=SMOOTH)
def gelu_vjp(ct: Any, y: Any, self: Any, approximate: str = "none") -> tuple[Any, ...]:
    """Φ(x) + x φ(x), or the derivative of its tanh approximation."""
    return (aten.gelu_backward(ct, self, approximate=approximate),)


@defvjp(aten.hardswish, activation=SMOOTH)
def hardswish_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """0 below -3, 1 above 3, x/3 + 1/2 between."""
    return (aten.hardswish_backward(ct, self),)


# Squashing functions: they weigh other values, and keep their derivative under every gate


@defvjp(aten.sigmoid)
def sigmoid_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """y (1 - y)."""
    return (aten.sigmoid_backward(ct, y),)


@defvjp(aten.hardsigmoid)
def hardsigmoid_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """1/6 strictly between -3 and 3."""
    return (aten.hardsigmoid_backward(ct, self),)


@defvjp(aten.tanh)
def tanh_vjp(ct: Any, y: Any, self: Any) -> tuple[Any, ...]:
    """1 - y²."""
    return (aten.tanh_backward(ct, y),)


@defvjp(aten.softmax)
def softmax_vjp(ct: Any, y: Any, self: Any, dim: int, dtype: Any = None) -> tuple[Any, ...]:
    """y (ct - Σ ct y)."""
    return (y * (ct - aten.sum(ct * y, [dim], True)),)


# Arithmetic


@defvjp(aten.add)
def add_vjp(ct: Any, y: Any, self: Any, other: Any, alpha: float = 1) -> tuple[Any, ...]:
    """To both, summed over what was broadcast."""
    return unbroadcast(ct, self), unbroadcast(ct if alpha == 1 else ct * alpha, other)


@defvjp(aten.sub)
def sub_vjp(ct: Any, y: Any, self: Any, other: Any, alpha: float = 1) -> tuple[Any, ...]:
    """To the left, and negated to the right."""
    return unbroadcast(ct, self), unbroadcast(ct * -alpha, other)


@defvjp(aten.mul)
def mul_vjp(ct: Any, y: Any, self: Any, other: Any) -> tuple[Any, ...]:
    """Each factor gets the other."""
    return unbroadcast(ct * other, self), unbroadcast(ct * self, other)


@defvjp(aten.div)
def div_vjp(ct: Any, y: Any, self: Any, other: Any) -> tuple[Any, ...]:
    """1 / b to the left, -y / b to the right."""
    left = ct / other
    return unbroadcast(left, self), unbroadcast(left * y * -1, other)


@defvjp(aten.mean)
def mean_vjp(
    ct: Any, y: Any, self: Any, dim: Sequence[int], keepdim: bool = False, dtype: Any = None
) -> tuple[Any, ...]:
    """An equal share to each element."""
    count = math.prod(self.shape[d] for d in dim)
    return (aten.expand(_with_dims(ct / count, self, dim), self.shape),)


@defvjp(aten.sum)
def sum_vjp(
    ct: Any, y: Any, self: Any, dim: Sequence[int], keepdim: bool = False, dtype: Any = None
) -> tuple[Any, ...]:
    """The whole to each element."""
    return (aten.expand(_with_dims(ct, self, dim), self.shape),)


# Pooling


@defvjp(aten.max_pool2d_with_indices)
def max_pool2d_vjp(
    ct: Any,
    y: Any,
    self: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Any, ...]:
    """Route each cotangent to the pixel that won."""
    window = (kernel_size, list(stride), list(padding), list(dilation), ceil_mode)
    return (aten.max_pool2d_with_indices_backward(ct[0], self, *window, y[1]),)


@defvjp(aten.avg_pool2d)
def avg_pool2d_vjp(
    ct: Any,
    y: Any,
    self: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Any, ...]:
    """An equal share to each pixel of the window."""
    window = (kernel_size, list(stride), list(padding), ceil_mode, count_include_pad, divisor_override)
    return (aten.avg_pool2d_backward(ct, self, *window),)


@defvjp(aten.adaptive_avg_pool2d)
def adaptive_avg_pool2d_vjp(ct: Any, y: Any, self: Any, output_size: Sequence[int]) -> tuple[Any, ...]:
    """An equal share to each pixel of the bin; one bin needs no kernel of its own."""
    if list(y.shape[-2:]) == [1, 1]:
        return (aten.expand(ct / (self.shape[-2] * self.shape[-1]), self.shape),)
    return (aten._adaptive_avg_pool2d_backward(ct, self),)


# Rearrangement


@defvjp(aten.reshape, aten.view, aten.flatten, aten.squeeze, aten.unsqueeze)
def reshape_vjp(ct: Any, y: Any, self: Any, *shape: Any) -> tuple[Any, ...]:
    """Back to the shape it had."""
    return (aten.reshape(ct, self.shape),)


@defvjp(aten.clone, aten.contiguous)
def clone_vjp(ct: Any, y: Any, self: Any, memory_format: Any = None) -> tuple[Any, ...]:
    """Unchanged."""
    return (ct,)


@defvjp(aten.expand)
def expand_vjp(ct: Any, y: Any, self: Any, size: Sequence[int], implicit: bool = False) -> tuple[Any, ...]:
    """Summed over the copies."""
    return (unbroadcast(ct, self),)


@defvjp(aten.permute)
def permute_vjp(ct: Any, y: Any, self: Any, dims: Sequence[int]) -> tuple[Any, ...]:
    """The inverse permutation."""
    dims = [d % len(dims) for d in dims]
    return (aten.permute(ct, [dims.index(d) for d in range(len(dims))]),)


@defvjp(aten.transpose)
def transpose_vjp(ct: Any, y: Any, self: Any, dim0: int, dim1: int) -> tuple[Any, ...]:
    """A transposition is its own inverse."""
    return (aten.transpose(ct, dim0, dim1),)


@defvjp(aten.cat)
def cat_vjp(ct: Any, y: Any, tensors: Sequence[Any], dim: int = 0) -> tuple[Any, ...]:
    """Each part gets its slice."""
    lengths = [part.shape[dim] for part in tensors]
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    return ([aten.narrow(ct, dim, s, n) for s, n in zip(starts, lengths, strict=True)],)


@defvjp(aten.split, aten.split_with_sizes, aten.chunk)
def split_vjp(ct: Any, y: Any, self: Any, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
    """The parts joined again, zero where nobody read one."""
    parts = [aten.zeros_like(y[index]) if part is None else part for index, part in enumerate(ct)]
    return (aten.cat(parts, dim),)


@defvjp(aten.slice)
def slice_vjp(
    ct: Any, y: Any, self: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> tuple[Any, ...]:
    """Zero outside the slice."""
    length = self.shape[dim]
    if not isinstance(length, int):
        raise NotImplementedError("a slice along the batch: images of a batch must not mix")
    start, end, step = slice(start, end, step).indices(length)
    return (aten.slice_backward(ct, self.shape, dim, start, end, step),)


@defvjp(aten.select)
def select_vjp(ct: Any, y: Any, self: Any, dim: int, index: int) -> tuple[Any, ...]:
    """Zero outside the one that was selected."""
    return (aten.select_backward(ct, self.shape, dim, index),)


@defvjp(aten.constant_pad_nd)
def constant_pad_vjp(ct: Any, y: Any, self: Any, pad: Sequence[int], value: float = 0) -> tuple[Any, ...]:
    """Padding by a constant, backwards: cut it off. What a negative width cut off is zero."""
    sides = list(zip(pad[::2], pad[1::2], strict=True))
    for dim, (before, after) in enumerate(sides, start=1):
        if before > 0 or after > 0:
            kept = ct.shape[-dim] - max(before, 0) - max(after, 0)
            ct = aten.narrow(ct, len(ct.shape) - dim, max(before, 0), kept)
    if min(pad) < 0:
        ct = aten.constant_pad_nd(ct, [max(-width, 0) for width in pad], 0.0)
    return (ct,)


@defvjp(aten.pad)
def pad_vjp(
    ct: Any, y: Any, self: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> tuple[Any, ...]:
    """As constant_pad_nd; the other modes mirror pixels, and have no rule."""
    if mode != "constant":
        raise NotImplementedError(f"padding in mode {mode!r}")
    return constant_pad_vjp(ct, y, self, pad)


def unbroadcast(ct: Any, x: Any) -> Any:
    """Sum `ct` over the axes along which `x` was broadcast; None for a plain number."""
    if not hasattr(x, "shape"):
        return None
    extra = len(ct.shape) - len(x.shape)
    stretched = [
        axis
        for axis, length in enumerate(ct.shape)
        if axis < extra or (_is_one(x.shape[axis - extra]) and not _is_one(length))
    ]
    if not stretched:
        return ct
    summed = aten.sum(ct, stretched, True)
    return aten.reshape(summed, x.shape) if extra else summed


def _with_dims(ct: Any, x: Any, dim: Sequence[int]) -> Any:
    """`ct` with the reduced axes of `x` back as axes of length one."""
    reduced = {d % len(x.shape) for d in dim}
    return aten.reshape(ct, [1 if axis in reduced else length for axis, length in enumerate(x.shape)])


def _is_one(length: Any) -> bool:
    """A symbolic batch size is not one, though a batch may hold one image: no guard is put on it."""
    return isinstance(length, int) and length == 1


def _pair(value: Sequence[int] | int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
