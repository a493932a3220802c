"""The rules of arithmetic: sums, products, powers, and what reduces an axis. See `registry` for what a rule is."""

import math

from .registry import aten, defvjp, unbroadcast


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


def _with_dims(ct, x, dim):
    """`ct` with the reduced axes of `x` back as axes of length one."""
    reduced = {d % len(x.shape) for d in dim}
    return aten.reshape(ct, [1 if axis in reduced else length for axis, length in enumerate(x.shape)])


def _one_image(dim, what):
    if dim is None or dim == [] or dim == ():
        raise NotImplementedError(f"{what} over everything: images of a batch must not mix")
