"""One vector-Jacobian product per ATen op: the page of calculus.

A rule is `rule(ct, y, *arguments)`: the cotangent of the output, the output, and the op's own arguments under
their ATen names. It returns one cotangent per tensor argument, None where no path to the image can run. Called
on tensors it computes; called on the compiler's proxies the same source writes the backward listing.

An op that returns several tensors has a tuple of cotangents for `ct`, None for outputs that nobody reads.
"""

import math
from collections.abc import Callable
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
def conv2d_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
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
def linear_vjp(ct, y, input, weight, bias=None):
    """x W^T + b, backwards: ct W."""
    return aten.matmul(ct, weight), None, None


# Normalisation


@defvjp(aten.batch_norm)
def batch_norm_vjp(ct, y, input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """In evaluation BatchNorm is affine: multiply by weight / sqrt(running_var + eps)."""
    scale = aten.rsqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    return ct * aten.reshape(scale, [1, -1] + [1] * (len(input.shape) - 2)), None, None, None, None


@defvjp(aten.native_layer_norm)
def native_layer_norm_vjp(ct, y, input, normalized_shape, weight, bias, eps):
    """Project out the mean and the direction of the normalised value, divide by the deviation."""
    only_input = [True, False, False]
    grads = aten.native_layer_norm_backward(ct[0], input, normalized_shape, y[1], y[2], weight, bias, only_input)
    return grads[0], None, None


# Activations: gates act on these


@defvjp(aten.relu, activation=RECTIFIER)
def relu_vjp(ct, y, self):
    """Pass where y > 0."""
    return (aten.threshold_backward(ct, y, 0),)


@defvjp(aten.hardtanh, activation=RECTIFIER)
def hardtanh_vjp(ct, y, self, min_val=-1, max_val=1):
    """Pass strictly between the ends. The output tells as much as the input, and is kept anyway."""
    return (aten.hardtanh_backward(ct, y, min_val, max_val),)


@defvjp(aten.relu6, activation=RECTIFIER)
def relu6_vjp(ct, y, self):
    """Pass strictly between 0 and 6."""
    return (aten.hardtanh_backward(ct, y, 0, 6),)


@defvjp(aten.silu, activation=SMOOTH)
def silu_vjp(ct, y, self):
    """With s = sigmoid(x): s (1 + x (1 - s))."""
    return (aten.silu_backward(ct, self),)


@defvjp(aten.gelu, activation=SMOOTH)
def gelu_vjp(ct, y, self, approximate="none"):
    """Φ(x) + x φ(x), or the derivative of its tanh approximation."""
    return (aten.gelu_backward(ct, self, approximate=approximate),)


@defvjp(aten.hardswish, activation=SMOOTH)
def hardswish_vjp(ct, y, self):
    """0 below -3, 1 above 3, x/3 + 1/2 between."""
    return (aten.hardswish_backward(ct, self),)


# Squashing functions: they weigh other values, and keep their derivative under every gate


@defvjp(aten.sigmoid)
def sigmoid_vjp(ct, y, self):
    """y (1 - y)."""
    return (aten.sigmoid_backward(ct, y),)


@defvjp(aten.hardsigmoid)
def hardsigmoid_vjp(ct, y, self):
    """1/6 strictly between -3 and 3."""
    return (aten.hardsigmoid_backward(ct, self),)


@defvjp(aten.tanh)
def tanh_vjp(ct, y, self):
    """1 - y²."""
    return (aten.tanh_backward(ct, y),)


@defvjp(aten.softmax)
def softmax_vjp(ct, y, self, dim, dtype=None):
    """y (ct - Σ ct y)."""
    if dtype is not None:
        raise NotImplementedError(f"softmax in {dtype}")
    return (y * (ct - aten.sum(ct * y, [dim], True)),)


# Arithmetic


@defvjp(aten.add)
def add_vjp(ct, y, self, other, alpha=1):
    """To both, summed over what was broadcast."""
    return unbroadcast(ct, self), unbroadcast(ct if alpha == 1 else ct * alpha, other)


@defvjp(aten.sub)
def sub_vjp(ct, y, self, other, alpha=1):
    """To the left, and negated to the right."""
    return unbroadcast(ct, self), unbroadcast(ct * -alpha, other)


@defvjp(aten.mul)
def mul_vjp(ct, y, self, other):
    """Each factor gets the other."""
    return unbroadcast(ct * other, self), unbroadcast(ct * self, other)


@defvjp(aten.div)
def div_vjp(ct, y, self, other):
    """1 / b to the left, -y / b to the right."""
    left = ct / other
    return unbroadcast(left, self), unbroadcast(left * y * -1, other)


@defvjp(aten.mean)
def mean_vjp(ct, y, self, dim, keepdim=False, dtype=None):
    """An equal share to each element."""
    count = math.prod(self.shape[d] for d in dim)
    return (aten.expand(_with_dims(ct / count, self, dim), self.shape),)


@defvjp(aten.sum)
def sum_vjp(ct, y, self, dim, keepdim=False, dtype=None):
    """The whole to each element."""
    return (aten.expand(_with_dims(ct, self, dim), self.shape),)


# Pooling


@defvjp(aten.max_pool2d_with_indices)
def max_pool2d_vjp(ct, y, self, kernel_size, stride=(), padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Route each cotangent to the pixel that won."""
    window = (kernel_size, list(stride), list(padding), list(dilation), ceil_mode)
    return (aten.max_pool2d_with_indices_backward(ct[0], self, *window, y[1]),)


@defvjp(aten.avg_pool2d)
def avg_pool2d_vjp(
    ct,
    y,
    self,
    kernel_size,
    stride=(),
    padding=(0, 0),
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """An equal share to each pixel of the window."""
    window = (kernel_size, list(stride), list(padding), ceil_mode, count_include_pad, divisor_override)
    return (aten.avg_pool2d_backward(ct, self, *window),)


@defvjp(aten.adaptive_avg_pool2d)
def adaptive_avg_pool2d_vjp(ct, y, self, output_size):
    """An equal share to each pixel of the bin; one bin needs no kernel of its own."""
    if list(y.shape[-2:]) == [1, 1]:
        return (aten.expand(ct / (self.shape[-2] * self.shape[-1]), self.shape),)
    return (aten._adaptive_avg_pool2d_backward(ct, self),)


def unbroadcast(ct, x):
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


def _with_dims(ct, x, dim):
    """`ct` with the reduced axes of `x` back as axes of length one."""
    reduced = {d % len(x.shape) for d in dim}
    return aten.reshape(ct, [1 if axis in reduced else length for axis, length in enumerate(x.shape)])


def _is_one(length):
    """A symbolic batch size is not one, though a batch may hold one image: no guard is put on it."""
    return isinstance(length, int) and length == 1


def _pair(value):
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
