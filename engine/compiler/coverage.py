"""How much of a network the gates reach, and what its author took out of the gradient."""

from torch import Tensor, fx

from ..listing.layers import reached_nodes
from ..listing.program import Program, aten, op_name, place, source_line
from ..rules import kinds
from ..rules.pages import KINDS, ops_of
from ..rules.policies import Coverage

# Calls that bend and are no activations: some weigh other values, some choose between them. A normalisation and a
# pooling are no such calls: what they do is known by their names.
PLAIN = ops_of(
    kinds.SQUASH, kinds.SOFTMAX, kinds.ATTENTION, kinds.CLAMP, kinds.ELEMENTWISE, kinds.FLAT, kinds.CHOICE
)
# These return truth values and have no rule, hence no kind.
COMPARISONS = frozenset({aten.gt, aten.ge, aten.lt, aten.le, aten.eq, aten.ne})


def coverage(program: Program) -> Coverage:
    """Count the activation calls on the way from the image to the logits."""
    found = Coverage(detached=tuple(dict.fromkeys(f"{place(n)}{source_line(n)}" for n in detached(program))))
    reached = reached_nodes(program)
    for node in program.needed([program.logits]):
        if node in reached and (kind := KINDS.get(node.target)) in kinds.ACTIVATIONS:
            counts = found.rectifiers if kind == kinds.RECTIFIER else found.smooth
        elif _bends(node) and not reached.isdisjoint(node.all_input_nodes):
            counts = found.plain
        else:
            continue
        counts[op_name(node)] = counts.get(op_name(node), 0) + 1
    return found


def detached(program: Program) -> list[fx.Node]:
    """The calls where the network takes a value that changes with the image out of the gradient."""
    reached = reached_nodes(program)
    return [
        node
        for node in program.needed([program.logits])
        if node.target is aten.detach and not reached.isdisjoint(node.all_input_nodes)
    ]


def _bends(node: fx.Node) -> bool:
    # Of two values a maximum chooses as `maximum` does; along an axis it is a pooling, and returns places too.
    chooses = node.target in (aten.max, aten.min) and isinstance(node.meta["val"], Tensor)
    return chooses or node.target in PLAIN | COMPARISONS
