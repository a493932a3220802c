"""The rules of relevance with weights stated anew, each by autograd through a function that was changed for it.

What a rule writes as a product with an adjoint is a gradient times an input here, of the forward call itself with
other weights, other inputs, or a part of it held constant. No vector-Jacobian product of `rules` has a part in it.
A rule is found by its name; one that has no formula here is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]


@dataclass(frozen=True)
class Asked:
    """A call that relevance comes to. function: as TorchScript has it, of all positional arguments. active: which
    of them change with the image. bounds: between which ends the input of a first call lies. gradient: of what is
    asked for, by the call's output."""

    name: str
    function: Function
    args: list[Any]
    active: list[bool]
    bounds: tuple[Tensor, Tensor] | None
    options: dict[str, Any] = field(default_factory=dict)  # arguments that are given by name
    gradient: Tensor | None = None


def divisor(z: Tensor) -> Tensor:
    """z and a millionth of its root mean square, over an image's pixels or along a vector, away from zero."""
    square = z.square()
    mean = (
        square.flatten(1).mean(1).view(-1, *[1] * (z.dim() - 1)) if z.dim() > 3 else square.mean(-1, keepdim=True)
    )
    step = 1e-6 * mean.sqrt() + 1e-20
    return z + torch.copysign(step, torch.where(z == 0, 1.0, z))


def grads(
    function: Function, inputs: Sequence[Tensor], ratio: Tensor | Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Each input times the gradient of Σ function · ratio, where a ratio may be made of the function's value."""
    leaves = [value.detach().requires_grad_() for value in inputs]
    with torch.enable_grad():
        y = function(*leaves)
        weights = ratio(y.detach()) if callable(ratio) else ratio
        found = torch.autograd.grad(y, leaves, weights, allow_unused=True)
    return [
        value * (torch.zeros_like(value) if grad is None else grad)
        for value, grad in zip(inputs, found, strict=True)
    ]


def in_proportion(asked: Asked, r: Tensor, share: float = 1.0) -> list[Tensor]:
    """x · ∂/∂x of the call itself, by R over its stabilised value, of each argument that changes."""
    moving = [index for index, active in enumerate(asked.active) if active]

    def of(*values: Tensor) -> Tensor:
        args = list(asked.args)
        for index, value in zip(moving, values, strict=True):
            args[index] = value
        y: Tensor = asked.function(*args)
        return y

    return grads(of, [asked.args[index] for index in moving], lambda y: share * r / divisor(y))


def _epsilon(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return in_proportion(asked, r)


def _signed(asked: Asked, sign: int, weight: Callable[[Tensor], Tensor]) -> Function:
    """A linear call as a function of the two parts of its input, that of the unit's sign weighed so."""
    w, rest = asked.args[1], asked.args[3:]
    up, down = weight(torch.relu(w)), -weight(torch.relu(-w))
    kept = (up, down) if sign > 0 else (down, up)

    def of(high: Tensor, low: Tensor) -> Tensor:
        return asked.function(high, kept[0], None, *rest) + asked.function(low, kept[1], None, *rest)  # type: ignore[no-any-return]

    return of


def _bias(asked: Asked, like: Tensor) -> Tensor:
    """The bias of a linear call, as large as its result."""
    bias = asked.args[2] if len(asked.args) > 2 else None
    if bias is None:
        return torch.zeros_like(like)
    shaped: Tensor = bias if "linear" in asked.name else bias.view(-1, *[1] * (like.dim() - 2))
    return shaped.expand(like.shape)


def _sides(asked: Asked) -> tuple[Tensor, Tensor]:
    x = asked.args[0]
    return torch.relu(x), -torch.relu(-x)


def _of_a_sign(asked: Asked, r: Tensor, sign: int, bias: float = 1.0) -> Tensor:
    """R shared out by what spoke for a unit, or against it."""
    of = _signed(asked, sign, lambda w: w)

    def ratio(z: Tensor) -> Tensor:
        whole = z + bias * sign * torch.relu(sign * _bias(asked, z))
        return r / (whole + sign * (divisor(whole.abs()) - whole.abs()))

    return sum(grads(of, _sides(asked), ratio))  # type: ignore[return-value]


def _z_plus(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return [_of_a_sign(asked, r, 1, float(rule.bias))]


def _alpha_beta(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    return [rule.alpha * _of_a_sign(asked, r, 1) - rule.beta * _of_a_sign(asked, r, -1)]


def _gamma(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    x, w, rest = asked.args[0], asked.args[1], asked.args[3:]
    bias = _bias(asked, asked.function(*asked.args))
    y = asked.function(x, w, None, *rest) + bias
    total = torch.zeros_like(x)
    for sign in (1, -1):
        own = _signed(asked, sign, lambda w: w)

        def of(high: Tensor, low: Tensor, own: Function = own) -> Tensor:
            return asked.function(high + low, w, None, *rest) + rule.gamma * own(high, low)  # type: ignore[no-any-return]

        def ratio(z: Tensor, sign: int = sign) -> Tensor:
            whole = z + bias + rule.gamma * sign * torch.relu(sign * bias)
            return torch.where(sign * y > 0, r / divisor(whole), 0)

        total = total + sum(grads(of, _sides(asked), ratio))
    return [total]


def _by_weights(weight: Callable[[Tensor], Tensor]) -> Function:
    """Of an input of ones: the gradient is the share itself."""

    def rule(_: Any, asked: Asked, r: Tensor) -> list[Tensor]:
        x, w, rest = asked.args[0], weight(asked.args[1]), asked.args[3:]
        return grads(
            lambda ones: asked.function(ones, w, None, *rest), [torch.ones_like(x)], lambda z: r / divisor(z)
        )

    return rule


def _z_box(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    assert asked.bounds is not None
    x, w, rest = asked.args[0], asked.args[1], asked.args[3:]
    low, high = (bound.expand(x.shape) for bound in asked.bounds)

    def of(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        parts = ((x, w), (low, -torch.relu(w)), (high, torch.relu(-w)))
        return sum(asked.function(value, kernel, None, *rest) for value, kernel in parts)  # type: ignore[no-any-return]

    return [sum(grads(of, [x, low, high], lambda z: r / divisor(z)))]  # type: ignore[list-item]


def _contrasted(rule: Any, asked: Asked, r: Tensor) -> list[Tensor]:
    negated = Asked(
        asked.name, asked.function, [asked.args[0], -asked.args[1], *asked.args[2:]], asked.active, None
    )
    return [_of_a_sign(asked, r, 1, 0.0) - _of_a_sign(negated, r, 1, 0.0)]


# By the name of a rule: (rule, the call, the relevance of its output) -> that of the input.
LINEAR: dict[str, Callable[[Any, Asked, Tensor], list[Tensor]]] = {
    "Epsilon": _epsilon,
    "ZPlus": _z_plus,
    "AlphaBeta": _alpha_beta,
    "Gamma": _gamma,
    "Flat": _by_weights(torch.ones_like),
    "WSquare": _by_weights(torch.square),
    "ZBox": _z_box,
    "Contrasted": _contrasted,
}
