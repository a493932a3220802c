"""The forward half in segments, cut at the values that all of the logits hang on alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, fx

from ..errors import ProgramError
from ..listing.axes import way_back
from ..listing.program import Layer, Program
from .schedule import FORWARD, Beside, Item, Stage, Step, plan

OF_BATCH = -1  # in the place of a segment's number: what no image goes into


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of the forward half: what lies between two values that all that follows hangs on.

    layers: those whose value it ends with, by which a tail may start; several may have the same one, that a
    BatchNorm was folded over and the one behind it. hoisted: as in `Entry`.
    """

    steps: list[Step]
    value: fx.Node
    layers: list[int]
    hoisted: list[fx.Node]


def segments_of(program: Program) -> tuple[list[Step], list[Segment], list[fx.Node]]:
    """What only hangs on the batch's size, the forward half between the values that all of the logits hang on, and
    what is read across.

    A node belongs to the segment behind the last such value that it is computed from.
    """
    nodes = [node for node in program.needed([program.logits]) if node.op == "call_function"]
    starts = [layer.node for layer in program.layers if _is_cut(program, layer)]
    cuts = [*dict.fromkeys(starts), program.logits]
    behind = {node: index + 1 for index, node in enumerate(cuts)}
    segment_of: dict[fx.Node, int] = {}
    for node in nodes:
        sources = [source for source in node.all_input_nodes if not is_size(source)]
        found = [0 if s is program.image else behind.get(s, segment_of.get(s, OF_BATCH)) for s in sources]
        segment_of[node] = max(found, default=OF_BATCH)
    order: list[tuple[Stage, fx.Node] | Beside | int] = [
        ((FORWARD, index), node)
        for index in range(OF_BATCH, len(cuts))
        for node in nodes
        if not is_size(node) and segment_of[node] == index
    ]
    steps = plan(order, {}, [program.logits])
    segments = []
    for index, value in enumerate(cuts):
        own = [step for step in steps if isinstance(step, Step) and step.stage == (FORWARD, index)]
        layers = [i for i, layer in enumerate(program.layers) if layer.node is value and _is_cut(program, layer)]
        segments.append(Segment(own, value, layers, behind_value(value, own)))
    of_batch = [step for step in steps if isinstance(step, Step) and step.stage == (FORWARD, OF_BATCH)]
    return of_batch, segments, list(handed_on(steps, set()))


def _is_cut(program: Program, layer: Layer) -> bool:
    """Do the logits follow from the value of a layer alone, without the image and without a class token?"""
    if layer.node is program.logits:
        return False  # nothing follows
    if layer.axes is not None and way_back(layer.axes).lead:
        return False
    seen, pending = set[fx.Node](), [program.logits]
    while pending:
        node = pending.pop()
        if node is program.image:
            return False
        if node not in seen and node is not layer.node and not is_size(node):
            seen.add(node)
            pending += node.all_input_nodes
    return True


def behind_value(value: fx.Node, steps: Iterable[Step]) -> list[fx.Node]:
    """The calls that the step which makes a value does along, behind it."""
    step = next((step for step in steps if value in step.nodes), None)
    return step.nodes[step.nodes.index(value) + 1 :] if step else []


def handed_on(order: list[Item], read: set[fx.Node]) -> Iterator[fx.Node]:
    """The values of stages that are read outside of them, by another stage or by a layer's reading.

    A stage is a block under a condition. TorchScript knows after a block only what was bound before it too.
    """
    stage_of = {node: step.stage for step in order if isinstance(step, Step) for node in step.nodes}
    for node, own in stage_of.items():
        if own is not None and (node in read or any(stage_of.get(user, own) != own for user in node.users)):
            if not isinstance(node.meta["val"], Tensor):
                raise ProgramError(f"{node.name} returns several values and is read in another stage")
            yield node


def is_size(node: fx.Node) -> bool:
    """Sizes cost nothing, and every stage may read one."""
    return not isinstance(node.meta["val"], (Tensor, tuple, list))
