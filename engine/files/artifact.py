"""The one file: a network compiled, its program and manifest saved and loaded."""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compiler.export import head_of, out_of_inference
from engine.compiler.passes import compile_program
from engine.files.archive import add, clear_scraps, put, scrap, settle
from engine.files.manifest import ArtifactError, admit, describe, manifest_in, open_artifact
from engine.pictures.geometry import Geometry
from engine.run.explainer import Explainer
from engine.torchscript.lowering import lower
from engine.trust.certificate import certify, compare


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


def save(explainer: Explainer, path: str | Path) -> None:
    """Write the file, and the digest of its program into the manifest.

    It is written under another name and renamed when it is whole: a reader finds the old file or the new one, and
    after a kill at any moment so does the next. What killed processes left in the folder is cleared away.
    """
    path = Path(path)
    with scrap(path) as raw, scrap(path) as whole:
        clear_scraps(path.parent)
        with _quiet():
            torch.jit.save(explainer.module, str(raw))
        explainer.manifest = explainer.manifest | {"program": settle(raw, whole)}
        add(whole, json.dumps(explainer.manifest, indent=1, sort_keys=True))
        put(whole, path)


def load(path: str | Path, device: str | torch.device = "cpu") -> Explainer:
    """Read a file that `save` wrote. Loading a TorchScript file runs it: load only what you would run.

    All of it is held against the digest that the manifest has of it first. That finds damage and careless changes;
    who changes a file with care changes the digest too.
    device: where the network lies and its answers are. On an NVIDIA GPU torch rounds what convolutions are given
    to 10 bits (TF32), which plain gradients do not bear; `torch.backends.cudnn.allow_tf32 = False` keeps float32.
    Raises ValueError for a device that is not there, and ArtifactError, saying what the file is and what to do,
    for anything else that `save` did not write.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where torch is built without CUDA
        reason = str(error).partition("\n")[0]
        raise ValueError(f"torch can't use the device {str(device)!r} here: {reason}") from error
    while True:
        with open_artifact(path) as file:
            manifest = manifest_in(file)
            admit(file, manifest)
            try:
                with _quiet():
                    module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise ArtifactError(
                    f"torch {torch.__version__} can't read {Path(path).name}, made with {manifest['torch']}: "
                    "export it again"
                ) from error
            # Another process may have put a new file here meanwhile: all that is read has to be of one file.
            if os.path.samestat(os.fstat(file.fileno()), Path(path).stat()):
                return Explainer(module, manifest)


def _quiet() -> "warnings.catch_warnings[None]":
    """TorchScript's notices of its own deprecation are for this project, not for its users."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)
