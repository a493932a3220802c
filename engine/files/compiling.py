"""A network and an example in, an explainer out: the compiler, the file and the certificate, in this order."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.export import out_of_inference
from ..compiler.heads import head_of
from ..compiler.passes import compile_program
from ..pictures.geometry import Geometry
from ..run.explainer import Explainer
from ..torchscript.lowering import lower
from ..trust.certificate import certify, compare
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
) -> Explainer:
    """Compile a classifier into an explainer.

    module: in evaluation mode, [N, C, H, W] -> logits [N, K]; it is read, never changed.
    example: [N, C, H, W]; sets size and dtype.
    layers: "trunk", "all", or a list of names. methods: names, or None for all that apply.
    labels: K names, or None for the class numbers.
    preprocess: how a photo becomes the input; None resizes, crops and scales to 0..1.
    source: name, weights, sha256, licence of the model, for the manifest.
    head: which output is explained, by key, field or place, where the network returns several; the first if None.
    below_softmax: explain what a final softmax, log_softmax or sigmoid is given. Probabilities mix the classes: a
    map for one of them is about the others too, so a network that ends in one is warned about.
    Raises CaptureError or CompileError where the network can't be exact, ValueError for wrong names.
    """
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
    module = out_of_inference(module)
    compiled = compile_program(module, example, layers, methods, head, below_softmax)
    program = compiled.program
    if program.ending and not below_softmax:
        warnings.warn(
            f"{type(module).__name__} ends in {program.ending}, and its maps explain that; "
            "compile_model(..., below_softmax=True) explains the logits below it",
            stacklevel=2,
        )
    classes = int(compiled.program.logits.meta["val"].shape[1])
    labels = [str(index) for index in range(classes)] if labels is None else list(labels)
    if len(labels) != classes:
        raise ValueError(f"{len(labels)} labels for {classes} logits")
    scripted = lower(compiled, labels, preprocess)
    manifest = describe(compiled, preprocess, source or {"name": type(module).__name__})
    ending = program.ending if below_softmax else ""
    original = compare(scripted, lambda x: head_of(module(x), program.head), ending)
    manifest["certificate"] = certify(scripted) | {"original": original}
    return Explainer(scripted, manifest)
