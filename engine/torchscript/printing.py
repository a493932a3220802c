"""The steps of a schedule as statements of TorchScript."""

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

from torch import fx

from ..listing.program import Program, aten, literal
from ..rules.registry import each
from .schedule import OVER, Step, ends, is_kernel

Calls = dict[tuple[Any, ...], int]  # kernel and geometry of a convolution -> its number
# The arguments of convolutions in their order, and of those that are steps along the axes the defaults.
CONVOLUTIONS: dict[Any, tuple[str, ...]] = {
    aten.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    aten.conv_transpose2d: (
        "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
    ),
}  # fmt: skip
DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}


def statements(program: Program, step: Step, calls: Calls, unread: Container[str] = ()) -> list[str]:
    """The statements of a step: more plainly where the reading of a layer wants a value that it would skip or
    write over.

    unread: gates whose cotangents no method reads at a layer, but a probe does.
    """

    def unless(layers: set[int], value: fx.Node, quick: list[str], plain: list[str]) -> list[str]:
        read = " or ".join(f"first <= {index} and {index} <= last" for index in sorted(layers))
        read = f"probed and ({read})" if value.meta.get("gate") in unread else read
        return [*block(read, plain), *block("", quick)] if layers else quick

    quick = quickly(program, step, calls)
    if step.over is not None:
        quick = unless(step.under, step.over, quick, quickly(program, replace(step, over=None), calls))
    one_by_one = [line for node in step.nodes for line in quickly(program, Step([node]), calls)]
    quick += [f"{node.name} = nothing" for node in step.nodes[:-1]] if step.inside else []
    return unless(step.inside, step.nodes[0], quick, one_by_one)


def quickly(program: Program, step: Step, calls: Calls) -> list[str]:
    """The statement of a step, as quick as it goes."""
    node, first = step.value, step.nodes[0]
    if len(step.nodes) > 1 or (first.target in CONVOLUTIONS and is_kernel(first)):
        others = [a for n in step.nodes if n.target is aten.add for a in n.args if a is not first]
        other = literal(others[0]) if others else "None"
        low, high = ends(node)
        return [_convolution(node.name, first, calls, other, step.over is not None, low, high)]
    if step.stage is not None and node.target is aten.matmul and _of_one_layer(node):
        return [f"{node.name} = self.kernels.linear_back({literal(node.args[0])}, {literal(node.args[1])})"]
    if step.over is None:
        return list(program.lines([node]))
    arguments = [step.over, *(a for a in node.args if a is not step.over)]
    text = OVER[node.target].format(", ".join(map(literal, arguments)), literal(step.over))
    return [f"{node.name} = {text}"]


def _convolution(
    name: str, node: fx.Node, calls: Calls, other: str, over: bool, low: float | None, high: float | None
) -> str:
    """A call of `kernels`, under the number that its kernel and geometry have."""
    values = dict(zip(CONVOLUTIONS[node.target], node.args, strict=False))
    steps: dict[str, list[int]] = {
        key: each(values.get(key, default), 2)  # type: ignore[no-untyped-call]
        for key, default in DEFAULTS.items()
    }
    groups = values.get("groups", 1)
    weight = values["weight"]
    call = calls.setdefault((node.target, str(weight), str(steps), groups), len(calls))
    x, kernel, bias = (literal(values.get(key)) for key in ("input", "weight", "bias"))
    how = f"How({', '.join(map(literal, steps.values()))}, {groups})"
    then = f"Then({other}, {over}, {low}, {high})"
    if node.target is aten.conv2d:
        return f"{name} = self.kernels.conv({x}, {call}, {kernel}, {bias}, {how}, {then})"
    return f"{name} = self.kernels.conv_back({x}, {call}, {kernel}, {how}, {then})"


def block(condition: str, lines: Iterable[str]) -> list[str]:
    """A block that runs under a condition, or else where there is none."""
    body = [f"    {line}" for line in lines]
    return [f"if {condition}:" if condition else "else:", *body] if body else []


def _of_one_layer(product: fx.Node) -> bool:
    """Is it the way back through a linear layer of vectors, ct [N, O] times a constant [O, I]?"""
    ct, weight = product.args
    vectors = isinstance(ct, fx.Node) and ct.meta["val"].dim() == 2
    return vectors and isinstance(weight, fx.Node) and weight.op == "get_attr" and weight.meta["val"].dim() == 2
