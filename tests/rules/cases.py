"""One case, one call of an op: what the tables of cases are written in, and the check that each goes through."""

import inspect
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from engine import check_rule
from engine.rules.pages import VJPS

aten = torch.ops.aten

# Arguments that no path from the image runs through: their cotangent may be None.
PARAMETERS = {
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "condition",
    "index",
    "indices",
    "attn_mask",
    "mask",
}


@dataclass(frozen=True)
class Draw:
    """A float64 tensor to draw: normal with a deviation that reaches past every bend, or away from zero."""

    shape: tuple[int, ...]
    positive: bool = False
    ties: bool = False
    complex: bool = False

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        if self.complex:
            return torch.randn(self.shape, dtype=torch.complex128, generator=generator)
        if self.positive:
            return torch.rand(self.shape, dtype=torch.float64, generator=generator) + 0.5
        values = 3 * torch.randn(self.shape, dtype=torch.float64, generator=generator)
        return values.round() if self.ties else values


def x(*shape: int) -> Draw:
    return Draw(shape)


def positive(*shape: int) -> Draw:
    return Draw(shape, positive=True)


def ties(*shape: int) -> Draw:
    return Draw(shape, ties=True)


def z(*shape: int) -> Draw:
    return Draw(shape, complex=True)


@dataclass(frozen=True)
class Case:
    """One call of an op; `read` are the outputs that somebody reads, where it has several."""

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    read: tuple[int, ...] | None = None


def case(op: Any, *args: Any, read: tuple[int, ...] | None = None, **kwargs: Any) -> Case:
    return Case(op, args, kwargs, read)


def at(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def labels(cases: list[Case]) -> list[str]:
    seen = Counter[str]()
    texts = []
    for one in cases:
        name = one.op.__name__
        texts.append(f"{name}-{seen[name]}")
        seen[name] += 1
    return texts


def drawn(argument: Any, generator: torch.Generator, layout: torch.memory_format) -> Any:
    if isinstance(argument, list):
        return [drawn(item, generator, layout) for item in argument]
    value = argument(generator) if isinstance(argument, Draw) else argument
    if isinstance(value, torch.Tensor):
        return value.contiguous(memory_format=layout if value.ndim == 4 else torch.contiguous_format)
    return value


def tensors_of(argument: Any) -> list[torch.Tensor]:
    items = argument if isinstance(argument, list) else [argument]
    return [item for item in items if isinstance(item, torch.Tensor)]


def parameter_names(rule: Any) -> list[str]:
    return list(inspect.signature(rule).parameters)[2:]


def is_variadic(rule: Any) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(rule).parameters.values())


def assert_close(found: torch.Tensor, expected: torch.Tensor, bound: float = 1e-12) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= bound * expected.abs().max()


def hold(one: Case, layout: torch.memory_format) -> None:
    """Compare a rule with autograd, and what it returns None for with what no path runs through."""
    generator = torch.Generator().manual_seed(0)
    args = [drawn(argument, generator, layout) for argument in one.args]
    rule = VJPS[one.op]
    names = parameter_names(rule) + [""] * len(args)  # variadic rules take no parameters of the network
    if one.op in (aten.expand_as, aten.type_as):
        names[1] = "weight"  # read for its shape or type alone
    check_rule(one.op, *args, read=one.read, bound=1e-12, **one.kwargs)
    leaves = [t for name, a in zip(names, args, strict=False) if name not in PARAMETERS for t in tensors_of(a)]
    for leaf in leaves:
        leaf.requires_grad_()
    y = one.op(*args, **one.kwargs)
    several = isinstance(y, (tuple, list))
    outputs = list(y) if several else [y]
    read = range(len(outputs)) if one.read is None else one.read
    cts = [
        torch.randn(output.shape, dtype=output.dtype, generator=generator)
        if index in read and (output.is_floating_point() or output.is_complex())
        else None
        for index, output in enumerate(outputs)
    ]
    ends = [(output, ct) for output, ct in zip(outputs, cts, strict=True) if ct is not None]
    expected = list(torch.autograd.grad([end for end, _ in ends], leaves, [ct for _, ct in ends]))
    with torch.no_grad():
        shares = rule(cts if several else cts[0], y, *args, **one.kwargs)
    arguments = [(name, a) for name, a in zip(names, args, strict=False) if tensors_of(a)]
    assert len(shares) >= len(arguments), "one entry per tensor argument"
    for (name, argument), share in zip(arguments, shares, strict=False):
        if name in PARAMETERS:
            assert share is None
            continue
        for part in share if isinstance(argument, list) else [share]:
            assert_close(part, expected.pop(0))
    assert not expected


def each_case(cases: list[Case]) -> Any:
    """Run a test on every case, in both layouts of an image."""
    layouts = pytest.mark.parametrize(
        "layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
    )
    return lambda test: layouts(pytest.mark.parametrize("one", cases, ids=labels(cases))(test))
