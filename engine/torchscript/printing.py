"""The staged program as the text of a module's functions: `forward`, `primals`, `walk`, and what reads the maps.

This is the `walk` of a network of a convolution, a ReLU, a max-pooling and a linear layer, compiled for Grad-CAM
at `conv` and for the gradient; a test holds it equal to what is printed. There is one layer, 0, and one gate; a
question goes down to depth 1 (not at all), 0 (the layer) or -1 (the image), and reads layers first..last.

    def walk(
        self, image: Tensor, seed: Tensor, depth: dict[str, int], first: int, last: int, wanted: list[str]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        image = image.to(self.fine.dtype)
        gradient = depth["gradient"]
        nothing = torch.empty(0)
        out: list[Tensor] = []
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        probed = "probe" in wanted
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
        seed = self.resolve_seed(logits, seed)
        ct_conv = nothing
        image_gradient = nothing
        if gradient <= 0:
            matmul = self.kernels.linear_back(seed, self.weights.head_weight)
            reshape = aten.reshape(matmul, [size, 4, 3, 3])
            getitem_1 = max_pool2d_with_indices[1]
            max_pool2d_with_indices_backward = aten.max_pool2d_with_indices_backward(
                reshape, relu, [2, 2], [2, 2], [0, 0], [1, 1], False, getitem_1
            )
            ct_conv = aten.threshold_backward(
                max_pool2d_with_indices_backward, relu, 0, grad_input=max_pool2d_with_indices_backward
            )
        if first <= 0 and 0 <= last:
            if gradient <= 0:
                self.collect_gradient(wanted, conv, ct_conv, nothing, False, sums, out)
        if gradient <= -1:
            conv_transpose2d = self.kernels.conv_back(
                ct_conv, 1, self.weights.conv_weight,
                ConvSteps([1, 1], [0, 0], [0, 0], [1, 1], 1), Epilogue(None, False, None, None),
            )
            ct_image = aten.type_as(conv_transpose2d, image)
            image_gradient = ct_image
        return logits, out, [image_gradient]
"""

from collections.abc import Iterable

from torch import fx

from ..listing.names import (
    DEPTH,
    FIRST,
    LAST,
    NOTHING,
    OUT,
    PROBED,
    SELF,
    SUMS,
    TENSOR,
    WANTED,
    depth_of,
    image_ct_of,
    read_of,
    weigh_of,
)
from ..listing.program import Program, literal
from ..methods import PROBE, Method, with_factors
from .staging import BackwardStage, Reading, StagedProgram
from .statements import Calls, block, in_place_form, is_read, statements


def functions(staged: StagedProgram, calls: Calls) -> dict[str, str]:
    """The text of each function, by name. calls: is filled with the numbers of the convolutions."""
    texts = {"forward": _forward(staged, calls), "primals": _primals(staged.program), "walk": _walk(staged, calls)}
    texts |= {f"collect_{gate}": _collect(gate, staged.methods) for gate in staged.program.cotangents}
    return texts | {"read": _read(staged.methods)}


def _forward(staged: StagedProgram, calls: Calls) -> str:
    program = staged.program
    lines = [line for step in staged.logits_only for line in in_place_form(program, step, calls)]
    head = f"forward({SELF}, {program.image.name}: {TENSOR}) -> {TENSOR}"
    return _function(head, [_fine(program), *lines, f"return {program.logits.name}"])


def _primals(program: Program) -> str:
    """The forward half as it is listed, one functional call per line: what a reference differentiates."""
    lines = list(program.lines(program.needed([program.logits, *program.primals])))
    primals = ", ".join(primal.name for primal in program.primals)
    head = f"primals({SELF}, {program.image.name}: {TENSOR}) -> tuple[{TENSOR}, list[{TENSOR}]]"
    lines = [_fine(program), *lines, f"return {program.logits.name}, [{primals}]"]
    # Nothing that is compiled calls it, so without this it would be left out of the file.
    return "@torch.jit.export\n" + _function(head, lines)


def _walk(staged: StagedProgram, calls: Calls) -> str:
    """The generated `walk`: the forward half, then each gate's stages from the last layer to the image."""
    program, gates = staged.program, list(staged.program.cotangents)
    assert program.seed is not None
    image, seed = program.image.name, program.seed.name
    lines = [_fine(program), *(f'{depth_of(gate)} = {DEPTH}["{gate}"]' for gate in gates)]
    # What is not computed is an empty tensor: a name has one type to TorchScript, on every way through the code.
    lines += [f"{NOTHING} = torch.empty(0)", f"{OUT}: list[{TENSOR}] = []"]
    lines += [f"{SUMS}: dict[str, tuple[{TENSOR}, {TENSOR}]] = {{}}", f'{PROBED} = "{PROBE}" in {WANTED}']
    for step in staged.forward:
        lines += statements(program, step, calls)
    # Between the halves, for a seed that asks for the top class is known only when the logits are.
    lines.append(f"{seed} = {SELF}.resolve_seed({program.logits.name}, {seed})")
    # A stage is a block under a condition, and its names are known behind it only if they were bound before it.
    lines += [f"{node.name} = {NOTHING}" for node in staged.handed_on]
    lines += [f"{image_ct_of(gate)} = {NOTHING}" for gate in gates]
    for part in staged.backward:
        lines += _stage(staged, part, calls) if isinstance(part, BackwardStage) else _reading(staged, part)
    lines.append(f"return {program.logits.name}, {OUT}, [{', '.join(map(image_ct_of, gates))}]")
    head = (
        f"walk({SELF}, {image}: {TENSOR}, {seed}: {TENSOR}, {DEPTH}: dict[str, int], {FIRST}: int, {LAST}: int, "
        f"{WANTED}: list[str]) -> tuple[{TENSOR}, list[{TENSOR}], list[{TENSOR}]]"
    )
    return _function(head, lines)


def _fine(program: Program) -> str:
    """The image in the precision in which the first calls take it."""
    return f"{program.image.name} = {program.image.name}.to({SELF}.fine.dtype)"


def _stage(staged: StagedProgram, stage: BackwardStage, calls: Calls) -> list[str]:
    program, gate = staged.program, stage.gate
    body = [line for step in stage.steps for line in statements(program, step, calls, staged.unread)]
    if stage.layer < 0:
        body.append(f"{image_ct_of(gate)} = {program.image_cotangents[gate].name}")
    return block(f"{depth_of(gate)} <= {stage.layer}", body)


def _reading(staged: StagedProgram, reading: Reading) -> list[str]:
    """What happens at a layer whose map is wanted: give back what a fold hid, and read each method.

    Where only weighted sums are wanted, the fold stays: see `Folded` for the formula.
    """
    lines = _collected(staged, reading, reading.primal, reading.cts, f"{NOTHING}, False")
    if (folded := reading.folded) is not None:
        summed = f"{reading.layer + 1} <= {LAST}" if folded.same_sums_as_next_layer else False
        weighed = _collected(staged, reading, folded.value, folded.cts, f"{literal(folded.shift)}, {summed}")
        # A probe, and a method that is no weighted sum, want the layer itself.
        others = [PROBE, *(m.name for m in staged.methods if not m.at.at_image and m.weigh is None)]
        lines = [*block(" or ".join(f'"{name}" in {WANTED}' for name in others), lines), *block("", weighed)]
    return block(is_read(reading.layer), lines)


def _collected(
    staged: StagedProgram, reading: Reading, primal: fx.Node, cts: dict[str, fx.Node], shift_and_summed: str
) -> list[str]:
    """Statements that compute what a layer's reading takes and no stage has computed, and that read."""
    program = staged.program
    # The primal is given back once for all gates, a cotangent only where its gate has come so far.
    lines = list(program.lines(_within(reading.unfolding, primal)))
    for gate, ct in cts.items():
        own = [node for node in reading.unfolding if node.meta["gate"] == gate]
        call = f"{SELF}.collect_{gate}({WANTED}, {primal.name}, {ct.name}, {shift_and_summed}, {SUMS}, {OUT})"
        asked = f"{f'{PROBED} and ' if gate in staged.unread else ''}{depth_of(gate)} <= {reading.layer}"
        lines += block(asked, [*program.lines(_within(own, ct)), call])
    return lines


def _within(nodes: list[fx.Node], goal: fx.Node) -> list[fx.Node]:
    """Those of `nodes`, which are in order, that `goal` is computed by."""
    found = {goal}
    for node in reversed(nodes):
        if node in found:
            found.update(node.all_input_nodes)
    return [node for node in nodes if node in found]


def _collect(gate: str, methods: Iterable[Method]) -> str:
    """Read what is wanted at a layer: Σ w (primal - shift) for a weighted sum, where there is a shift. With
    `summed` the layer read before is the same but for its shift, and its weights and sums are taken."""
    lines = [
        "for method in wanted:",
        f'    if method == "{PROBE}":',
        "        out.append(primal.clone())",  # what comes later may be written over it
        "        out.append(ct.clone())",
    ]
    for method in methods:
        if method.gate != gate or method.at.at_image:
            continue
        lines.append(f'    elif method == "{method.name}":')
        if method.weigh is None:
            lines.append(f"        out.append({read_of(method.name)}(primal, ct).to(self.like.dtype))")
            continue
        lines += [
            "        if not summed:",
            f"            weights = {weigh_of(method.name)}(ct)",
            "            sums[method] = weights, weighted(primal, weights)",
            "        weights, map = sums[method]",
            "        map = minus_shift(map, weights, shift) if shift.numel() > 0 else map",
            "        out.append(map.to(self.like.dtype))",
        ]
    head = (
        f"collect_{gate}(self, wanted: list[str], primal: Tensor, ct: Tensor, shift: Tensor, summed: bool, "
        "sums: dict[str, tuple[Tensor, Tensor]], out: list[Tensor]) -> None"
    )
    return _function(head, lines)


def _read(methods: list[Method]) -> str:
    """The maps of the image methods, and of those that multiply a layer's map."""
    names = dict.fromkeys(method.name for method in with_factors(methods) if method.at.at_image)
    lines = [f'if method == "{name}":\n        return {read_of(name)}(primal, ct)' for name in names]
    # Nobody comes here with another name, but TorchScript wants an answer on every way.
    lines.append("raise ValueError(method)")
    return _function("read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor", lines)


def _function(head: str, lines: Iterable[str]) -> str:
    return f"def {head}:\n" + "\n".join(f"    {line}" for line in lines)
