"""The one file: a scripted program with its manifest, saved, loaded, and asked from Python."""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.archive import add, clear_scraps, put, scrap, settle
from engine.certificate import certify, compare
from engine.compiler import compile_program
from engine.exporting import head_of, out_of_inference
from engine.geometry import Geometry
from engine.layers import nearest
from engine.lowering import lower
from engine.manifest import ArtifactError, admit, describe, manifest_in, open_artifact
from engine.overlay import admit as admit_overlay


class Explainer:
    """A classifier that explains itself, freshly compiled or loaded: the same questions either way.

    x: [N, C, H, W], preprocessed. seed: [N, K], the cotangent of the logits: a one-hot for a class, +1 and -1
    for a contrast, anything linear. Answers are raw: scaling to 0..1 is the caller's choice.
    An explainer keeps no state between questions, so threads may share one.
    """

    def __init__(self, module: torch.jit.ScriptModule, manifest: dict[str, Any]) -> None:
        self.module, self.manifest = module, manifest

    @property
    def layers(self) -> list[str]:
        """The names of the layers, from the image to the logits."""
        return [layer["name"] for layer in self.manifest["layers"]]

    @property
    def methods(self) -> list[str]:
        """The names of the methods that this file answers."""
        return [method["name"] for method in self.manifest["methods"]]

    @property
    def gates(self) -> list[str]:
        """The gates that `probe` answers."""
        return list(self.module.gates)

    @property
    def labels(self) -> list[str]:
        """The names of the classes, one per logit."""
        return list(self.module.labels)

    @property
    def coverage(self) -> str:
        """How many activations the gates reach: "35 of 35 activations gated, 21 of them smooth (silu)"."""
        return str(self.manifest["coverage"]["text"])

    @property
    def geometry(self) -> Geometry:
        """How a photo becomes the network's input."""
        return Geometry.from_dict(self.manifest["geometry"])

    def preprocess(self, image: Tensor) -> Tensor:
        """uint8 [H, W, 3] RGB -> [1, C, S, S]."""
        with _asking():
            return self.module.preprocess(image)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> logits [N, K]."""
        with _asking():
            return self.module.forward(x)  # type: ignore[no-any-return]

    def one_hot(self, target: int | str) -> Tensor:
        """The seed for one class, by index or name: [1, K]."""
        return self.module.one_hot(self.class_index(target))  # type: ignore[no-any-return]

    def contrast(self, a: int | str, b: int | str) -> Tensor:
        """The seed for "why a rather than b": [1, K]."""
        return self.module.contrast(self.class_index(a), self.class_index(b))  # type: ignore[no-any-return]

    def explain(self, x: Tensor, seed: Tensor, method: str, layer: int | str = -1) -> Tensor:
        """One attribution: [N, S, S] for layer methods and saliency, [N, C, S, S] for the signed image methods
        and Guided Grad-CAM.

        layer: index or name; image methods ignore it. Raises ValueError for unknown names and wrong shapes.
        """
        self._admit(x, seed, [method])
        index = self.layer_index(layer)
        if self._at(method) == "pooled" and index not in (-1, self.module.pooled):
            raise ValueError(f"{method} has one layer, {self.layers[self.module.pooled]!r}; ask for it or for -1")
        with _asking():
            return self.module.explain(x, seed, method, index)  # type: ignore[no-any-return]

    def overlay(self, photo: Tensor, map: Tensor, strength: float = 0.5) -> Tensor:
        """A map [S, S] of `explain` as a heatmap on its photo, where the network saw it: uint8 [H, W, 3] both.

        strength: 0 (photo) to 1 (heatmap). Raises ValueError for anything else.
        """
        admit_overlay(photo, map, strength, list(self.geometry.crop))
        with _asking():
            return self.module.overlay(photo, map, float(strength))  # type: ignore[no-any-return]

    def sweep(self, x: Tensor, seed: Tensor, method: str) -> Tensor:
        """A layer method at every layer, from one pass: [N, L, S, S], or [N, L, C, S, S] for Guided Grad-CAM."""
        self._admit(x, seed, [method])
        if self._at(method) == "image":
            raise ValueError(f"{method} explains the image and has no layers; use explain")
        with _asking():
            return self.module.sweep(x, seed, method)  # type: ignore[no-any-return]

    def survey(self, x: Tensor, seed: Tensor, methods: Sequence[str]) -> dict[str, Tensor]:
        """Several methods from one forward pass: for each what `explain` or `sweep` gives."""
        self._admit(x, seed, methods)
        with _asking():
            answers = self.module.survey(x, seed, list(methods))
        return dict(zip(methods, answers, strict=True))

    def probe(self, x: Tensor, seed: Tensor, gate: str) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The raw values: logits, primals and cotangents of the layers, and the cotangent at the image (empty
        where no method of this file reads it there)."""
        self._admit(x, seed, [])
        if gate not in self.gates:
            raise ValueError(f"no gate is called {gate!r}; this file has {', '.join(self.gates)}")
        with _asking():
            return self.module.probe(x, seed, gate)  # type: ignore[no-any-return]

    def layer_index(self, layer: int | str) -> int:
        """The index of a layer, by index (negative from the end), name or alias."""
        if isinstance(layer, int):
            if not -len(self.layers) <= layer < len(self.layers):
                raise ValueError(f"layer {layer} is not one of 0..{len(self.layers) - 1}")
            return layer
        names = {
            name: index
            for index, entry in enumerate(self.manifest["layers"])
            for name in (entry["name"], *entry["aliases"])
        }
        if layer not in names:
            raise ValueError(f"no layer is called {layer!r}; {nearest(layer, names)}")
        return names[layer]

    def class_index(self, target: int | str) -> int:
        """The index of a class, by index or name (or a name that starts like it, where only one does)."""
        classes = self.manifest["classes"]
        if isinstance(target, str) and target.lstrip("-").isdigit():
            target = int(target)
        if isinstance(target, int):
            if not 0 <= target < classes:
                raise ValueError(f"class {target} is not one of 0..{classes - 1}")
            return target
        labels = [label.lower() for label in self.labels]
        wanted = target.lower()
        matches = [i for i, label in enumerate(labels) if label == wanted]
        matches = matches or [i for i, label in enumerate(labels) if label.startswith(wanted)]
        if not matches:
            raise ValueError(f"no class is called {target!r}; {nearest(target, self.labels)}")
        return matches[0]

    def _at(self, method: str) -> str:
        return next(str(entry["at"]) for entry in self.manifest["methods"] if entry["name"] == method)

    def _admit(self, x: Tensor, seed: Tensor, methods: Sequence[str]) -> None:
        channels, (height, width) = len(self.geometry.mean), self.geometry.crop
        if x.ndim != 4 or tuple(x.shape[1:]) != (channels, height, width):
            raise ValueError(f"x is {list(x.shape)}, this network takes [N, {channels}, {height}, {width}]")
        if tuple(seed.shape) != (x.shape[0], self.manifest["classes"]):
            raise ValueError(
                f"seed is {list(seed.shape)}, for these images it is [{x.shape[0]}, {self.manifest['classes']}]"
            )
        for method in methods:
            if method in self.manifest["absent"]:
                raise ValueError(f"{method} does not apply to this network: {self.manifest['absent'][method]}")
            if method not in self.methods:
                raise ValueError(f"no method is called {method!r}; this file has {', '.join(self.methods)}")


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
    Raises ArtifactError, saying what the file is and what to do, for anything else.
    """
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


@contextmanager
def _asking() -> Iterator[None]:
    """No autograd, and no profiling: it would make the first two calls several times as slow, and the listing is
    specialised already. Both are settings of this thread alone, and as before afterwards."""
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        yield


def _quiet() -> "warnings.catch_warnings[None]":
    """TorchScript's notices of its own deprecation are for this project, not for its users."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)
