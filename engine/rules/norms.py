"""The rules of normalisations, in evaluation. See `registry` for what a rule is."""

import torch

from . import kinds
from .registry import aten, defvjp


@defvjp(aten.batch_norm, kind=kinds.NORM)
def batch_norm_vjp(ct, y, input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """In evaluation BatchNorm is affine: multiply by weight / sqrt(running_var + eps)."""
    scale = aten.rsqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    return ct * aten.reshape(scale, [1, -1] + [1] * (len(input.shape) - 2)), None, None, None, None


@defvjp(aten.native_layer_norm, kind=kinds.NORM)
def native_layer_norm_vjp(ct, y, input, normalized_shape, weight, bias, eps):
    """Project out the mean and the direction of the normalised value, divide by the deviation."""
    only_input = [True, False, False]
    grads = aten.native_layer_norm_backward(ct[0], input, normalized_shape, y[1], y[2], weight, bias, only_input)
    return grads[0], None, None


@defvjp(aten.rms_norm, kind=kinds.NORM)
def rms_norm_vjp(ct, y, input, normalized_shape, weight=None, eps=None):
    """As LayerNorm without the mean. Without an eps, torch takes the smallest step of the precision."""
    axes = list(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    scale = aten.rsqrt(aten.mean(input * input, axes, True) + eps)
    ct, value = ct if weight is None else ct * weight, input * scale
    return (ct - value * aten.mean(ct * value, axes, True)) * scale, None


@defvjp(aten.group_norm, kind=kinds.NORM)
def group_norm_vjp(ct, y, input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """As LayerNorm, over the channels and pixels of a group."""
    return _standardised(ct, input, num_groups, weight, eps), None, None


@defvjp(aten.instance_norm, kind=kinds.NORM)
def instance_norm_vjp(
    ct, y, input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled
):
    """As LayerNorm, over the pixels of a channel; with running statistics as BatchNorm."""
    if not use_input_stats:
        return batch_norm_vjp(ct, y, input, weight, bias, running_mean, running_var, False, momentum, eps, False)
    return _standardised(ct, input, input.shape[1], weight, eps), None, None, None, None


def _standardised(ct, x, groups, weight, eps):
    """Project out the mean and the direction of the standardised value, divide by the deviation."""
    if weight is not None:
        ct = ct * aten.reshape(weight, [1, -1] + [1] * (len(x.shape) - 2))
    grouped = [x.shape[0], groups, -1]
    ct = aten.reshape(ct, grouped)
    centred = aten.reshape(x, grouped)
    centred = centred - aten.mean(centred, [2], True)
    scale = aten.rsqrt(aten.mean(centred * centred, [2], True) + eps)
    value = centred * scale
    along = value * aten.mean(ct * value, [2], True)
    return aten.reshape((ct - aten.mean(ct, [2], True) - along) * scale, x.shape)
