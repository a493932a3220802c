"""A network and an example in, an explainer out: the compiler, the file and the certificate, in this order."""

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.brought import Brought, bring
from ..compiler.calls import Ends
from ..compiler.passes import Compiled, compile_program
from ..listing.program import Program
from ..pictures.geometry import Geometry
from ..run.explainer import OUTPUTS, Explainer
from ..torchscript.lowering import lower
from ..trust.certificate import certify
from ..trust.judgement import UndecidedError, judge
from .manifest import describe


@torch.inference_mode(False)
def compile_model(
    module: nn.Module,
    example: Tensor,
    layers: str | Sequence[str] = "trunk",
    methods: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Geometry | None = None,
    source: dict[str, Any] | None = None,
    head: str | int | None = None,
    below_softmax: bool = False,
    inputs: Mapping[str, Any] | None = None,
    strict: bool = True,
    outputs: str | None = None,
) -> Explainer:
    """Compile a network into an explainer.

    module: in evaluation mode, [N, C, H, W] -> logits [N, K]; it is read, never changed. It may be inside of
    DataParallel, torch.compile or AveragedModel, and may be an ExportedProgram whose batch is free.
    example: [N, C, H, W]; sets size and dtype.
    layers: "trunk", "all", or a list of names. methods: names, or None for all that apply.
    labels: K names, or None for the class numbers.
    preprocess: how a photo becomes the input; None resizes, crops and scales to 0..1.
    source: name, weights, sha256, licence of the model, for the manifest.
    head: which output is explained, by key, field or place, where the network returns several; the first if None.
    below_softmax: explain what a final softmax, log_softmax or sigmoid is given. Probabilities mix the classes: a
    map for one of them is about the others too, so a network that ends in one is warned about.
    inputs: fixed values for what `forward` takes beside the image, by name.
    strict: refuse a file that deviates from its network by more than rounding does; see `trust.judgement`.
    Without, the complaint is written into the manifest, `certificate.accepted`.
    outputs: what they are: a "choice" of one class, "independent" yes and no for each, "values" as they are,
    "dense" ones for every place, an "embedding". None tells it by their shape and by what the network ends in:
    more than two axes are dense, a sigmoid is independent, a single one is a value, all else a choice.
    Raises CaptureError or CompileError where the network can't be exact, ValueError for wrong names.
    """
    if outputs is not None and outputs not in OUTPUTS:
        raise ValueError(f"outputs are {', '.join(OUTPUTS)}, not {outputs!r}")
    network = bring(module, example, inputs)
    channels, height, width = example.shape[1:]
    if preprocess is None:
        preprocess = Geometry(
            min(height, width), (height, width), "bilinear", (0.0,) * channels, (1.0,) * channels
        )
    if preprocess.crop != (height, width) or len(preprocess.mean) != channels:
        raise ValueError(
            f"preprocess makes [{len(preprocess.mean)}, {preprocess.crop[0]}, {preprocess.crop[1]}], "
            f"the example is [{channels}, {height}, {width}]"
        )
    compiled, scripted, certificate = _compiled(
        network, example, layers, methods, (head, below_softmax), labels, preprocess
    )
    program = compiled.program
    if program.ending and not below_softmax:
        warnings.warn(
            f"{network.title} ends in {program.ending.name}, and its maps explain that; "
            "compile_model(..., below_softmax=True) explains the logits below it",
            stacklevel=2,
        )
    manifest = describe(
        compiled, preprocess, source or {"name": network.title}, outputs or kind_of_outputs(program)
    )
    try:
        judged = judge(scripted, compiled, network, certificate, strict)
    except UndecidedError as undecided:
        judged = _decided_in_float64(undecided, network, example, layers, (head, below_softmax))
        certificate["inputs"] += ", decided in float64"
    manifest["certificate"] = certificate | judged
    return Explainer(scripted, manifest)


def _decided_in_float64(
    undecided: UndecidedError,
    network: Brought,
    example: Tensor,
    layers: str | Sequence[str],
    logits: tuple[str | int | None, bool],
) -> dict[str, Any]:
    """What the same network in float64 says of its listing, where rounding in its own precision drowns all."""
    try:
        inputs = {
            name: value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in network.inputs.items()
        }
        finer = bring(copy.deepcopy(network.network).double(), example.double(), inputs)
        channels, *size = example.shape[1:]
        plain = Geometry(min(size), (size[0], size[1]), "bilinear", (0.0,) * channels, (1.0,) * channels)
        compiled, scripted, certificate = _compiled(
            finer, example.double(), layers, ["gradient"], logits, None, plain
        )
    except (ValueError, RuntimeError, MemoryError):
        raise undecided from None
    return judge(scripted, compiled, finer, certificate, True)


def _compiled(
    network: Brought,
    example: Tensor,
    layers: str | Sequence[str],
    methods: str | Sequence[str] | None,
    logits: tuple[str | int | None, bool],
    labels: Sequence[str] | None,
    geometry: Geometry,
) -> tuple[Compiled, torch.jit.ScriptModule, dict[str, Any]]:
    """The program, the file's module and its certificate. Where all methods that apply are wanted, those that are
    not numbers on this network are left out: a slope is infinite where their gate lets a value pass."""
    absent: dict[str, str] = {}
    while True:
        compiled = compile_program(network, example, layers, methods, *logits, ends=ends_of(geometry))
        compiled.absent.update(absent)
        classes = int(compiled.program.logits.meta["val"].shape[1])
        names = [str(index) for index in range(classes)] if labels is None else list(labels)
        if len(names) != classes:
            raise ValueError(f"{len(names)} labels for {classes} logits")
        scripted = lower(compiled, names, geometry)
        certificate = certify(scripted)
        undefined = [name for name, deviation in certificate["methods"].items() if math.isnan(deviation)]
        left = [name for name in certificate["methods"] if name not in undefined]
        if not undefined or not left or methods is not None:
            return compiled, scripted, certificate
        reason = "it is not a number on this network: a slope on its way is infinite, as that of a root is at zero"
        methods, absent = left, compiled.absent | dict.fromkeys(undefined, reason)


def ends_of(geometry: Geometry) -> Ends:
    """Between which ends the values of an image lie that was made of a photo: those of black and white."""
    low, high = ([(end - m) / s for m, s in zip(geometry.mean, geometry.std, strict=True)] for end in (0.0, 1.0))
    return Ends(low, high)


def kind_of_outputs(program: Program) -> str:
    """What the outputs of a network are, as far as the program tells: see `compile_model`."""
    shape, ending = program.logits.meta["val"].shape, program.ending
    if len(shape) > 2:
        return "dense"
    if ending and ending.name == "sigmoid":
        return "independent"
    if ending and ending.scaled and not program.below:
        return "values"
    return "values" if shape[1] == 1 else "choice"
