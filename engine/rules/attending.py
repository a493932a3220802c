"""Rules that follow a token's mass through attention, whatever its values are.

Attention rollout, Abnar and Zuidema 2020, arXiv:2005.00928, multiplies the weights of all blocks, each averaged
over its heads and halved with the identity: Ã = (A + I) / 2, and reads the row of the token that the head reads.
Chefer et al. 2021, arXiv:2103.15679, weigh them by their gradients and add: R ← R + Ā R with Ā the mean over heads
of max(0, ∂s/∂A · A). Read from the head downwards, a row r of either goes through the blocks like relevance:

    rollout   r ← r/2 + Ãᵀ r/2        at a residual sum, half to each side
    Chefer    r ← r + Āᵀ r            at a residual sum, all to each side

A token's mass lies evenly on its features, so that an average over heads, which lie side by side among them, comes
of itself, and what a linear layer makes of one token stays with it.
"""

from dataclasses import dataclass
from typing import Any

from .policy import Call
from .registry import aten, unbroadcast
from .relevance import Flat, Shares
from .sharing import attention_weights


def size_evenly(call: Call, relevance: Any, y: Any, input: Any, weight: Any, *rest: Any) -> Shares:
    """Of the last linear layer, the size of what is asked for, evenly: mass has no sign."""
    return Flat()(call, aten.abs(relevance), y, input, weight, *rest)


def whole(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """What is done to a token leaves its mass where it is."""
    mass = relevance[0] if isinstance(relevance, (list, tuple)) else relevance
    return mass, *[None] * (len(args) - 1)


def half_to_each(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a sum, half to each term that changes with the image."""
    return _to_each(call, relevance, args, 0.5)


def all_to_each(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a sum, all to each term that changes with the image: what comes by a block adds to what stays."""
    return _to_each(call, relevance, args, 1.0)


def _to_each(call: Call, mass: Any, args: Any, part: float) -> Shares:
    if call.op is aten.neg:
        return (mass,)
    share = mass * part if all(call.active[:2]) else mass
    return tuple(
        unbroadcast(share, term) if active else None for term, active in zip(args, call.active, strict=False)
    )


def evenly_reduced(call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
    """Of a mean over tokens, the same to each; of other numbers made of many, nothing is known."""
    if call.op is not aten.mean:
        raise NotImplementedError(f"the mass of tokens through aten.{call.op.__name__}")
    return call(relevance, y, *args)


@dataclass(frozen=True)
class AlongAttention:
    """To the values, by the weights: Aᵀ r. by_gradient: with max(0, ∂s/∂A · A) in the place of A."""

    by_gradient: bool = False

    def __call__(self, call: Call, relevance: Any, y: Any, *args: Any) -> Shares:
        """The share of the values."""
        if call.op in (aten.matmul, aten.bmm) and call.chances[:1] == (True,):
            weights, value = args
            return None, self._shared(call, relevance, weights, value)
        if call.op is not aten.scaled_dot_product_attention:
            raise NotImplementedError(f"the mass of tokens through aten.{call.op.__name__} of two values")
        query, key, value, *rest = args
        weights = attention_weights(query, key, *rest)
        return None, None, self._shared(call, relevance, weights, value), None

    def _shared(self, call: Call, mass: Any, weights: Any, value: Any) -> Any:
        if self.by_gradient:
            weights = aten.relu(weights * aten.matmul(call.gradient, aten.transpose(value, -2, -1)))
        return aten.matmul(aten.transpose(weights, -2, -1), mass)
