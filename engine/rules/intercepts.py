"""What a call adds of its own: the intercept b of y = Df(x)[x] + b, for the full gradient.

A cotangent that comes to a call goes on to what the call was given, but for what falls on the intercept:

    Σ ct·y  =  Σ ct·b  +  Σ over its arguments, Σ share·argument

so that along a network  logit = Σ x·∂logit/∂x + Σ over all calls, Σ b·∂logit/∂y.  Srinivas and Fleuret 2019,
arXiv:1905.00780. A bias is an intercept; a clamp has one where it is at an end, a smooth activation everywhere.

An intercept here is a function (rule, ct, y, active, *arguments) -> (how, value), or None where b is zero.
`active` tells of each argument whether it depends on the image. How the value meets the cotangent: it is b itself,
a number for each of the CHANNELS, or broadcast over all ELEMENTS, or it is ct·b as a WHOLE. What the op's rule
does not read should not be read here: it would have to be kept for the way back.

Normalisations by the image's own moments, softmax and attention have none here: they are no bias of anything, and
what a full gradient lacks by them is told as a number.
"""

from collections.abc import Callable
from typing import Any

from . import kinds
from .pages import KINDS, ops_of
from .registry import Rule, aten

CHANNELS, ELEMENTS, WHOLE = "channels", "elements", "whole"
Found = tuple[str, Any] | None
Intercept = Callable[..., Found]
INTERCEPTS: dict[Any, Intercept] = {}


def defintercept(*ops: Any) -> Callable[[Intercept], Intercept]:
    """Register the intercept of `ops`, which have a rule."""

    def register(function: Intercept) -> Intercept:
        for op in ops:
            if op not in KINDS or op in INTERCEPTS:
                raise ValueError(f"{op} has no rule" if op not in KINDS else f"{op} has an intercept already")
            INTERCEPTS[op] = function
        return function

    return register


@defintercept(*ops_of(kinds.CONVOLUTION))
def of_convolution(
    rule: Rule, ct: Any, y: Any, active: Any, input: Any, weight: Any, bias: Any = None, *_: Any, **__: Any
) -> Found:
    """Its bias."""
    return None if bias is None else (CHANNELS, bias)


@defintercept(aten.linear)
def of_linear(rule: Rule, ct: Any, y: Any, active: Any, input: Any, weight: Any, bias: Any = None) -> Found:
    """Its bias, along the last axis."""
    return None if bias is None else (ELEMENTS, bias)


@defintercept(aten.batch_norm)
def of_batch_norm(
    rule: Rule,
    ct: Any,
    y: Any,
    active: Any,
    input: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    *rest: Any,
) -> Found:
    """bias - weight · mean / deviation, of one that was not folded."""
    _training, _momentum, eps, _ = rest
    shift = mean * aten.rsqrt(variance + eps)
    shift = aten.neg(shift if weight is None else shift * weight)
    return CHANNELS, shift if bias is None else shift + bias


@defintercept(aten.add)
def of_sum(rule: Rule, ct: Any, y: Any, active: Any, self: Any, other: Any, alpha: Any = 1) -> Found:
    """What is added that is no image's."""
    if all(active[:2]):
        return None
    return WHOLE, ct * (self if active[1] else _times(other, alpha))


@defintercept(aten.sub)
def of_difference(rule: Rule, ct: Any, y: Any, active: Any, self: Any, other: Any, alpha: Any = 1) -> Found:
    """What is taken off, or taken from."""
    if all(active[:2]):
        return None
    return WHOLE, ct * (self if active[1] else _times(other, -alpha))


@defintercept(aten.rsub)
def of_turned_difference(rule: Rule, ct: Any, y: Any, active: Any, self: Any, other: Any, alpha: Any = 1) -> Found:
    """Of other - alpha self."""
    if all(active[:2]):
        return None
    return WHOLE, ct * (other if active[0] else _times(self, -alpha))


@defintercept(aten.hardtanh)
def of_hardtanh(rule: Rule, ct: Any, y: Any, active: Any, self: Any, min_val: Any = -1, max_val: Any = 1) -> Found:
    """The end that it is at; zero between them."""
    return ELEMENTS, y - aten.hardtanh_backward(y, y, min_val, max_val)


@defintercept(aten.relu6)
def of_relu6(rule: Rule, ct: Any, y: Any, active: Any, self: Any) -> Found:
    """Six where it is at six."""
    return of_hardtanh(rule, ct, y, active, self, 0, 6)


def _of_bend(op: Any) -> Intercept:
    """f(x) - x f'(x). The value is computed anew, for what reads it may have written over it."""

    def of_bend(rule: Rule, ct: Any, y: Any, active: Any, self: Any, *args: Any, **kwargs: Any) -> Found:
        value = op(self, *args, **kwargs)
        passed, *_ = rule(ct, value, self, *args, **kwargs)
        return WHOLE, ct * value - self * passed

    return of_bend


for _op in ops_of(kinds.SMOOTH, kinds.SQUASH) - {aten.leaky_relu, aten.prelu, aten.glu}:
    defintercept(_op)(_of_bend(_op))


@defintercept(aten.mul)
def of_product(rule: Rule, ct: Any, y: Any, active: Any, self: Any, other: Any) -> Found:
    """-y where both are of the image, for Df gives 2 y then."""
    return (WHOLE, ct * aten.neg(self * other)) if all(active[:2]) else None


@defintercept(aten.div)
def of_quotient(rule: Rule, ct: Any, y: Any, active: Any, self: Any, other: Any) -> Found:
    """y where both are of the image, for Df gives none; 2 y where only the divisor is."""
    if not active[1]:
        return None
    return WHOLE, ct * (self / other) * (1 if active[0] else 2)


def _times(value: Any, factor: Any) -> Any:
    return value if factor == 1 else value * factor
