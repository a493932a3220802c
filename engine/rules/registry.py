"""Where rules are kept: one vector-Jacobian product per ATen op.

A rule is `rule(ct, y, *arguments)`: the cotangent of the output, the output, and the op's own arguments under
their ATen names. It returns one cotangent per tensor argument, None where no path to the image can run. Called
on tensors it computes; called on the compiler's proxies the same source writes the backward listing.

An op that returns several tensors has a tuple of cotangents for `ct`, None for outputs that nobody reads.
"""

from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten


Rule = Callable[..., tuple[Any, ...]]


VJPS: dict[Any, Rule] = {}


ACTIVATIONS: dict[Any, str] = {}  # op -> RECTIFIER or SMOOTH: the ops that a gate acts on


def defvjp(*ops: Any, activation: str | None = None) -> Callable[[Rule], Rule]:
    """Register a rule for `ops`; `activation` says that gates act on it, and how it behaves below zero."""

    def register(rule: Rule) -> Rule:
        for op in ops:
            if op in VJPS:
                raise ValueError(f"{op} has a rule already: {VJPS[op].__name__}")
            VJPS[op] = rule
            if activation:
                ACTIVATIONS[op] = activation
        return rule

    return register


def unbroadcast(ct, x):
    """Sum `ct` over the axes along which `x` was broadcast; None for a plain number."""
    if not hasattr(x, "shape"):
        return None
    extra = len(ct.shape) - len(x.shape)
    stretched = [
        axis
        for axis, length in enumerate(ct.shape)
        if axis < extra or (_is_one(x.shape[axis - extra]) and not _is_one(length))
    ]
    if not stretched:
        return ct
    summed = aten.sum(ct, stretched, True)
    return aten.reshape(summed, x.shape) if extra else summed


def _is_one(length):
    """A symbolic batch size is not one, though a batch may hold one image: no guard is put on it."""
    return isinstance(length, int) and length == 1


def each(value, axes):
    """One number per axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
