"""What is asked of each photo of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from ..methods import METHODS, Place
from ..methods.baselines import BASELINES
from ..pictures.boxes import THRESHOLD
from ..pictures.photo import load_photo
from ..run.explainer import Explainer
from ..trust.evaluation import named
from .sources import Photo

CLASSES = ("top", "label", "runner-up")
EVERY = "all"  # layers: from one pass


@dataclass(frozen=True)
class Questions:
    """What is asked of each photo.

    asked: methods, or methods at layers, as "hires_cam@blocks.4.2", or at all of them, "hires_cam@all". target:
    "top", the network's own class; "label", the photo's, its own where it has none; "runner-up", the top one
    rather than the next; or a class, by name or number. trust: columns of an evaluation. threshold: of boxes, a
    share of a map's maximum. options, smooth, baseline: as `Explainer.ask` takes them, options by method; smooth
    is of those that take one pass, options and baseline of those that take many.
    """

    asked: tuple[str, ...] = ("hires_cam",)
    target: str = "top"
    trust: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    smooth: int = 0
    baseline: str = BASELINES[0]

    def __post_init__(self) -> None:
        """Raises ValueError for a threshold that is no share, and for copies and baselines that there are not."""
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is a share of a map's maximum, 0 to 1; got {self.threshold}")
        if self.smooth < 0:
            raise ValueError(f"smooth is a number of noisy copies; got {self.smooth}")
        if self.baseline not in BASELINES:
            raise ValueError(f"no baseline is called {self.baseline!r}; there are {', '.join(BASELINES)}")
        if self.trust and (self.smooth or self.baseline != BASELINES[0]):
            raise ValueError("trust is measured of maps as their methods make them: leave smooth and baseline out")

    def as_dict(self) -> dict[str, Any]:
        """What makes a run another one."""
        return {
            "asked": list(self.asked),
            "target": self.target,
            "trust": list(self.trust),
            "threshold": self.threshold,
            "options": {name: dict(own) for name, own in self.options.items()},
            "smooth": self.smooth,
            "baseline": self.baseline,
        }


@dataclass(frozen=True)
class Asked:
    """One map of each photo. name: as rows have it; layer: that it is read at, None at the image; every: is it one
    of all layers, which are answered together? shape: of the layer's places, [h, w], where the map is one value
    for each of them, enlarged; stride, offset: where they lie on the input."""

    name: str
    method: str
    layer: str | None = None
    every: bool = False
    shape: tuple[int, int] | None = None
    stride: list[float] | None = None
    offset: list[float] | None = None


def each_asked(explainer: Explainer, questions: Questions) -> list[Asked]:
    """The maps that are asked for: of "hires_cam@all" one at every layer.

    Raises ValueError for what the file has not, for all layers of a method that takes many passes for each, and
    for smooth, options and a baseline where nothing that is asked takes them.
    """
    found = _each(explainer, questions.asked)
    many = explainer.module.path_of
    for asked in found:
        explainer.check_ways(asked.method, asked.every, questions.smooth, questions.options.get(asked.method))
    if questions.baseline != BASELINES[0] and not any(asked.method in many for asked in found):
        raise ValueError(
            f"the baseline {questions.baseline} is of methods of many passes, and none of those is asked"
        )
    return found


def _each(explainer: Explainer, names: Sequence[str]) -> list[Asked]:
    found = list[Asked]()
    for name in names:
        method, layer = named(name)
        if method not in explainer.methods:
            raise ValueError(f"the file has no {method!r}: it has {', '.join(explainer.methods)}")
        place = Place(explainer.module.at_of[method])
        if layer != -1 and not place.has_layers:
            raise ValueError(f"{name}: {method} explains the image, and is read at no layer")
        if layer != EVERY:
            found.append(_asked(explainer, name, method, layer))
            continue
        if method in explainer.module.path_of:
            raise ValueError(f"{name}: {method} takes many passes for each layer; name those that you want")
        layers = [
            explainer.layers[index] for index in place.layers(len(explainer.layers), explainer.module.pooled)
        ]
        found += [_asked(explainer, f"{method}@{own}", method, own, len(layers) > 1) for own in layers]
    return found


def _asked(explainer: Explainer, name: str, method: str, layer: int | str, every: bool = False) -> Asked:
    module = explainer.module
    if layer == -1 and Place(module.at_of[method]).at_image:
        return Asked(name, method)
    if layer not in (-1, *explainer.layers):
        raise ValueError(f"the file has no layer {layer!r}: it has {', '.join(explainer.layers)}")
    index = dict(module.last_of).get(method, -1) if layer == -1 else explainer.layers.index(str(layer))
    told, row = explainer.manifest["layers"][index], METHODS.get(method)
    _, height, width = module.shapes[index]
    small = row is None or not row.times  # one that is multiplied with a map of the image is as large as that
    return Asked(
        name, method, explainer.layers[index], every, (int(height), int(width)) if small else None,
        told.get("stride"), told.get("offset"),
    )  # fmt: skip


def opened(photo: Photo) -> NDArray[np.uint8] | str:
    """A photo's pixels, or why it can't be read, in a sentence."""
    return decoded(content_of(photo))


def content_of(photo: Photo) -> bytes | str:
    """A photo's bytes, or why its file can't be opened, in a sentence."""
    try:
        return photo.read()
    except OSError as error:
        return f"The file can't be opened: {error.strerror or type(error).__name__}."
    except Exception as error:  # of whatever package reads that address
        return f"The file can't be opened: {type(error).__name__}."


def decoded(content: bytes | str) -> NDArray[np.uint8] | str:
    """The pixels uint8 [H, W, 3] of a photo's bytes, or why they are none; what was said before stays so."""
    if isinstance(content, str):
        return content
    try:
        return load_photo(content)
    except PhotoError as error:
        return str(error)
