"""The rules of pooling. See `registry` for what a rule is."""

from . import kinds
from .registry import aten, defvjp, each


@defvjp(aten.max_pool2d_with_indices, kind=kinds.MAX_POOL)
def max_pool2d_vjp(ct, y, self, kernel_size, stride=(), padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Route each cotangent to the pixel that won."""
    window = (kernel_size, list(stride), list(padding), list(dilation), ceil_mode)
    return (aten.max_pool2d_with_indices_backward(ct[0], self, *window, y[1]),)


@defvjp(aten.adaptive_max_pool2d, kind=kinds.MAX_POOL)
def adaptive_max_pool2d_vjp(ct, y, self, output_size):
    """Route each cotangent to the pixel that won."""
    return (aten.adaptive_max_pool2d_backward(ct[0], self, y[1]),)


@defvjp(aten.max_pool3d_with_indices, kind=kinds.MAX_POOL)
def max_pool3d_vjp(ct, y, self, kernel_size, stride=(), padding=(0, 0, 0), dilation=(1, 1, 1), ceil_mode=False):
    """Route each cotangent to the element that won."""
    window = (kernel_size, list(stride) or kernel_size, list(padding), list(dilation), ceil_mode)
    return (aten.max_pool3d_with_indices_backward(ct[0], self, *window, y[1]),)


@defvjp(aten.adaptive_max_pool3d, kind=kinds.MAX_POOL)
def adaptive_max_pool3d_vjp(ct, y, self, output_size):
    """Route each cotangent to the element that won."""
    return (aten.adaptive_max_pool3d_backward(ct[0], self, y[1]),)


@defvjp(aten.max_unpool2d, kind=kinds.REORDER)
def max_unpool2d_vjp(ct, y, self, indices, output_size):
    """Read where the values were put."""
    flat = [*self.shape[:2], -1]
    read = aten.gather(aten.reshape(ct, flat), 2, aten.reshape(indices, flat))
    return aten.reshape(read, self.shape), None


@defvjp(aten.max_unpool3d, kind=kinds.REORDER)
def max_unpool3d_vjp(ct, y, self, indices, output_size, stride, padding):
    """As max_unpool2d."""
    return max_unpool2d_vjp(ct, y, self, indices, output_size)


@defvjp(aten.avg_pool2d, kind=kinds.AVERAGE_POOL)
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


@defvjp(aten.avg_pool1d, kind=kinds.AVERAGE_POOL)
def avg_pool1d_vjp(ct, y, self, kernel_size, stride=(), padding=(0,), ceil_mode=False, count_include_pad=True):
    """As avg_pool2d, on one row."""
    window = ([1, *each(w, 1)] if w else [] for w in (kernel_size, stride))
    sides = [0, *each(padding, 1)]
    row, cts = aten.unsqueeze(self, 2), aten.unsqueeze(ct, 2)
    out = aten.avg_pool2d_backward(cts, row, *window, sides, ceil_mode, count_include_pad, None)
    return (aten.squeeze(out, 2),)


@defvjp(aten.avg_pool3d, kind=kinds.AVERAGE_POOL)
def avg_pool3d_vjp(
    ct,
    y,
    self,
    kernel_size,
    stride=(),
    padding=(0, 0, 0),
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """An equal share to each element of the window, as in local response normalisation."""
    window = (kernel_size, list(stride), list(padding), ceil_mode, count_include_pad, divisor_override)
    return (aten.avg_pool3d_backward(ct, self, *window),)


@defvjp(aten.adaptive_avg_pool2d, kind=kinds.AVERAGE_POOL)
def adaptive_avg_pool2d_vjp(ct, y, self, output_size):
    """An equal share to each pixel of the bin; one bin needs no kernel of its own."""
    if list(y.shape[-2:]) == [1, 1]:
        return (aten.expand(ct / (self.shape[-2] * self.shape[-1]), self.shape),)
    return (aten._adaptive_avg_pool2d_backward(ct, self),)


@defvjp(aten.adaptive_avg_pool3d, aten._adaptive_avg_pool3d, kind=kinds.AVERAGE_POOL)
def adaptive_avg_pool3d_vjp(ct, y, self, output_size):
    """An equal share to each element of the bin."""
    return (aten._adaptive_avg_pool3d_backward(ct, self),)
