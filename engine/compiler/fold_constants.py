"""Compute when compiling what depends on constants alone: a standardised kernel, a mask, a grid of positions."""

from torch import Tensor, fx

from ..listing.origins import sources_of
from ..listing.program import Program
from ..rules.policies import POLICIES

# A constant that follows from others is worth its place in the file up to this many elements.
SMALL = 1 << 14


def evaluate_constants(program: Program) -> None:
    """Replace what follows from constants by its value, where that is small or replaces as much.

    What a network makes from nothing, as torch.arange, is one too: as a buffer it goes where the file goes.
    """
    room: dict[fx.Node, int] = {}  # constant -> the number of elements that its value may have
    through: dict[fx.Node, tuple[frozenset[str], bool]] = {}
    for node in list(program.graph.nodes):
        sources, fake = node.all_input_nodes, node.meta.get("val")
        if node.op == "get_attr":
            room[node] = max(SMALL, fake.numel())
        if node.op != "call_function" or any(source not in room for source in sources):
            continue
        # Asked for by one method alone: a part of a kernel is as large as that, and made when it is wanted.
        if "intercept" in node.meta or _is_alone(node):
            continue
        through[node] = sources_of(node, through)
        made = fake.numel() if isinstance(fake, Tensor) and not sources else 0
        room[node] = max([made, *(room[source] for source in sources)])
        if isinstance(fake, Tensor) and fake.numel() <= room[node]:
            (value,) = program.run([node])
            constant = program.constant(node.name, value.contiguous(), fake)
            room[constant] = room[node]
            program.origins.made[str(constant.target)] = through[node]
            node.replace_all_uses_with(constant)
            program.graph.erase_node(node)


def _is_alone(node: fx.Node) -> bool:
    policy = POLICIES.get(node.meta.get("policy", ""))
    return policy is not None and policy.alone
