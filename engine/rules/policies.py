"""The ReLU policies: what a backward pass lets through an activation.

A gate receives the activation's own rule, the cotangent of its output, and the output and input of the call.
It is asked once per activation *call*, so functional, in-place, reused and shared ReLUs are all gated alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .kinds import RECTIFIER

aten = torch.ops.aten

Gate = Callable[..., Any]


def gradient(rule: Callable[..., Any], kind: str, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """The derivative: ct where y > 0 for a ReLU. Simonyan et al. 2014."""
    return rule(ct, y, x, *args, **kwargs)


def deconvnet(rule: Callable[..., Any], kind: str, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """The positive part of ct, whatever the forward pass did: max(ct, 0). Zeiler and Fergus 2014."""
    return (aten.relu(ct),)


def guided(rule: Callable[..., Any], kind: str, ct: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Both at once: the derivative of the positive part of ct, where the input was positive.

    A rectifier's derivative is zero below zero by itself; a smooth activation's is not, so there the mask is
    explicit. Springenberg et al. 2015.
    """
    passed, *rest = rule(aten.relu(ct), y, x, *args, **kwargs)
    return (passed if kind == RECTIFIER else passed * (x > 0), *rest)


GATES: dict[str, Gate] = {gate.__name__: gate for gate in (gradient, deconvnet, guided)}


@dataclass(frozen=True)
class Coverage:
    """How much of a network the gates reach: a count of calls per op.

    `rectifiers` (ReLU, ReLU6) and `smooth` activations (SiLU, GELU, Hardswish, …) are gated. `plain` calls bend
    and are no activations: sigmoid, softmax and tanh weigh other values, where, maximum and comparisons choose
    between values. They keep their derivative under every gate. `detached` says where the network's author took
    values out of the gradient, by `detach` or `no_grad`: nothing flows back there, under any gate.
    """

    rectifiers: dict[str, int] = field(default_factory=dict)
    smooth: dict[str, int] = field(default_factory=dict)
    plain: dict[str, int] = field(default_factory=dict)
    detached: tuple[str, ...] = ()  # where the network itself takes values out of the gradient

    @property
    def gated(self) -> int:
        """The number of activation calls that the gates act on."""
        return sum(self.rectifiers.values()) + sum(self.smooth.values())

    def __str__(self) -> str:
        if not self.gated:
            return f"no activation to gate: guided backprop and deconvnet equal the gradient{self._kept}"
        text = f"{self.gated} of {self.gated} activations gated"
        if smooth := sum(self.smooth.values()):
            text += f", {smooth} of them smooth ({', '.join(self.smooth)})"
        return text + self._kept

    @property
    def _kept(self) -> str:
        calls = sum(self.plain.values())
        kept = f"; {calls} {'/'.join(self.plain)} calls keep their derivative" if calls else ""
        return kept + (f"; detached by the network itself: {', '.join(self.detached)}" if self.detached else "")
