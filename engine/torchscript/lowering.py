"""From a Program to the TorchScript module that answers questions: the listing as source, in stages.

The backward half is cut where a layer's cotangent is complete. A stage runs only where some question goes that
deep, and values that it hands on are declared before it, as TorchScript wants: that is what the generated text
has beyond the plain listing.
"""

import itertools
import linecache
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from ..compiler.keep_float32 import stem_constants
from ..compiler.passes import Compiled
from ..errors import ProgramError
from ..listing.names import image_ct_of
from ..listing.program import Program, aten, literal
from ..methods import IMAGE, METHODS, Method, less, weighted
from ..pictures.geometry import Geometry
from ..pictures.render import heatmap
from .answers import Answers
from .kernels import How, Plain, Then
from .printing import Calls, block, quickly, statements
from .schedule import Reading, Stage, Step, plan
from .torchscript import name_for_files, scripted

_serial = itertools.count()


def lower(compiled: Compiled, labels: list[str], geometry: Geometry) -> torch.jit.ScriptModule:
    """Script the compiled program together with the questions of `Answers`."""
    program, methods = compiled.program, compiled.methods
    calls: Calls = {}
    source = "\n\n".join(
        [
            _forward_source(program, calls),
            _primals_source(program),
            _walk_source(program, methods, calls),
            *(_collect_source(gate, methods) for gate in program.cotangents),
            _read_source(methods),
        ]
    )
    functions = _define(source)
    kind = type("Explained", (Answers,), functions)
    name_for_files(kind)
    module = kind()
    module.weights = torch.nn.Module()
    for name, value in program.constants.items():
        module.weights.register_buffer(name, value)
    like = next((c for c in program.constants.values() if c.is_floating_point()), torch.empty(0))
    module.register_buffer("like", like.new_empty(0))
    module.register_buffer("fine", like.new_empty(0))
    module.stem = stem_constants(program)
    module.register_buffer("colors", torch.from_numpy(heatmap(np.linspace(0, 1, 256)[None])[0]))
    module.labels = list(labels)
    module.layers = [layer.name for layer in program.layers]
    module.methods = [method.name for method in methods]
    module.gates = list(program.cotangents)
    module.gates_at_image = list(program.image_cotangents)
    taken = [*methods, *(METHODS[method.times] for method in methods if method.times)]
    module.gate_of = {method.name: method.gate for method in taken}
    module.at_of = {method.name: method.at for method in taken}
    module.reader_of = {method.name: _reader(method, methods) for method in methods if method.at != IMAGE}
    module.rectified = [method.name for method in methods if method.rectified]
    module.times_of = {method.name: method.times for method in taken if method.times}
    module.size = list(geometry.crop)
    module.resize = geometry.resize
    module.interpolation = geometry.interpolation
    module.mean, module.std = list(geometry.mean), list(geometry.std)
    module.classes = int(program.logits.meta["val"].shape[1])
    module.pooled = compiled.pooled
    module.calls = len(calls)
    module.kernels = scripted(Plain())
    return scripted(module.eval())


def _reader(method: Method, methods: list[Method]) -> str:
    """The first method that reads the same values in the same way; what it reads is read once."""
    same = (method.read, method.gate, method.at)
    return next(other.name for other in methods if (other.read, other.gate, other.at) == same)


def _forward_source(program: Program, calls: Calls) -> str:
    nodes = program.needed([program.logits])
    steps = plan([(None, node) for node in nodes if node.op == "call_function"], [program.logits])
    lines = [line for step in steps if isinstance(step, Step) for line in quickly(program, step, calls)]
    head = f"forward(self, {program.image.name}: Tensor) -> Tensor"
    return _function(head, [_fine(program), *lines, f"return {program.logits.name}"])


def _primals_source(program: Program) -> str:
    """The forward half as it is listed, one functional call per line: what a reference differentiates."""
    lines = list(program.lines(program.needed([program.logits, *program.primals])))
    primals = ", ".join(primal.name for primal in program.primals)
    head = f"primals(self, {program.image.name}: Tensor) -> tuple[Tensor, list[Tensor]]"
    lines = [_fine(program), *lines, f"return {program.logits.name}, [{primals}]"]
    return "@torch.jit.export\n" + _function(head, lines)


def _walk_source(program: Program, methods: list[Method], calls: Calls) -> str:
    """The generated `Answers.walk`: the forward half, then each gate's stages from the last layer to the image."""
    steps = plan(_events(program), [program.logits, *program.image_cotangents.values()])
    lines = [_fine(program), *(f'{gate} = depth["{gate}"]' for gate in program.cotangents)]
    lines += ["nothing = torch.empty(0)", "out: list[Tensor] = []", "sums: dict[str, tuple[Tensor, Tensor]] = {}"]
    lines.append('probed = "probe" in wanted')
    unread = _unread(program, methods)
    forward = [step for step in steps if isinstance(step, Step) and step.stage is None]
    for step in forward:
        lines += statements(program, step, calls)
    assert program.seed is not None
    lines += [f"{program.seed.name} = self.aim({program.logits.name}, {program.seed.name})"]
    lines += [f"{node.name} = nothing" for node in _handed_on(program, steps)]
    lines += [f"{image_ct_of(gate)} = nothing" for gate in program.cotangents]
    for stage, group in itertools.groupby(steps[len(forward) :], _place):
        if isinstance(stage, int):
            lines += _reading(program, methods, stage)
        elif stage is not None:
            gate, index = stage
            body = [line for s in group if isinstance(s, Step) for line in statements(program, s, calls, unread)]
            if index < 0:
                body.append(f"{image_ct_of(gate)} = {program.image_cotangents[gate].name}")
            lines += block(f"{gate} <= {index}", body)
    images = ", ".join(image_ct_of(gate) for gate in program.cotangents)
    lines.append(f"return {program.logits.name}, out, [{images}]")
    head = (
        f"walk(self, {program.image.name}: Tensor, {program.seed.name}: Tensor, depth: dict[str, int], "
        "first: int, last: int, wanted: list[str]) -> tuple[Tensor, list[Tensor], list[Tensor]]"
    )
    return _function(head, lines)


def _fine(program: Program) -> str:
    """The image in the precision in which the stem takes it."""
    return f"{program.image.name} = {program.image.name}.to(self.fine.dtype)"


def _place(step: Step | int) -> Stage | int:
    return step.stage if isinstance(step, Step) else step


def _events(program: Program) -> Iterator[tuple[Stage, fx.Node] | Reading]:
    """Calls and readings in the order in which they happen."""
    forward = {*program.needed([program.logits]), *filter(_is_size, program.graph.nodes)}
    stages = _stages(program, forward)
    yield from ((None, node) for node in program.graph.nodes if node in forward and node.op == "call_function")
    for index in range(len(program.layers) - 1, -1, -1):
        for gate in program.cotangents:
            yield from (((gate, index), node) for node in stages.get((gate, index), []))
        yield index, _read_at(program, index)
    for gate in program.image_cotangents:
        yield from (((gate, -1), node) for node in stages.get((gate, -1), []))


def _handed_on(program: Program, steps: list[Step | int]) -> Iterator[fx.Node]:
    """The values of stages that are read outside of them: TorchScript wants them bound before."""
    stage_of = {node: step.stage for step in steps if isinstance(step, Step) for node in step.nodes}
    read = {node for index in range(len(program.layers)) for node in _read_at(program, index)}
    for node, stage in stage_of.items():
        if stage is not None and (node in read or any(stage_of.get(user) != stage for user in node.users)):
            if not isinstance(node.meta["val"], Tensor):
                raise ProgramError(f"{node.name} returns several values and is read in another stage")
            yield node


def _read_at(program: Program, index: int) -> list[fx.Node]:
    """The values that the reading of a layer takes, or gives the layer back from."""
    restoring = [node for node in program.graph.nodes if node.meta.get("restores") == index]
    asked = [program.primals[index], *(cts[index] for cts in program.cotangents.values())]
    return [*asked, *(source for node in restoring for source in node.all_input_nodes)]


def _stages(program: Program, forward: set[fx.Node]) -> dict[tuple[str, int], list[fx.Node]]:
    """(gate, layer) -> the nodes whose first use is on the way to that layer's cotangent; -1 is the image."""
    order = {node: position for position, node in enumerate(program.graph.nodes)}
    stages: dict[tuple[str, int], list[fx.Node]] = {}
    seen = set(forward)
    for gate, cotangents in program.cotangents.items():
        goals = list(enumerate(map(_before_restoring, cotangents)))[::-1]
        goals += [(-1, program.image_cotangents[gate])] if gate in program.image_cotangents else []
        for index, goal in goals:
            found, pending = list[fx.Node](), [goal]
            while pending:
                node = pending.pop()
                if node not in seen and node.op == "call_function":
                    seen.add(node)
                    found.append(node)
                    pending.extend(node.all_input_nodes)
            stages[gate, index] = sorted(found, key=order.__getitem__)
    return stages


def _reading(program: Program, methods: list[Method], index: int) -> list[str]:
    """What happens at a layer whose map is wanted: give back what a fold hid, and read each method."""
    primal, layer = program.primals[index], program.layers[index]
    cts = {gate: cotangents[index] for gate, cotangents in program.cotangents.items()}
    unread = _unread(program, methods)
    lines = _collected(program, index, primal, cts, "nothing, False", unread)
    if layer.scale is not None and layer.axes is None:
        # Of (value - shift) / scale and a cotangent times scale a weighted sum needs value and shift alone.
        difference = primal.all_input_nodes[0]
        value, shift = difference.args
        assert isinstance(value, fx.Node)
        free = {gate: ct.all_input_nodes[0] for gate, ct in cts.items()}
        behind = program.layers[index + 1] if index + 1 < len(program.layers) else None
        again = behind is not None and behind.node is layer.node and behind.scale is None and behind.axes is None
        how = f"{literal(shift)}, {f'{index + 1} <= last' if again else False}"
        others = ["probe", *(m.name for m in methods if m.at != IMAGE and m.weigh is None)]
        test = " or ".join(f'"{name}" in wanted' for name in others)
        lines = [*block(test, lines), *block("", _collected(program, index, value, free, how, unread))]
    return block(f"first <= {index} and {index} <= last", lines)


def _collected(
    program: Program, index: int, primal: fx.Node, cts: dict[str, fx.Node], how: str, unread: set[str]
) -> list[str]:
    """Statements that compute what a layer's reading takes and no stage has computed, and that read."""
    restoring = [node for node in program.graph.nodes if node.meta.get("restores") == index]
    lines = list(program.lines(_within(restoring, primal)))
    for gate, ct in cts.items():
        restored = program.lines(_within([node for node in restoring if node.meta["gate"] == gate], ct))
        call = f"self.collect_{gate}(wanted, {primal.name}, {ct.name}, {how}, sums, out)"
        lines += block(f"{'probed and ' if gate in unread else ''}{gate} <= {index}", [*restored, call])
    return lines


def _unread(program: Program, methods: Iterable[Method]) -> set[str]:
    """The gates whose cotangents no method reads at a layer; a probe does."""
    return {*program.cotangents} - {method.gate for method in methods if method.at != IMAGE}


def _within(nodes: list[fx.Node], goal: fx.Node) -> list[fx.Node]:
    """Those of `nodes`, which are in order, that `goal` is computed by."""
    found = {goal}
    for node in reversed(nodes):
        if node in found:
            found.update(node.all_input_nodes)
    return [node for node in nodes if node in found]


def _collect_source(gate: str, methods: Iterable[Method]) -> str:
    """Read what is wanted at a layer: of its primal less `shift`, where there is one, for a weighted sum. With
    `again` the layer read before is the same but for its shift, and its sums are taken."""
    lines = [
        "for method in wanted:",
        '    if method == "probe":',
        "        out.append(primal.clone())",  # what comes later may be written over it
        "        out.append(ct.clone())",
    ]
    for method in methods:
        if method.gate != gate or method.at == IMAGE:
            continue
        lines.append(f'    elif method == "{method.name}":')
        if method.weigh is None:
            lines.append(f"        out.append({method.read.__name__}(primal, ct).to(self.like.dtype))")
            continue
        lines += [
            "        if not again:",
            f"            weights = {method.weigh.__name__}(ct)",
            "            sums[method] = weights, weighted(primal, weights)",
            "        weights, map = sums[method]",
            "        map = less(map, weights, shift) if shift.numel() > 0 else map",
            "        out.append(map.to(self.like.dtype))",
        ]
    head = (
        f"collect_{gate}(self, wanted: list[str], primal: Tensor, ct: Tensor, shift: Tensor, again: bool, "
        "sums: dict[str, tuple[Tensor, Tensor]], out: list[Tensor]) -> None"
    )
    return _function(head, lines)


def _read_source(methods: Iterable[Method]) -> str:
    names = dict.fromkeys(method.times or method.name for method in methods if method.times or method.at == IMAGE)
    lines = [f'if method == "{n}":\n        return {METHODS[n].read.__name__}(primal, ct)' for n in names]
    lines.append("raise ValueError(method)")
    return _function("read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor", lines)


def _define(source: str) -> dict[str, Any]:
    """Run generated source so that inspect, and with it TorchScript, finds its text."""
    filename = f"<convlens listing {next(_serial)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"torch": torch, "aten": aten, "Tensor": Tensor, "How": How, "Then": Then}
    readings: list[Callable[..., Tensor]] = [method.read for method in METHODS.values()]
    readings += [method.weigh for method in METHODS.values() if method.weigh is not None]
    namespace |= {function.__name__: function for function in [*readings, weighted, less]}
    given = set(namespace)
    exec(compile(source, filename, "exec"), namespace)  # the text is ours: names are identifiers, literals repr
    return {n: value for n, value in namespace.items() if n not in given and n != "__builtins__"}


def _function(head: str, lines: Iterable[str]) -> str:
    return f"def {head}:\n" + "\n".join(f"    {line}" for line in lines)


def _is_size(node: fx.Node) -> bool:
    """Sizes cost nothing, and every stage may read one."""
    return not isinstance(node.meta["val"], (Tensor, tuple, list))


def _before_restoring(ct: fx.Node) -> fx.Node:
    while "restores" in ct.meta:
        ct = ct.all_input_nodes[0]
    return ct
