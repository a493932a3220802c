"""A question with everything that was computed for it, and the pictures that are drawn from that."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import METHODS, Explainer
from ..pictures.figures import Look, picture
from ..pictures.geometry import Window
from ..pictures.render import Picture
from .question import Question
from .words import layer_line, range_told, unique

Values = NDArray[np.float32]
Attributions = dict[str, Values]  # method -> [S, S], [3, S, S] or, with layers, [L, S, S]


@dataclass(frozen=True)
class Photo:
    """A photo as it was read, uint8 [H, W, 3], and the hash of its file."""

    key: str
    pixels: Picture
    _fitted: dict[int, Picture] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, side: int) -> Picture:
        """The photo with a longer side of at most `side` pixels, kept: it lies below the maps of all layers."""
        scale = side / max(self.pixels.shape)
        if scale >= 1:
            return self.pixels
        if side not in self._fitted:
            size = [max(1, round(length * scale)) for length in self.pixels.shape[1::-1]]
            fitted = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
            self._fitted[side] = np.asarray(fitted, np.uint8)
        return self._fitted[side]


@dataclass(frozen=True)
class Model:
    """An explainer and its names as people read them."""

    explainer: Explainer

    @cached_property
    def size(self) -> int:
        """Bytes of its weights, of which oneDNN keeps layouts of its own: three times as much in all."""
        tensors = (*self.explainer.module.parameters(), *self.explainer.module.buffers())
        return 3 * sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @cached_property
    def labels(self) -> list[str]:
        """The names of the classes, each different from all others."""
        return unique(self.explainer.labels)

    @cached_property
    def layers(self) -> list[str]:
        """A line for each layer: name, shape, number."""
        layers = self.explainer.manifest["layers"]
        return [layer_line(layer["name"], layer["shape"], i + 1, len(layers)) for i, layer in enumerate(layers)]


@dataclass(frozen=True)
class Scene:
    """A question whose target and layer are settled, its model and photo, and what the network told.

    probabilities: [K], of the classes.
    """

    question: Question
    model: Model
    photo: Photo
    probabilities: Values
    attributions: Attributions

    def standing(self, target: int) -> tuple[float, int, int]:
        """The probability of a class, its rank from 1, and among how many."""
        found = self.probabilities
        return float(found[target]), 1 + int((found > found[target]).sum()), len(found)

    @property
    def layers(self) -> list[int]:
        """The layers that the method has a map for, from 0; none where it explains the image as a whole."""
        pooled = int(self.model.explainer.manifest["pooled"])
        return list(METHODS[self.question.method].at.layers(len(self.model.layers), pooled))

    @property
    def layer(self) -> int:
        """The layer that is shown: the one asked for, where the method has more than one."""
        asked = self.question.layer or 0
        return asked if asked in self.layers or not self.layers else self.layers[0]

    @property
    def signed(self) -> bool:
        """Whether the picture shows signed values of the network's input, and not heat on the photo."""
        return self.attribution(0).ndim == 3

    def range(self, layer: int) -> tuple[float, float]:
        """The smallest and the largest raw value of the map of a layer."""
        values = self.attribution(layer)
        return float(values.min()), float(values.max())

    def range_told(self, layer: int) -> str:
        """The same in words."""
        return range_told(*self.range(layer), self.signed, len(self.layers))

    @property
    def key(self) -> str:
        """A name for everything that the pictures of this scene, at any layer, depend on."""
        content = repr((self.photo.key, replace(self.question, photo=Path(), layer=None)))
        return hashlib.sha256(content.encode()).hexdigest()[:24]

    def attribution(self, layer: int) -> Values:
        """The method's values at a layer: [S, S], or [3, S, S] where they are signed.

        A product, Guided Grad-CAM, is multiplied out here: at every layer it would fill 44 MB and more.
        """
        method = METHODS[self.question.method]
        if method.times:
            same = (
                m.name for m in METHODS.values() if (m.read, m.gate, m.times) == (method.read, method.gate, "")
            )
            product: Values = self.attributions[next(same)][layer] * self.attributions[method.times]
            return product
        values = self.attributions[method.name]
        if method.at.at_image:
            return values
        one: Values = values[layer if method.at.at_every_layer else 0]
        return one

    def draw(self, layer: int, side: int) -> Picture:
        """The picture of a layer: heat on the photo, `side` pixels long at most, or the network's input."""
        shown, look = self.photo.fit(side), self.question.look
        height, width = shown.shape[:2]
        tall, wide = self.photo.pixels.shape[:2]
        window = self.model.explainer.geometry.window(tall, wide)
        y, x = height / tall, width / wide
        window = Window(window.top * y, window.left * x, window.height * y, window.width * x)
        drawn = Look(look.view, look.gray, 1.0 if look.alone else look.strength)
        return picture(shown, window, self.attribution(layer), drawn, METHODS[self.question.method].at.at_image)
