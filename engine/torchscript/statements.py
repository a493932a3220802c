"""A step of a schedule as statements of TorchScript: plainly, or as quick as it goes where nobody minds."""

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

from torch import fx

from ..listing.names import CONV_STEPS, EPILOGUE, FIRST, LAST, NOTHING, PROBED
from ..listing.program import Program, aten, literal
from ..rules.registry import each
from .schedule import FORWARD, OVER, Step, ends, is_kernel

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
    """The statements of a step, with a plainer form for where the reading of a layer wants a value that it would
    skip or write over:

        if first <= 3 and 3 <= last:                     # is layer 3 read, which the ReLU would skip?
            conv = self.kernels.conv(x, ..., Epilogue(None, False, None, None))
            relu = aten.relu_(conv)
        else:
            relu = self.kernels.conv(x, ..., Epilogue(None, False, 0.0, None))
            conv = nothing

    Both branches bind the same names, as TorchScript wants. unread: policies whose cotangents no method reads at a
    layer, but a probe does.
    """

    def guarded(layers: set[int], value: fx.Node, free: list[str], careful: list[str]) -> list[str]:
        """`free`, but `careful` where one of the layers is read, whose reading takes `value`."""
        read = " or ".join(is_read(index) for index in sorted(layers))
        read = f"{PROBED} and ({read})" if value.meta.get("policy") in unread else read
        return [*block(read, careful), *block("", free)] if layers else free

    lines = in_place_form(program, step, calls)
    if step.writes_over is not None:
        fresh = in_place_form(program, replace(step, writes_over=None), calls)
        lines = guarded(step.kept_for, step.writes_over, lines, fresh)
    one_by_one = [line for node in step.nodes for line in in_place_form(program, Step([node]), calls)]
    lines += [f"{node.name} = {NOTHING}" for node in step.nodes[:-1]] if step.skipped_for else []
    return guarded(step.skipped_for, step.nodes[0], lines, one_by_one)


def in_place_form(program: Program, step: Step, calls: Calls) -> list[str]:
    """The statement of a step that nobody minds: one call of a kernel, or written over its argument."""
    node, first = step.value, step.nodes[0]
    if len(step.nodes) > 1 or (first.target in CONVOLUTIONS and is_kernel(first)):
        # The convolution is either argument of its sum; the kernel adds the other one.
        others = [a for n in step.nodes if n.target is aten.add for a in n.args if a is not first]
        other = literal(others[0]) if others else "None"
        low, high = ends(node)
        return [_convolution(node.name, first, calls, other, step.writes_over is not None, low, high)]
    goes_back = step.stage is not None and step.stage[0] != FORWARD
    if goes_back and node.target is aten.matmul and _of_one_layer(node):
        return [f"{node.name} = self.kernels.linear_back({literal(node.args[0])}, {literal(node.args[1])})"]
    if step.writes_over is None:
        return list(program.lines([node]))
    # What is written over comes first. Only a sum has it in the second place, and a sum may be turned around.
    arguments = [step.writes_over, *(a for a in node.args if a is not step.writes_over)]
    text = OVER[node.target].format(", ".join(map(literal, arguments)), literal(step.writes_over))
    return [f"{node.name} = {text}"]


def _convolution(
    name: str, node: fx.Node, calls: Calls, other: str, over: bool, low: float | None, high: float | None
) -> str:
    """A call of `kernels`, under the number that its kernel and geometry have."""
    values = dict(zip(CONVOLUTIONS[node.target], node.args, strict=False))
    # One number may stand for both axes; kernels are given two always.
    steps: dict[str, list[int]] = {
        key: each(values.get(key, default), 2)  # type: ignore[no-untyped-call]
        for key, default in DEFAULTS.items()
    }
    groups = values.get("groups", 1)
    weight = values["weight"]
    # The same kernel with the same steps has one number, in `forward` as in `walk`: it is laid out once.
    call = calls.setdefault((node.target, str(weight), str(steps), groups), len(calls))
    x, kernel, bias = (literal(values.get(key)) for key in ("input", "weight", "bias"))
    how = f"{CONV_STEPS}({', '.join(map(literal, steps.values()))}, {groups})"
    then = f"{EPILOGUE}({other}, {over}, {low}, {high})"
    if node.target is aten.conv2d:
        return f"{name} = self.kernels.conv({x}, {call}, {kernel}, {bias}, {how}, {then})"
    return f"{name} = self.kernels.conv_back({x}, {call}, {kernel}, {how}, {then})"


def is_read(layer: int) -> str:
    """The condition under which a layer is read."""
    return f"{FIRST} <= {layer} and {layer} <= {LAST}"


def block(condition: str, lines: Iterable[str]) -> list[str]:
    """A block that runs under a condition, or else where there is none."""
    body = [f"    {line}" for line in lines]
    return [f"if {condition}:" if condition else "else:", *body] if body else []


def function(head: str, lines: Iterable[str]) -> str:
    """A function of these statements."""
    return f"def {head}:\n" + "\n".join(f"    {line}" for line in lines)


def _of_one_layer(product: fx.Node) -> bool:
    """Is it the way back through a linear layer of vectors, ct [N, O] times a constant [O, I]?"""
    ct, weight = product.args
    vectors = isinstance(ct, fx.Node) and ct.meta["val"].dim() == 2
    return vectors and isinstance(weight, fx.Node) and weight.op == "get_attr" and weight.meta["val"].dim() == 2
