"""The staged program as the text of a module's functions: `forward`, `primals`, `walk`, and what reads the maps.

This is the `walk` of a network of a convolution, a ReLU, a max-pooling and a linear layer, compiled for Grad-CAM
at `conv` and for the gradient; a test holds it equal to what is printed. There is one layer, 0, and one policy; a
question goes down to depth 1 (not at all), 0 (the layer) or -1 (the image), and reads layers first..last. It
starts at 1 (the logits) or at 0, where `asked` is a seed of the layer.

    def walk(
        self, image: Tensor, asked: Tensor, depth: dict[str, int], start: int, first: int, last: int,
        wanted: list[str],
    ) -> tuple[Tensor, dict[str, list[Tensor]], list[Tensor], list[Tensor]]:
        image = image.to(self.fine.dtype)
        gradient = depth["gradient"]
        nothing = torch.empty(0)
        out: dict[str, list[Tensor]] = {}
        for name in wanted:
            out[name] = []
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        probed = "probe" in wanted
        origin: list[Tensor] = []
        size = aten.size(image, 0)
        type_as = aten.type_as(image, self.weights.precision)
        if first <= 0 and 0 <= last:
            conv = self.kernels.conv(
                type_as, 0, self.weights.conv_weight, self.weights.conv_bias,
                ConvSteps([1, 1], [0, 0], [0, 0], [1, 1], 1), Epilogue(None, False, None, None),
            )
            relu = aten.relu(conv)
        else:
            relu = self.kernels.conv(
                type_as, 0, self.weights.conv_weight, self.weights.conv_bias,
                ConvSteps([1, 1], [0, 0], [0, 0], [1, 1], 1), Epilogue(None, False, 0.0, None),
            )
            conv = nothing
        max_pool2d_with_indices = aten.max_pool2d_with_indices(relu, [2, 2], [2, 2])
        getitem = max_pool2d_with_indices[0]
        flatten = aten.flatten(getitem, 1)
        logits = aten.linear(flatten, self.weights.head_weight, self.weights.head_bias)
        seed = self.seed_at_logits(logits, asked, start)
        ct_conv = nothing
        image_gradient = nothing
        if gradient <= 0 and 0 < start:
            matmul = self.kernels.linear_back(seed, self.weights.head_weight)
            reshape = aten.reshape(matmul, [size, 4, 3, 3])
            getitem_1 = max_pool2d_with_indices[1]
            max_pool2d_with_indices_backward = aten.max_pool2d_with_indices_backward(
                reshape, relu, [2, 2], [2, 2], [0, 0], [1, 1], False, getitem_1
            )
            ct_conv = aten.threshold_backward(
                max_pool2d_with_indices_backward, relu, 0, grad_input=max_pool2d_with_indices_backward
            )
        if start == 0:
            origin = [conv, self.readings.source(conv, asked)]
            entered = origin[1]
            if gradient <= 0:
                ct_conv = entered.clone()
        if first <= 0 and 0 <= last:
            if gradient <= 0:
                self.readings.collect("gradient", wanted, conv, ct_conv, nothing, False, sums, out)
        if gradient <= -1:
            conv_transpose2d = self.kernels.conv_back(
                ct_conv, 1, self.weights.conv_weight,
                ConvSteps([1, 1], [0, 0], [0, 0], [1, 1], 1), Epilogue(None, False, None, None),
            )
            ct_image = aten.type_as(conv_transpose2d, image)
            image_gradient = ct_image
        return logits, out, [image_gradient], origin
"""

from collections.abc import Iterable, Sequence

from torch import fx

from ..listing.names import (
    ADDED,
    ASKED,
    DEPTH,
    ENTERED,
    FIRST,
    INTERCEPTS,
    LAST,
    NAME,
    NOTHING,
    ORIGIN,
    OUT,
    PROBED,
    SELF,
    START,
    SUMS,
    TENSOR,
    WANTED,
    depth_of,
    finish_of,
    image_ct_of,
    path_of,
    read_of,
    walk_of,
)
from ..listing.program import Program, literal
from ..methods import FINISHES, NO_POLICY, PATHS, PROBE, Method
from .schedule import Beside
from .staging import BackwardStage, Entry, Reading, StagedProgram
from .statements import Calls, block, function, is_read, statements
from .tails import fine, forward, laid_back, tail


def functions(staged: StagedProgram, alone: Sequence[StagedProgram], calls: Calls) -> dict[str, str]:
    """The text of each function, by name. alone: of each policy that goes alone the program. calls: is filled with
    the numbers of the convolutions."""
    texts = {
        "forward": forward(staged),
        "tail_of": tail(staged, calls),
        "primals": _primals(staged.program),
        "walk": _walk(staged, calls),
    }
    policies = [policy for program in alone for policy in program.program.cotangents]
    texts |= {
        walk_of(policy): _walk(program, calls, walk_of(policy))
        for policy, program in zip(policies, alone, strict=True)
    }
    texts["walk_alone"] = _walk_alone(policies)
    texts |= {"points": _points(), "finished": _finished()}
    return texts | {"read": _read([*staged.methods, *(m for program in alone for m in program.methods)])}


def _primals(program: Program) -> str:
    """The forward half as it is listed, one functional call per line: what a reference differentiates."""
    lines = list(program.lines(program.needed([program.logits, *program.primals])))
    primals = ", ".join(primal.name for primal in program.primals)
    head = f"primals({SELF}, {program.image.name}: {TENSOR}) -> tuple[{TENSOR}, list[{TENSOR}]]"
    lines = [fine(program), *lines, f"return {program.logits.name}, [{primals}]"]
    # Nothing that is compiled calls it, so without this it would be left out of the file.
    return "@torch.jit.export\n" + function(head, lines)


def _walk(staged: StagedProgram, calls: Calls, name: str = "walk") -> str:
    """The generated `walk`: the forward half, then each policy's stages from the last layer to the image."""
    program, policies = staged.program, list(staged.program.cotangents)
    assert program.seed is not None
    image, seed = program.image.name, program.seed.name
    lines = [fine(program), *(f'{depth_of(policy)} = {DEPTH}["{policy}"]' for policy in policies)]
    # What is not computed is an empty tensor: a name has one type to TorchScript, on every way through the code.
    lines += [f"{NOTHING} = torch.empty(0)", f"{OUT}: dict[str, list[{TENSOR}]] = {{}}"]
    lines += [f"for {NAME} in {WANTED}:", f"    {OUT}[{NAME}] = []"]
    lines += [f"{SUMS}: dict[str, tuple[{TENSOR}, {TENSOR}]] = {{}}", f'{PROBED} = "{PROBE}" in {WANTED}']
    lines += [f"{ORIGIN}: list[{TENSOR}] = []"]
    lines += [f'{ADDED} = "{INTERCEPTS}" in {WANTED}'] if program.intercepts else []
    for step in staged.forward:
        lines += statements(program, step, calls)
    # Between the halves, for a seed that asks for the top class is known only when the logits are.
    lines.append(f"{seed} = {SELF}.seed_at_logits({program.logits.name}, {ASKED}, {START})")
    # A stage is a block under a condition, and its names are known behind it only if they were bound before it.
    lines += [f"{node.name} = {NOTHING}" for node in staged.handed_on]
    lines += [f"{image_ct_of(policy)} = {NOTHING}" for policy in policies]
    for part in staged.backward:
        if isinstance(part, BackwardStage):
            lines += _stage(staged, part, calls)
        else:
            lines += _entry(program, part) if isinstance(part, Entry) else _reading(staged, part)
    lines.append(f"return {program.logits.name}, {OUT}, [{', '.join(map(image_ct_of, policies))}], {ORIGIN}")
    head = (
        f"{name}({SELF}, {image}: {TENSOR}, {ASKED}: {TENSOR}, {DEPTH}: dict[str, int], {START}: int, "
        f"{FIRST}: int, {LAST}: int, {WANTED}: list[str]) "
        f"-> tuple[{TENSOR}, dict[str, list[{TENSOR}]], list[{TENSOR}], list[{TENSOR}]]"
    )
    return function(head, lines)


def _stage(staged: StagedProgram, stage: BackwardStage, calls: Calls) -> list[str]:
    program, policy = staged.program, stage.policy
    body: list[str] = []
    for step in stage.steps:
        if isinstance(step, Beside):
            body += block(ADDED, _added(program, step))
        else:
            body += statements(program, step, calls, staged.unread)
    if stage.layer < 0:
        body.append(f"{image_ct_of(policy)} = {program.image_cotangents[policy].name}")
    # A start at a layer has its own seed there; the image is below every start.
    above = f" and {stage.layer} < {START}" if stage.layer >= 0 else ""
    return block(f"{depth_of(policy)} <= {stage.layer}{above}", body)


def _added(program: Program, beside: Beside) -> list[str]:
    """Statements that hand out what a call adds of its own."""
    found = beside.intercept
    given = f'"{found.how}", {found.drawn}, {literal(found.ct)}, {literal(found.value)}, {OUT}'
    return [*program.lines(beside.nodes), f"{SELF}.readings.intercept({given})"]


def _entry(program: Program, entry: Entry) -> list[str]:
    """What happens at a layer where a question starts."""
    reading, layer = entry.reading, program.layers[entry.reading.layer]
    lines = list(program.lines(_within(reading.unfolding, reading.primal)))
    lines += [f"{ORIGIN} = [{reading.primal.name}, {SELF}.readings.source({reading.primal.name}, {ASKED})]"]
    seed, relevance = f"{ORIGIN}[1]", not program.relevances.isdisjoint(entry.cts)
    seed = f"{seed} * {reading.primal.name}" if relevance else seed
    seed = seed if layer.axes is None else laid_back(seed, layer)
    scaled = layer.scale is not None and not relevance
    lines.append(f"{ENTERED} = {f'{seed} / {literal(layer.scale)}' if scaled else seed}")
    for policy, ct in entry.cts.items():
        # What comes later may be written over it.
        body = [f"{ct.name} = {ENTERED}.clone()"]
        for beside in entry.beside[policy]:
            body += block(ADDED, _added(program, beside))
        body += program.lines(entry.hoisted[policy])
        lines += block(f"{depth_of(policy)} <= {reading.layer}", body)
    return block(f"{START} == {reading.layer}", lines)


def _reading(staged: StagedProgram, reading: Reading) -> list[str]:
    """What happens at a layer whose map is wanted: give back what a fold hid, and read each method.

    Where only weighted sums are wanted, the fold stays: see `Folded` for the formula.
    """
    lines = _collected(staged, reading, reading.primal, reading.cts, f"{NOTHING}, False")
    if (folded := reading.folded) is not None:
        summed = f"{reading.layer + 1} <= {LAST}" if folded.same_sums_as_next_layer else False
        weighed = _collected(staged, reading, folded.value, folded.cts, f"{literal(folded.shift)}, {summed}")
        # A probe, and a method that is no weighted sum, want the layer itself.
        others = [PROBE, *(m.name for m in staged.methods if m.at.has_layers and m.weigh is None)]
        lines = [*block(" or ".join(f'"{name}" in {WANTED}' for name in others), lines), *block("", weighed)]
    return block(is_read(reading.layer), lines)


def _collected(
    staged: StagedProgram, reading: Reading, primal: fx.Node, cts: dict[str, fx.Node], shift_and_summed: str
) -> list[str]:
    """Statements that compute what a layer's reading takes and no stage has computed, and that read."""
    program = staged.program
    # The primal is given back once for all policies, a cotangent only where its policy has come so far.
    lines = list(program.lines(_within(reading.unfolding, primal)))
    if any(method.policy == NO_POLICY for method in staged.methods):
        lines.append(f"{SELF}.readings.values({WANTED}, {primal.name}, {OUT})")
    for policy, ct in cts.items():
        own = [node for node in reading.unfolding if node.meta["policy"] == policy]
        given = f"{WANTED}, {primal.name}, {ct.name}, {shift_and_summed}, {SUMS}, {OUT}"
        call = f'{SELF}.readings.collect("{policy}", {given})'
        asked = f"{f'{PROBED} and ' if policy in staged.unread else ''}{depth_of(policy)} <= {reading.layer}"
        lines += block(asked, [*program.lines(_within(own, ct)), call])
    return lines


def _within(nodes: list[fx.Node], goal: fx.Node) -> list[fx.Node]:
    """Those of `nodes`, which are in order, that `goal` is computed by."""
    found = {goal}
    for node in reversed(nodes):
        if node in found:
            found.update(node.all_input_nodes)
    return [node for node in nodes if node in found]


def _walk_alone(policies: Iterable[str]) -> str:
    """Which walk is that of a policy."""
    given = ", ".join(("image", ASKED, DEPTH, START, FIRST, LAST, WANTED))
    lines = [f'if policy == "{policy}":\n        return {SELF}.{walk_of(policy)}({given})' for policy in policies]
    head = (
        f"walk_alone({SELF}, policy: str, image: {TENSOR}, {ASKED}: {TENSOR}, {DEPTH}: dict[str, int], "
        f"{START}: int, {FIRST}: int, {LAST}: int, {WANTED}: list[str]) "
        f"-> tuple[{TENSOR}, dict[str, list[{TENSOR}]], list[{TENSOR}], list[{TENSOR}]]"
    )
    return function(head, [*lines, "raise ValueError(policy)"])


def _points() -> str:
    """The points of the paths."""
    lines = [
        f'if path == "{name}":\n        return {path_of(name)}(x, reference, options, begin, end)'
        for name in PATHS
    ]
    head = (
        "points(self, path: str, x: Tensor, reference: Tensor, options: dict[str, float], begin: int, end: int) "
        "-> tuple[Tensor, Tensor]"
    )
    return function(head, [*lines, "raise ValueError(path)"])


def _finished() -> str:
    """How the maps of many passes become one."""
    lines = [f'if finish == "{name}":\n        return {finish_of(name)}(mean, variance)' for name in FINISHES]
    head = "finished(self, finish: str, mean: Tensor, variance: Tensor) -> Tensor"
    return function(head, [*lines, "raise ValueError(finish)"])


def _read(methods: list[Method]) -> str:
    """The maps of the image methods, and of those that multiply a layer's map."""
    names = dict.fromkeys(method.name for method in methods if method.at.at_image)
    lines = [f'if method == "{name}":\n        return {read_of(name)}(primal, ct)' for name in names]
    # Nobody comes here with another name, but TorchScript wants an answer on every way.
    lines.append("raise ValueError(method)")
    return function("read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor", lines)
