"""A file that is open: its facts, its kernels, and what people call its layers and classes."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from ..methods import Place
from ..pictures.geometry import Geometry
from .names import index_of_class, index_of_layer
from .onednn import packed
from .outputs import OUTPUTS as OUTPUTS

Setting = tuple[torch.device, torch.dtype, int, int]  # where, in which precision, with how many threads, images
MAX_LAYOUTS = 16  # settings that kernels are laid out for; one more takes those of the nearest


class Opened:
    """A module with its manifest: the facts of a file, and its kernels laid out for the processor at hand."""

    def __init__(self, module: torch.jit.ScriptModule, manifest: dict[str, Any]) -> None:
        self.module, self.manifest = module, manifest
        self._layouts: dict[Setting, torch.jit.ScriptModule] = {}
        self._laid_out_of: tuple[int, ...] = ()
        self._lock = threading.Lock()

    @property
    def layers(self) -> list[str]:
        """The names of the layers, from the image to the logits."""
        return [layer["name"] for layer in self.manifest["layers"]]

    @property
    def methods(self) -> list[str]:
        """The names of the methods that this file answers."""
        return [method["name"] for method in self.manifest["methods"]]

    @property
    def one_pass_methods(self) -> list[str]:
        """Those of them that take one pass, which `survey` and `answers` may be asked together."""
        return [name for name in self.methods if name not in self.module.path_of]

    def __repr__(self) -> str:
        """What it is of and what it answers, for notebooks."""
        title, classes = self.manifest["model"]["title"], self.manifest["classes"]
        told = f"{title}: {classes} classes, {len(self.layers)} layers, {len(self.methods)} methods"
        return f"{type(self).__name__}({told})"

    @property
    def policies(self) -> list[str]:
        """The policies that `probe` answers."""
        return list(self.module.policies)

    @property
    def labels(self) -> list[str]:
        """The names of the classes, one per logit."""
        return list(self.module.labels)

    @property
    def coverage(self) -> str:
        """How many activations the policies reach: "35 of 35 activations gated, 21 of them smooth (silu)"."""
        return str(self.manifest["coverage"]["text"])

    @property
    def geometry(self) -> Geometry:
        """How a photo becomes the network's input."""
        return Geometry.from_dict(self.manifest["geometry"])

    @property
    def outputs(self) -> str:
        """What the logits are: a "choice" of one class, "independent", "values", "dense" or an "embedding"."""
        return str(self.manifest.get("outputs", "choice"))

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

    @contextmanager
    def _without_weights(self) -> Iterator[Any]:
        """The module to ask for what takes no weight, as preprocessing does: nothing is laid out for it."""
        with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            yield self.module

    def _packed_for(self, images: int) -> torch.jit.ScriptModule:
        """The module whose kernels are laid out for this thread, and for so many images."""
        like, threads = self.module.like, torch.get_num_threads()
        setting = like.device, like.dtype, threads, images
        # Who writes into the weights is followed: kernels that were laid out of others are no longer asked.
        if (written := _versions(self.module)) != self._laid_out_of:
            with self._lock:
                if written != self._laid_out_of:
                    self._layouts, self._laid_out_of = {}, written
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

    def _at_once(self, images: int) -> int:
        """How many images go through at once where many passes of so many do."""
        room: int = self.module.room
        return max(1, images) * max(1, room // max(1, images))

    def _index(self, method: str, layer: int | str) -> int:
        place = self._place(method)
        if place.at_image and (layer == -1 or not place.has_layers):
            return -1
        index = self.layer_index(layer)
        if place.at_image:
            return index % len(self.layers)
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

    def _check_policy(self, policy: str) -> None:
        """Raise ValueError for a policy that this file does not answer."""
        if policy not in self.policies:
            raise ValueError(f"no policy is called {policy!r}; this file has {', '.join(self.policies)}")


def _versions(module: torch.jit.ScriptModule) -> tuple[int, ...]:
    """How often each weight was written into, and which tensor it is; what inference mode made counts nothing."""
    return tuple(
        w.data_ptr() if w.is_inference() else w._version + (w.data_ptr() << 32) for w in module.weights.buffers()
    )


def _distance(setting: Setting, threads: int, images: int) -> tuple[int, int, int]:
    """How far a setting is from another. What oneDNN likes depends on what the threads leave of the images."""
    return abs(setting[2] - threads), (setting[3] - images) % threads, abs(setting[3] - images)
