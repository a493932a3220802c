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


@defvjp(aten.conv1d, aten.conv3d)
def conv_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """As conv2d."""
    return conv2d_vjp(ct, y, input, weight, bias, stride, padding, dilation, groups)


@defvjp(aten.conv2d)
def conv2d_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """The adjoint of a convolution is the transposed convolution with the same kernel."""
    size, kernel = input.shape[2:], weight.shape[2:]
    axes = len(size)
    stride, dilation = each(stride, axes), each(dilation, axes)
    if padding == "same":
        # An odd total is padded on the right, which the slice below takes off again.
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    padding = each([0] if isinstance(padding, str) else padding, axes)
    reached = [
        (o - 1) * s - 2 * p + d * (k - 1) + 1
        for o, s, p, d, k in zip(y.shape[2:], stride, padding, dilation, kernel, strict=True)
    ]
    missing = [max(0, s - r) for s, r in zip(size, reached, strict=True)]
    transposed = (aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d)[axes - 1]
    out = transposed(ct, weight, None, stride, padding, missing, groups, dilation)
    for dim, (wanted, found) in enumerate(zip(size, reached, strict=True), start=2):
        if found > wanted:
            out = aten.narrow(out, dim, 0, wanted)
    return out, None, None


@defvjp(aten.conv_transpose2d)
def conv_transpose2d_vjp(
    ct, y, input, weight, bias=None, stride=(1,), padding=(0,), output_padding=(0,), groups=1, dilation=(1,)
):
    """The adjoint of a transposed convolution is the convolution with the same kernel."""
    return aten.conv2d(ct, weight, None, stride, padding, dilation, groups), None, None


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
def mean_vjp(ct, y, self, dim=None, keepdim=False, dtype=None):
    """An equal share to each element."""
    _one_image(dim, "a mean")
    count = math.prod(self.shape[d] for d in dim)
    return (aten.expand(_with_dims(ct / count, self, dim), self.shape),)


@defvjp(aten.sum)
def sum_vjp(ct, y, self, dim=None, keepdim=False, dtype=None):
    """The whole to each element."""
    _one_image(dim, "a sum")
    return (aten.expand(_with_dims(ct, self, dim), self.shape),)


@defvjp(aten.var)
def var_vjp(ct, y, self, dim=None, unbiased=True, keepdim=False, correction=None):
    """2 (x - mean) / (n - 1), or / n."""
    _one_image(dim, "a variance")
    dims = [dim] if isinstance(dim, int) else list(dim)
    correction = int(unbiased) if correction is None else correction
    count = math.prod(self.shape[d] for d in dims) - correction
    centred = self - aten.mean(self, dims, True)
    return (centred * _with_dims(ct, self, dims) * (2 / count),)


@defvjp(aten.std)
def std_vjp(ct, y, self, dim=None, unbiased=True, keepdim=False, correction=None):
    """As the variance, / (2 y); zero where all are equal."""
    half = ct / aten.clamp_min(y * 2, 1e-300) * (y > 0)
    return var_vjp(half, y, self, dim, unbiased, keepdim, correction)


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


@defvjp(aten.log)
def log_vjp(ct, y, self):
    """1 / x."""
    return (ct / self,)


@defvjp(aten.log1p)
def log1p_vjp(ct, y, self):
    """1 / (1 + x)."""
    return (ct / (self + 1),)


@defvjp(aten.square)
def square_vjp(ct, y, self):
    """2 x."""
    return (ct * self * 2,)


@defvjp(aten.reciprocal)
def reciprocal_vjp(ct, y, self):
    """-y²."""
    return (ct * y * y * -1,)


@defvjp(aten.rsub)
def rsub_vjp(ct, y, self, other, alpha=1):
    """Of b - α a: -α to a, 1 to b."""
    return unbroadcast(ct * -alpha, self), unbroadcast(ct, other)


@defvjp(aten.sin)
def sin_vjp(ct, y, self):
    """cos x."""
    return (ct * aten.cos(self),)


@defvjp(aten.cos)
def cos_vjp(ct, y, self):
    """-sin x."""
    return (ct * aten.sin(self) * -1,)


@defvjp(aten.atan)
def atan_vjp(ct, y, self):
    """1 / (1 + x²)."""
    return (ct / (self * self + 1),)


@defvjp(aten.erf)
def erf_vjp(ct, y, self):
    """2 / sqrt(π) e^(-x²)."""
    return (ct * aten.exp(self * self * -1) * (2 / math.sqrt(math.pi)),)


@defvjp(aten.cumsum)
def cumsum_vjp(ct, y, self, dim, dtype=None):
    """The sum over all that come after."""
    return (aten.flip(aten.cumsum(aten.flip(ct, [dim]), dim), [dim]),)


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


@defvjp(aten.clamp_max)
def clamp_max_vjp(ct, y, self, max):
    """Pass strictly below the end."""
    return clamp_vjp(ct, y, self, None, max)


@defvjp(aten.linalg_vector_norm)
def vector_norm_vjp(ct, y, self, ord=2, dim=None, keepdim=False, dtype=None):
    """x / ‖x‖, zero where the norm is."""
    if ord != 2 or dim is None:
        raise NotImplementedError(f"the {ord}-norm over {'everything' if dim is None else dim}")
    share = _with_dims(ct / aten.clamp_min(y, 1e-300) * (y > 0), self, dim)
    return (self * share,)


@defvjp(aten.amax, aten.amin)
def amax_vjp(ct, y, self, dim=(), keepdim=False):
    """Shared evenly among the elements that won."""
    _one_image(dim, "an extreme")
    won = aten.eq(self, _with_dims(y, self, dim))
    count = aten.sum(won, list(dim), True)
    return (_with_dims(ct, self, dim) * won / count,)


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


def _one_image(dim, what):
    if dim is None or dim == [] or dim == ():
        raise NotImplementedError(f"{what} over everything: images of a batch must not mix")


def _is_one(length):
    """A symbolic batch size is not one, though a batch may hold one image: no guard is put on it."""
    return isinstance(length, int) and length == 1


def each(value, axes):
    """One number per axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
