"""The rows that the answers to a photo become."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..methods import Place
from ..pictures.boxes import boxes_on_photo
from ..pictures.folder import class_of
from ..pictures.geometry import Window
from ..run.attribution import Attribution
from ..run.explainer import Explainer
from ..torchscript.resizing import bilinear_matrix
from ..trust.evaluation import OF_MOSAICS, Evaluation
from ..trust.one_picture import flat
from .questions import CLASSES, EVERY, Asked, Questions, each_asked
from .sources import Photo

TOP = 5  # classes that a row tells
SIDES, MEASURED = ("left", "top", "right", "bottom", "score"), ("arrived", "missing")


class Answering:
    """The rows of photos, a batch at a time. Raises ValueError for what the file has not, before the first one."""

    def __init__(self, explainer: Explainer, questions: Questions, seed: int = 0) -> None:
        wrong = [name for name in questions.trust if name in OF_MOSAICS]
        if wrong:
            raise ValueError(f"{wrong[0]} is asked of mosaics, not of a photo: `evaluate` makes them")
        classes = list(explainer.module.output)
        if len(classes) != 1 or (questions.target == "runner-up" and classes[0] < 2):
            raise ValueError(
                f"the network answers {classes} for a photo: rows are of one answer for each, as a classifier's, "
                "and a runner-up takes two classes"
            )
        self.explainer, self.questions = explainer, questions
        self.asked = each_asked(explainer, questions)
        names = [asked.name for asked in self.asked]
        self.evaluation = Evaluation(explainer, names, questions.trust, seed, questions.options)
        self.chosen = None if questions.target in CLASSES else explainer.class_index(questions.target)
        self.labels, self.geometry = explainer.labels, explainer.geometry

    def rows(self, photos: Sequence[tuple[Photo, NDArray[np.uint8] | str]]) -> list[dict[str, Any]]:
        """A row for each photo: what it is, pixels uint8 [H, W, 3] or why it could not be read."""
        whole = [number for number, (_, pixels) in enumerate(photos) if not isinstance(pixels, str)]
        answered: dict[int, dict[str, Any]] = {}
        if whole:
            pixels = [np.ascontiguousarray(photos[number][1]) for number in whole]
            x = torch.cat([self.explainer.preprocess(torch.from_numpy(one)) for one in pixels])
            sizes = [(one.shape[0], one.shape[1]) for one in pixels]
            labels = [self._label(photos[number][0]) for number in whole]
            given = [photos[number][0] for number in whole]
            answered = dict(zip(whole, self._answers(x, sizes, labels, given), strict=True))
        return [self._row(photo, found, answered.get(n)) for n, (photo, found) in enumerate(photos)]

    def _row(self, photo: Photo, pixels: NDArray[np.uint8] | str, answer: dict[str, Any] | None) -> dict[str, Any]:
        label = self._label(photo)
        row: dict[str, Any] = {
            "path": photo.path,
            "error": pixels if isinstance(pixels, str) else None,
            "height": None if isinstance(pixels, str) else pixels.shape[0],
            "width": None if isinstance(pixels, str) else pixels.shape[1],
            "label_index": label,
            "label": self.labels[label] if label is not None else _told(photo.label),
        }
        return row | (answer or {"top": [], "maps": [], "trust": []})

    def _label(self, photo: Photo) -> int | None:
        return None if photo.label is None else class_of(photo.label, self.labels)

    def _answers(
        self, x: Tensor, sizes: Sequence[tuple[int, int]], labels: Sequence[int | None], photos: Sequence[Photo]
    ) -> list[dict[str, Any]]:
        """Of images [N, C, S, S] of photos of such sizes and labels."""
        explainer, rows = self.explainer, list[dict[str, Any]]()
        others = [photo.rather_than for photo in photos]
        runner_up = self.questions.target == "runner-up"
        targets = [-1 if own is None else own for own in self._targets(labels)]
        plain = not runner_up and all(other is None for other in others)
        logits, maps = self._maps(x, targets, others, plain)
        chances = explainer.probabilities(logits)
        scores = (logits if chances is None else chances).double().cpu()
        order = scores.argsort(dim=1, descending=True, stable=True)[:, : max(2, TOP)].tolist()
        for number, size in enumerate(sizes):
            first, second = (order[number] * 2)[:2]
            own = first if targets[number] < 0 else targets[number]
            other = second if runner_up else others[number] if others[number] != own else None
            top = [(index, float(scores[number, index])) for index in order[number][:TOP]]
            window = self.geometry.window(*size)
            rows.append(
                {
                    "top": [{"index": i, "label": self.labels[i], "probability": chance} for i, chance in top],
                    "maps": [
                        map.row(number, own, other, self.labels) | map.boxes(number, window, size) for map in maps
                    ],
                    "trust": self._trust(x[number : number + 1], own, photos[number].path)
                    if self.questions.trust
                    else [],
                }
            )
        return rows

    def _maps(
        self, x: Tensor, targets: Sequence[int], others: Sequence[int | None], plain: bool
    ) -> tuple[Tensor, list["_Maps"]]:
        """The logits, and each map that is asked for. plain: is nothing held against another class?"""
        explainer, questions, maps = self.explainer, self.questions, list[_Maps]()
        asked_more = {*explainer.module.path_of, *explainer.module.alone}  # whose answers say more than the map
        logits: Tensor | None = None
        for (method, every), group in groupby(self.asked, lambda asked: (asked.method, asked.every)):
            for asked in [next(group)] if every else group:
                layer = -1 if asked.layer is None else asked.layer
                if plain and not every and not questions.smooth and method not in asked_more:
                    logits, values = explainer.answer(x, targets, method, layer)
                    maps.append(self._kept(asked, values))
                    continue
                # Of the top class each image settles its own; any other is a seed, which takes the logits first.
                seed = None
                if not plain or max(targets) >= 0:
                    seed = self._seed(explainer.forward(x) if logits is None else logits, targets, others)
                answer = explainer.ask(
                    x, None, method, EVERY if every else layer, seed=seed, smooth=questions.smooth,
                    baseline=questions.baseline, options=questions.options.get(method),
                )  # fmt: skip
                logits = answer.logits
                if not every:
                    maps.append(self._kept(asked, answer.values, **_measured(answer, asked, explainer)))
                    continue
                for index, one in enumerate([asked, *group]):
                    maps.append(self._kept(one, answer.values[:, index], **_measured(answer, one, explainer)))
        assert logits is not None
        return logits, maps

    def _kept(self, asked: Asked, values: Tensor, **told: Tensor) -> "_Maps":
        """Maps as they are kept: at their layer's own size, or half as precise at the image's."""
        whole = flat(values, asked.method, Place(self.explainer.module.at_of[asked.method])).cpu()
        kept = whole.half().float() if asked.shape is None else at_own_size(whole, asked.shape)
        return _Maps(asked, whole.numpy(), kept.numpy(), self.questions.threshold, told)

    def _targets(self, labels: Sequence[int | None]) -> list[int | None]:
        if self.chosen is not None:
            return [self.chosen] * len(labels)
        return list(labels) if self.questions.target == "label" else [None] * len(labels)

    def _seed(self, logits: Tensor, targets: Sequence[int], others: Sequence[int | None]) -> Tensor:
        """What each image is asked: its class, -1 for its top one, and rather than which. None is held against
        itself."""
        order = logits.argsort(dim=1, descending=True, stable=True)
        seed = torch.zeros_like(logits)
        for number, target in enumerate(targets):
            own = int(order[number, 0]) if target < 0 else target
            other = int(order[number, 1]) if self.questions.target == "runner-up" else others[number]
            if other is not None:
                seed[number, other] = -1
            seed[number, own] = 1
        return seed

    def _trust(self, x: Tensor, target: int, path: str) -> list[dict[str, Any]]:
        """The numbers that were asked for, of each map and of each control. A photo's random map is its path's,
        whatever is answered together with it."""
        values = self.evaluation.of_photo(x, target, zlib.crc32(path.encode()))
        return [
            {"map": who, "column": column, "value": value}
            for who, own in values.items()
            for column, value in own.items()
        ]


@dataclass(frozen=True, eq=False)
class _Maps:
    """Maps of a batch. whole: at the input's size [N, S, S]; kept: as rows have them [N, h, w]; told: what arrived
    and what is missing, [N], where the method tells."""

    asked: Asked
    whole: NDArray[np.float32]
    kept: NDArray[np.float32]
    threshold: float
    told: Mapping[str, Tensor]

    def row(self, number: int, target: int, contrast: int | None, labels: Sequence[str]) -> dict[str, Any]:
        """One of them, of a class rather than another one, without its boxes."""
        asked, kept = self.asked, self.kept[number]
        return {
            "asked": asked.name, "method": asked.method, "layer": asked.layer, "target": target,
            "label": labels[target], "rather_than": None if contrast is None else labels[contrast],
            "rows": kept.shape[0], "columns": kept.shape[1], "values": kept.ravel().tolist(),
            "stride": asked.stride, "offset": asked.offset,
            **{name: float(self.told[name][number]) if name in self.told else None for name in MEASURED},
        }  # fmt: skip

    def boxes(self, number: int, window: Window, size: tuple[int, int]) -> dict[str, Any]:
        """Its boxes, in the pixels of a photo of that size, which the network saw a window of."""
        found = boxes_on_photo(self.whole[number], window, size, self.threshold)
        return {"boxes": [{name: getattr(box, name) for name in SIDES} for box in found]}


def _measured(answer: Attribution, asked: Asked, explainer: Explainer) -> dict[str, Tensor]:
    """What arrived where it was asked, and what is missing, [N], where the method tells."""
    found = {}
    if answer.arrived is not None:
        place = 0 if asked.layer is None else 1 + explainer.layers.index(asked.layer)
        found["arrived"] = answer.arrived[:, place]
    if answer.completeness is not None:
        found["missing"] = answer.completeness
    return found


def at_own_size(map: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [..., S, S] that were enlarged bilinearly from [h, w], as they were before.

    They solve E_S M E_Sᵀ = map, which is exact but for rounding, since enlarging loses nothing. Maps that aren't
    smaller stay as they are.
    """
    if size[0] >= map.shape[-2] or size[1] >= map.shape[-1]:
        return map.float()
    down, across = (_smaller(length, int(full)) for length, full in zip(size, map.shape[-2:], strict=True))
    found: Tensor = (down @ map.double() @ across.T).float()
    return found


@cache
def _smaller(length: int, full: int) -> Tensor:
    """The pseudoinverse of how `length` values become `full` ones bilinearly, float64 [length, full]."""
    like = torch.empty(1, 1, length, 1, dtype=torch.float64)
    found: Tensor = torch.linalg.pinv(bilinear_matrix(like, 2, full))
    return found


def _told(label: Any) -> str | None:
    return None if label is None else str(label)
