"""From a Program to the TorchScript module that answers questions: the listing as source, in stages.

The backward half is cut where a layer's cotangent is complete. A stage runs only where some question goes that
deep, and values that it hands on are declared before it, as TorchScript wants: that is what the generated text
has beyond the plain listing.
"""

import itertools
import linecache
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from engine.answers import Answers
from engine.compiler import Compiled
from engine.geometry import Geometry
from engine.methods import METHODS, Method
from engine.program import Program, ProgramError, aten
from engine.render import heatmap

_serial = itertools.count()


def lower(compiled: Compiled, labels: list[str], geometry: Geometry) -> torch.jit.ScriptModule:
    """Script the compiled program together with the questions of `Answers`."""
    program, methods = compiled.program, compiled.methods
    source = "\n\n".join(
        [
            _forward_source(program),
            _walk_source(program),
            *(_collect_source(gate, methods) for gate in program.cotangents),
            _read_source(methods),
        ]
    )
    functions = _define(source)
    module = type("Explained", (Answers,), functions)()
    module.weights = torch.nn.Module()
    for name, value in program.constants.items():
        module.weights.register_buffer(name, value)
    like = next((c for c in program.constants.values() if c.is_floating_point()), torch.empty(0))
    module.register_buffer("like", like.new_empty(0))
    module.register_buffer("colors", torch.from_numpy(heatmap(np.linspace(0, 1, 256)[None])[0]))
    module.labels = list(labels)
    module.layers = [layer.name for layer in program.layers]
    module.methods = [method.name for method in methods]
    module.gates = list(program.cotangents)
    module.gates_at_image = list(program.image_cotangents)
    taken = [*methods, *(METHODS[method.times] for method in methods if method.times)]
    module.gate_of = {method.name: method.gate for method in taken}
    module.at_of = {method.name: method.at for method in taken}
    module.times_of = {method.name: method.times for method in taken if method.times}
    module.size = list(geometry.crop)
    module.resize = geometry.resize
    module.interpolation = geometry.interpolation
    module.mean, module.std = list(geometry.mean), list(geometry.std)
    module.classes = int(program.logits.meta["val"].shape[1])
    module.pooled = compiled.pooled
    return scripted(module.eval())


def scripted(module: torch.nn.Module) -> torch.jit.ScriptModule:
    """torch.jit.script without the notice that torch.export is to follow it: the Program is ready for that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.script(module)


def _forward_source(program: Program) -> str:
    lines = program.lines(program.needed([program.logits]))
    head = f"forward(self, {program.image.name}: Tensor) -> Tensor"
    return _function(head, [*lines, f"return {program.logits.name}"])


def _walk_source(program: Program) -> str:
    """The generated `Answers.walk`: the forward half, then each gate's stages from the last layer to the image."""
    forward = {*program.needed([program.logits]), *filter(_is_size, program.graph.nodes)}
    stages = _stages(program, forward)
    lines = [f'{gate} = depth["{gate}"]' for gate in program.cotangents]
    lines += program.lines(node for node in program.graph.nodes if node in forward)
    lines += ["nothing = torch.empty(0)", "out: list[Tensor] = []"]
    stage_of = {node: stage for stage, nodes in stages.items() for node in nodes}
    asked = {_before_restoring(ct) for cts in program.cotangents.values() for ct in cts}
    for node, stage in stage_of.items():
        if node in asked or any(stage_of.get(user) != stage for user in node.users):
            if not isinstance(node.meta["val"], Tensor):
                raise ProgramError(f"{node.name} returns several values and is read in another stage")
            lines.append(f"{node.name} = nothing")
    lines += [f"{_at_image(gate)} = nothing" for gate in program.cotangents]
    for index in range(len(program.layers) - 1, -1, -1):
        for gate in program.cotangents:
            lines += _if(f"{gate} <= {index}", program.lines(stages.get((gate, index), [])))
        lines += _reading(program, index)
    for gate, ct in program.image_cotangents.items():
        last = [*program.lines(stages.get((gate, -1), [])), f"{_at_image(gate)} = {ct.name}"]
        lines += _if(f"{gate} < 0", last)
    images = ", ".join(_at_image(gate) for gate in program.cotangents)
    lines.append(f"return {program.logits.name}, out, [{images}]")
    assert program.seed is not None
    head = (
        f"walk(self, {program.image.name}: Tensor, {program.seed.name}: Tensor, depth: dict[str, int], "
        "first: int, last: int, wanted: list[str]) -> tuple[Tensor, list[Tensor], list[Tensor]]"
    )
    return _function(head, lines)


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


def _reading(program: Program, index: int) -> list[str]:
    """What happens at a layer whose map is wanted: give back what a fold hid, and read each method."""
    primal = program.primals[index]
    restoring = [node for node in program.graph.nodes if node.meta.get("restores") == index]
    lines = list(program.lines(node for node in restoring if not node.meta["gate"]))
    for gate, cotangents in program.cotangents.items():
        restored = program.lines(node for node in restoring if node.meta["gate"] == gate)
        call = f"self.collect_{gate}(wanted, {primal.name}, {cotangents[index].name}, out)"
        lines += _if(f"{gate} <= {index}", [*restored, call])
    return _if(f"first <= {index} and {index} <= last", lines)


def _collect_source(gate: str, methods: Iterable[Method]) -> str:
    own = [method.name for method in methods if method.gate == gate and method.at != "image"]
    test = " or ".join(f'method == "{name}"' for name in own) or "False"
    return _function(
        f"collect_{gate}(self, wanted: list[str], primal: Tensor, ct: Tensor, out: list[Tensor]) -> None",
        [
            "for method in wanted:",
            '    if method == "probe":',
            "        out.append(primal)",
            "        out.append(ct)",
            f"    elif {test}:",
            "        out.append(self.read(method, primal, ct))",
        ],
    )


def _read_source(methods: Iterable[Method]) -> str:
    names = dict.fromkeys(name for method in methods for name in (method.name, method.times) if name)
    lines = [f'if method == "{n}":\n        return {METHODS[n].read.__name__}(primal, ct)' for n in names]
    lines.append("raise ValueError(method)")
    return _function("read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor", lines)


def _define(source: str) -> dict[str, Any]:
    """Run generated source so that inspect, and with it TorchScript, finds its text."""
    filename = f"<convlens listing {next(_serial)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"torch": torch, "aten": aten, "Tensor": Tensor}
    namespace |= {method.read.__name__: method.read for method in METHODS.values()}
    given = set(namespace)
    exec(compile(source, filename, "exec"), namespace)  # the text is ours: names are identifiers, literals repr
    return {n: value for n, value in namespace.items() if n not in given and n != "__builtins__"}


def _function(head: str, lines: Iterable[str]) -> str:
    return f"def {head}:\n" + "\n".join(f"    {line}" for line in lines)


def _if(condition: str, lines: Iterable[str]) -> list[str]:
    body = [f"    {line}" for line in lines]
    return [f"if {condition}:", *body] if body else []


def _is_size(node: fx.Node) -> bool:
    """Sizes cost nothing, and every stage may read one."""
    return not isinstance(node.meta["val"], (Tensor, tuple, list))


def _before_restoring(ct: fx.Node) -> fx.Node:
    while "restores" in ct.meta:
        ct = ct.all_input_nodes[0]
    return ct


def _at_image(gate: str) -> str:
    return f"image_{gate}"
