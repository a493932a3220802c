"""A question with everything that was computed for it, and the pictures that are drawn from that."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from .. import METHODS, Explainer
from ..files.stages import Stage, of_interest, stages_of
from ..methods import Place
from ..pictures.figures import Look, empty_line, picture, scale_over
from ..pictures.geometry import Window
from ..pictures.render import Picture
from .language import language, say
from .notes import file_lines
from .passes import ARRIVED, AT_LAYERS, Attributions, Values
from .question import Look as Asked
from .question import Question
from .words import arrived_told, layer_line, range_told, unique

MOST = 130  # passes of a picture that somebody waits for
# What is said of a method here: a picture is settled long before its parts make up the whole.
OPTIONS: dict[str, dict[str, float]] = {"integrated_gradients": {"most": 64}}


def options_of(method: str) -> dict[str, float] | None:
    """What the page says of a method of many passes; None where it leaves all as it stands."""
    return OPTIONS.get(method)


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
    _lines: dict[str, list[str]] = field(default_factory=dict, repr=False, compare=False)  # by language

    @cached_property
    def size(self) -> int:
        """Bytes of its weights, of which oneDNN keeps layouts of its own: three times as much in all."""
        tensors = (*self.explainer.module.parameters(), *self.explainer.module.buffers())
        return 3 * sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @cached_property
    def labels(self) -> list[str]:
        """The names of the classes, each different from all others."""
        return unique(self.explainer.labels)

    @property
    def title(self) -> str:
        """The name of the model, for people."""
        return str(self.explainer.manifest["model"]["title"])

    @cached_property
    def methods(self) -> list[str]:
        """The methods that answer while somebody waits: of one pass, and of the image and few. A file of one's own
        may have others that the page can't draw."""
        return [name for name in self.explainer.methods if name in METHODS and self._is_quick(name)]

    def _is_quick(self, name: str) -> bool:
        if name in self.explainer.one_pass_methods:
            return True
        row = METHODS[name]  # whose path may ask for images of one's own
        return row.at.at_image and row.path != "references" and self.passes(name) <= MOST

    def passes(self, name: str) -> int:
        """How many passes a method takes here at most."""
        return self.explainer.passes(name, options=options_of(name))

    def method(self, wanted: str) -> str:
        """The method that is wanted, where the file has it, or else what comes nearest to it."""
        return next((name for name in (wanted, "hires_cam", "grad_cam") if name in self.methods), self.methods[0])

    @cached_property
    def stages(self) -> list[Stage]:
        """The parts of the network, by the resolution of their layers."""
        return stages_of(self.explainer.manifest["layers"])

    @cached_property
    def kept(self) -> list[bool]:
        """Which layers are worth a look; pads, norms and the like are folded away unless asked for."""
        return of_interest(self.explainer.manifest["layers"])

    @property
    def layers(self) -> list[str]:
        """A line for each layer: name, shape, number."""
        if language() not in self._lines:
            layers = self.explainer.manifest["layers"]
            self._lines[language()] = [
                layer_line(layer["name"], layer["shape"], i + 1, len(layers)) for i, layer in enumerate(layers)
            ]
        return self._lines[language()]


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
    def asked(self) -> list[int]:
        """The classes that it is about: the one that is explained, and the one that it is compared with."""
        return [index for index in (self.question.target, self.question.contrast) if index is not None]

    @property
    def layers(self) -> list[int]:
        """The layers that are shown, from 0; none where the picture is of the image as a whole."""
        pooled, place = int(self.model.explainer.manifest["pooled"]), METHODS[self.question.method].at
        return [] if self.at_image else list(place.layers(len(self.model.layers), pooled))

    @property
    def at_image(self) -> bool:
        """Is the picture of the image itself? Relevance may be read there and at every layer."""
        place = METHODS[self.question.method].at
        return place.at_image and not (place is Place.THROUGHOUT and self.question.at == "layers")

    @property
    def layer(self) -> int:
        """The layer that is shown: the one asked for, where the method has more than one."""
        asked = self.question.layer or 0
        return asked if asked in self.layers or not self.layers else self.layers[0]

    @property
    def layer_name(self) -> str:
        """The name of the layer that is shown."""
        return self.model.explainer.layers[self.layer]

    @property
    def title(self) -> str:
        """The name of the method, for people."""
        return say(METHODS[self.question.method].title)

    @property
    def model_title(self) -> str:
        """The name of the model, for people, and whether it has learnt anything."""
        if self.question.weights == "random":
            return say("{model}, random weights", model=self.model.title)
        return self.model.title

    @property
    def signed(self) -> bool:
        """Whether the picture shows signed values of the network's input, and not heat on the photo."""
        return self.shown(0).ndim == 3

    def range(self, layer: int) -> tuple[float, float]:
        """The smallest and the largest raw value of the map of a layer."""
        values = self.shown(layer)
        return float(values.min()), float(values.max())

    def range_told(self, layer: int) -> str:
        """The same in words."""
        common = self.question.look.scale == "common"
        told = range_told(*self.range(layer), self.signed, len(self.layers), common)
        came = self.arrived(layer)
        return told if came is None else f"{told} {arrived_told(came)}"

    def arrived(self, layer: int) -> float | None:
        """The share of the score that came to the image or to a layer, where the method tells."""
        came = self.attributions.get(ARRIVED)
        return None if came is None else float(came[0 if self.at_image else 1 + layer])

    def caption(self, layer: int) -> str:
        """The lines of a layer on the contact sheet."""
        signed = METHODS[self.question.method].signed
        empty = empty_line(self.shown(layer), signed)
        return self.model.layers[layer].replace(" · ", "\n", 1) + (f"\n{say(empty.strip())}" if empty else "")

    @cached_property
    def scale(self) -> float | None:
        """The value that has the last colour at every layer; None where each layer has its own."""
        if len(self.layers) < 2:
            return None
        layers = (self.shown(layer) for layer in self.layers)
        return scale_over(layers, drawn_as(self.question.look), METHODS[self.question.method].signed)

    @property
    def file_lines(self) -> dict[str, str]:
        """The two lines that ask the model's file the same, by language."""
        question = self.question
        name = self.model.explainer.manifest["model"]["name"]
        layer = self.layer if self.layers else -1  # which is the image to a method that is read throughout
        return file_lines(name, self.asked, question.method, layer, options_of(question.method))

    @property
    def part(self) -> tuple[str, bool]:
        """What the network sees of the photo, in a word that is empty for all of it, and whether the picture is of
        that alone."""
        tall, wide = self.photo.pixels.shape[:2]
        top, left, height, width = self.model.explainer.geometry.window(tall, wide)
        if top < 1 and left < 1 and top + height > tall - 1 and left + width > wide - 1:
            return "", self.signed  # what is cut off is no pixel
        return "square" if abs(height - width) < 1 else "part", self.signed

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
        if method.times and method.name not in self.attributions:
            map, image = factors(method.name)
            product: Values = self.attributions[map][layer] * self.attributions[image]
            return product
        if self.at_image:
            return self.attributions[method.name]
        values = self.attributions[AT_LAYERS if method.at is Place.THROUGHOUT else method.name]
        one: Values = values[0 if method.at is Place.POOLED else layer]
        return one

    def shown(self, layer: int) -> Values:
        """What is drawn of the values."""
        return METHODS[self.question.method].at.per_pixel(self.attribution(layer))

    def draw(self, layer: int, side: int, scale: float | None = None) -> Picture:
        """The picture of a layer: heat on the photo, `side` pixels long at most, or the network's input.

        scale: the raw value that has the last colour, where others share it.
        """
        look, row, scale = self.question.look, METHODS[self.question.method], scale or self.scale
        shown, window = fitted(self.photo, self.model, side)
        return picture(shown, window, self.shown(layer), drawn_as(look), self.at_image, row.signed, scale)


def drawn_as(look: Asked) -> Look:
    """The look of the question, for the engine."""
    return Look(look.view, look.gray, look.strength, look.colormap, look.alone, look.scale)


def factors(method: str) -> tuple[str, str]:
    """The two methods whose maps, of a layer and of the image, make up a product."""
    row = METHODS[method]
    same = (m.name for m in METHODS.values() if (m.read, m.policy, m.times) == (row.read, row.policy, ""))
    return next(same), row.times


def fitted(photo: Photo, model: Model, side: int) -> tuple[Picture, Window]:
    """The photo, `side` pixels long at most, and the part of it that the network sees, in its pixels."""
    shown = photo.fit(side)
    tall, wide = photo.pixels.shape[:2]
    window = model.explainer.geometry.window(tall, wide)
    y, x = shown.shape[0] / tall, shown.shape[1] / wide
    return shown, Window(window.top * y, window.left * x, window.height * y, window.width * x)
