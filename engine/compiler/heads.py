"""What a network returns, and which part of it holds the logits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten_with_path

from ..errors import CaptureError

# What turns logits to probabilities at the end of a network.
ENDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(1),
    "log_softmax": lambda logits: logits.log_softmax(1),
    "sigmoid": torch.sigmoid,
}


def head_of(output: Any, name: str) -> Tensor:
    """The head called `name` among what a network returned."""
    head: Tensor = heads_of(output)[name]
    return head


def heads_of(output: Any) -> dict[str, Any]:
    """What a network returns, by name: the key of a dict, the field of a named tuple, the place in a tuple."""
    leaves, _ = tree_flatten_with_path(output)
    return {
        ".".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path): leaf
        for path, leaf in leaves
    }


def choose_head(heads: dict[str, fx.Node], wanted: str | int | None) -> str:
    """The name of the head that is wanted, or of the first. Raises CaptureError where it holds no logits."""
    found = {name: list(node.meta["val"].shape) for name, node in heads.items()}
    listed = ", ".join(f"{name or 'the output'} {shape}" for name, shape in found.items())
    name = next(iter(heads)) if wanted is None else str(wanted)
    if name not in heads:
        raise CaptureError(f"no head is called {name!r}; the module returns {listed}")
    if len(found[name]) != 2:
        way = "" if len(heads) == 1 else f" Name another with head=...; the module returns {listed}."
        raise CaptureError(
            f"the module returns {found[name]}{f' as head {name!r}' if name else ''}, "
            f"a classifier returns [N, classes].{way}"
        )
    return name
