"""What is asked besides a map of a class: the classes alone, a unit inside, and how far a map can be believed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..batch.questions import EVERY
from .question import (
    Facts,
    RefusedError,
    check_method,
    given_of,
    read_count,
    read_layer,
    read_listed,
    read_map,
    read_question,
)

WHERE = ("layer", "channel")  # of a unit
TOP = 5  # classes that are told unless more are asked for


@dataclass(frozen=True)
class Classes:
    """What does the network see? top: how many classes are told."""

    top: int = TOP

    @property
    def kind(self) -> tuple[Any, ...]:
        """All go through the network together."""
        return ("classes",)


@dataclass(frozen=True)
class Unit:
    """What made a unit of a layer fire? place: row and column in it; None for where the channel is strongest."""

    layer: str
    channel: int
    method: str = "guided_backprop"
    place: tuple[int, int] | None = None
    listed: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """Those at one layer and place go through the network together, whatever their channels."""
        return "unit", self.layer, self.method, self.place


@dataclass(frozen=True)
class Trust:
    """How far can a map be believed? Its fields are a Question's."""

    method: str
    layer: str | None = None
    target: int | None = None
    contrast: int | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """Each is many passes of its own photo."""
        return "trust", self


def read_classes(fields: Mapping[str, str], facts: Facts) -> Classes:
    """Read `top`. Raises RefusedError, status 422."""
    given = given_of(fields, ("top",))
    top = read_count("top", given.get("top", str(TOP)), "how many classes are told, as 5")
    if not top:
        raise RefusedError(422, "The field top says how many classes are told: at least 1.")
    return Classes(top)


def read_unit(fields: Mapping[str, str], facts: Facts) -> Unit:
    """Read layer, channel, method, place and values. Raises RefusedError, status 422, with what there is."""
    given = given_of(fields, ("layer", "channel", "method", "place", "values"))
    for name in WHERE:
        if name not in given:
            raise RefusedError(422, f"A unit is a channel of a layer: say which {name}.")
    layer, method = read_layer(given["layer"], facts), given.get("method", Unit.method)
    channel = read_count("channel", given["channel"], "which channel, from 0")
    if layer == EVERY:
        raise RefusedError(422, "A unit lies in one layer: name it.")
    check_method(method, facts)
    entry = next(entry for entry in facts["methods"] if entry["name"] == method)
    if entry["passes"] != 1:
        raise RefusedError(422, f"{entry['title']} takes many passes: a unit is asked by a method of one.")
    return Unit(layer, channel, method, _place(given.get("place")), read_listed(given))


def read_trust(fields: Mapping[str, str], facts: Facts) -> Trust:
    """Read method, layer, target and contrast. Raises RefusedError, status 422, with what there is instead."""
    found = read_map(given_of(fields, ("method", "layer", "target", "contrast")), facts)
    if found[1] == EVERY:
        raise RefusedError(422, "One map is put to the test: name one layer.")
    return Trust(*found)


def _place(told: str | None) -> tuple[int, int] | None:
    """[3, 5] as two numbers."""
    if told is None:
        return None
    try:
        row, column = json.loads(told)
    except (ValueError, TypeError, RecursionError):
        row = column = None
    if not all(type(number) is int and 0 <= number < 1 << 31 for number in (row, column)):
        raise RefusedError(422, f"The place is a row and a column, such as [3, 5]; got {told!r:.60}.")
    return row, column


# What may be asked of a photo, by its route.
READERS: dict[str, Callable[[Mapping[str, str], Facts], Any]] = {
    "classify": read_classes,
    "explain": read_question,
    "unit": read_unit,
    "trust": read_trust,
}
