"""The one question that all others are faces of, and its answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..methods import METHODS, Place
from ..methods.baselines import BASELINES
from ..methods.options import refused
from .attribution import Attribution, photo_of
from .names import default_method
from .opened import Opened
from .watched import Progress, watched

if TYPE_CHECKING:  # it loads OpenCV, which whoever asks for no box has no use for
    from ..pictures.boxes import Box


class Asking(Opened):
    """Ask a file anything."""

    def ask(
        self,
        x: Any,
        target: int | str | None = None,
        method: str | None = None,
        layer: int | str = -1,
        *,
        contrast: int | str | Sequence[int | str] | None = None,
        seed: Tensor | None = None,
        smooth: int = 0,
        spread: float = 0.15,
        baseline: str | Tensor = "mean",
        options: Mapping[str, float] | None = None,
        progress: Progress | None = None,
    ) -> Attribution:
        """Why the network answers as it does, with what it takes to read the answer.

        x: images [N, C, S, S], or one photo, uint8 [H, W, 3], which the answer draws itself on.
        target: the class, by index or name; None for the top one of each image, settled once, on the image itself.
        contrast: rather than which class, or than the mean of which (Finer-CAM, arXiv:2501.11309).
        seed: in the place of target and contrast, a cotangent of the logits, [N, K].
        method: None for HiResCAM below the last layer and Grad-CAM at it, which knows the class there alone.
        layer: index or name; "all" for every layer of a method that reads them in one pass. To a method that is
        read throughout, as relevance is, -1 is the image.
        smooth: the mean over so many noisy copies, for any method of one pass; spread: their noise, as a share of
        an image's range. baseline: what a path begins at and hidden pixels show, "mean", "black", "blur" or
        images like x. options: of a method of many passes, see its row in METHODS.
        progress: called with steps done and steps in all, in this thread; what it raises ends the question.
        Raises ValueError for anything that does not fit.
        """
        photo = photo_of(x)
        x = self.preprocess(torch.as_tensor(x)) if photo is not None else x  # type: ignore[attr-defined]
        method = self._method(method, layer)
        self._check_question(x, [method])
        with self._asking(len(x)) as net:
            logits = net.forward(x)
        settled, asked = self._score(x, logits, target, contrast, seed)
        every = layer == "all"
        index = -1 if every else self._index(method, layer)
        many = method in self.module.path_of
        if smooth < 0 or not spread >= 0:
            raise ValueError(f"smooth is {smooth} and spread {spread:g}: neither is less than zero")
        self.check_ways(method, every, smooth, options)
        if many and every and not self._place(method).at_image:
            raise ValueError(f"{method} takes many passes, for one layer at a time; name the layer")
        if many and not self._place(method).at_image and index % len(self.layers) not in self.module.tails:
            raise ValueError(
                f"the logits hang on more than the values of {self.layers[index]}, which {method} asks"
            )
        completeness = arrived = None
        with self._asking(self._at_once(len(x)) if many or smooth else max(1, len(x))) as net:
            if many:
                told = {name: float(value) for name, value in (options or {}).items()}
                reference = self._baseline(net, x, baseline)
                if self.module.path_of[method] != "references" and len(reference) not in (1, len(x)):
                    raise ValueError(
                        f"{len(reference)} baselines for {len(x)} images: one for all, or one for each"
                    )
                values, error = watched(
                    lambda state: net.explain_along(x, settled, method, index, told, reference, state), progress
                )
                completeness = None if bool(error.isnan().all()) else error
                passes = int(net.passes(method, index, told))
            elif smooth:
                values = watched(
                    lambda state: net.explain_smooth(x, settled, method, index, smooth, spread, state), progress
                )
                passes = smooth
            elif self._place(method) is Place.CALLS:
                values, completeness = net.explain_whole(x, settled, method)
                passes = 1
            elif method in self.module.alone:
                map, maps, arrived = net.explain_throughout(x, settled, method)
                values = maps if every else map if index < 0 else maps[:, index]
                passes = 1
            else:
                values = net.sweep(x, settled, method) if every else net.explain(x, settled, method, index)
                passes = 1
        place = self._place(method)
        whole = place.at_image and not (place.has_layers and (every or index >= 0))
        layers = () if whole else tuple(self.layers) if every else (self.layers[index],)
        entry = next(entry for entry in self.manifest["methods"] if entry["name"] == method)
        return Attribution(
            values, method, entry["title"], layers, entry["signed"], logits, asked,
            self.geometry, completeness, passes, tuple(self._notes(method, index, every)), photo, arrived, place,
        )  # fmt: skip

    def boxes(
        self,
        photo: Any,
        target: int | str | None = None,
        method: str | None = None,
        layer: int | str = -1,
        threshold: float = 0.2,
        contrast: int | str | Sequence[int | str] | None = None,
        several: bool = False,
    ) -> "list[Box]":
        """Where in a photo, uint8 [H, W, 3], the answer lies: boxes in its own pixels. Empty where nothing in the
        map speaks for the target.

        The first four, and contrast, as in `ask`; threshold and several as in `Attribution.boxes`. Raises
        ValueError for what isn't one photo and one layer, and as `ask` does.
        """
        if photo_of(photo) is None:
            raise ValueError(
                "boxes are in a photo's pixels: give the photo, uint8 [H, W, 3], and no tensor of images"
            )
        if layer == "all":
            raise ValueError("boxes are of one layer; ask(photo, layer='all').boxes(layer=3) gives those of each")
        return self.ask(photo, target, method, layer, contrast=contrast).boxes(threshold, several)

    def passes(
        self, method: str, layer: int | str = -1, smooth: int = 0, options: Mapping[str, float] | None = None
    ) -> int:
        """How many passes of one image such a question takes at most. Raises ValueError as `ask` does."""
        index = self._index(method, layer)
        self.check_ways(method, False, smooth, options)
        if method not in self.module.path_of:
            return max(1, smooth)
        told = {name: float(value) for name, value in (options or {}).items()}
        return int(self.module.passes(method, index, told))

    def check_ways(
        self, method: str, every: bool = False, smooth: int = 0, options: Mapping[str, float] | None = None
    ) -> None:
        """Raise ValueError where a method is not smoothed, or has no such options. every: is it asked at all
        layers?"""
        many = method in self.module.path_of
        if smooth and (many or every):
            raise ValueError(f"smooth repeats a method of one pass at one layer, and {method} is asked otherwise")
        if options and not many:
            raise ValueError(f"{method} takes one pass and has no options; smooth=25 averages over noisy copies")
        if options:
            self._check_options(method, {name: float(value) for name, value in options.items()})

    def _method(self, method: str | None, layer: int | str) -> str:
        """The method that is asked where none is named."""
        return default_method(layer, self.manifest["layers"], self.methods) if method is None else method

    def _score(
        self,
        x: Tensor,
        logits: Tensor,
        target: int | str | None,
        contrast: int | str | Sequence[int | str] | None,
        seed: Tensor | None,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """The seed of each image, and what it asks, in words."""
        if seed is not None:
            if target is not None or contrast is not None:
                raise ValueError("a seed says what is asked; leave target and contrast out")
            return self._seed(x, seed), ("the seed that was given",) * len(x)
        classes = torch.full((len(x), 1), -1 if target is None else self.class_index(target), device=x.device)
        with torch.no_grad():
            settled = self.module.resolve_seed(logits, classes)
        tops = settled.flatten(2).sum(2).argmax(1) if settled.ndim > 2 else settled.argmax(1)
        asked = [self.labels[int(top)] for top in tops]
        if contrast is not None:
            named = [contrast] if isinstance(contrast, (int, str)) else list(contrast)
            others = [self.class_index(one) for one in named]
            for other in others:
                settled = settled - self.module.resolve_seed(logits, torch.full_like(classes, other)) / len(others)
            told = " or ".join(self.labels[other] for other in others)
            asked = [f"{name} rather than {told}" for name in asked]
        return settled, tuple(asked)

    def _baseline(self, net: Any, x: Tensor, baseline: str | Tensor) -> Tensor:
        if isinstance(baseline, str):
            if baseline not in BASELINES:
                raise ValueError(f"no baseline is called {baseline!r}; there are {', '.join(BASELINES)}")
            return net.baseline(x, baseline)  # type: ignore[no-any-return]
        if baseline.ndim != 4 or baseline.shape[1:] != x.shape[1:]:
            raise ValueError(f"baseline is {list(baseline.shape)}, the images are {list(x.shape)}")
        return baseline.to(x)

    def _check_options(self, method: str, options: Mapping[str, float]) -> None:
        known = self.module.options_of[method]
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"{method} has no option {name!r}; it has {', '.join(known) or 'none'}")
            if why := refused(name, value, known[name]):
                raise ValueError(why)

    def _notes(self, method: str, index: int, every: bool) -> list[str]:
        """What is to be known before the answer is believed."""
        row = METHODS.get(method)
        inner = every or (0 <= index % max(1, len(self.layers)) < len(self.layers) - 1)
        return [row.inner] if row and row.inner and inner and not row.at.at_image else []
