"""Where rules are kept: one vector-Jacobian product per ATen op.

A rule is `rule(ct, y, *arguments)`: the cotangent of the output, the output, and the op's own arguments under
their ATen names. It returns one cotangent per tensor argument, None where no path to the image can run. Called
on tensors it computes; called on the compiler's proxies the same source writes the backward listing.

An op that returns several tensors has a tuple of cotangents for `ct`, None for outputs that nobody reads.
"""

from collections.abc import Callable
from typing import Any

import torch

from . import kinds

aten = torch.ops.aten


Rule = Callable[..., tuple[Any, ...]]

VJPS: dict[Any, Rule] = {}
KINDS: dict[Any, str] = {}  # op -> what it is, one of `kinds`


def defvjp(*ops: Any, kind: str | None = None) -> Callable[[Rule], Rule]:
    """Register a rule for `ops`. `kind` says what they are, a name of `kinds`; ops of several kinds that share a
    rule take one decorator per kind.

    Raises TypeError without a kind, ValueError for one that is not known or an op that has a rule.
    """
    if kind is None:
        raise TypeError(f"{', '.join(map(str, ops))}: say what it is, kind=..., a name of engine/rules/kinds.py")
    if kind not in kinds.ALL:
        raise ValueError(f"no kind is called {kind!r}; engine/rules/kinds.py has {', '.join(sorted(kinds.ALL))}")

    def register(rule: Rule) -> Rule:
        for op in ops:
            if op in VJPS:
                raise ValueError(f"{op} has a rule already: {VJPS[op].__name__}")
            VJPS[op], KINDS[op] = rule, kind
        return rule

    return register


def scalar(op: Any, pull: Callable[[Any, Any, Any], Any], *, kind: str = kinds.ELEMENTWISE) -> Rule:
    """Register the rule of a function of each number by itself: (ct, y, x) -> the cotangent of x."""

    def rule(ct, y, self):
        return (pull(ct, y, self),)

    rule.__name__ = rule.__qualname__ = f"{op.__name__}_vjp"
    return defvjp(op, kind=kind)(rule)


def ops_of(*wanted: str) -> frozenset[Any]:
    """The ops of these kinds. Ask after `pages` was imported, which registers all of them."""
    return frozenset(op for op, kind in KINDS.items() if kind in wanted)


def unbroadcast(ct, x):
    """Sum `ct` over the axes along which `x` was broadcast; None for a plain number."""
    if not hasattr(x, "shape"):
        return None
    if is_complex(ct) and not is_complex(x):
        ct = real_part(ct)  # a real value has no imaginary part to move
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


def conj(x):
    """The complex conjugate; a real value, or a number, is its own."""
    return aten.conj_physical(x) if is_complex(x) else x


def real_part(x):
    """Of complex numbers."""
    return aten.select(aten.view_as_real(x), -1, 0)


def is_complex(x):
    """Is this a tensor of complex numbers?"""
    return hasattr(x, "dtype") and x.dtype.is_complex


def _is_one(length):
    """A symbolic batch size is not one, though a batch may hold one image: no guard is put on it."""
    return isinstance(length, int) and length == 1


def each(value, axes):
    """One number per axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
