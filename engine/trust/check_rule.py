"""Hold one rule against autograd: for rules of one's own, and for this project's.

Beside `certificate` the one place that asks autograd. A rule is checked before there is a file to certify.
"""

import inspect
from typing import Any

import torch
from torch import Tensor

from ..rules.pages import VJPS

BOUND = 1e-9


def check_rule(
    op: Any, *arguments: Any, read: tuple[int, ...] | None = None, bound: float = BOUND, **options: Any
) -> None:
    """Compare the cotangents that the rule of `op` returns with autograd's, for one call.

    arguments: as the op takes them. Floating-point tensors are taken in float64 and differentiated, lists of
    tensors too; all else is passed through. read: of several outputs, those that somebody reads, all if None.
    bound: how far a cotangent may be off, relative to the largest value of autograd's.

    A rule may return None for an argument, as for weights: no path from the image runs through it. It must
    return one cotangent at least. Raises ValueError where `op` has no rule, and AssertionError with the op, the
    argument and the deviation.

        check_rule(torch.ops.aten.tanh, torch.randn(2, 3))
    """
    if op not in VJPS:
        raise ValueError(f"{op} has no rule; `engine.rules` tells how to add one")
    rule, generator = VJPS[op], torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():
        args = [_leaves(argument) for argument in arguments]
        y = op(*args, **options)
        several = isinstance(y, (tuple, list))
        outputs = list(y) if several else [y]
        wanted = range(len(outputs)) if read is None else read
        cts = [
            torch.randn(out.shape, dtype=out.dtype, generator=generator)
            if index in wanted and out.is_floating_point()
            else None
            for index, out in enumerate(outputs)
        ]
        leaves = [leaf for argument in args for leaf in _tensors(argument) if leaf.requires_grad]
        ends = [(out, ct) for out, ct in zip(outputs, cts, strict=True) if ct is not None and out.requires_grad]
        grads = torch.autograd.grad(
            [out for out, _ in ends], leaves, [ct for _, ct in ends], allow_unused=True, materialize_grads=True
        )
    expected = {id(leaf): grad for leaf, grad in zip(leaves, grads, strict=True)}
    with torch.no_grad():
        shares = rule(cts if several else cts[0], y, *args, **options)
    given = [(place, argument) for place, argument in enumerate(args) if _tensors(argument)]
    if len(shares) < len(given):
        raise AssertionError(f"{op}: {len(shares)} cotangents for {len(given)} arguments that are tensors")
    compared = 0
    for (place, argument), share in zip(given, shares, strict=False):
        parts = share if isinstance(argument, (list, tuple)) and share is not None else [share]
        for leaf, part in zip(_tensors(argument), parts, strict=share is not None):
            if part is not None and id(leaf) in expected:
                _compare(f"{op}, argument {_name(rule, place)!r}", part, expected[id(leaf)], bound)
                compared += 1
    if not compared:
        raise AssertionError(f"{op}: the rule returned no cotangent at all")


def _compare(where: str, found: Tensor, wanted: Tensor, bound: float) -> None:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise AssertionError(
            f"{where}: its cotangent is {found.dtype} {list(found.shape)}, "
            f"the argument {wanted.dtype} {list(wanted.shape)}"
        )
    deviation, scale = float((found - wanted).abs().max()), float(wanted.abs().max())
    if not deviation <= bound * scale:  # so that NaN fails too
        raise AssertionError(f"{where}: off by {deviation:.3g} from autograd, whose largest value is {scale:.3g}")


def _leaves(argument: Any) -> Any:
    """The argument, its floating-point tensors as leaves of a graph of their own: the caller's stay as is."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().double().clone().requires_grad_()
    return [_leaves(item) for item in argument] if isinstance(argument, (list, tuple)) else argument


def _tensors(argument: Any) -> list[Tensor]:
    items = argument if isinstance(argument, (list, tuple)) else [argument]
    return [item for item in items if isinstance(item, Tensor)]


def _name(rule: Any, place: int) -> str:
    """What the rule calls its argument; a rule that takes any number has no name for the last."""
    names = list(inspect.signature(rule).parameters)[2:]
    return names[min(place, len(names) - 1)]
