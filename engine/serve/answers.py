"""Answers to requests that came together: those of one kind from one pass, each on its own photo."""

import base64
import math
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..batch.answering import Answering
from ..batch.questions import EVERY, decoded
from ..batch.reading import class_asked, stored
from ..batch.sources import Photo
from ..methods import Place
from ..pictures.figures import Look, picture
from ..pictures.render import contact_sheet, fit, png
from ..run.explainer import Explainer
from ..run.starting import Position
from ..text import sentence
from ..trust import one_picture
from ..trust.evaluation import named
from ..trust.report import examine
from .messages import FAILED, Answer, Request
from .more_questions import Classes, Trust, Unit
from .question import Question

LONGEST = 1024  # side of a picture, in pixels, as on the page
CELL = 224  # of one of many on a sheet
Pixels = NDArray[np.uint8]  # a photo, [H, W, 3]
Content = bytes | dict[str, Any]


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
        """A photo that can't be read is refused alone."""
        read = [decoded(request.photo) for request in requests]
        photos = {number: pixels for number, pixels in enumerate(read) if not isinstance(pixels, str)}
        contents = dict(
            zip(photos, self._contents([requests[n] for n in photos], [*photos.values()]), strict=True)
        )
        first = next(iter(photos), None)
        return [
            Answer(200, contents[number], len(photos), number == first)
            if number in contents
            else Answer(422, {"detail": told}, max(1, len(photos)), False)
            for number, told in enumerate(read)
        ]

    def _contents(self, requests: Sequence[Request], photos: Sequence[Pixels]) -> list[Content]:
        """What is told of each photo, of requests of one kind."""
        if not requests:
            return []
        question = requests[0].question
        if isinstance(question, Classes):
            return self._classified([request.question for request in requests], photos)
        if isinstance(question, Unit):
            return self._of_units(requests, photos)
        if isinstance(question, Trust):
            return [
                self._examined(request.question, pixels) for request, pixels in zip(requests, photos, strict=True)
            ]
        return self._explained(question, requests, photos)

    def _explained(
        self, question: Question, requests: Sequence[Request], photos: Sequence[Pixels]
    ) -> list[Content]:
        """Rows of a data set."""
        method, layer = named(question.asked)
        takes = 1
        if layer != EVERY:
            takes = self.explainer.passes(method, layer, question.smooth, dict(question.options))
        self._check(takes)
        answering = Answering(self.explainer, question.questions)
        rows = answering.rows([(_photo(request), one) for request, one in zip(requests, photos, strict=True)])
        return [
            self._drawn(row, pixels, layer == EVERY)
            if request.picture
            else told(row, request.question.listed, layer == EVERY)
            for request, row, pixels in zip(requests, rows, photos, strict=True)
        ]

    def _drawn(self, row: dict[str, Any], pixels: Pixels, several: bool) -> bytes:
        """The map on its photo, or a sheet of those of all layers."""
        maps = [stored(row, map, self.explainer.geometry) for map in row["maps"]]
        photo = shown(pixels, CELL if several else LONGEST)
        drawn = [map.overlay(photo) for map in maps]
        if not several:
            return png(drawn[0])
        title = f"{self._told(maps[0].method)['title']}: {maps[0].asked}"
        return png(contact_sheet(drawn, [map.layer or "" for map in maps], title=title))

    def _classified(self, questions: Sequence[Classes], photos: Sequence[Pixels]) -> list[Content]:
        logits = self.explainer.forward(self._images(photos))
        return [
            {
                "height": pixels.shape[0], "width": pixels.shape[1],
                "classes": [
                    {"index": one.index, "label": one.label, "probability": _number(one.number)}
                    for one in ranked[: question.top]
                ],
            }
            for question, pixels, ranked in zip(questions, photos, self.explainer.ranking(logits), strict=True)
        ]  # fmt: skip

    def _of_units(self, requests: Sequence[Request], photos: Sequence[Pixels]) -> list[Content]:
        asked = requests[0].question
        row = self._told(asked.method)
        channels = [request.question.channel for request in requests]
        place: Position = asked.place or "strongest"
        geometry = self.explainer.geometry
        found = self.explainer.explain_unit(self._images(photos), asked.layer, channels, place, asked.method)
        entry = self.explainer.manifest["layers"][self.explainer.layers.index(asked.layer)]
        contents: list[Content] = []
        for number, (request, pixels) in enumerate(zip(requests, photos, strict=True)):
            map, where = found.map[number].float().cpu().numpy(), [int(one) for one in found.place[number]]
            if request.picture:
                small = shown(pixels, LONGEST)
                window = geometry.window(*small.shape[:2])
                at = Place(row["at"])
                contents.append(png(picture(small, window, at.per_pixel(map), Look(), at.at_image, row["signed"])))
                continue
            contents.append(
                {
                    "height": pixels.shape[0], "width": pixels.shape[1],
                    "method": asked.method, "layer": asked.layer, "channel": channels[number],
                    "value": _number(float(found.value[number])), "place": where,
                    "pixel": [math.floor(at) for at in geometry.middle_of(pixels.shape, entry, where)],
                    "shape": list(map.shape), "values": _written(map, request.question.listed),
                }
            )  # fmt: skip
        return contents

    def _examined(self, question: Trust, pixels: Pixels) -> Content:
        self._check(self.explainer.passes(question.method, question.layer or -1))
        asked = one_picture.subject(
            self.explainer, pixels, question.target, question.method, question.layer or -1, question.contrast
        )
        report = examine(asked, lambda: self._redrawn)
        rather = None if asked.contrast is None else asked.label(asked.contrast)
        return {
            "height": pixels.shape[0], "width": pixels.shape[1],
            "method": asked.method, "layer": asked.place or None, "target": asked.target,
            "asked": class_asked({"label": asked.label(asked.target), "rather_than": rather}),
            "verdicts": [
                {
                    "name": one.name, "good": one.good, "text": str(one),
                    **{name: _number(v) if isinstance(v, float) else v for name, v in one.fields.items()},
                }
                for one in report.verdicts
            ],
            "areas": {
                curve: {who: _number(area) for who, area in found.items()} for curve, found in report.areas.items()
            },
        }  # fmt: skip

    def _told(self, method: str) -> dict[str, Any]:
        """What the file tells of a method, which may be one of its author's own."""
        return next(dict(entry) for entry in self.explainer.manifest["methods"] if entry["name"] == method)

    def _check(self, takes: int) -> None:
        if takes > self.passes:
            raise ValueError(f"that takes {takes} passes of the network, and this server gives {self.passes}")

    def _images(self, photos: Sequence[Pixels]) -> Tensor:
        return torch.cat(
            [self.explainer.preprocess(torch.from_numpy(np.ascontiguousarray(one))) for one in photos]
        )

    @cached_property
    def _redrawn(self) -> Explainer:
        """The network with its weights redrawn, made once."""
        return self.explainer.randomised()


def alike(kinds: Sequence[Hashable]) -> list[list[int]]:
    """The places of each kind, kinds in the order in which they first come."""
    found: dict[Hashable, list[int]] = {}
    for number, kind in enumerate(kinds):
        found.setdefault(kind, []).append(number)
    return list(found.values())


def shown(pixels: Pixels, longest: int) -> Pixels:
    """A photo that is no larger than a picture is drawn."""
    return fit(pixels, longest) if max(pixels.shape) > longest else pixels


def told(row: dict[str, Any], listed: bool = False, several: bool = False) -> dict[str, Any]:
    """A row as JSON has it, which knows no infinity: with what is told of its one map, or of several as `maps`."""
    maps = [_map_told(map, listed) for map in row["maps"]]
    return {
        "height": row["height"], "width": row["width"],
        "classes": [one | {"probability": _number(one["probability"])} for one in row["top"]],
        **({"maps": maps} if several else maps[0]),
    }  # fmt: skip


def _map_told(map: dict[str, Any], listed: bool) -> dict[str, Any]:
    values = np.asarray(map["values"], np.float32).reshape(map["rows"], map["columns"])
    return {
        "method": map["method"], "layer": map["layer"], "target": map["target"], "asked": class_asked(map),
        "shape": list(values.shape), "values": _written(values, listed), "stride": map["stride"],
        "offset": map["offset"], "boxes": map["boxes"], "arrived": _number(map["arrived"]),
        "missing": _number(map["missing"]),
    }  # fmt: skip


def _written(values: NDArray[np.float32], listed: bool) -> Any:
    """A map as base64 of float32, little-endian, row by row, channel by channel; listed: as lists of numbers."""
    if listed:
        lists: Any = np.where(np.isfinite(values), values.astype(object), np.array(None)).tolist()
        return lists
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _photo(request: Request) -> Photo:
    return Photo("", lambda: request.photo, request.question.target, request.question.contrast)


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
