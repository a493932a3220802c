"""How much of a network a policy reaches, and what its author took out of the gradient."""

from torch import Tensor, fx

from ..listing.layers import reached_nodes
from ..listing.program import Program, aten, op_name, place, source_line
from ..rules.pages import KINDS
from ..rules.policies import CHOOSING, COMPARISON, POLICIES, Coverage

COMPARISONS = frozenset({aten.gt, aten.ge, aten.lt, aten.le, aten.eq, aten.ne})


def coverage(program: Program, policy: str = "guided") -> Coverage:
    """Count the calls on the way from the image to the logits, by what `policy` does with them."""
    found = Coverage(
        policy, detached=tuple(dict.fromkeys(f"{place(n)}{source_line(n)}" for n in detached(program)))
    )
    reached = reached_nodes(program)
    for node in program.needed([program.logits]):
        kind = _kind(node)
        if kind is not None and not reached.isdisjoint(node.all_input_nodes):
            counts = found.replaced if kind in POLICIES[policy].rules else found.kept
            ops = counts.setdefault(kind, {})
            ops[op_name(node)] = ops.get(op_name(node), 0) + 1
    return found


def detached(program: Program) -> list[fx.Node]:
    """The calls where the network takes a value that changes with the image out of the gradient."""
    reached = reached_nodes(program)
    return [
        node
        for node in program.needed([program.logits])
        if node.target is aten.detach and not reached.isdisjoint(node.all_input_nodes)
    ]


def _kind(node: fx.Node) -> str | None:
    if node.target in COMPARISONS:
        return COMPARISON
    # Of two values a maximum chooses as `maximum` does; along an axis it is a pooling, and returns places too.
    if node.target in (aten.max, aten.min) and isinstance(node.meta["val"], Tensor):
        return CHOOSING
    return KINDS.get(node.target)
