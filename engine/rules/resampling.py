"""The rules of ops that change the grid of pixels: resizing, shuffling pixels and channels, patches.

See `registry` for what a rule is. Resizing is linear, and its adjoint is an op of its own.
"""

from . import kinds
from .registry import aten, defvjp


@defvjp(aten.upsample_nearest2d, kind=kinds.RESAMPLING)
def upsample_nearest_vjp(ct, y, input, output_size, scale_factors):
    """Each pixel gets the sum over its copies."""
    return (aten.upsample_nearest2d_backward(ct, *_sizes(input, y), *_factors(scale_factors)),)


@defvjp(aten._upsample_nearest_exact2d, kind=kinds.RESAMPLING)
def upsample_nearest_exact_vjp(ct, y, input, output_size, scale_factors):
    """Each pixel gets the sum over its copies."""
    return (aten._upsample_nearest_exact2d_backward(ct, *_sizes(input, y), *_factors(scale_factors)),)


def _adjoint(backward):
    """The rule of an interpolation whose adjoint is `backward`."""

    def interpolation_vjp(ct, y, input, output_size, align_corners, scale_factors):
        """Each pixel gets what it was weighed with."""
        return (backward(ct, *_sizes(input, y), align_corners, *_factors(scale_factors)),)

    return interpolation_vjp


INTERPOLATIONS = {
    aten.upsample_bilinear2d: aten.upsample_bilinear2d_backward,
    aten.upsample_bicubic2d: aten.upsample_bicubic2d_backward,
    aten._upsample_bilinear2d_aa: aten._upsample_bilinear2d_aa_backward,
    aten._upsample_bicubic2d_aa: aten._upsample_bicubic2d_aa_backward,
}
for interpolation, backward in INTERPOLATIONS.items():
    defvjp(interpolation, kind=kinds.RESAMPLING)(_adjoint(backward))


@defvjp(aten.channel_shuffle, kind=kinds.REORDER)
def channel_shuffle_vjp(ct, y, self, groups):
    """Shuffled in as many groups as one group had channels."""
    return (aten.channel_shuffle(ct, self.shape[1] // groups),)


@defvjp(aten.pixel_shuffle, kind=kinds.RESAMPLING)
def pixel_shuffle_vjp(ct, y, self, upscale_factor):
    """Its inverse."""
    return (aten.pixel_unshuffle(ct, upscale_factor),)


@defvjp(aten.pixel_unshuffle, kind=kinds.RESAMPLING)
def pixel_unshuffle_vjp(ct, y, self, downscale_factor):
    """Its inverse."""
    return (aten.pixel_shuffle(ct, downscale_factor),)


@defvjp(aten.im2col, kind=kinds.RESAMPLING)
def im2col_vjp(ct, y, self, kernel_size, dilation, padding, stride):
    """The patches added up where they were cut."""
    return (aten.col2im(ct, self.shape[2:], kernel_size, dilation, padding, stride),)


@defvjp(aten.col2im, kind=kinds.RESAMPLING)
def col2im_vjp(ct, y, self, output_size, kernel_size, dilation, padding, stride):
    """Cut into the patches that were added up."""
    return (aten.im2col(ct, kernel_size, dilation, padding, stride),)


def _sizes(x, y):
    """The output's height and width, and the input's shape."""
    return list(y.shape[2:]), list(x.shape)


def _factors(scale_factors):
    return scale_factors or (None, None)
