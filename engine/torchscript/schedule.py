"""In which steps a listing is carried out: what a kernel does at once, and what may be written over.

A listing is functional; what runs need not be. A convolution takes the sum and the ReLU behind it along, and a
call whose argument nobody reads any more writes its result there: fresh memory costs more than the arithmetic.

Both are right only as long as nobody looks. A layer's reading looks: it may want the value between a convolution
and its ReLU, or the one that is written over. Whether it does is known when a question is asked, not here, so a
step keeps the layers that would mind, and `statements` prints a form for each case.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx

from ..listing.program import Intercept, aten
from ..rules import kinds
from ..rules.pages import ops_of

# Calls with memory of their own, whatever they are given: a fact of their kernels, which no kind tells.
FRESH = {
    aten.conv2d, aten.conv_transpose2d, aten.matmul, aten.linear, aten.batch_norm, aten.add, aten.sub, aten.mul,
    aten.div, aten.relu, aten.hardtanh, aten.relu6, aten.threshold_backward, aten.hardtanh_backward,
    aten.max_pool2d_with_indices_backward, aten.avg_pool2d, aten.avg_pool2d_backward, aten.cat, aten.silu,
    aten.silu_backward, aten.gelu, aten.gelu_backward, aten.hardswish, aten.hardswish_backward, aten.sigmoid,
}  # fmt: skip
# Calls that can write over their first argument, and how that is written.
OVER: dict[Any, str] = {
    aten.relu: "aten.relu_({0})",
    aten.hardtanh: "aten.hardtanh_({0})",
    aten.relu6: "aten.relu6_({0})",
    aten.add: "aten.add_({0})",
    aten.mul: "aten.mul_({0})",
    aten.threshold_backward: "aten.threshold_backward({0}, grad_input={1})",
    aten.hardtanh_backward: "aten.hardtanh_backward({0}, grad_input={1})",
}
CLAMPS = ops_of(kinds.RECTIFIER) - {aten.threshold}  # which may write any number below its end

FORWARD = ""  # in the place of a policy: a segment of the forward half, by its number
Stage = tuple[str, int] | None  # (policy, layer), -1 for the image; None is the forward half of a walk


@dataclass(eq=False)
class Step:
    """One statement: a call, or a convolution with what it takes along; the last node is the value.

    skipped_for: the layers whose reading wants a value between the nodes, which one call of a kernel never makes.
    writes_over: the argument whose memory takes the value.
    kept_for: the layers that are read after this step and want that argument, so that it must outlive the step.
    """

    nodes: list[fx.Node]
    stage: Stage = None
    skipped_for: set[int] = field(default_factory=set)
    writes_over: fx.Node | None = None
    kept_for: set[int] = field(default_factory=set)

    @property
    def value(self) -> fx.Node:
        """What the step computes."""
        return self.nodes[-1]

    @property
    def inputs(self) -> list[fx.Node]:
        """What it reads, as often as it does."""
        found: list[fx.Node] = []
        for node in self.nodes:
            fx.map_arg((node.args, node.kwargs), found.append)
        return [source for source in found if source not in self.nodes]


@dataclass(frozen=True, eq=False)
class Beside:
    """What is computed beside a stage's steps where it is asked for: an intercept, by calls of its own."""

    stage: Stage
    intercept: Intercept
    nodes: list[fx.Node]

    @property
    def inputs(self) -> list[fx.Node]:
        """What it reads of the stages' values."""
        own = {*self.nodes}
        found = [source for node in self.nodes for source in node.all_input_nodes if source not in own]
        return [*found, *({self.intercept.ct, self.intercept.value} - own)]


Item = Step | Beside | int  # an int is a layer, which is read there


def plan(
    order: Iterable[tuple[Stage, fx.Node] | Beside | int],
    wanted: Mapping[int, Iterable[fx.Node]],
    kept: Iterable[fx.Node],
) -> list[Item]:
    """Steps, and the layers that are read between them.

    order: calls with their stages, and what is read between them. wanted: the values that the reading of a layer
    takes. kept: values that are handed out in the end.
    """
    steps: list[Item] = [Step([what[1]], what[0]) if isinstance(what, tuple) else what for what in order]
    # First what goes together, for a value that a kernel never makes can't be written over.
    kept = set(kept)
    _fuse(steps, wanted, kept | {node for step in steps if isinstance(step, Beside) for node in step.inputs})
    _write_over(steps, wanted, kept)
    return steps


def _fuse(order: list[Item], wanted: Mapping[int, Iterable[fx.Node]], kept: set[fx.Node]) -> None:
    """Let convolutions take along what follows them: conv, conv + sum, conv + clamp, conv + sum + clamp."""
    readers = defaultdict[fx.Node, set[int]](set)  # by the reading of which layers
    for index, nodes in wanted.items():
        for node in nodes:
            readers[node].add(index)
    step_of = {step.value: step for step in order if isinstance(step, Step)}
    for first in list(step_of.values()):
        if first.value.target not in (aten.conv2d, aten.conv_transpose2d) or not is_kernel(first.value):
            continue
        step = first
        while (follower := _follower(step, step_of, kept)) is not None:
            # A sum waits for what it adds; a ReLU may come sooner, into a stage that runs before its own.
            step.skipped_for |= readers[step.value]
            nodes, place = step.nodes + follower.nodes, step if follower.stage != step.stage else follower
            gone = follower if place is step else step
            place.nodes, place.skipped_for = nodes, step.skipped_for
            order.remove(gone)
            step_of |= dict.fromkeys(nodes, place)
            step = place


def _follower(step: Step, step_of: dict[fx.Node, Step], kept: set[fx.Node]) -> Step | None:
    """The step that takes this one's value and that the convolution can do as well.

    Only where nobody else reads the value: else it has to be made anyway. Behind a clamp nothing more is taken.
    """
    value = step.value
    readers = [step_of[user] for user in value.users if user in step_of]
    if value in kept or len(readers) != 1 or len(readers[0].nodes) > 1 or value.target in CLAMPS:
        return None
    (reader,) = readers
    node = reader.value
    if node.target is aten.add and len(step.nodes) == 1 and reader.stage == step.stage:
        others = [source for source in node.args if source is not value]
        plain = len(node.args) == 2 and not node.kwargs and len(others) == 1 and isinstance(others[0], fx.Node)
        return reader if plain and _alike(others[0], value) and _alike(node, value) else None
    back = step.nodes[0].target is aten.conv_transpose2d
    if node.target in ((aten.relu,) if back else CLAMPS) and not node.kwargs:
        hoisted = reader.stage is not None and step.stage is not None and reader.stage[0] == step.stage[0]
        # On the way back a gate may stand in the stage behind its convolution's: between the two a layer is read.
        return reader if reader.stage == step.stage or hoisted else None
    return None


def _write_over(order: list[Item], wanted: Mapping[int, Iterable[fx.Node]], kept: set[fx.Node]) -> None:
    """Find for each step an argument that no step reads after it, nor what shares its memory.

    What shares memory is one set, found by its root as in a union-find: a view of a view of x has the root x. An
    argument may be written over where it has memory of its own, the step reads nothing else of that set, and this
    is the last step that reads any of it. A layer that is read later minds, and is noted.
    """
    memory = dict[fx.Node, fx.Node]()  # value -> the first value that may share its memory

    def root(node: fx.Node) -> fx.Node:
        while memory.get(node, node) is not node:
            node = memory[node]
        return node

    for step in order:
        for node in step.nodes if isinstance(step, Step) else []:
            for source in [] if node.target in FRESH else node.all_input_nodes:
                memory[root(source)] = root(node)
    last = dict[fx.Node, int]()
    read_at = defaultdict[fx.Node, dict[int, int]](dict)  # layer -> the position of its reading
    for position, step in enumerate(order):
        if not isinstance(step, int):
            last |= {root(node): position for node in step.inputs}
        else:
            for node in wanted[step]:
                read_at[root(node)][step] = position
    for node in kept:
        last[root(node)] = len(order)
    for position, step in enumerate(order):
        if not isinstance(step, Step):
            continue
        for node in _may_go_over(step):
            own = node.target in FRESH and _alike(node, step.value)
            alone = sum(root(source) is root(node) for source in step.inputs) == 1
            if own and alone and last[root(node)] == position:
                step.writes_over = node
                step.kept_for = {layer for layer, place in read_at[root(node)].items() if place > position}
                break


def _may_go_over(step: Step) -> Iterator[fx.Node]:
    """The arguments that the op of a step could write over: either one that a sum adds, or the first."""
    node = step.value
    if len(step.nodes) > 1:
        added = next((n for n in step.nodes if n.target is aten.add), None)
        candidates = [] if added is None else [a for a in added.args if a is not step.nodes[0]]
    elif node.target is aten.add and len(node.args) == 2 and not node.kwargs:
        candidates = list(node.args)
    else:
        candidates = list(node.args[:1]) if node.target in OVER and not node.kwargs else []
    yield from (c for c in candidates if isinstance(c, fx.Node) and c.op == "call_function")


def ends(node: fx.Node) -> tuple[float | None, float | None]:
    """Between which ends a call clamps: none for one that is no clamp."""
    if node.target is aten.hardtanh:
        # Ends that are left out are -1 and 1.
        given: tuple[Any, ...] = node.args[1:]
        low, high = given + (-1.0, 1.0)[len(given) :]
        return float(low), float(high)
    return (0.0, 6.0 if node.target is aten.relu6 else None) if node.target in CLAMPS else (None, None)


def is_kernel(node: fx.Node) -> bool:
    """Is it a convolution with a constant kernel and plain numbers, that `kernels` can carry out?"""
    # A weight that is computed, or a stride read off a size, is another one with each image: nothing to lay out.
    weight, rest = node.args[1], node.args[2:]
    constant = isinstance(weight, fx.Node) and weight.op == "get_attr"
    bias = rest[0] if rest else None
    constant_bias = isinstance(bias, fx.Node) and bias.op == "get_attr" and node.target is aten.conv2d
    numbers = all(isinstance(n, int) for a in rest[1:] for n in (a if isinstance(a, (list, tuple)) else [a]))
    return constant and (bias is None or constant_bias) and numbers and not node.kwargs


def _alike(a: Any, b: Any) -> bool:
    """Same shape and type; shapes are compared as text, so that no guard is put on the batch."""
    a, b = a.meta["val"], b.meta["val"]
    return isinstance(a, Tensor) and isinstance(b, Tensor) and (str(a.shape), a.dtype) == (str(b.shape), b.dtype)
