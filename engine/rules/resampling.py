"""The rules of ops that change the grid of pixels: resizing, shuffling pixels and channels, patches.

See `registry` for what a rule is. Resizing is linear, and its adjoint is an op of its own.
"""

from . import kinds
from .registry import aten, defvjp


def _nearest(backward):
    """The rule of repeating pixels, whose adjoint is `backward`."""

    def nearest_vjp(ct, y, input, output_size, scale_factors):
        """Each pixel gets the sum over its copies."""
        return (backward(ct, *_sizes(input, y), *_factors(scale_factors, input)),)

    return nearest_vjp


def _adjoint(backward):
    """The rule of an interpolation whose adjoint is `backward`."""

    def interpolation_vjp(ct, y, input, output_size, align_corners, scale_factors):
        """Each pixel gets what it was weighed with."""
        return (backward(ct, *_sizes(input, y), align_corners, *_factors(scale_factors, input)),)

    return interpolation_vjp


COPIES = {
    aten.upsample_nearest1d: aten.upsample_nearest1d_backward,
    aten.upsample_nearest2d: aten.upsample_nearest2d_backward,
    aten.upsample_nearest3d: aten.upsample_nearest3d_backward,
    aten._upsample_nearest_exact1d: aten._upsample_nearest_exact1d_backward,
    aten._upsample_nearest_exact2d: aten._upsample_nearest_exact2d_backward,
    aten._upsample_nearest_exact3d: aten._upsample_nearest_exact3d_backward,
}
INTERPOLATIONS = {
    aten.upsample_linear1d: aten.upsample_linear1d_backward,
    aten.upsample_bilinear2d: aten.upsample_bilinear2d_backward,
    aten.upsample_trilinear3d: aten.upsample_trilinear3d_backward,
    aten.upsample_bicubic2d: aten.upsample_bicubic2d_backward,
    aten._upsample_bilinear2d_aa: aten._upsample_bilinear2d_aa_backward,
    aten._upsample_bicubic2d_aa: aten._upsample_bicubic2d_aa_backward,
}
for copying, backward in COPIES.items():
    defvjp(copying, kind=kinds.RESAMPLING)(_nearest(backward))
for interpolation, backward in INTERPOLATIONS.items():
    defvjp(interpolation, kind=kinds.RESAMPLING)(_adjoint(backward))


@defvjp(aten.grid_sampler_2d, kind=kinds.RESAMPLING)
def grid_sampler_2d_vjp(ct, y, input, grid, interpolation_mode, padding_mode, align_corners):
    """What each pixel was weighed with, and the slope of the image along the grid. Jaderberg et al. 2015."""
    how = (interpolation_mode, padding_mode, align_corners)
    grads = aten.grid_sampler_2d_backward(ct, input, grid, *how, [True, True])
    return grads[0], grads[1]


@defvjp(aten.grid_sampler_3d, kind=kinds.RESAMPLING)
def grid_sampler_3d_vjp(ct, y, input, grid, interpolation_mode, padding_mode, align_corners):
    """As grid_sampler_2d."""
    how = (interpolation_mode, padding_mode, align_corners)
    grads = aten.grid_sampler_3d_backward(ct, input, grid, *how, [True, True])
    return grads[0], grads[1]


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


@defvjp(aten.unfold, kind=kinds.RESAMPLING)
def unfold_vjp(ct, y, self, dimension, size, step):
    """The windows added up where they were cut."""
    return (aten.unfold_backward(ct, self.shape, dimension, size, step),)


def _sizes(x, y):
    """The output's height and width, and the input's shape."""
    return list(y.shape[2:]), list(x.shape)


def _factors(scale_factors, x):
    return scale_factors or [None] * (len(x.shape) - 2)
