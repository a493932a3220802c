"""Which values never lie below zero, where half of some relevance rules is nothing, and which a softmax gave."""

import operator
from typing import Any

from torch import Tensor, fx

from ..listing.program import Program, aten
from ..rules import kinds
from ..rules.pages import KINDS, ops_of

# Calls that give nothing below zero, whatever they are given.
MAKING = {
    aten.relu, aten.relu6, aten.sigmoid, aten.hardsigmoid, aten.softmax, aten.softplus, aten.exp, aten.abs,
    aten.square, aten.sqrt, aten.linalg_vector_norm,
}  # fmt: skip
# Calls that give nothing below zero where they are given nothing below it.
KEEPING = ops_of(
    kinds.MAX_POOL, kinds.AVERAGE_POOL, kinds.EXTREME, kinds.RESHAPE, kinds.PERMUTE, kinds.CUT, kinds.JOIN,
    kinds.ROLL, kinds.REORDER, kinds.COPY, kinds.IDENTITY,
) | {operator.getitem, aten.mean, aten.sum}  # fmt: skip
OF_TWO = {aten.add, aten.mul, aten.div}  # the same, of numbers too
WITH_ENDS = {aten.hardtanh: -1.0, aten.clamp: None, aten.clamp_min: None}  # the lower end that they have unasked
WITH_MARGIN = {aten.constant_pad_nd: 2, aten.pad: 3}  # where the margin's number stands


def nonnegative(program: Program) -> set[fx.Node]:
    """The values of a forward half that hold nothing below zero on any image."""
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        if node.op == "get_attr":
            value = program.constants[str(node.target)]
            if not value.is_complex() and bool((value >= 0).all()):
                found.add(node)
        elif node.op == "call_function" and _is_nonnegative(node, found):
            found.add(node)
    return found


def _is_nonnegative(node: fx.Node, found: set[fx.Node]) -> bool:
    op: Any = node.target
    if op in MAKING:
        return True
    if op in WITH_ENDS:
        low: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("min", WITH_ENDS[op])
        return isinstance(low, (int, float)) and low >= 0
    if op in OF_TWO:
        numbers = [a for a in node.args if isinstance(a, (int, float))]
        return not node.kwargs and all(number >= 0 for number in numbers) and _all_in(node, found)
    if op in WITH_MARGIN:
        margin: list[Any] = [*node.args[WITH_MARGIN[op] :], *node.kwargs.values()]
        return all(isinstance(a, str) or not a or a >= 0 for a in margin) and _all_in(node, found)
    return op in KEEPING and _all_in(node, found)


def _all_in(node: fx.Node, found: set[fx.Node]) -> bool:
    """Are all real values that a call is given in `found`? Places and sizes do not matter."""
    return all(source in found or not _is_real(source.meta["val"]) for source in node.all_input_nodes)


def _is_real(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (isinstance(value, Tensor) and value.is_floating_point())


# What may leave the last axis as it is.
ALIKE = ops_of(kinds.IDENTITY, kinds.COPY, kinds.RESHAPE)


def chances(program: Program) -> set[fx.Node]:
    """The values that a softmax over the last axis gave, as weights of attention are."""
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if KINDS.get(node.target) == kinds.SOFTMAX and node.target is aten.softmax:
            axis: Any = node.args[1] if len(node.args) > 1 else node.kwargs["dim"]
            if axis in (-1, node.meta["val"].ndim - 1):
                found.add(node)
        elif node.target in ALIKE and node.args[0] in found and _last(node) == _last(node.args[0]):
            found.add(node)
    return found


def _last(node: Any) -> str:
    return str(node.meta["val"].shape[-1])
