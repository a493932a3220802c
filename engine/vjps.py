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


@defvjp(aten.conv1d)
def conv1d_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """As conv2d."""
    return conv2d_vjp(ct, y, input, weight, bias, stride, padding, dilation, groups)


@defvjp(aten.conv2d)
def conv2d_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """The adjoint of a convolution is the transposed convolution with the same kernel."""
    size, kernel = input.shape[2:], weight.shape[2:]
    axes = len(size)
    stride, dilation = _each(stride, axes), _each(dilation, axes)
    if padding == "same":
        # An odd total is padded on the right, which the slice below takes off again.
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    padding = _each([0] if isinstance(padding, str) else padding, axes)
    reached = [
        (o - 1) * s - 2 * p + d * (k - 1) + 1
        for o, s, p, d, k in zip(y.shape[2:], stride, padding, dilation, kernel, strict=True)
    ]
    missing = [max(0, s - r) for s, r in zip(size, reached, strict=True)]
    transposed = aten.conv_transpose1d if axes == 1 else aten.conv_transpose2d
    out = transposed(ct, weight, None, stride, padding, missing, groups, dilation)
    for dim, (wanted, found) in enumerate(zip(size, reached, strict=True), start=2):
        if found > wanted:
            out = aten.narrow(out, dim, 0, wanted)
    return out, None, None


@defvjp(aten.linear)
def linear_vjp(ct, y, input, weight, bias=None):
    """x W^T + b, backwards: ct W."""
    return aten.matmul(ct, weight), None, None


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


@defvjp(aten.addcmul)
def addcmul_vjp(ct, y, self, tensor1, tensor2, value=1):
    """As a sum and a product."""
    first, second = mul_vjp(ct if value == 1 else ct * value, y, tensor1, tensor2)
    return unbroadcast(ct, self), first, second


@defvjp(aten.mean)
def mean_vjp(ct, y, self, dim, keepdim=False, dtype=None):
    """An equal share to each element."""
    count = math.prod(self.shape[d] for d in dim)
    return (aten.expand(_with_dims(ct / count, self, dim), self.shape),)


@defvjp(aten.sum)
def sum_vjp(ct, y, self, dim, keepdim=False, dtype=None):
    """The whole to each element."""
    return (aten.expand(_with_dims(ct, self, dim), self.shape),)


@defvjp(aten.neg)
def neg_vjp(ct, y, self):
    """-1."""
    return (ct * -1,)


@defvjp(aten.exp)
def exp_vjp(ct, y, self):
    """y."""
    return (ct * y,)


@defvjp(aten.sqrt)
def sqrt_vjp(ct, y, self):
    """1 / (2 y)."""
    return (ct / (y * 2),)


@defvjp(aten.rsqrt)
def rsqrt_vjp(ct, y, self):
    """-y³ / 2."""
    return (ct * y * y * y * -0.5,)


@defvjp(aten.pow)
def pow_vjp(ct, y, self, exponent):
    """n x^(n-1), for a number n."""
    if not isinstance(exponent, (int, float)):
        raise NotImplementedError("a power that is a tensor")
    return (ct * aten.pow(self, exponent - 1) * exponent,)


@defvjp(aten.clamp)
def clamp_vjp(ct, y, self, min=None, max=None):
    """Pass strictly between the ends."""
    for bound, inside in ((min, aten.gt), (max, aten.lt)):
        if bound is not None:
            ct = ct * inside(self, bound)
    return (ct,)


@defvjp(aten.clamp_min)
def clamp_min_vjp(ct, y, self, min):
    """Pass strictly above the end."""
    return clamp_vjp(ct, y, self, min)


@defvjp(aten.linalg_vector_norm)
def vector_norm_vjp(ct, y, self, ord=2, dim=None, keepdim=False, dtype=None):
    """x / ‖x‖, zero where the norm is."""
    if ord != 2 or dim is None:
        raise NotImplementedError(f"the {ord}-norm over {'everything' if dim is None else dim}")
    share = _with_dims(ct / aten.clamp_min(y, 1e-300) * (y > 0), self, dim)
    return (self * share,)


# Pooling


@defvjp(aten.max_pool2d_with_indices)
def max_pool2d_vjp(ct, y, self, kernel_size, stride=(), padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Route each cotangent to the pixel that won."""
    window = (kernel_size, list(stride), list(padding), list(dilation), ceil_mode)
    return (aten.max_pool2d_with_indices_backward(ct[0], self, *window, y[1]),)


@defvjp(aten.adaptive_max_pool2d)
def adaptive_max_pool2d_vjp(ct, y, self, output_size):
    """Route each cotangent to the pixel that won."""
    return (aten.adaptive_max_pool2d_backward(ct[0], self, y[1]),)


@defvjp(aten.amax)
def amax_vjp(ct, y, self, dim=(), keepdim=False):
    """Shared evenly among the elements that won."""
    if not dim:
        raise NotImplementedError("a maximum over everything: images of a batch must not mix")
    won = aten.eq(self, _with_dims(y, self, dim))
    count = aten.sum(won, list(dim), True)
    return (_with_dims(ct, self, dim) * won / count,)


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


def _each(value, axes):
    """One number per axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
