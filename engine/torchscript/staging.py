"""The program in stages: what a walk carries out, in which order, and what of it only some questions want.

All that lies below a layer of the trunk hangs on that layer's cotangent alone, so the backward half is cut where a
layer's cotangent is complete. A question goes down under each policy as far as it has to, and no further:

    forward                        the forward half, always
    guided, 2                      the way back from the logits to layer 2
    reading of layer 2             where the question reads that layer
    guided, 1                      from layer 2 on, to layer 1
    reading of layer 1
    ...
    guided, -1                     from layer 0 to the image

For the same reason a question may start at a layer: its seed takes the place of that layer's cotangent, and no
stage above it runs. And the forward half is cut at the layers that the logits hang on alone, so that the tail of
the network can be run from the value of such a layer.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import fx

from ..listing.layers import trunk_nodes
from ..listing.program import Intercept, Layer, Program
from ..methods import Method, one_pass_methods
from .schedule import Beside, Item, Stage, Step, plan
from .segments import Segment, behind_value, handed_on, is_size, segments_of


@dataclass(frozen=True, eq=False)
class Folded:
    """How weighted sums of a layer are read that a BatchNorm behind it was folded over.

    Its convolution gives v = s a + t (per channel) instead of the layer's value a, and ct_a = s ct_v. With weights
    that are linear in the cotangent, w(ct_a)_c = s_c w(ct_v)_c, the layer need not be given back:

        Σ_c w(ct_a)_c a_c  =  Σ_c s_c w(ct_v)_c (v_c - t_c) / s_c  =  Σ_c w(ct_v)_c v_c  -  Σ_c w(ct_v)_c t_c

    The first sum is that of v as it is. Where the next layer is v itself, the output of the BatchNorm, it was read
    just before this one, and its weights and its sum are `same_sums_as_next_layer`.
    """

    value: fx.Node  # v
    shift: fx.Node  # t
    cts: dict[str, fx.Node]  # policy -> the cotangent of v
    same_sums_as_next_layer: bool


@dataclass(frozen=True, eq=False)
class Reading:
    """What the methods read at a layer: its primal and its cotangents, as [N, C, H, W].

    unfolding: the calls that give them back from what the listing holds instead, in order. No stage runs them; the
    reading does, for whom it needs them.
    """

    layer: int
    primal: fx.Node
    cts: dict[str, fx.Node]  # policy -> cotangent
    unfolding: list[fx.Node]
    folded: Folded | None

    @property
    def wanted(self) -> list[fx.Node]:
        """The values that have to be there as long as the layer may be read."""
        return [self.primal, *self.cts.values(), *(n for node in self.unfolding for n in node.all_input_nodes)]


@dataclass(frozen=True, eq=False)
class Entry:
    """Where a question may start, at a layer of the trunk: its seed takes the place of the layer's cotangents.

    hoisted: policy -> the calls behind the cotangent that a kernel does along with what makes it.
    beside: policy -> what the layer's own call adds, where its cotangent is the seed.
    """

    reading: "Reading"
    cts: dict[str, fx.Node]  # policy -> as the listing holds it
    hoisted: dict[str, list[fx.Node]]
    beside: dict[str, list[Beside]]


@dataclass(frozen=True, eq=False)
class BackwardStage:
    """The steps by which a policy comes to the cotangent of a layer, from the layer above it; -1 is the image."""

    policy: str
    layer: int
    steps: list[Step | Beside]


@dataclass(frozen=True, eq=False)
class StagedProgram:
    """A program as it is carried out. `printing` writes it as text, and decides nothing any more."""

    program: Program
    methods: list[Method]
    of_batch: list[Step]  # of the forward half, what no image goes into, and only the batch's size
    segments: list[Segment]  # the rest of it, where nothing is asked but the logits
    between_segments: list[fx.Node]  # values of segments that are read outside of them
    forward: list[Step]  # the forward half of a walk
    backward: list[BackwardStage | Entry | Reading]
    handed_on: list[fx.Node]  # values of stages that are read outside of them: to be bound before
    unread: set[str]  # policies whose cotangents no method reads at a layer, but a probe does


def stages(program: Program, methods: Sequence[Method]) -> tuple[StagedProgram, list[StagedProgram]]:
    """What is walked together, and what is for each policy that goes alone. Raises as `stage` does."""
    taken = one_pass_methods(methods)
    alone = list(dict.fromkeys(method.policy for method in taken if method.alone))
    together = [policy for policy in program.cotangents if policy not in alone]
    return stage(program.only(together), [method for method in taken if not method.alone]), [
        stage(program.only([one]), [method for method in taken if method.policy == one]) for one in alone
    ]


def stage(program: Program, methods: Sequence[Method]) -> StagedProgram:
    """Cut a program into stages, and plan the steps of each.

    Raises ProgramError where a call with several values is read in another stage: there is no one value to bind.
    """
    of_batch, segments, between = segments_of(program)
    one_pass = one_pass_methods(methods)
    readings = [_reading(program, index) for index in range(len(program.layers))]
    wanted = {reading.layer: reading.wanted for reading in readings}
    order = plan(_order(program), wanted, [program.logits, *program.image_cotangents.values()])
    # What follows the forward half: runs of steps of one stage, and the readings between them.
    backward: list[BackwardStage | Entry | Reading] = []
    trunk = trunk_nodes(program)
    for place, group in itertools.groupby(order, _place):
        if isinstance(place, int):
            if program.layers[place].node in trunk:
                backward.append(_entry(program, readings[place], order))
            backward.append(readings[place])
        elif place is not None:
            backward.append(BackwardStage(*place, [item for item in group if not isinstance(item, int)]))
    # What comes to the image may be what came to a layer already, and takes no step of its own.
    to_image = {(part.policy, part.layer) for part in backward if isinstance(part, BackwardStage)}
    there = {p: ct for p, ct in program.image_cotangents.items() if (p, -1) not in to_image}
    backward += [BackwardStage(policy, -1, []) for policy in there]
    read = {node for nodes in wanted.values() for node in nodes} | {*there.values()}
    return StagedProgram(
        program,
        one_pass,
        of_batch,
        segments,
        between,
        [step for step in order if isinstance(step, Step) and step.stage is None],
        backward,
        list(handed_on(order, read)),
        {*program.cotangents} - {method.policy for method in one_pass if method.at.has_layers},
    )


def _entry(program: Program, reading: Reading, order: Iterable[Item]) -> Entry:
    cts = {
        policy: _before_unfolding(cotangents[reading.layer]) for policy, cotangents in program.cotangents.items()
    }
    steps = [step for step in order if isinstance(step, Step)]
    hoisted = {policy: behind_value(ct, steps) for policy, ct in cts.items()}
    apart = [item for item in order if isinstance(item, Beside)]
    beside = {policy: [item for item in apart if item.intercept.ct is ct] for policy, ct in cts.items()}
    return Entry(reading, cts, hoisted, beside)


def _place(item: Item) -> Stage | int:
    return item if isinstance(item, int) else item.stage


def _order(program: Program) -> Iterator[tuple[Stage, fx.Node] | Beside | int]:
    """Calls with their stages, and what is read between them, in the order in which that happens."""
    forward = {*program.needed([program.logits]), *filter(is_size, program.graph.nodes)}
    stages = _stages(program, forward)
    yield from ((None, node) for node in program.graph.nodes if node in forward and node.op == "call_function")
    # From the last layer down: a layer is read when all policies have come to it, and before any goes on.
    beside = _beside(program)
    for index in range(len(program.layers) - 1, -2, -1):
        for policy in program.cotangents if index >= 0 else program.image_cotangents:
            stage = policy, index
            # Nobody computes the seed: what it comes to is the first of all.
            yield from (Beside(stage, *found) for found in beside.pop((policy, program.seed), []))
            for node in stages.get(stage, []):
                yield stage, node
                yield from (Beside(stage, *found) for found in beside.pop((policy, node), []))
        if index >= 0:
            yield index
    assert not beside, f"no stage comes by {list(beside)}"


def _beside(program: Program) -> dict[tuple[str, fx.Node | None], list[tuple[Intercept, list[fx.Node]]]]:
    """(policy, cotangent) -> the intercepts that it comes to, with the calls that compute them."""
    found: dict[tuple[str, fx.Node | None], list[tuple[Intercept, list[fx.Node]]]] = {}
    for policy, intercepts in program.intercepts.items():
        own: dict[int, list[fx.Node]] = {}
        for node in program.graph.nodes:
            if node.meta.get("policy") == policy and "intercept" in node.meta:
                own.setdefault(node.meta["intercept"], []).append(node)
        for index, intercept in enumerate(intercepts):
            found.setdefault((policy, intercept.ct), []).append((intercept, own.get(index, [])))
    return found


def _stages(program: Program, forward: set[fx.Node]) -> dict[tuple[str, int], list[fx.Node]]:
    """(policy, layer) -> the nodes whose first use is on the way to that layer's cotangent; -1 is the image.

    A value that several stages of a policy use belongs to the first that runs: whoever goes deeper has passed it.
    Each policy records calls of its own, so that what policies have in common lies in the forward half.
    """
    position = {node: index for index, node in enumerate(program.graph.nodes)}
    stages: dict[tuple[str, int], list[fx.Node]] = {}
    seen = set(forward)
    for policy, cotangents in program.cotangents.items():
        goals = list(enumerate(map(_before_unfolding, cotangents)))[::-1]
        goals += [(-1, program.image_cotangents[policy])] if policy in program.image_cotangents else []
        for index, goal in goals:
            found, pending = list[fx.Node](), [goal]
            while pending:
                node = pending.pop()
                if node not in seen and node.op == "call_function":
                    seen.add(node)
                    found.append(node)
                    pending.extend(node.all_input_nodes)
            stages[policy, index] = sorted(found, key=position.__getitem__)
    return stages


def _reading(program: Program, index: int) -> Reading:
    """What is read at a layer, and how it is given back where the listing holds something else."""
    layer, primal = program.layers[index], program.primals[index]
    cts = {policy: cotangents[index] for policy, cotangents in program.cotangents.items()}
    unfolding = [node for node in program.graph.nodes if node.meta.get("restores") == index]
    folded = None
    if layer.scale is not None and layer.axes is None and program.relevances.isdisjoint(cts):
        difference = primal.all_input_nodes[0]  # of the primal (v - t) / s
        value, shift = difference.args
        assert isinstance(value, fx.Node) and isinstance(shift, fx.Node)
        of_value = {policy: ct.all_input_nodes[0] for policy, ct in cts.items()}  # of the cotangent ct_v * s
        next_layer = program.layers[index + 1] if index + 1 < len(program.layers) else None
        folded = Folded(value, shift, of_value, next_layer is not None and _is_value_of(next_layer, layer))
    return Reading(index, primal, cts, unfolding, folded)


def _is_value_of(next_layer: Layer, layer: Layer) -> bool:
    """Is the next layer the very value that the listing holds for this one, as it is?"""
    return next_layer.node is layer.node and next_layer.scale is None and next_layer.axes is None


def _before_unfolding(ct: fx.Node) -> fx.Node:
    """The cotangent that a stage is to come to; a layer's own is made of it where that is read."""
    while "restores" in ct.meta:
        ct = ct.all_input_nodes[0]
    return ct
