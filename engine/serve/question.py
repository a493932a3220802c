"""What a request asks, checked against what there is: nothing that comes in is taken on trust."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..methods import METHODS, Place
from ..pictures.boxes import THRESHOLD
from ..pictures.folder import class_of
from ..run.names import default_method
from ..text import nearest

FIELDS = ("method", "layer", "target", "contrast", "threshold", "values")
VALUES = ("base64", "list")  # how an answer writes a map
Facts = Mapping[str, Any]  # see `facts_of`


class RefusedError(ValueError):
    """What is told instead of an answer: a sentence, and a status of HTTP."""

    def __init__(self, status: int, told: str, again: int | None = None) -> None:
        """again: seconds after which it may be asked once more."""
        super().__init__(told)
        self.status, self.again = status, again


@dataclass(frozen=True)
class Question:
    """Why does the network see `target` (rather than `contrast`), as `method` tells it at `layer`?

    layer: by the name that the file has for it; None where the method settles it. target: None for the top class.
    threshold: where boxes end, a share of the map's maximum. listed: are the map's values numbers in lists?
    """

    method: str
    layer: str | None = None
    target: int | None = None
    contrast: int | None = None
    threshold: float = THRESHOLD
    listed: bool = False

    @property
    def asked(self) -> str:
        """As rows have it: "hires_cam@blocks.4.2"."""
        return self.method if self.layer is None else f"{self.method}@{self.layer}"

    @property
    def kind(self) -> tuple[Any, ...]:
        """Questions of one kind go through the network together, whatever their classes: a contrast takes the
        logits first, and the class alone does not."""
        return self.asked, self.contrast is None, self.threshold


def read_question(fields: Mapping[str, str], facts: Facts) -> Question:
    """Read what was given of FIELDS, each as text; what is left out or empty stands as the page has it.

    Raises RefusedError, status 422, with what there is instead.
    """
    for name in fields:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, 1)
            raise RefusedError(422, f"There is no field {name!r:.60}: {close[0] if close else ', '.join(FIELDS)}?")
    given = {name: text for name, text in fields.items() if text != ""}
    layer = _layer(given["layer"], facts) if "layer" in given else None
    method = given.get("method")
    if method is None:
        names = [entry["name"] for entry in facts["methods"]]
        method = default_method(-1 if layer is None else layer, facts["layers"], names)
    _check_method(method, layer, facts)
    target, contrast = (_class(given[name], facts["classes"]) if name in given else None for name in CLASSES)
    values = given.get("values", VALUES[0])
    if values not in VALUES:
        raise RefusedError(422, f"The values come as {' or '.join(VALUES)}; got {values!r:.60}.")
    # As on the page, a class is not compared with itself.
    contrast = None if contrast == target else contrast
    return Question(method, layer, target, contrast, _share(given.get("threshold")), values == "list")


CLASSES = ("target", "contrast")


def _layer(told: str, facts: Facts) -> str:
    """The file's own name of a layer, by its name or an alias of it, or by its number from 1."""
    layers = facts["layers"]
    names = {name: entry["name"] for entry in layers for name in (entry["name"], *entry["aliases"])}
    if told in names:
        return str(names[told])
    if told.isdecimal() and 1 <= int(told[:9]) <= len(layers):
        return str(layers[int(told) - 1]["name"])
    if told.isdecimal():
        raise RefusedError(422, f"There is no layer {told:.20}: this model has {len(layers)}, counted from 1.")
    raise RefusedError(422, f"There is no layer {told!r:.60}; {nearest(told[:60], names)}.")


def _check_method(method: str, layer: str | None, facts: Facts) -> None:
    """Raise RefusedError for a method that the file has not, or for one that is not read at a layer."""
    places = {entry["name"]: Place(entry["at"]) for entry in facts["methods"]}
    if method not in places:
        if method in facts["absent"] and method in METHODS:
            raise RefusedError(422, f"{METHODS[method].title} does not apply here: {facts['absent'][method]}.")
        raise RefusedError(422, f"There is no method {method!r:.60}. Choose {', '.join(places)}.")
    if layer is not None and not places[method].has_layers:
        raise RefusedError(422, f"{method} explains the image and is read at no layer: leave the layer out.")


def _class(told: str, labels: Sequence[str]) -> int:
    """The number of a class, by number from 0 or by its name, in whatever case."""
    if told.isdecimal() and int(told[:9]) >= len(labels):
        raise RefusedError(422, f"There is no class {told:.20}: this model has {len(labels)}, counted from 0.")
    found = class_of(told, labels)
    if found is None:
        like = [label for label in labels if told.lower() in label.lower()] or labels
        raise RefusedError(422, f"There is no class {told!r:.60}; {nearest(told[:60], like)}.")
    return found


def _share(told: str | None) -> float:
    try:
        share = THRESHOLD if told is None else float(told)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RefusedError(422, f"The threshold is a share of the map's maximum, 0 to 1; got {told!r:.60}.")
    return share
