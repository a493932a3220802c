"""Activations that a network writes out by hand: `x * sigmoid(x)` is a SiLU, and gates have to see it.

An activation is known by its values, not by its name: every chain of elementwise calls on one value is evaluated
on a grid of numbers and compared with the activations that are known here.
"""

from typing import Any

import torch
from torch import Tensor, fx

from ..listing.program import Program, aten
from ..rules import kinds
from ..rules.pages import ops_of

GRID = torch.cat([torch.arange(-360, 361).double() / 40, torch.tensor([-40.0, 40.0]).double()])
CHAIN = 12  # calls of a spelling, at most

# Activations with one argument that are left as they stand: they may be steps of a spelling, and are none.
NAMES = (
    aten.relu, aten.relu6, aten.hardtanh, aten.silu, aten.gelu, aten.hardswish, aten.mish, aten.softplus, aten.elu,
    aten.leaky_relu, aten.hardsigmoid, aten.sigmoid, aten.tanh,
)  # fmt: skip
# What a chain may be made of: these, and what computes each number by itself.
STEPS = {
    *NAMES, *ops_of(kinds.SUM, kinds.PRODUCT, kinds.ELEMENTWISE, kinds.CLAMP, kinds.CHOICE, kinds.FLAT),
    aten.max, aten.min, aten.threshold, aten.gt, aten.lt, aten.ge, aten.le, aten.ne, aten.zeros_like,
    aten.ones_like, aten.full_like, aten._to_copy, aten.to,
}  # fmt: skip

# What a chain may turn out to be: an op, its arguments beside x, and its options.
SPELT: tuple[tuple[Any, tuple[Any, ...], dict[str, Any]], ...] = (
    (aten.relu, (), {}),
    (aten.hardtanh, (0.0, 6.0), {}),
    (aten.silu, (), {}),
    (aten.hardswish, (), {}),
    (aten.gelu, (), {}),
    (aten.gelu, (), {"approximate": "tanh"}),
    (aten.mish, (), {}),
    (aten.softplus, (), {}),
    (aten.elu, (), {}),
    (aten.selu, (), {}),
    (aten.hardsigmoid, (), {}),  # no gate acts on it, nor on the ReLU6 that spells it
)


def name_activations(program: Program) -> None:
    """Replace each activation that is written out by the call that computes the same.

    Runs on a forward half, before layers are named. What remains unnamed keeps its derivative under every gate,
    and the coverage report counts it.
    """
    for node in reversed(list(program.graph.nodes)):
        if node.op != "call_function" or (not node.users and node is not program.logits):
            continue
        if node.target in STEPS and node.target not in NAMES and (found := _named(program, node)):
            root, (op, arguments, options) = found
            with program.graph.inserting_before(node):
                new = program.graph.call_function(op, (root, *arguments), options)
            new.meta.update(node.meta)
            node.replace_all_uses_with(new)
            if program.logits is node:
                program.logits = new
            program.graph.erase_node(node)


def _named(program: Program, node: fx.Node) -> tuple[fx.Node, tuple[Any, tuple[Any, ...], dict[str, Any]]] | None:
    """The value that a chain which ends at `node` starts from, and the activation that the chain is."""
    # Grown backwards from the last call, the latest value first, so that a value comes after all its readers.
    # Where one value is left at the frontier, the chain is a function of it alone and can be tried:
    #
    #     x ──┬── sigmoid ──┐
    #         └──────────── mul      frontier {sigmoid, x}, then {x}: x * sigmoid(x) equals silu on the grid
    chain, frontier = [node], _operands(node)
    result = node.meta["val"]
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return None
    while frontier and len(chain) <= CHAIN:
        if len(frontier) == 1:
            (root,) = frontier
            value = root.meta["val"]
            if isinstance(value, Tensor) and (value.dtype, value.shape) == (result.dtype, result.shape):
                values = _on_grid(program, chain, root)
                if values is not None and (found := _compare(values)):
                    return root, found
        latest = max(frontier)
        if latest.target not in STEPS:
            return None
        frontier.remove(latest)
        frontier |= _operands(latest)
        chain.append(latest)
    return None


def _operands(node: fx.Node) -> set[fx.Node]:
    return {source for source in node.all_input_nodes if source.op != "get_attr"}


def _on_grid(program: Program, chain: list[fx.Node], root: fx.Node) -> Tensor | None:
    """The chain's function at the points of the grid; None where a constant in it is more than one number."""
    values: dict[fx.Node, Any] = {root: GRID}
    for node in sorted(chain):
        for source in node.all_input_nodes:
            if source.op == "get_attr":
                constant = program.constants[str(source.target)]
                if constant.numel() != 1:
                    return None
                values[source] = constant.double().reshape(()) if constant.is_floating_point() else constant
        args: Any = fx.map_arg(node.args, values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, values.__getitem__)
        if node.target in (aten._to_copy, aten.to):
            # A cast to fewer digits is a step of the network's own: no activation rounds.
            dtype, whole = node.meta["val"].dtype, chain[0].meta["val"].dtype
            if not dtype.is_floating_point or torch.finfo(dtype).eps > torch.finfo(whole).eps:
                return None
            values[node] = args[0].double()
        else:
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    result = values[chain[0]]
    fits = isinstance(result, Tensor) and result.shape == GRID.shape and result.is_floating_point()
    return result if fits else None


def _compare(values: Tensor) -> tuple[Any, tuple[Any, ...], dict[str, Any]] | None:
    for op, arguments, options in SPELT:
        if _equal(values, op(GRID, *arguments, **options)):
            return op, arguments, options
    # Families with a parameter: it is read off the values, and then held against all of them.
    slope = -float(values[GRID == -1])
    if 0 < slope < 1 and _equal(values, aten.leaky_relu(GRID, slope)):
        return aten.leaky_relu, (slope,), {}
    top = float(values.max())
    if top > 0 and _equal(values, GRID.clamp(0, top)):
        return aten.hardtanh, (0.0, top), {}
    return None


def _equal(found: Tensor, wanted: Tensor) -> bool:
    # Where an activation is zero, so is its spelling, but for log(1 + e^x) and its like: a norm that is kept above
    # 1e-12 is no ReLU.
    return bool(torch.allclose(found, wanted, rtol=1e-8, atol=1e-15))
