"""The rules of linear maps. See `registry` for what a rule is."""

from . import kinds
from .registry import aten, defvjp, each


@defvjp(aten.conv1d, aten.conv3d, kind=kinds.CONVOLUTION)
def conv_vjp(ct, y, input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """As conv2d."""
    return conv2d_vjp(ct, y, input, weight, bias, stride, padding, dilation, groups)


@defvjp(aten.conv2d, kind=kinds.CONVOLUTION)
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


@defvjp(aten.conv_transpose1d, aten.conv_transpose3d, kind=kinds.CONVOLUTION)
def conv_transpose_vjp(
    ct, y, input, weight, bias=None, stride=(1,), padding=(0,), output_padding=(0,), groups=1, dilation=(1,)
):
    """As conv_transpose2d."""
    convolution = aten.conv1d if len(input.shape) == 3 else aten.conv3d
    return convolution(ct, weight, None, stride, padding, dilation, groups), None, None


@defvjp(aten.conv_transpose2d, kind=kinds.CONVOLUTION)
def conv_transpose2d_vjp(
    ct, y, input, weight, bias=None, stride=(1,), padding=(0,), output_padding=(0,), groups=1, dilation=(1,)
):
    """The adjoint of a transposed convolution is the convolution with the same kernel."""
    return aten.conv2d(ct, weight, None, stride, padding, dilation, groups), None, None


@defvjp(aten.linear, kind=kinds.DENSE)
def linear_vjp(ct, y, input, weight, bias=None):
    """x W^T + b, backwards: ct W."""
    return aten.matmul(ct, weight), None, None
