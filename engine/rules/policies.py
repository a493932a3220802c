"""Policies: which rule each call gets on the way back.

A policy is a table from an op's kind to what stands there for the op's own rule; where it says nothing, that rule,
the derivative, stands. It is asked at every *call*, so functional, in-place, reused and shared ops are all treated
alike. What stands for a rule is told that rule first, and then all that the rule is told: the cotangent of the
call's output, the output, and the call's arguments. Like a rule it answers with a share for each argument that is
a tensor, and is an ordinary function on tensors.

The three ReLU gates are three such tables. They say something at activations alone. A composite of relevance rules
says something of every kind that it takes, and what it carries back is relevance in the place of a cotangent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import kinds
from .composites import COMPOSITES
from .differences import averaged, rescaled, rescaled_pool
from .kinds import CLAMP, ELEMENTWISE, MATMUL, MAX_POOL, PRODUCT, RECTIFIER, SMOOTH, SQUASH
from .policy import Policy
from .registry import Rule

aten = torch.ops.aten


def positive_part(rule: Rule, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """max(ct, 0), whatever the forward pass did. Zeiler and Fergus 2014."""
    return (aten.relu(ct),)


def guided_rectifier(rule: Rule, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The derivative of max(ct, 0), zero below zero by the rule itself. Springenberg et al. 2015."""
    return rule(aten.relu(ct), y, x, *args, **kwargs)


def guided_smooth(rule: Rule, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The same where the input was positive: a smooth activation has a slope below zero too."""
    passed, *rest = rule(aten.relu(ct), y, x, *args, **kwargs)
    return (passed * (x > 0), *rest)


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("gradient"),  # Simonyan et al. 2014
        Policy("deconvnet", {RECTIFIER: positive_part, SMOOTH: positive_part}),
        Policy("guided", {RECTIFIER: guided_rectifier, SMOOTH: guided_smooth}),
        Policy(
            "deep_lift",  # Shrikumar et al. 2017
            {
                **dict.fromkeys((RECTIFIER, SMOOTH, SQUASH, CLAMP, ELEMENTWISE), rescaled),
                **dict.fromkeys((PRODUCT, MATMUL), averaged),
                MAX_POOL: rescaled_pool,
            },
            told=True,
        ),
        *COMPOSITES,
    )
}
GATES = ("deconvnet", "guided")  # policies that let less through activations, and touch nothing else


@dataclass(frozen=True)
class Coverage:
    """How much of a network a policy reaches: counts of calls, by kind and op.

    replaced: calls with a rule of the policy's own. kept: calls with their derivative, and comparisons, which
    return truth values and have none. detached: where the network's author took values out of the gradient, by
    `detach` or `no_grad`: nothing flows back there, under any policy.
    """

    policy: str = "guided"
    replaced: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    detached: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """The number of calls that the policy acts on."""
        return sum(_count(self.replaced).values())

    @property
    def smooth(self) -> dict[str, int]:
        """Of those, the smooth activations."""
        return self.replaced.get(SMOOTH, {})

    @property
    def plain(self) -> dict[str, int]:
        """The calls that bend, and keep their derivative: op -> number."""
        return _count({kind: found for kind, found in self.kept.items() if kind in BENDS})

    def __str__(self) -> str:
        plain = self.plain
        if not self.replaced and self.policy not in GATES:
            return f"{self.policy}: every call keeps its derivative{self._detached}"
        kept = f"; {sum(plain.values())} {'/'.join(plain)} calls keep their derivative" if plain else ""
        return (self._gated() if self.policy in GATES else self._by_kind()) + kept + self._detached

    @property
    def _detached(self) -> str:
        return f"; detached by the network itself: {', '.join(self.detached)}" if self.detached else ""

    def _gated(self) -> str:
        if not self.calls:
            return "no activation to gate: guided backprop and deconvnet equal the gradient"
        smooth = sum(self.smooth.values())
        told = f", {smooth} of them smooth ({', '.join(self.smooth)})" if smooth else ""
        return f"{self.calls} of {self.calls} activations gated{told}"

    def _by_kind(self) -> str:
        counts = ", ".join(f"{sum(found.values())} {kind}" for kind, found in self.replaced.items())
        return f"{self.policy}: {counts} calls by a rule of its own"


COMPARISON = "comparison"  # of calls that return truth values: they have no rule, hence no kind
CHOOSING = "choosing"  # `max(a, b)` of two values, which as a pooling along an axis is known by its name
# Calls that bend and are no activations: some weigh other values, some choose between them. A normalisation and a
# pooling are no such calls: what they do is known by their names.
BENDS = frozenset(
    (
        *(kinds.RECTIFIER, kinds.SMOOTH, kinds.SQUASH, kinds.SOFTMAX, kinds.ATTENTION, kinds.CLAMP),
        *(kinds.ELEMENTWISE, kinds.FLAT, kinds.CHOICE, COMPARISON, CHOOSING),
    )
)


def _count(found: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Op -> calls, over all kinds."""
    counts: dict[str, int] = {}
    for ops in found.values():
        for op, number in ops.items():
            counts[op] = counts.get(op, 0) + number
    return counts
