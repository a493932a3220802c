"""From a Program to the TorchScript module that answers questions: stage it, print it, script it.

`staging` decides what runs when, `printing` writes that as Python, and here the text becomes the methods of a
class, beside those that every file has (`answers`), and the class is filled with what only this network knows.
"""

import itertools
import linecache
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.keep_float32 import stem_constants
from ..compiler.passes import Compiled
from ..listing.names import (
    ARRIVED,
    ATEN,
    CONV_STEPS,
    EPILOGUE,
    FROM_MAP,
    TENSOR,
    TORCH,
    finish_of,
    path_of,
    read_layers_of,
    read_of,
    weigh_of,
)
from ..listing.program import Program, aten
from ..methods import (
    FINISHES,
    METHODS,
    PATHS,
    PROBE,
    Method,
    minus_shift,
    one_pass_methods,
    weighted,
    with_factors,
)
from ..pictures.colours import colors_of
from ..pictures.geometry import Geometry
from ..rules.policies import POLICIES
from .along import AlongPaths
from .answers import ScriptedExplainer
from .collecting import made_of, reading_functions
from .entering import from_map
from .kernels import ConvSteps, Epilogue, Plain
from .printing import functions
from .staging import Entry, StagedProgram, stages
from .statements import Calls
from .torchscript import scripted

ROOM, MOST_AT_ONCE = 2**30, 16  # bytes, images
_serial = itertools.count()


def lower(compiled: Compiled, labels: list[str], geometry: Geometry) -> torch.jit.ScriptModule:
    """Script the compiled program together with the questions of `AlongPaths` and its bases."""
    calls: Calls = {}
    methods = one_pass_methods(compiled.methods)
    staged, alone = stages(compiled.program, compiled.methods)
    printed = functions(staged, alone, calls)
    kind = type("Explained", (AlongPaths,), _define("\n\n".join(printed.values())))
    text = reading_functions(compiled.program.cotangents, methods)
    readings = made_of(_define(text))
    module = kind()
    _fill_in_network(module, staged, labels)
    _fill_in_methods(module, compiled)
    _fill_in_geometry(module, geometry)
    # Convolutions were numbered while they were printed. The kernels are scripted apart, behind an interface: who
    # loads the file may put others in their place.
    module.calls = len(calls)
    module.kernels = scripted(Plain())
    module.readings = scripted(readings)
    return scripted(module.eval())


def _define(source: str) -> dict[str, Any]:
    """The functions that generated source defines: name -> function.

    TorchScript compiles text, which it asks inspect for, and inspect asks linecache by the name of the file. So
    the source gets a name of its own, and stands in that cache as if it had been read.
    """
    filename = f"<convlens listing {next(_serial)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {TORCH: torch, ATEN: aten, TENSOR: Tensor}
    namespace |= {CONV_STEPS: ConvSteps, EPILOGUE: Epilogue, "weighted": weighted, "minus_shift": minus_shift}
    namespace |= {FROM_MAP: from_map}
    namespace |= {read_of(name): method.read for name, method in METHODS.items()}
    namespace |= {
        read_layers_of(name): method.read_layers
        for name, method in METHODS.items()
        if method.read_layers is not None
    }
    namespace |= {weigh_of(name): method.weigh for name, method in METHODS.items() if method.weigh is not None}
    namespace |= {path_of(name): path for name, path in PATHS.items()}
    namespace |= {finish_of(name): finish for name, finish in FINISHES.items()}
    given = {*namespace, "__builtins__"}
    exec(compile(source, filename, "exec"), namespace)  # the text is ours: names are identifiers, literals repr
    return {name: value for name, value in namespace.items() if name not in given}


def _fill_in_network(module: ScriptedExplainer, staged: StagedProgram, labels: Sequence[str]) -> None:
    """Weights, layers and classes."""
    program = staged.program
    module.weights = nn.Module()
    for name, value in program.constants.items():
        module.weights.register_buffer(name, value)
    like = next((c for c in program.constants.values() if c.is_floating_point()), torch.empty(0))
    # Buffers, empty as they are, move to a device and change their precision along with the weights.
    module.register_buffer("like", like.new_empty(0))
    module.register_buffer("fine", like.new_empty(0))
    module.stem = stem_constants(program)
    module.labels = list(labels)
    module.layers = [layer.name for layer in program.layers]
    module.shapes = [list(layer.shape) for layer in program.layers]
    module.starts = sorted(part.reading.layer for part in staged.backward if isinstance(part, Entry))
    module.tails = sorted(layer for segment in staged.segments for layer in segment.layers)
    module.output = [int(length) for length in program.logits.meta["val"].shape[1:]]
    module.classes = module.output[0]


def _fill_in_methods(module: ScriptedExplainer, compiled: Compiled) -> None:
    """What a method is to TorchScript: rows of dictionaries, with its place told as the layers that it reads."""
    program, methods = compiled.program, compiled.methods
    taken = with_factors(methods)
    one_pass = [method for method in taken if not method.path]
    at_layers = [method for method in one_pass if method.at.has_layers]
    many = [method for method in methods if method.path]
    read = {m.name: m.at.layers(len(program.layers), compiled.pooled) for m in at_layers}
    module.methods = [method.name for method in methods]
    module.alone = [method.name for method in one_pass if method.alone]
    module.from_logits = [method.name for method in one_pass if method.alone and POLICIES[method.policy].gradients]
    own = [policy for policy in program.cotangents if policy in {m.policy for m in one_pass if m.alone}]
    module.policies = [*(policy for policy in program.cotangents if policy not in own), *own]
    module.ends = program.ends
    module.policies_at_image = list(program.image_cotangents)
    module.policy_of = {method.name: method.policy for method in taken}
    module.at_of = {method.name: method.at.value for method in taken}
    module.first_of = {name: layers.start for name, layers in read.items()}
    module.last_of = {name: layers.stop - 1 for name, layers in read.items()}
    module.reader_of = {method.name: _reader(method, at_layers) for method in at_layers}
    module.additive = list(program.additive)
    module.rectified = [method.name for method in one_pass if method.rectified]
    module.path_of = {method.name: method.path for method in many}
    module.finish_of = {method.name: method.finish for method in many}
    module.base_of = {method.name: method.of for method in many if method.of}
    module.options_of = {method.name: {k: float(v) for k, v in method.options.items()} for method in many}
    module.hand_out, module.arrived = PROBE, ARRIVED
    module.room = _room(program)
    module.times_of = {method.name: method.times for method in taken if method.times}
    module.pooled = compiled.pooled


def _room(program: Program) -> int:
    """How many images may go through at once where many are to: as many as keep what a pass holds of its layers, a
    value and a cotangent each, near a gigabyte, and no more than the processor has use for. A power of two, as
    numbers of steps often are: what is laid out for so many takes others longer."""
    like: int = program.logits.meta["val"].element_size()
    values = sum(prod(layer.shape) * like for layer in program.layers)
    room = max(1, min(MOST_AT_ONCE, ROOM // max(1, 2 * values)))
    return 1 << (room.bit_length() - 1)


def _reader(method: Method, methods: list[Method]) -> str:
    """The first method that reads the same values in the same way; what it reads is read once."""
    same = (method.read, method.policy, method.at)
    return next(other.name for other in methods if (other.read, other.policy, other.at) == same)


def _fill_in_geometry(module: ScriptedExplainer, geometry: Geometry) -> None:
    """How a photo becomes the input, and the colours that go back onto it."""
    module.size = list(geometry.crop)
    module.resize = geometry.sides
    module.interpolation = geometry.interpolation
    module.mean, module.std = list(geometry.mean), list(geometry.std)
    module.register_buffer("colors", torch.from_numpy(colors_of("viridis").copy()))
