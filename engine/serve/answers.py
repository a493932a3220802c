"""Answers to requests that came together: those of one kind from one pass, each on its own photo."""

import base64
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch.answering import Answering
from ..batch.questions import Questions, opened
from ..batch.reading import class_asked, stored
from ..batch.sources import Photo
from ..pictures.render import fit, png
from ..run.explainer import Explainer
from ..trust.evaluation import named
from .question import Question

LONGEST = 1024  # side of a picture, in pixels, as on the page
FAILED = "The network failed at that question. Ask another one, or tell whoever runs this server."
Pixels = NDArray[np.uint8] | str  # a photo, uint8 [H, W, 3], or why it could not be read


@dataclass(frozen=True)
class Request:
    """A photo, as its file's bytes, and what is asked of it. picture: is a PNG wanted, and no numbers?"""

    photo: bytes
    question: Question
    picture: bool = False


@dataclass(frozen=True)
class Answer:
    """status: of HTTP. content: a PNG, or what JSON is made of. together: the photos of its pass; first: is it the
    one of them that the pass is counted by?"""

    status: int
    content: bytes | dict[str, Any]
    together: int = 1
    first: bool = True


class Answers:
    """The answers of a file. passes: of the network, that a question may take at most."""

    def __init__(self, explainer: Explainer, passes: int) -> None:
        self.explainer, self.passes = explainer, passes

    def of(self, requests: Sequence[Request]) -> list[Answer]:
        """An answer to each request, in their order. Nothing that one of them brings costs another its answer."""
        found: dict[int, Answer] = {}
        for members in alike([request.question.kind for request in requests]):
            found |= zip(members, self._together([requests[number] for number in members]), strict=True)
        return [found[number] for number in range(len(requests))]

    def _together(self, requests: Sequence[Request]) -> list[Answer]:
        """Of requests of one kind, from one pass; where that fails, from one for each."""
        try:
            return self._from_one_pass(requests)
        except Exception as error:
            if len(requests) > 1:
                return [answer for request in requests for answer in self._together([request])]
            if isinstance(error, ValueError):
                return [Answer(422, {"detail": sentence(error)})]
            return [Answer(500, {"detail": FAILED})]

    def _from_one_pass(self, requests: Sequence[Request]) -> list[Answer]:
        question = requests[0].question
        method, layer = named(question.asked)
        if (takes := self.explainer.passes(method, layer)) > self.passes:
            raise ValueError(f"that takes {takes} passes of the network, and this server gives {self.passes}")
        # A class that a request names is its photo's label to the rows; a photo without one has its top class.
        answering = Answering(self.explainer, Questions((question.asked,), "label", threshold=question.threshold))
        photos = [_photo(request) for request in requests]
        pixels: list[Pixels] = [opened(photo) for photo in photos]
        rows = answering.rows(list(zip(photos, pixels, strict=True)))
        whole = [number for number, row in enumerate(rows) if row["error"] is None]
        return [
            self._answer(request, row, seen, max(1, len(whole)), [number] == whole[:1])
            for number, (request, row, seen) in enumerate(zip(requests, rows, pixels, strict=True))
        ]

    def _answer(self, request: Request, row: dict[str, Any], pixels: Pixels, together: int, first: bool) -> Answer:
        if isinstance(pixels, str):
            return Answer(422, {"detail": pixels}, together, first)
        if request.picture:
            map = stored(row, row["maps"][0], self.explainer.geometry)
            photo = fit(pixels, LONGEST) if max(pixels.shape) > LONGEST else pixels
            return Answer(200, png(map.overlay(photo)), together, first)
        return Answer(200, told(row, request.question.listed), together, first)


def alike(kinds: Sequence[Hashable]) -> list[list[int]]:
    """The places of each kind, kinds in the order in which they first come."""
    found: dict[Hashable, list[int]] = {}
    for number, kind in enumerate(kinds):
        found.setdefault(kind, []).append(number)
    return list(found.values())


def told(row: dict[str, Any], listed: bool = False) -> dict[str, Any]:
    """A row of one map as JSON has it, which knows no infinity.

    values: the map [h, w], as base64 of float32, little-endian, row by row; listed: as lists of numbers.
    """
    map = row["maps"][0]
    values = np.asarray(map["values"], "<f4").reshape(map["rows"], map["columns"])
    written: Any = base64.b64encode(values.tobytes()).decode()
    if listed:
        written = [[_number(value) for value in line] for line in values.tolist()]
    return {
        "height": row["height"], "width": row["width"],
        "classes": [one | {"probability": _number(one["probability"])} for one in row["top"]],
        "method": map["method"], "layer": map["layer"], "target": map["target"], "asked": class_asked(map),
        "shape": list(values.shape), "values": written, "stride": map["stride"], "offset": map["offset"],
        "boxes": map["boxes"], "arrived": _number(map["arrived"]), "missing": _number(map["missing"]),
    }  # fmt: skip


def sentence(error: ValueError) -> str:
    """What the engine says of a question that does not fit, as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _photo(request: Request) -> Photo:
    return Photo("", lambda: request.photo, request.question.target, request.question.contrast)


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
