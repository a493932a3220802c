"""What a file's calls tell of themselves: which come first, and which gradient comes to each."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..rules.kinds import CONVOLUTION, DENSE
from ..rules.pages import KINDS
from .reference import interpret

KIND_OF = {f"aten::{op.__name__}": kind for op, kind in KINDS.items()}
LINEAR = (CONVOLUTION, DENSE)


class Ordered:
    """Which linear calls of a module are first, and which last, by their number among all calls; and between which
    ends the input of each first one lies."""

    def __init__(self, module: Any, x: Tensor) -> None:
        self.first, self.last = set[int](), set[int]()
        self.bounds: dict[int, list[Tensor]] = {}
        below: dict[int, frozenset[int]] = {}  # by the identity of a value: the linear calls that it comes from
        kept: list[Any] = []  # so that no identity is given anew

        def follow(number: int, kind: str, args: list[Any], y: Any) -> None:
            values = [value for value in flat(args) if value.requires_grad]
            if not values:
                return
            sources = frozenset[int]().union(*(below.get(id(value), frozenset()) for value in values))
            if KIND_OF.get(kind) in LINEAR:
                self.last = (self.last - sources) | {number}
                self.first |= set() if sources else {number}
                sources |= {number}
            for part in y if isinstance(y, (tuple, list)) else [y]:
                below[id(part)] = sources
            kept.append(y)

        _numbered(module, x[:1].clone().requires_grad_(), follow)

        def note(number: int, kind: str, args: list[Any], y: Any) -> None:
            if number in self.first:
                self.bounds.setdefault(number, []).append(args[0])

        for end in module.ends:
            _numbered(module, x.new_tensor(end).view(1, -1, 1, 1).expand(1, *x.shape[1:]), note)


def flat(args: Any) -> list[Tensor]:
    """The tensors among arguments, those of lists too."""
    return [value for a in args for value in (a if isinstance(a, list) else [a]) if isinstance(value, Tensor)]


def _numbered(module: Any, x: Tensor, note: Callable[[int, str, list[Any], Any], None]) -> None:
    count = 0

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        nonlocal count
        y = function(*args, **kwargs)
        note(count, kind, args, y)
        count += 1
        return y

    interpret(module, x, call)


def gradients_of(module: Any, x: Tensor, seed: Tensor, kinds: tuple[str, ...]) -> dict[int, Tensor]:
    """The gradient of seed · logits by the output of each call of some kinds, by its number among all calls."""
    found: dict[int, Tensor] = {}
    count = 0

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        nonlocal count
        number, count = count, count + 1
        y = function(*args, **kwargs)
        if KIND_OF.get(kind) in kinds and y.requires_grad:
            found[number] = y
        return y

    logits, _ = interpret(module, x.clone().requires_grad_(), call)
    grads = torch.autograd.grad(logits, list(found.values()), seed.expand_as(logits), allow_unused=True)
    return {n: torch.zeros_like(found[n]) if g is None else g for n, g in zip(found, grads, strict=True)}
