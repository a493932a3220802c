"""What programs ask, checked against a model, and what they get: numbers for JSON, and files."""

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
import numpy as np

from .. import METHODS, text
from ..methods.baselines import BASELINES
from ..text import nearest
from . import log
from .controls import RefusalError
from .passes import Values
from .scene import Model, Photo
from .studio import Studio

Asked = dict[str, Any]  # a question to a model, by the names of `Explainer.ask`
LARGEST = 1000  # value of an option where strangers ask: a grid of so many cells is still small beside a photo


def whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number from `least` on. Raises RefusalError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1 and value >= least:
        return int(value)
    raise RefusalError(f"The {name} is a whole number from {least} on; got {value!r:.60}.")


def class_of(model: Model, target: Any) -> int | None:
    """The index of a class, by number from 0 or by its name, in whatever case; None where none is asked for."""
    if isinstance(target, str) and not target.isdigit():
        known = {label.lower(): index for index, label in reversed([*enumerate(model.explainer.labels)])}
        known |= {label.lower(): index for index, label in enumerate(model.labels)}
        if target.lower() not in known:
            like = [label for label in model.labels if target.lower() in label.lower()] or model.labels
            raise RefusalError(f"There is no class {target!r:.60}; {nearest(target[:60], like)}.")
        return known[target.lower()]
    if target is None:
        return None
    index, classes = whole("class", int(target) if isinstance(target, str) else target), len(model.labels)
    if index >= classes:
        raise RefusalError(f"There is no class {index}: this model has {classes}, counted from 0.")
    return index


def layer_of(model: Model, layer: Any) -> int:
    """The index of a layer from 0, by its name or an alias of it, or by its number from 1."""
    layers = model.explainer.manifest["layers"]
    names = {name: index for index, entry in enumerate(layers) for name in (entry["name"], *entry["aliases"])}
    if isinstance(layer, str) and layer in names:
        return names[layer]
    if isinstance(layer, str) and not layer.isdigit():
        raise RefusalError(f"There is no layer {layer!r:.60}; {nearest(layer[:60], names)}.")
    index = whole("layer", int(layer) if isinstance(layer, str) else layer)
    if not 1 <= index <= len(layers):
        raise RefusalError(f"There is no layer {index}: this model has {len(layers)}, counted from 1.")
    return index - 1


def method_of(model: Model, method: Any, many_passes: bool = True) -> str:
    """A method of the model's file. Raises RefusalError, with those that there are, for others."""
    offers = [name for name in model.explainer.methods if name in METHODS] if many_passes else model.methods
    absent = model.explainer.manifest["absent"]
    if isinstance(method, str) and method in METHODS and method in absent:
        raise RefusalError(f"{METHODS[method].title} does not apply here: {absent[method]}.")
    if method not in offers:
        raise RefusalError(f"There is no method {method!r:.60}. Choose {', '.join(offers)}.")
    log.tell(method=method)
    return str(method)


def check_passes(model: Model, asked: Asked, most: float) -> None:
    """Raise RefusalError for a baseline and options that there are not, and for more than `most` passes."""
    options = asked["options"]
    if options is not None and not (
        isinstance(options, Mapping) and all(isinstance(one, int | float) for one in options.values())
    ):
        raise RefusalError('The options are numbers by their names, such as {"steps": 50}.')
    if math.isfinite(most) and any(abs(value) > LARGEST for value in (options or {}).values()):
        raise RefusalError(f"An option of a method is at most {LARGEST} on this page.")
    if not isinstance(asked["baseline"], str) or asked["baseline"] not in BASELINES:
        raise RefusalError(f"The baseline is one of {', '.join(BASELINES)}; got {asked['baseline']!r:.60}.")
    smooth, method = whole("number of noisy copies", asked["smooth"]), asked["method"]
    try:
        takes = smooth if method is None else model.explainer.passes(method, asked["layer"], smooth, options)
    except ValueError as error:
        raise RefusalError(sentence(error)) from error
    if takes > most:
        raise RefusalError(
            f"That takes up to {takes} passes of the network, and this page gives {most:.0f} to a question. "
            "Ask for less, or ask a page of your own."
        )


def sentence(error: ValueError) -> str:
    """What the engine says of a question that does not fit, as a sentence."""
    return text.sentence(error, METHODS)


def classes(model: Model, chances: Values, top: int) -> list[dict[str, Any]]:
    """The most probable classes, the first first."""
    order = [int(index) for index in chances.argsort(kind="stable")[::-1][:top]]
    return [
        {"index": index, "label": model.labels[index], "probability": number(chances[index])} for index in order
    ]


def number(value: Any) -> float | None:
    """A number as JSON has it, which knows no infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def numbers(values: Values) -> dict[str, Any]:
    """The shape of a map and the range of its raw values."""
    return {"shape": list(values.shape), "range": [number(values.min()), number(values.max())]}


def pixel_of(model: Model, photo: Photo, layer: int, place: tuple[int, int]) -> list[int]:
    """The pixel of the photo, row and column, in the middle of a place (row, column) of a layer; outside of the
    photo where the network's input was padded."""
    return [math.floor(number) for number in middle_of(model, photo, layer, place)]


def middle_of(model: Model, photo: Photo, layer: int, place: tuple[int, int]) -> list[float]:
    """The middle of a place (row, column) of a layer on the photo, whose pixel (i, j) covers [i, i + 1) down and
    [j, j + 1) to the right."""
    entry, geometry = model.explainer.manifest["layers"][layer], model.explainer.geometry
    return geometry.middle_of(photo.pixels.shape, entry, place)


def place_of(model: Model, photo: Photo, layer: int, pixel: tuple[int, int]) -> tuple[int, int] | None:
    """The place (row, column) of a layer on which the middle of a pixel of the photo lies, row and column; None
    where the network does not see it."""
    size = model.explainer.manifest["layers"][layer]["shape"][1:]
    shares = [(at + 0.5 - first) / length for at, (first, length) in zip(pixel, _spans(model, photo), strict=True)]
    if not all(0 <= share < 1 for share in shares):
        return None
    row, column = (int(share * places) for share, places in zip(shares, size, strict=True))
    return row, column


def _spans(model: Model, photo: Photo) -> tuple[tuple[float, float], tuple[float, float]]:
    """What the network sees of a photo's rows, and of its columns: the first one and how many, in pixels."""
    window = model.explainer.geometry.window(*photo.pixels.shape[:2])
    return (window.top, window.height), (window.left, window.width)


def files(
    studio: Studio, photo: Photo, asked: tuple[Any, ...], name: str, values: Values, draw: Callable[[], bytes]
) -> tuple[gr.FileData, gr.FileData]:
    """A picture, PNG, and the raw values, .npy, where whoever asked can fetch them; made once for a question."""
    key = hashlib.sha256(repr((photo.key, asked)).encode()).hexdigest()[:24]

    def array() -> bytes:
        content = io.BytesIO()
        np.save(content, values.astype(np.float32, copy=False))
        return content.getvalue()

    made = studio.keep(key, f"{name}.png", draw), studio.keep(key, f"{name}.npy", array)
    return gr.FileData(path=str(made[0])), gr.FileData(path=str(made[1]))
