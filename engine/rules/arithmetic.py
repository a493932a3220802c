"""The rules of arithmetic: sums, products, powers, and what reduces an axis. See `registry` for what a rule is."""

import math
from typing import Any

from . import kinds
from .registry import aten, conj, defvjp, scalar, unbroadcast


@defvjp(aten.add, kind=kinds.SUM)
def add_vjp(ct, y, self, other, alpha=1):
    """To both, summed over what was broadcast."""
    return unbroadcast(ct, self), unbroadcast(ct if alpha == 1 else ct * alpha, other)


@defvjp(aten.sub, kind=kinds.SUM)
def sub_vjp(ct, y, self, other, alpha=1):
    """To the left, and negated to the right."""
    return unbroadcast(ct, self), unbroadcast(ct * -alpha, other)


@defvjp(aten.mul, kind=kinds.PRODUCT)
def mul_vjp(ct, y, self, other):
    """Each factor gets the other."""
    return unbroadcast(ct * conj(other), self), unbroadcast(ct * conj(self), other)


@defvjp(aten.div, kind=kinds.PRODUCT)
def div_vjp(ct, y, self, other):
    """1 / b to the left, -y / b to the right."""
    left = ct / conj(other)
    return unbroadcast(left, self), unbroadcast(left * conj(y) * -1, other)


@defvjp(aten.addcmul, kind=kinds.PRODUCT)
def addcmul_vjp(ct, y, self, tensor1, tensor2, value=1):
    """As a sum and a product."""
    first, second = mul_vjp(ct if value == 1 else ct * value, y, tensor1, tensor2)
    return unbroadcast(ct, self), first, second


@defvjp(aten.atan2, kind=kinds.ELEMENTWISE)
def atan2_vjp(ct, y, self, other):
    """The angle of the point (other, self): other / r² to self, -self / r² to other."""
    share = ct / (self * self + other * other)
    return unbroadcast(share * other, self), unbroadcast(share * self * -1, other)


@defvjp(aten.hypot, kind=kinds.ELEMENTWISE)
def hypot_vjp(ct, y, self, other):
    """Of the length of (self, other): the direction."""
    return unbroadcast(ct * self / y, self), unbroadcast(ct * other / y, other)


@defvjp(aten.mean, kind=kinds.REDUCTION)
def mean_vjp(ct, y, self, dim=None, keepdim=False, dtype=None):
    """An equal share to each element."""
    _one_image(dim, "a mean")
    count = math.prod(self.shape[d] for d in dim)
    return (aten.expand(_with_dims(ct / count, self, dim), self.shape),)


@defvjp(aten.sum, kind=kinds.REDUCTION)
def sum_vjp(ct, y, self, dim=None, keepdim=False, dtype=None):
    """The whole to each element."""
    _one_image(dim, "a sum")
    return (aten.expand(_with_dims(ct, self, dim), self.shape),)


@defvjp(aten.var, kind=kinds.REDUCTION)
def var_vjp(ct, y, self, dim=None, unbiased=True, keepdim=False, correction=None):
    """2 (x - mean) / (n - 1), or / n."""
    _one_image(dim, "a variance")
    dims = [dim] if isinstance(dim, int) else list(dim)
    correction = int(unbiased) if correction is None else correction
    count = math.prod(self.shape[d] for d in dims) - correction
    centred = self - aten.mean(self, dims, True)
    return (centred * _with_dims(ct, self, dims) * (2 / count),)


@defvjp(aten.var_mean, kind=kinds.REDUCTION)
def var_mean_vjp(ct, y, self, dim=None, unbiased=True, keepdim=False, correction=None):
    """As a variance and a mean, those of the two that somebody reads."""
    shares: list[Any] = []
    if ct[0] is not None:
        shares += var_vjp(ct[0], y[0], self, dim, unbiased, keepdim, correction)
    if ct[1] is not None:
        shares += mean_vjp(ct[1], y[1], self, [dim] if isinstance(dim, int) else dim, keepdim)
    return (shares[0] + shares[1] if len(shares) > 1 else shares[0],)


@defvjp(aten.std, kind=kinds.REDUCTION)
def std_vjp(ct, y, self, dim=None, unbiased=True, keepdim=False, correction=None):
    """As the variance, / (2 y); zero where all are equal."""
    half = ct / aten.clamp_min(y * 2, 1e-300) * (y > 0)
    return var_vjp(half, y, self, dim, unbiased, keepdim, correction)


scalar(aten.neg, lambda ct, y, x: ct * -1, kind=kinds.SUM)
scalar(aten.exp, lambda ct, y, x: ct * y)
scalar(aten.sqrt, lambda ct, y, x: ct / (y * 2))
scalar(aten.rsqrt, lambda ct, y, x: ct * y * y * y * -0.5)
scalar(aten.log, lambda ct, y, x: ct / x)
scalar(aten.log1p, lambda ct, y, x: ct / (x + 1))
scalar(aten.square, lambda ct, y, x: ct * x * 2)
scalar(aten.reciprocal, lambda ct, y, x: ct * y * y * -1)


@defvjp(aten.rsub, kind=kinds.SUM)
def rsub_vjp(ct, y, self, other, alpha=1):
    """Of b - α a: -α to a, 1 to b."""
    return unbroadcast(ct * -alpha, self), unbroadcast(ct, other)


scalar(aten.sin, lambda ct, y, x: ct * aten.cos(x))
scalar(aten.tan, lambda ct, y, x: ct * (y * y + 1))
scalar(aten.asin, lambda ct, y, x: ct * aten.rsqrt(x * x * -1 + 1))
scalar(aten.acos, lambda ct, y, x: ct * aten.rsqrt(x * x * -1 + 1) * -1)
scalar(aten.sinh, lambda ct, y, x: ct * aten.cosh(x))
scalar(aten.cosh, lambda ct, y, x: ct * aten.sinh(x))
scalar(aten.asinh, lambda ct, y, x: ct * aten.rsqrt(x * x + 1))
scalar(aten.exp2, lambda ct, y, x: ct * y * math.log(2))
scalar(aten.expm1, lambda ct, y, x: ct * (y + 1))
scalar(aten.log2, lambda ct, y, x: ct / (x * math.log(2)))
scalar(aten.log10, lambda ct, y, x: ct / (x * math.log(10)))
scalar(aten.cos, lambda ct, y, x: ct * aten.sin(x) * -1)
scalar(aten.atan, lambda ct, y, x: ct / (x * x + 1))
scalar(aten.erfinv, lambda ct, y, x: ct * aten.exp(y * y) * (math.sqrt(math.pi) / 2))
scalar(aten.erfc, lambda ct, y, x: ct * aten.exp(x * x * -1) * (-2 / math.sqrt(math.pi)))
scalar(aten.erf, lambda ct, y, x: ct * aten.exp(x * x * -1) * (2 / math.sqrt(math.pi)))  # 2 / sqrt(π) e^(-x²)


@defvjp(aten.cumsum, kind=kinds.CUMULATION)
def cumsum_vjp(ct, y, self, dim, dtype=None):
    """The sum over all that come after."""
    return (aten.flip(aten.cumsum(aten.flip(ct, [dim]), dim), [dim]),)


@defvjp(aten.pow, kind=kinds.ELEMENTWISE)
def pow_vjp(ct, y, self, exponent):
    """n x^(n-1) to the base, x^n log x to an exponent that is a value; zero where autograd has it so, at x = 0."""
    if not hasattr(exponent, "shape"):
        return (ct * aten.pow(self, exponent - 1) * exponent,) if exponent else (aten.zeros_like(self),)
    if not hasattr(self, "shape"):
        return (ct * y * math.log(self),) if self else (aten.zeros_like(exponent),)
    base = aten.where(aten.eq(exponent, 0), 0, ct * aten.pow(self, exponent - 1) * exponent)
    power = aten.where(aten.eq(self, 0), 0, ct * y * aten.log(self))
    return unbroadcast(base, self), unbroadcast(power, exponent)


@defvjp(aten.clamp, kind=kinds.CLAMP)
def clamp_vjp(ct, y, self, min=None, max=None):
    """Pass strictly between the ends."""
    for bound, inside in ((min, aten.gt), (max, aten.lt)):
        if bound is not None:
            ct = ct * inside(self, bound)
    return (ct,)


@defvjp(aten.clamp_min, kind=kinds.CLAMP)
def clamp_min_vjp(ct, y, self, min):
    """Pass strictly above the end."""
    return clamp_vjp(ct, y, self, min)


@defvjp(aten.clamp_max, kind=kinds.CLAMP)
def clamp_max_vjp(ct, y, self, max):
    """Pass strictly below the end."""
    return clamp_vjp(ct, y, self, None, max)


@defvjp(aten.linalg_vector_norm, kind=kinds.REDUCTION)
def vector_norm_vjp(ct, y, self, ord=2, dim=None, keepdim=False, dtype=None):
    """x / ‖x‖, zero where the norm is; of the p-norm sgn(x) |x|^(p-1) / ‖x‖^(p-1); ∞: to the largest."""
    _one_image(dim, "a norm")
    dim = [dim] if isinstance(dim, int) else list(dim)
    if ord == math.inf:
        return (amax_vjp(ct, y, aten.abs(self), dim, keepdim)[0] * aten.sgn(self),)
    if ord <= 0 or ord == -math.inf:
        raise NotImplementedError(f"the {ord}-norm")
    if ord == 1:
        return (_with_dims(ct, self, dim) * aten.sgn(self),)
    share = _with_dims(ct / aten.pow(aten.clamp_min(y, 1e-300), ord - 1) * (y > 0), self, dim)
    along = self if ord == 2 else aten.sgn(self) * aten.pow(aten.abs(self), ord - 1)
    return (along * share,)


@defvjp(aten.logsumexp, kind=kinds.REDUCTION)
def logsumexp_vjp(ct, y, self, dim, keepdim=False):
    """The softmax: e^(x - y)."""
    _one_image(dim, "a logsumexp")
    dim = [dim] if isinstance(dim, int) else list(dim)
    return (_with_dims(ct, self, dim) * aten.exp(self - _with_dims(y, self, dim)),)


@defvjp(aten.prod, kind=kinds.REDUCTION)
def prod_vjp(ct, y, self, dim=None, keepdim=False, dtype=None):
    """To each the product of all others, multiplied up from both sides: a zero divides nothing."""
    _one_image(dim, "a product")
    before = _product_before(self, dim)
    after = aten.flip(_product_before(aten.flip(self, [dim]), dim), [dim])
    return (_with_dims(ct, self, [dim]) * before * after,)


def _product_before(x, dim):
    """The product of all that come before each element along an axis."""
    shifted = aten.narrow(x, dim, 0, x.shape[dim] - 1)
    return aten.cumprod(aten.cat([aten.ones_like(aten.narrow(x, dim, 0, 1)), shifted], dim), dim)


@defvjp(aten.amax, aten.amin, kind=kinds.EXTREME)
def amax_vjp(ct, y, self, dim=(), keepdim=False):
    """Shared evenly among the elements that won."""
    _one_image(dim, "an extreme")
    won = aten.eq(self, _with_dims(y, self, dim))
    count = aten.sum(won, list(dim), True)
    return (_with_dims(ct, self, dim) * won / count,)


def _with_dims(ct, x, dim):
    """`ct` with the reduced axes of `x` back as axes of length one."""
    reduced = {d % len(x.shape) for d in dim}
    return aten.reshape(ct, [1 if axis in reduced else length for axis, length in enumerate(x.shape)])


def _one_image(dim, what):
    if dim is None or dim == [] or dim == ():
        raise NotImplementedError(f"{what} over everything: images of a batch must not mix")
