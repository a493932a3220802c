"""What a policy is, and what it is told of a call. See `policies` for those that there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import kinds
from .registry import Rule

Replacement = Callable[..., tuple[Any, ...]]  # (call, ct, y, *arguments) -> shares


@dataclass(frozen=True)
class Call:
    """A call as it is told to what stands for its rule: called, it is the op's own rule.

    op: what is called. active: of each argument, in the order of the rule's, does it change with the image? Of a
    list, a tuple of that.
    nonnegative: of each, is it known never to lie below zero? first, last: of the convolutions and linear layers,
    is none below it, or above it? bounds: of a first one, between which ends its input lies, broadcast to it.
    chances: of each argument, is it what a softmax over the last axis gave? gradient: of what is asked for by the
    call's output, for a policy that asks it.
    """

    op: Any
    rule: Rule
    active: tuple[Any, ...] = ()
    nonnegative: tuple[bool, ...] = ()
    first: bool = False
    last: bool = False
    bounds: tuple[Any, Any] | None = None
    chances: tuple[bool, ...] = ()
    gradient: Any = None

    def __call__(self, ct: Any, y: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The shares of the arguments by the op's own rule."""
        return self.rule(ct, y, *args, **kwargs)


@dataclass(frozen=True)
class Policy:
    """A way back through a network: kind of op -> what stands for the rules of that kind.

    first, last: the same for the convolutions and linear layers that the image comes to first, or that lie below
    no other one. Where it carries relevance it starts with seed times logits, a share of None means that none
    goes there, and a kind that it says nothing of is refused: an op's derivative shares out no relevance.
    alone: does it go through the network by itself, in a pass of its own? told: are its rules told of their calls,
    as those of a policy are that goes alone? follows: kinds of which the network has
    one at least, or there is nothing to follow. gradients: kinds whose calls are told the gradient of what is
    asked for by their output; such a policy starts at the logits alone.
    Raises ValueError for a kind that is not one of `kinds`.
    """

    name: str
    rules: Mapping[str, Replacement] = field(default_factory=dict)
    first: Mapping[str, Replacement] = field(default_factory=dict)
    last: Mapping[str, Replacement] = field(default_factory=dict)
    relevance: bool = False
    alone: bool = False
    told: bool = False
    follows: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [
            kind for table in (self.rules, self.first, self.last) for kind in table if kind not in kinds.ALL
        ]
        if unknown:
            raise ValueError(
                f"{self.name}: no kind is called {unknown[0]!r}; engine/rules/kinds.py has "
                f"{', '.join(sorted(kinds.ALL))}"
            )

    def pull(self, kind: str, call: Rule, ct: Any, y: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The shares of a call's arguments, from the cotangent `ct` of its output `y`.

        Raises NotImplementedError where a policy of relevance says nothing of the kind.
        """
        replacement = self.replacement(kind, call)
        if replacement is not None:
            return replacement(call, ct, y, *args, **kwargs)
        if self.relevance:
            op = getattr(call.op, "__name__", call.op) if isinstance(call, Call) else call.__name__
            raise NotImplementedError(f"{self.name} has no rule for aten.{op}, which is of the kind {kind!r}")
        return call(ct, y, *args, **kwargs)

    def replacement(self, kind: str, call: Rule) -> Replacement | None:
        """What stands for the rule of a call; None for its own."""
        if isinstance(call, Call):
            for table, there in ((self.first, call.first), (self.last, call.last)):
                if there and kind in table:
                    return table[kind]
        return self.rules.get(kind)
