"""A scripted program with its manifest, as Python asks it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from ..methods import Place
from ..pictures.geometry import Geometry
from ..torchscript.overlay import check_overlay
from .names import index_of_class, index_of_layer
from .onednn import packed
from .outputs import OUTPUTS as OUTPUTS
from .outputs import Answer, probabilities, ranked

Setting = tuple[torch.device, torch.dtype, int, int]  # where, in which precision, with how many threads, images
MAX_LAYOUTS = 16  # settings that kernels are laid out for; one more takes those of the nearest


class Explainer:
    """A classifier that explains itself, freshly compiled or loaded: the same questions either way.

    x: [N, C, H, W], preprocessed. seed: [N, K], the cotangent of the logits: a one-hot for a class, +1 and -1
    for a contrast, anything linear, of any type of numbers; of dense logits [N, K, …]. One of [1, K] serves all
    images. Answers are raw: scaling to 0..1 is the caller's choice.
    An explainer keeps no state between questions, so threads may share one.
    """

    def __init__(self, module: torch.jit.ScriptModule, manifest: dict[str, Any]) -> None:
        self.module, self.manifest = module, manifest
        self._layouts: dict[Setting, torch.jit.ScriptModule] = {}
        self._lock = threading.Lock()

    @property
    def layers(self) -> list[str]:
        """The names of the layers, from the image to the logits."""
        return [layer["name"] for layer in self.manifest["layers"]]

    @property
    def methods(self) -> list[str]:
        """The names of the methods that this file answers."""
        return [method["name"] for method in self.manifest["methods"]]

    def __repr__(self) -> str:
        """What it is of and what it answers, for notebooks."""
        title, classes = self.manifest["model"]["title"], self.manifest["classes"]
        return f"Explainer({title}: {classes} classes, {len(self.layers)} layers; {', '.join(self.methods)})"

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
        """uint8 [H, W, 3] RGB -> [1, C, S, S]; of a network on other bands, images [H, W, C] of those.

        Raises ValueError for an image of other bands.
        """
        bands = len(self.geometry.mean)
        wanted = 3 if bands in (1, 3) else bands
        if image.ndim != 3 or image.shape[2] != wanted:
            told = "RGB" if wanted == 3 else f"{wanted} bands, and so no photos but tensors of as many"
            raise ValueError(f"the image is {list(image.shape)}, this network takes [H, W, {wanted}]: {told}")
        with self._asking() as net:
            return net.preprocess(image)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> logits [N, K]."""
        with self._asking(len(x)) as net:
            return net.forward(x)  # type: ignore[no-any-return]

    @property
    def outputs(self) -> str:
        """What the logits are: a "choice" of one class, "independent", "values", "dense" or an "embedding"."""
        return str(self.manifest.get("outputs", "choice"))

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """The probabilities of logits [N, K, …], as the network means them: of a choice they sum to one over the
        classes, independent ones each lie between 0 and 1. None for values and embeddings, which have none."""
        ending = "" if self.manifest.get("below_softmax") else self.manifest.get("ending", "")
        return probabilities(logits, self.outputs, ending)

    def ranking(self, logits: Tensor) -> list[list[Answer]]:
        """For each image of logits [N, K, …] the classes from the first to the last, with what is said of each: a
        probability, a value as it is, or of dense logits the share of the places where it is the top one."""
        return ranked(logits, self.probabilities(logits), self.labels)

    def one_hot(self, target: int | str, region: Tensor | None = None) -> Tensor:
        """The seed for one class, by index or name: [1, K].

        Of dense logits [1, K, …]: everywhere, or weighed by region, shaped like the logits of a class.
        """
        seed: Tensor = self.module.one_hot(self.class_index(target))
        if region is None:
            return seed
        if list(region.shape) != list(seed.shape[2:]) or not region.ndim:
            raise ValueError(f"region is {list(region.shape)}, the logits of a class are {list(seed.shape[2:])}")
        return seed * region.to(seed)

    def where_seen(self, logits: Tensor, target: int | str) -> Tensor:
        """The seed of dense logits [N, K, …] for a class where the network sees it: at each place where it is the
        top one, and everywhere in an image where it is nowhere. Vinogradova et al. 2020, arXiv:2002.11434."""
        if logits.ndim < 3:
            raise ValueError(f"logits are {list(logits.shape)}, of one answer for an image: ask by one_hot")
        index = torch.full((len(logits), 1), self.class_index(target), device=logits.device)
        return self.module.resolve_seed(logits, index)  # type: ignore[no-any-return]

    def towards(self, direction: Tensor) -> Tensor:
        """The seed for how far the outputs [K] lie in a direction, as an embedding's towards another: [1, K], of
        length one."""
        if list(direction.shape) != self._output:
            raise ValueError(f"the direction is {list(direction.shape)}, the outputs are {self._output}")
        length = direction.double().norm()
        if not bool(length > 0):
            raise ValueError("the direction is zero everywhere, and points nowhere")
        seed: Tensor = (direction.double() / length)[None].to(self.module.like)
        return seed

    def contrast(self, a: int | str, b: int | str) -> Tensor:
        """The seed for "why a rather than b": [1, K]."""
        return self.module.contrast(self.class_index(a), self.class_index(b))  # type: ignore[no-any-return]

    def explain(self, x: Tensor, seed: Tensor, method: str, layer: int | str = -1) -> Tensor:
        """One attribution: [N, S, S] for layer methods and saliency, [N, C, S, S] for the signed image methods
        and Guided Grad-CAM.

        layer: index or name; image methods ignore it. Raises ValueError for unknown names and wrong shapes.
        """
        seed = self._seed(x, seed)
        self._check_question(x, [method])
        index = self._index(method, layer)
        with self._asking(len(x)) as net:
            return net.explain(x, seed, method, index)  # type: ignore[no-any-return]

    def answer(
        self, x: Tensor, targets: Sequence[int | str] | None, method: str, layer: int | str = -1
    ) -> tuple[Tensor, Tensor]:
        """Logits [N, K] and what `explain` gives, from one forward pass.

        targets: the class of each image, by index or name, -1 for its top one; None for the top one of each.
        """
        self._check_question(x, [method])
        classes, index = self._classes(x, targets), self._index(method, layer)
        with self._asking(len(x)) as net:
            return net.answer(x, classes, method, index)  # type: ignore[no-any-return]

    def answers(
        self, x: Tensor, targets: Sequence[int | str] | None, methods: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [N, K] and what `survey` gives, from one forward pass; targets as in `answer`."""
        self._check_question(x, methods)
        classes = self._classes(x, targets)
        with self._asking(len(x)) as net:
            logits, maps = net.answers(x, classes, list(methods))
        return logits, dict(zip(methods, maps, strict=True))

    def overlay(self, photo: Tensor, map: Tensor, strength: float = 0.5) -> Tensor:
        """A map [S, S] of `explain` as a heatmap on its photo, where the network saw it: uint8 [H, W, 3] both.

        strength: 0 (photo) to 1 (heatmap). Raises ValueError for anything else.
        """
        check_overlay(photo, map, strength, list(self.geometry.crop))
        with self._asking() as net:
            return net.overlay(photo, map, float(strength))  # type: ignore[no-any-return]

    def sweep(self, x: Tensor, seed: Tensor, method: str) -> Tensor:
        """A layer method at every layer, from one pass: [N, L, S, S], or [N, L, C, S, S] for Guided Grad-CAM."""
        seed = self._seed(x, seed)
        self._check_question(x, [method])
        if self._place(method).at_image:
            raise ValueError(f"{method} explains the image and has no layers; use explain")
        with self._asking(len(x)) as net:
            return net.sweep(x, seed, method)  # type: ignore[no-any-return]

    def survey(self, x: Tensor, seed: Tensor, methods: Sequence[str]) -> dict[str, Tensor]:
        """Several methods from one forward pass: for each what `explain` or `sweep` gives."""
        seed = self._seed(x, seed)
        self._check_question(x, methods)
        with self._asking(len(x)) as net:
            maps = net.survey(x, seed, list(methods))
        return dict(zip(methods, maps, strict=True))

    def probe(self, x: Tensor, seed: Tensor, gate: str) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The raw values: logits, primals and cotangents of the layers, and the cotangent at the image (empty
        where no method of this file reads it there)."""
        seed = self._seed(x, seed)
        self._check_question(x, [])
        if gate not in self.gates:
            raise ValueError(f"no gate is called {gate!r}; this file has {', '.join(self.gates)}")
        with self._asking(len(x)) as net:
            return net.probe(x, seed, gate)  # type: ignore[no-any-return]

    def layer_index(self, layer: int | str) -> int:
        """The index of a layer, by index (negative from the end), name or alias."""
        return index_of_layer(layer, self.manifest["layers"])

    def class_index(self, target: int | str | Tensor | SupportsIndex) -> int:
        """The index of a class, by index (of any type, a tensor of one number too) or name (or a name that starts
        like it, where only one does)."""
        return index_of_class(target, self.labels)

    @contextmanager
    def _asking(self, images: int = 1) -> Iterator[Any]:
        """The module to ask, with the kernels of this processor, laid out for so many images.

        No autograd, and no profiling: it would make the first two calls several times as slow, and the listing is
        specialised already. Both are settings of this thread alone, and as before afterwards.
        """
        with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            yield self._packed_for(images)

    def _packed_for(self, images: int) -> torch.jit.ScriptModule:
        """The module whose kernels are laid out for this thread, and for so many images."""
        like, threads = self.module.like, torch.get_num_threads()
        setting = like.device, like.dtype, threads, images
        known = self._layouts
        if setting not in known:
            with self._lock, torch.inference_mode(False):
                known = {key: module for key, module in self._layouts.items() if key[:2] == setting[:2]}
                if setting not in known and len(known) < MAX_LAYOUTS:
                    known[setting] = packed(self.module, images, list(known.values()))
                elif setting not in known:
                    known[setting] = known[min(known, key=lambda key: _distance(key, threads, images))]
                self._layouts = known
        return known[setting]

    def _index(self, method: str, layer: int | str) -> int:
        if self._place(method).at_image:
            return -1
        index = self.layer_index(layer)
        if not self._place(method).at_every_layer and index not in (-1, self.module.pooled):
            raise ValueError(f"{method} has one layer, {self.layers[self.module.pooled]!r}; ask for it or for -1")
        return index

    def _classes(self, x: Tensor, targets: Sequence[int | str] | None) -> Tensor:
        """The classes asked for, int64 [N, 1]."""
        asked = [-1] * len(x) if targets is None else [t if t == -1 else self.class_index(t) for t in targets]
        if len(asked) != len(x):
            raise ValueError(f"{len(asked)} targets for {len(x)} images")
        return torch.tensor(asked, device=x.device)[:, None]

    def _place(self, method: str) -> Place:
        return next(Place(entry["at"]) for entry in self.manifest["methods"] if entry["name"] == method)

    @property
    def _output(self) -> list[int]:
        """The shape of the logits of an image."""
        return list(self.manifest.get("output", [self.manifest["classes"]]))

    def _seed(self, x: Tensor, seed: Tensor) -> Tensor:
        """The seed, of any array, as the file takes it. Raises ValueError unless it is shaped like the logits."""
        seed, wanted = torch.as_tensor(seed), [len(x), *self._output]
        if list(seed.shape) not in (wanted, [1, *wanted[1:]]):
            hint = ""
            if list(seed.shape) in ([len(x)], [len(x), 1], []) and not seed.is_floating_point():
                hint = "; classes are asked for by answer(x, targets, method, layer)"
            raise ValueError(f"seed is {list(seed.shape)}, for these images it is {wanted}{hint}")
        if seed.is_complex():
            raise ValueError("seed is complex: it is a cotangent of the logits, and those are real")
        return seed.to(self.module.like).expand(wanted)

    def _check_question(self, x: Tensor, methods: Sequence[str]) -> None:
        """Raise ValueError unless the question fits the network."""
        channels, (height, width) = len(self.geometry.mean), self.geometry.crop
        if x.ndim != 4 or tuple(x.shape[1:]) != (channels, height, width):
            raise ValueError(f"x is {list(x.shape)}, this network takes [N, {channels}, {height}, {width}]")
        for method in methods:
            if method in self.manifest["absent"]:
                raise ValueError(f"{method} does not apply to this network: {self.manifest['absent'][method]}")
            if method not in self.methods:
                raise ValueError(f"no method is called {method!r}; this file has {', '.join(self.methods)}")


def _distance(setting: Setting, threads: int, images: int) -> tuple[int, int, int]:
    """How far a setting is from another. What oneDNN likes depends on what the threads leave of the images."""
    return abs(setting[2] - threads), (setting[3] - images) % threads, abs(setting[3] - images)
