"""The rules of relevance without weights stated anew: sums, products, norms, attention. See `by_weights`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .by_weights import LINEAR, Asked, divisor, grads, in_proportion


def _passed(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return [r]


def _of_gate(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    if "glu" in asked.name:
        return [torch.cat([r, r], asked.args[1] if len(asked.args) > 1 else -1) / 2]
    return [r]


def _to_shape(value: Tensor, like: Tensor) -> Tensor:
    return value.sum_to_size(like.shape)


def _half_each(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    left, right = asked.args[:2]
    if all(asked.active[:2]):
        if "div" in asked.name:
            return [_to_shape(r, left), torch.zeros_like(right)]
        return [_to_shape(r, left) / 2, _to_shape(r, right) / 2]
    return [_to_shape(r, left if asked.active[0] else right)]


def _to_the_signal(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    left, right = asked.args[:2]
    if all(asked.active[:2]) and "mul" in asked.name and left.numel() != right.numel():
        return [r if factor.shape == r.shape else torch.zeros_like(factor) for factor in (left, right)]
    return _half_each(rule, asked, r)


def _by_terms(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return [r] if "neg" in asked.name else in_proportion(asked, r)


def _by_sizes(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    sizes = [value.abs() if isinstance(value, Tensor) else abs(value) for value in asked.args[:2]]
    factor = abs(asked.args[2] if len(asked.args) > 2 else asked.options.get("alpha", 1))
    sizes = [sizes[0] * factor, sizes[1]] if "rsub" in asked.name else [sizes[0], sizes[1] * factor]
    ratio = r / divisor(sizes[0] + sizes[1])
    return [
        _to_shape(size * ratio, value)
        for size, value, active in zip(sizes, asked.args, asked.active, strict=False)
        if active
    ]


def _of_norm(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    """With the deviation held constant: the call itself, but for what a deviation adds to its gradient."""
    x, y = asked.args[0], asked.function(*asked.args)
    y = y[0] if isinstance(y, tuple) else y
    if "batch_norm" in asked.name or ("instance_norm" in asked.name and not asked.args[5]):
        return in_proportion(asked, r)
    if "group_norm" in asked.name or "instance_norm" in asked.name:
        groups = asked.args[1] if "group_norm" in asked.name else x.shape[1]
        weight, eps = (
            (asked.args[2], asked.args[4]) if "group_norm" in asked.name else (asked.args[1], asked.args[7])
        )
        grouped = x.unflatten(1, (groups, -1))
        axes, shape = list(range(2, grouped.dim())), (-1, *[1] * (x.dim() - 2))
    else:
        axes, weight = list(range(-len(asked.args[1]), 0)), asked.args[2] if len(asked.args) > 2 else None
        eps = asked.args[-1] if asked.args[-1] is not None else torch.finfo(x.dtype).eps
        grouped, shape = x, (-1,)
    centred = "rms" not in asked.name
    spread = grouped - grouped.mean(axes, keepdim=True) if centred else grouped
    deviation = (spread.square().mean(axes, keepdim=True) + eps).sqrt()

    def of(x: Tensor) -> Tensor:
        value = x.reshape(grouped.shape)
        value = (value - value.mean(axes, keepdim=True) if centred else value) / deviation
        value = value.reshape(x.shape)
        scale: Tensor | float = 1.0 if weight is None else weight if shape == (-1,) else weight.view(shape)
        found: Tensor = value * scale
        return found

    return grads(of, [x], r / divisor(y))


def _of_softmax(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    x, dim = asked.args[:2]
    return [x * (r - torch.softmax(x, dim) * r.sum(dim, keepdim=True))]


def _of_matmul(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    if "einsum" in asked.name:
        return in_proportion(asked, r, 1 / sum(asked.active))
    found = in_proportion(asked, r)
    factors = asked.active[-2:] if len(asked.active) == 2 else asked.active[1:3]
    if not all(factors):
        return found
    return [*found[:-2], *(share / 2 for share in found[-2:])]


def _of_matmul_whole(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return in_proportion(asked, r)


def _parts_of_attention(asked: Asked) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]:
    """Q Kᵀ s as a function of the two, its value, and the weights."""
    query, key = asked.args[:2]
    rest: list[Any] = [*asked.args[3:6], *(None, 0.0, False)[len(asked.args[3:6]) :]]
    (mask, _, causal), scale = rest, asked.options.get("scale")
    scale = query.shape[-1] ** -0.5 if scale is None else scale

    def dot(q: Tensor, k: Tensor) -> Tensor:
        found: Tensor = torch.einsum("...qd,...kd->...qk", q, k) * scale
        return found

    scores = dot(query, key)
    hidden = torch.zeros_like(scores)
    if causal:
        hidden = hidden.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    if mask is not None:
        hidden = hidden.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else hidden + mask
    return dot, scores, (scores + hidden).softmax(-1)


def _of_attention(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    query, key, value = asked.args[:3]
    dot, scores, weights = _parts_of_attention(asked)
    if "values_alone" in rule.__name__:
        (to_value,) = grads(lambda v: weights @ v, [value], lambda y: r / divisor(y))
        return _of_those_that_move(asked, [torch.zeros_like(query), torch.zeros_like(key), to_value])
    to_weights, to_value = grads(torch.matmul, [weights, value], lambda y: r / divisor(y) / 2)
    to_scores = scores * (to_weights - weights * to_weights.sum(-1, keepdim=True))
    to_both = grads(dot, [query, key], lambda z: to_scores / divisor(z) / 2)
    return _of_those_that_move(asked, [*to_both, to_value])


def _of_those_that_move(asked: Asked, shares: Sequence[Tensor]) -> list[Tensor]:
    return [share for share, active in zip(shares, asked.active, strict=False) if active]


def _along_attention(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    """Rᵀ A, as a sum over the tokens that look."""
    if not r.any():  # as between the scores and their softmax
        return _nothing(rule, asked, r)
    if len(asked.args) == 2:
        weights, value = asked.args
        whole = torch.ones(()).to(weights)
        if bool((weights < 0).any()) or not torch.allclose(weights.sum(-1), whole, atol=1e-2):
            raise ValueError("the mass of tokens through a product that is no attention")
    else:
        weights, value = _parts_of_attention(asked)[2], asked.args[2]
    if rule.by_gradient:
        assert asked.gradient is not None
        weights = weights * torch.einsum("...qd,...kd->...qk", asked.gradient, value)
        weights = torch.where(weights > 0, weights, 0)
    to_value = torch.einsum("...qk,...qd->...kd", weights, r)
    beside = [weights] if len(asked.args) == 2 else asked.args[:2]
    return _of_those_that_move(asked, [*map(torch.zeros_like, beside), to_value])


def _to_each(share: float) -> Callable[[Any, Asked, Tensor], list[Tensor]]:
    def formula(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
        moving = [value for value, active in zip(asked.args, asked.active, strict=True) if active]
        return [_to_shape(r if len(moving) == 1 else share * r, value) for value in moving]

    return formula


def _reduced(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    (x,) = (value for value, active in zip(asked.args, asked.active, strict=True) if active)
    return grads(lambda ones: asked.function(ones, *asked.args[1:]), [torch.ones_like(x)], r)


def _size_evenly(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return LINEAR["Flat"](rule, asked, r.abs())


def _nothing(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return [torch.zeros_like(a) for a, active in zip(asked.args, asked.active, strict=True) if active]


# By the name of a rule: (rule, the call, the relevance of its output) -> that of each argument that changes with
# the image. What `moves` relevance does it as autograd moves gradients.
FORMULAS: dict[str, Callable[[Any, Asked, Tensor], list[Tensor]]] = {
    **LINEAR,
    "passed": _passed,
    "of_gate": _of_gate,
    "half_each": _half_each,
    "to_the_signal": _to_the_signal,
    "by_terms": _by_terms,
    "by_sizes": _by_sizes,
    "proportional": LINEAR["Epsilon"],
    "of_reduction": LINEAR["Epsilon"],
    "of_norm": _of_norm,
    "of_softmax": _of_softmax,
    "of_matmul": _of_matmul,
    "of_matmul_whole": _of_matmul_whole,
    "of_attention": _of_attention,
    "of_values_alone": _of_attention,
    "nothing": _nothing,
    "AlongAttention": _along_attention,
    "half_to_each": _to_each(0.5),
    "all_to_each": _to_each(1.0),
    "evenly_reduced": _reduced,
    "size_evenly": _size_evenly,
    "whole": _passed,
}
MOVING = ("moved",)
