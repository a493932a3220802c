"""What a request asks, checked against what there is: nothing that comes in is taken on trust."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..batch.questions import EVERY, Questions
from ..methods import METHODS, Place
from ..methods.baselines import BASELINES
from ..pictures.boxes import THRESHOLD
from ..pictures.folder import class_of
from ..run.names import default_method
from ..text import nearest

FIELDS = ("method", "layer", "target", "contrast", "smooth", "baseline", "options", "threshold", "values")
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

    layer: by the name that the file has for it, "all" for each; None where the method settles it. target: None
    for the top class. threshold: where boxes end, a share of the map's maximum. listed: are the map's values
    numbers in lists? smooth, baseline, options: as `Explainer.ask` takes them.
    """

    method: str
    layer: str | None = None
    target: int | None = None
    contrast: int | None = None
    threshold: float = THRESHOLD
    listed: bool = False
    smooth: int = 0
    baseline: str = BASELINES[0]
    options: tuple[tuple[str, float], ...] = ()

    @property
    def asked(self) -> str:
        """As rows have it: "hires_cam@blocks.4.2"."""
        return self.method if self.layer is None else f"{self.method}@{self.layer}"

    @property
    def kind(self) -> tuple[Any, ...]:
        """Questions of one kind go through the network together, whatever their classes: a contrast takes the
        logits first, and the class alone does not."""
        return self.asked, self.contrast is None, self.threshold, self.smooth, self.baseline, self.options

    @property
    def questions(self) -> Questions:
        """The same, as it is asked of a data set. A class that a request names is its photo's label there; a photo
        without one has its top class."""
        return Questions(
            (self.asked,), "label", threshold=self.threshold, smooth=self.smooth, baseline=self.baseline,
            options={self.method: dict(self.options)} if self.options else {},
        )  # fmt: skip


def read_question(fields: Mapping[str, str], facts: Facts) -> Question:
    """Read what was given of FIELDS, each as text; what is left out or empty stands as the page has it.

    Raises RefusedError, status 422, with what there is instead.
    """
    given = given_of(fields, FIELDS)
    method, layer, target, contrast = read_map(given, facts)
    baseline = given.get("baseline", BASELINES[0])
    if baseline not in BASELINES:
        raise RefusedError(422, f"There is no baseline {baseline!r:.60}. Choose {', '.join(BASELINES)}.")
    return Question(
        method, layer, target, contrast, _share(given.get("threshold")), read_listed(given),
        read_count("smooth", given.get("smooth", "0"), "how many noisy copies, as 25"), baseline,
        _options(given.get("options", "{}")),
    )  # fmt: skip


def given_of(fields: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """What was said, of what may be. Raises RefusedError for any other field."""
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise RefusedError(422, f"There is no field {name!r:.60}: {close[0] if close else ', '.join(known)}?")
    return {name: text for name, text in fields.items() if text != ""}


def read_map(given: Mapping[str, str], facts: Facts) -> tuple[str, str | None, int | None, int | None]:
    """Which map is asked for: method, layer, class, and rather than which."""
    layer = read_layer(given["layer"], facts) if "layer" in given else None
    method = given.get("method")
    if method is None:
        names = [entry["name"] for entry in facts["methods"]]
        method = default_method(-1 if layer is None else layer, facts["layers"], names)
    if not check_method(method, facts).has_layers and layer is not None:
        raise RefusedError(422, f"{method} explains the image and is read at no layer: leave the layer out.")
    target, contrast = (_class(given[name], facts["classes"]) if name in given else None for name in CLASSES)
    # As on the page, a class is not compared with itself.
    return method, layer, target, None if contrast == target else contrast


def read_listed(given: Mapping[str, str]) -> bool:
    """Do values come as lists of numbers?"""
    values = given.get("values", VALUES[0])
    if values not in VALUES:
        raise RefusedError(422, f"The values come as {' or '.join(VALUES)}; got {values!r:.60}.")
    return values == "list"


CLASSES = ("target", "contrast")


def read_layer(told: str, facts: Facts) -> str:
    """The file's own name of a layer, by its name or an alias of it, or by its number from 1."""
    layers = facts["layers"]
    if told == EVERY:
        return EVERY
    names = {name: entry["name"] for entry in layers for name in (entry["name"], *entry["aliases"])}
    if told in names:
        return str(names[told])
    if told.isdecimal() and 1 <= int(told[:9]) <= len(layers):
        return str(layers[int(told) - 1]["name"])
    if told.isdecimal():
        raise RefusedError(422, f"There is no layer {told:.20}: this model has {len(layers)}, counted from 1.")
    raise RefusedError(422, f"There is no layer {told!r:.60}; {nearest(told[:60], names)}.")


def check_method(method: str, facts: Facts) -> Place:
    """Where a method is read. Raises RefusedError for one that the file has not."""
    places = {entry["name"]: Place(entry["at"]) for entry in facts["methods"]}
    if method in places:
        return places[method]
    if method in facts["absent"] and method in METHODS:
        raise RefusedError(422, f"{METHODS[method].title} does not apply here: {facts['absent'][method]}.")
    raise RefusedError(422, f"There is no method {method!r:.60}. Choose {', '.join(places)}.")


def _class(told: str, labels: Sequence[str]) -> int:
    """The number of a class, by number from 0 or by its name, in whatever case."""
    if told.isdecimal() and int(told[:9]) >= len(labels):
        raise RefusedError(422, f"There is no class {told:.20}: this model has {len(labels)}, counted from 0.")
    found = class_of(told, labels)
    if found is None:
        like = [label for label in labels if told.lower() in label.lower()] or labels
        raise RefusedError(422, f"There is no class {told!r:.60}; {nearest(told[:60], like)}.")
    return found


def read_count(name: str, told: str, says: str) -> int:
    """A number from 0. says: what it is of, with an example."""
    if not told.isdecimal():
        raise RefusedError(422, f"The field {name} says {says}; got {told!r:.60}.")
    return int(told[:9])


def _options(told: str) -> tuple[tuple[str, float], ...]:
    """What is said of a method of many passes, such as {"steps": 50}; names and bounds are the file's matter."""
    try:
        read = json.loads(told)
        numbers = {str(name): value for name, value in read.items()}
    except (ValueError, AttributeError, RecursionError):
        numbers = {"": None}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers.values()):
        raise RefusedError(422, f'The options are numbers by name, as {{"steps": 50}}; got {told!r:.60}.')
    try:
        return tuple(sorted((name, float(value)) for name, value in numbers.items()))
    except OverflowError:
        raise RefusedError(422, "An option is a number that is far too large.") from None


def _share(told: str | None) -> float:
    try:
        share = THRESHOLD if told is None else float(told)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RefusedError(422, f"The threshold is a share of the map's maximum, 0 to 1; got {told!r:.60}.")
    return share
