"""The rules of complex values: Fourier transforms, and the ways in and out. See `registry` for what a rule is.

The cotangent of a complex value is that of its real part plus i times that of its imaginary part, as autograd has
it. So the adjoint of a product with w is one with the conjugate of w, and that of a transform the way back.
"""

from . import kinds
from .registry import aten, defvjp, is_complex, real_part


@defvjp(aten._fft_c2c, kind=kinds.SPECTRUM)
def fft_c2c_vjp(ct, y, self, dim, normalization, forward):
    """The transform in the other direction, with the same factor."""
    return (aten._fft_c2c(ct, dim, normalization, not forward),)


@defvjp(aten._fft_r2c, kind=kinds.SPECTRUM)
def fft_r2c_vjp(ct, y, self, dim, normalization, onesided):
    """The real part of the transform back; frequencies that were left out had no cotangent."""
    if onesided:
        last = dim[-1] % len(self.shape)
        missing = self.shape[last] - ct.shape[last]
        ct = aten.constant_pad_nd(ct, [0, 0] * (len(self.shape) - 1 - last) + [0, missing])
    return (real_part(aten._fft_c2c(ct, dim, normalization, False)),)


@defvjp(aten._fft_c2r, kind=kinds.SPECTRUM)
def fft_c2r_vjp(ct, y, self, dim, normalization, last_dim_size):
    """The transform back; a frequency that stands for its mirror image too counts twice."""
    back, last = aten._fft_r2c(ct, dim, normalization, True), dim[-1] % len(self.shape)
    twice = last_dim_size - self.shape[last]
    if not twice:
        return (back,)
    parts = [aten.narrow(back, last, 0, 1), aten.narrow(back, last, 1, twice) * 2]
    if (rest := self.shape[last] - 1 - twice) > 0:
        parts.append(aten.narrow(back, last, 1 + twice, rest))
    return (aten.cat(parts, last),)


@defvjp(aten.view_as_real, kind=kinds.SPECTRUM)
def view_as_real_vjp(ct, y, self):
    """The two parts together again."""
    return (aten.view_as_complex(aten.contiguous(ct)),)


@defvjp(aten.view_as_complex, kind=kinds.SPECTRUM)
def view_as_complex_vjp(ct, y, self):
    """The two parts beside each other again."""
    return (aten.view_as_real(ct),)


@defvjp(aten.conj_physical, kind=kinds.SPECTRUM)
def conj_physical_vjp(ct, y, self):
    """Its own adjoint."""
    return (aten.conj_physical(ct),)


@defvjp(aten.complex, kind=kinds.SPECTRUM)
def complex_vjp(ct, y, real, imag):
    """Each part gets its own."""
    return _parts(ct)


@defvjp(aten.polar, kind=kinds.SPECTRUM)
def polar_vjp(ct, y, abs, angle):
    """Along the ray to the length, across it to the angle; at the origin, where there is no ray, nothing."""
    real, imag = _parts(ct)
    (along, aside), (y_real, y_imag) = _parts(aten.sgn(y)), _parts(y)
    return real * along + imag * aside, imag * y_real - real * y_imag


@defvjp(aten.angle, kind=kinds.SPECTRUM)
def angle_vjp(ct, y, self):
    """Across the ray, by one over its length; zero at the origin, and of a real value."""
    if not is_complex(self):
        return (aten.zeros_like(self),)
    real, imag = _parts(self)
    square = real * real + imag * imag
    share = aten.where(aten.eq(square, 0), 0, ct / square)
    return (aten.complex(imag * share * -1, real * share),)


def _parts(z):
    """The real and the imaginary part."""
    parts = aten.view_as_real(z)
    return aten.select(parts, -1, 0), aten.select(parts, -1, 1)


# Kinds whose rules hold for complex values as they stand, and single ops of other kinds.
COMPLEX_KINDS = {
    kinds.SPECTRUM, kinds.SUM, kinds.PRODUCT, kinds.RESHAPE, kinds.PERMUTE, kinds.CUT, kinds.JOIN, kinds.ROLL,
    kinds.COPY, kinds.PAD,
}  # fmt: skip
COMPLEX_OPS = {aten.to, aten._to_copy, aten.abs, aten.mean, aten.sum, aten.clone, aten.contiguous, aten.flip}
