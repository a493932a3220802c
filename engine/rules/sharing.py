"""Relevance through all that has no weights: sums, products, pools, norms, attention, activations, moves.

See `relevance` for what a rule is and for the stabiliser. What moves values without computing anything moves
their relevance alike, by its own vector-Jacobian product. The rules of attention and norms are AttnLRP's, Achtibat
et al. 2024, arXiv:2402.05602.
"""

import math
from typing import Any

import torch

from .policy import Call
from .registry import aten, unbroadcast
from .relevance import Shares, stabilised


def moved(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """By the op's own rule: to where the value came from, as a max pooling's goes to the pixel that won."""
    return call(relevance, y, *args)


def passed(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """All of it, to the one value that the result was made of: an activation takes none."""
    values = [hasattr(argument, "shape") and active for argument, active in zip(args, call.active, strict=False)]
    if sum(values) != 1:
        raise NotImplementedError(f"relevance through aten.{call.op.__name__} of several values")
    return tuple(relevance if own else None for own in values)


def proportional(call: Call, relevance: Any, y: Any, input: Any, *args: Any) -> Shares:
    """Of a linear map without weights, in proportion to what each value added, x · (∂y/∂x)ᵀ (R / y). Where it is
    linear in one value alone, as a grid that depends on the image makes it, there is no rule."""
    if sum(call.active) > 1:
        raise NotImplementedError(f"relevance through aten.{call.op.__name__} of several values")
    return input * call(relevance / stabilised(y), y, input, *args)[0], *[None] * len(args)


def by_terms(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a sum, to each term in proportion to itself: R a / (a + b). What falls on a constant is lost."""
    if call.op is aten.neg:
        return (relevance,)
    shares = call(relevance / stabilised(y), y, *args)
    return tuple(
        term * share if active and share is not None else None
        for term, share, active in zip(args, shares, call.active, strict=False)
    )


def by_sizes(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a sum, to each term by its size: R |a| / (|a| + |b|), which is well-conditioned where terms cancel."""
    if call.op is aten.neg:
        return (relevance,)
    left, right, *factor = args
    left, right = (aten.abs(term * 1) if hasattr(term, "shape") else abs(term) for term in (left, right))
    if factor and call.op is not aten.rsub:
        right = right * abs(factor[0])
    elif factor:
        left = left * abs(factor[0])
    ratio = relevance / stabilised(left + right, 1)
    return tuple(
        unbroadcast(term * ratio, own) if active else None
        for term, own, active in zip((left, right), args, call.active, strict=False)
    )


def to_the_signal(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a product, all of it to the factor that the other one weighs, as a squeeze-and-excitation's gate weighs
    channels: the one that was not broadcast. Half to each of two alike. A divisor gets nothing."""
    left, right = _factors(call, args)
    if call.active[:2] == (True, True) and call.op is aten.mul and left.shape != right.shape:
        signal = _larger(left, right, y)
        return (relevance, None) if signal is left else (None, relevance)
    return half_each(call, relevance, y, *args)


def half_each(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a product, half to each factor that changes with the image, AttnLRP's rule; a divisor gets nothing."""
    left, right = _factors(call, args)
    both = call.active[:2] == (True, True)
    if call.op is aten.div and both:
        return unbroadcast(relevance, left), None
    relevance = relevance * 0.5 if both else relevance
    return tuple(
        unbroadcast(relevance, factor) if active else None
        for factor, active in zip((left, right), call.active, strict=False)
    )


def _factors(call: Call, args: Any) -> tuple[Any, Any]:
    if call.op not in (aten.mul, aten.div):
        raise NotImplementedError(f"relevance through aten.{call.op.__name__}")
    return args[0], args[1]


def _larger(left, right, y):
    """Of two factors the one that has the shape of their product."""
    return left if list(map(str, left.shape)) == list(map(str, y.shape)) else right


def of_reduction(call: Call, relevance: Any, y: Any, input: Any, *args: Any) -> Shares:
    """Of a mean, a sum or a norm, in proportion to what each value added; a moment has no such parts."""
    if call.op not in (aten.mean, aten.sum, aten.linalg_vector_norm):
        raise NotImplementedError(f"relevance through aten.{call.op.__name__}")
    return proportional(call, relevance, y, input, *args)


def of_cumulation(call: Call, relevance: Any, y: Any, input: Any, *args: Any) -> Shares:
    """Of running sums in proportion, of running extremes to the value that won."""
    return (proportional if call.op is aten.cumsum else moved)(call, relevance, y, input, *args)


def of_norm(call: Call, relevance: Any, y: Any, input: Any, *args: Any) -> Shares:
    """Of a normalisation, with its deviation held constant: what is left is linear, and shared out in proportion.
    What falls on its bias and on the mean that it takes off is lost."""
    op = call.op
    if op is aten.batch_norm or (op is aten.instance_norm and not args[4]):
        return proportional(call, relevance, y, input, *args)
    if op is aten.native_layer_norm:
        shape, weight, _bias, _eps = args
        axes = list(range(-len(shape), 0))
        ct = relevance[0] / stabilised(y[0]) * y[2]
        ct = ct if weight is None else ct * weight
        return input * (ct - aten.mean(ct, axes, True)), *[None] * 3
    if op is aten.rms_norm:
        shape, weight, eps = (*args, None, None)[:3]
        axes = list(range(-len(shape), 0))
        eps = torch.finfo(input.dtype).eps if eps is None else eps
        ct = relevance / stabilised(y) * aten.rsqrt(aten.mean(input * input, axes, True) + eps)
        return input * (ct if weight is None else ct * weight), None
    if op is aten.group_norm:
        groups, weight, _bias, eps = (*args, *(None, None, 1e-5)[len(args) - 1 :])[:4]
    elif op is aten.instance_norm:
        groups, weight, eps = input.shape[1], args[0], args[6]
    else:
        raise NotImplementedError(f"relevance through aten.{op.__name__}")
    ct = relevance / stabilised(y)
    if weight is not None:
        ct = ct * aten.reshape(weight, [1, -1] + [1] * (len(input.shape) - 2))
    grouped = [input.shape[0], groups, -1]
    ct, values = aten.reshape(ct, grouped), aten.reshape(input, grouped)
    centred = values - aten.mean(values, [2], True)
    ct = ct * aten.rsqrt(aten.mean(centred * centred, [2], True) + eps)
    return aten.reshape(values * (ct - aten.mean(ct, [2], True)), input.shape), *[None] * len(args)


def of_softmax(call: Call, relevance: Any, y: Any, self: Any, dim: Any, *args: Any) -> Shares:
    """x (R - y Σ R): a Taylor expansion at x, whose bias takes what is not conserved."""
    if call.op is not aten.softmax:
        raise NotImplementedError(f"relevance through aten.{call.op.__name__}: compile with below_softmax=True")
    return (self * (relevance - y * aten.sum(relevance, [dim], True)),)


def of_gate(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Through a squashing function all of it; a GLU is a product of its halves, which get half each."""
    if call.op is aten.glu:
        half, dim = relevance * 0.5, args[1] if len(args) > 1 else -1
        return (aten.cat([half, half], dim),)
    return passed(call, relevance, y, *args)


def of_matmul(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of products of two values, half to each side in proportion to what it added; all to the only one that
    changes with the image. What is added besides, to itself in proportion."""
    return _of_products(call, relevance, y, args, 0.5)


def of_matmul_whole(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """As `of_matmul`, with all of it to each side: of the two one is held constant below, as weights of attention
    are, and what comes there is dropped."""
    return _of_products(call, relevance, y, args, 1.0)


def _of_products(call: Call, relevance: Any, y: Any, args: Any, part: float) -> Shares:
    """part: what each of two sides gets that both change with the image."""
    if call.op is aten._cdist_forward:
        raise NotImplementedError("relevance through aten._cdist_forward")
    ratio = relevance / stabilised(y)
    if call.op is aten.einsum:
        _, tensors, *_ = args
        ratio = ratio * part if all(call.active[1]) else ratio
        return ([x * share for x, share in zip(tensors, call(ratio, y, *args)[0], strict=True)],)
    shares = call(ratio, y, *args)
    factors = len(shares) - 2
    both = all(call.active[factors : factors + 2])
    return tuple(
        (x * share * part if both and index >= factors else x * share) if active else None
        for index, (x, share, active) in enumerate(zip(args, shares, call.active, strict=False))
    )


def of_attention(
    call: Call, relevance: Any, y: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any
) -> Shares:
    """softmax(Q Kᵀ s) V by its parts: half to the values, half by way of the softmax to queries and keys."""
    scores, weights, scale = _attention(query, key, attn_mask, args)
    ratio = relevance / stabilised(y) * 0.5
    to_value = value * aten.matmul(aten.transpose(weights, -2, -1), ratio)
    to_weights = weights * aten.matmul(ratio, aten.transpose(value, -2, -1))
    to_scores = scores * (to_weights - weights * aten.sum(to_weights, [-1], True))
    ratio = to_scores / stabilised(scores) * (0.5 * scale)
    to_query = query * aten.matmul(ratio, key)
    return to_query, key * aten.matmul(aten.transpose(ratio, -2, -1), query), to_value, None


def of_values_alone(
    call: Call, relevance: Any, y: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any
) -> Shares:
    """softmax(Q Kᵀ s) V with the weights held constant, CP-LRP of Ali et al. 2022, arXiv:2202.07304: all of it to
    the values."""
    _, weights, _ = _attention(query, key, attn_mask, args)
    ratio = relevance / stabilised(y)
    return None, None, value * aten.matmul(aten.transpose(weights, -2, -1), ratio), None


def nothing(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """No relevance goes through: what is made here is held constant."""
    return tuple(None for _ in args)


def attention_weights(query: Any, key: Any, mask: Any = None, *args: Any) -> Any:
    """softmax(Q Kᵀ s) of a call of attention."""
    return _attention(query, key, mask, args)[1]


def _attention(query: Any, key: Any, mask: Any, args: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """The scores Q Kᵀ s before the mask, the weights, and s."""
    rest: list[Any] = [*args, *(0.0, False, None, False)[len(args) :]]
    dropout, causal, scale, grouped = rest
    if grouped or dropout:
        raise NotImplementedError("relevance through attention with grouped queries or dropout")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = aten.matmul(query, aten.transpose(key, -2, -1)) * scale
    masked = scores
    if causal:
        masked = aten.where(aten.tril(aten.ones_like(scores)) > 0, scores, -math.inf)
    if mask is not None:
        masked = aten.where(mask, scores, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores, aten.softmax(masked, -1), scale
