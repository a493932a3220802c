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
        raise ValueError(f"{op} has no rule; `engine.rules.pages` tells how to add one")
    rule, generator = VJPS[op], torch.Generator().manual_seed(20)  # a cotangent that is no draw of the caller's
    args = [_in_float64(argument) for argument in arguments]
    with torch.inference_mode(False), torch.no_grad():
        y = op(*args, **options)
        several = isinstance(y, (tuple, list))
        outputs = list(y) if several else [y]
        wanted = range(len(outputs)) if read is None else read
        cts = [
            torch.randn(out.shape, dtype=out.dtype, generator=generator)
            if index in wanted and (out.is_floating_point() or out.is_complex())
            else None
            for index, out in enumerate(outputs)
        ]
        shares = rule(cts if several else cts[0], y, *args, **options)
    given = [place for place, argument in enumerate(args) if _tensors(argument)]
    if len(shares) < len(given):
        raise AssertionError(f"{op}: {len(shares)} cotangents for {len(given)} arguments that are tensors")
    answers: list[tuple[str, Tensor, Tensor]] = []  # where, the rule's cotangent, the leaf that it belongs to
    for place, share in zip(given, shares, strict=False):
        # Only what the rule answers for is differentiated: torch refuses to, for some that it does not.
        parts = share if isinstance(share, (list, tuple)) else [share]
        tensors = _tensors(args[place])
        if share is not None and len(parts) != len(tensors):
            raise AssertionError(f"{op}: {len(parts)} cotangents for a list of {len(tensors)}")
        for leaf, part in zip(tensors, parts, strict=False):
            if part is not None:
                answers.append((f"{op}, argument {_name(rule, place)!r}", part, leaf.requires_grad_()))
    if not answers:
        raise AssertionError(f"{op}: the rule returned no cotangent at all")
    with torch.inference_mode(False), torch.enable_grad():
        again = op(*args, **options)
        ends = [
            (out, ct)
            for out, ct in zip(again if several else [again], cts, strict=True)
            if ct is not None and out.requires_grad
        ]
        expected = torch.autograd.grad(
            [out for out, _ in ends],
            [leaf for *_, leaf in answers],
            [ct for _, ct in ends],
            allow_unused=True,
            materialize_grads=True,
        )
    for (where, part, _), grad in zip(answers, expected, strict=True):
        _compare(where, part, grad, bound)


def _compare(where: str, found: Tensor, wanted: Tensor, bound: float) -> None:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise AssertionError(
            f"{where}: its cotangent is {found.dtype} {list(found.shape)}, "
            f"the argument {wanted.dtype} {list(wanted.shape)}"
        )
    deviation, scale = float((found - wanted).abs().max()), float(wanted.abs().max())
    if not deviation <= bound * scale:  # so that NaN fails too
        raise AssertionError(f"{where}: off by {deviation:.3g} from autograd, whose largest value is {scale:.3g}")


def _in_float64(argument: Any) -> Any:
    """The argument, a copy in float64 where it is a floating-point tensor: the caller's stays as it is."""
    if isinstance(argument, Tensor) and (argument.is_floating_point() or argument.is_complex()):
        precision = torch.complex128 if argument.is_complex() else torch.float64
        return argument.detach().to(precision).clone()
    return [_in_float64(item) for item in argument] if isinstance(argument, (list, tuple)) else argument


def _tensors(argument: Any) -> list[Tensor]:
    items = argument if isinstance(argument, (list, tuple)) else [argument]
    return [item for item in items if isinstance(item, Tensor)]


def _name(rule: Any, place: int) -> str:
    """What the rule calls its argument; a rule that takes any number has no name for the last."""
    names = list(inspect.signature(rule).parameters)[2:]
    return names[min(place, len(names) - 1)]
