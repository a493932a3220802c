"""FullGrad by autograd: what each call of a file's forward pass adds, found from the call itself.

An affine call adds what it makes of zero. Another one adds y - Df(x)[x], with Df by autograd's own derivative.
Nothing of the listing, nor of `rules.intercepts`, has a part in it, but for which calls are asked.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rules.intercepts import INTERCEPTS
from ..rules.kinds import CONVOLUTION, DENSE, NORM, SUM
from ..rules.pages import KINDS
from .reference import interpret

OPS = {f"aten::{op.__name__}": KINDS[op] for op in INTERCEPTS}
AFFINE = (CONVOLUTION, DENSE, NORM, SUM)


def full_gradient_reference(module: torch.jit.ScriptModule, x: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
    """The map [N, S, S] of FullGrad, and what all parts of each image sum to, [N]."""
    outputs, added = list[Tensor](), list[Tensor]()

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        y = function(*args, **kwargs)
        if kind in OPS and any(_depends(a) for a in args) and not y.is_complex():
            outputs.append(y)
            added.append(_intercept(OPS[kind] in AFFINE, function, args, kwargs))
        return y

    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        logits, _ = interpret(module, leaf, call)
        score = (logits * seed).sum()
        # What gives a layer back for its reading lies beside the way to the logits, and is none of their calls.
        ct, *cts = torch.autograd.grad(score, [leaf, *outputs], allow_unused=True)
    parts = [intercept * ct for intercept, ct in zip(added, cts, strict=True) if ct is not None]
    total = (x * ct).flatten(1).sum(1)
    map = _brought_to_one(x * ct).sum(1, keepdim=True)
    for part, told in zip(parts, module.additive, strict=True):
        total = total + part.flatten(1).sum(1) if told else total
        if told == "drawn":
            channels = _brought_to_one(part).sum(1, keepdim=True)  # enlarged each by itself they sum to the same
            map = map + F.interpolate(channels, module.size, mode="bilinear")
    return map[:, 0], total


def _depends(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _intercept(affine: bool, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Tensor:
    """b of y = Df(x)[x] + b, by its definition."""
    moving = [index for index, value in enumerate(args) if _depends(value)]
    leaves = [args[index].detach().requires_grad_() for index in moving]

    def at(values: list[Tensor]) -> Tensor:
        given = list(args)
        for index, value in zip(moving, values, strict=True):
            given[index] = value
        y: Tensor = function(*given, **kwargs)
        return y

    if affine:
        return at([torch.zeros_like(leaf) for leaf in leaves]).detach()
    # The others work element by element: as large as the result, each element has one derivative.
    shape = at(leaves).shape
    leaves = [leaf.detach().expand(shape).clone().requires_grad_() for leaf in leaves]
    y = at(leaves)
    slopes = torch.autograd.grad(y.sum(), leaves)
    for slope, leaf in zip(slopes, leaves, strict=True):
        y = y - slope * leaf
    return y.detach()


def _brought_to_one(part: Tensor) -> Tensor:
    """|part| of each image on 0..1, all channels and pixels alike; nothing where it is the same everywhere."""
    size = part.abs()
    low, high = size.amin((1, 2, 3), keepdim=True), size.amax((1, 2, 3), keepdim=True)
    return torch.where(high == low, 0, (size - low) / (high - low))  # what is not a number stays none
