"""What is asked of each photo, and the rows that its answers become."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import PhotoError
from ..methods import Place
from ..pictures.boxes import THRESHOLD, boxes_on_photo
from ..pictures.folder import class_of
from ..pictures.photo import load_photo
from ..run.attribution import Attribution
from ..run.explainer import Explainer
from ..torchscript.resizing import bilinear_matrix
from ..trust.evaluation import OF_MOSAICS, Evaluation, named
from ..trust.one_picture import flat
from .sources import Photo

CLASSES = ("top", "label", "runner-up")
TOP = 5  # classes that a row tells


@dataclass(frozen=True)
class Questions:
    """asked: methods, or methods at layers, as "hires_cam@blocks.4.2". target: "top", the network's own class;
    "label", the photo's, its own where it has none; "runner-up", the top one rather than the next; or a class, by
    name or number. trust: columns of an evaluation. threshold: of boxes, a share of a map's maximum."""

    asked: tuple[str, ...] = ("hires_cam",)
    target: str = "top"
    trust: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for a threshold that is no share."""
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is a share of a map's maximum, 0 to 1; got {self.threshold}")

    def as_dict(self) -> dict[str, Any]:
        """What makes a run another one."""
        return {
            "asked": list(self.asked),
            "target": self.target,
            "trust": list(self.trust),
            "threshold": self.threshold,
            "options": {name: dict(own) for name, own in self.options.items()},
        }


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
        self.evaluation = Evaluation(explainer, questions.asked, questions.trust, seed, questions.options)
        self.chosen = None if questions.target in CLASSES else explainer.class_index(questions.target)
        self._told = {layer["name"]: layer for layer in explainer.manifest["layers"]}

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
            "label": self.explainer.labels[label] if label is not None else _told(photo.label),
        }
        return row | (answer or {"top": [], "maps": [], "trust": []})

    def _label(self, photo: Photo) -> int | None:
        return None if photo.label is None else class_of(photo.label, self.explainer.labels)

    def _answers(
        self, x: Tensor, sizes: Sequence[tuple[int, int]], labels: Sequence[int | None], photos: Sequence[Photo]
    ) -> list[dict[str, Any]]:
        """Of images [N, C, S, S] of photos of such sizes and labels."""
        explainer, rows = self.explainer, list[dict[str, Any]]()
        asked = list(self.questions.asked)
        others = [photo.rather_than for photo in photos]
        runner_up = self.questions.target == "runner-up"
        simple = not runner_up and all(other is None for other in others)
        targets = [-1 if own is None else own for own in self._targets(labels)]
        maps: dict[str, Tensor] = {}
        told: dict[str, dict[str, Tensor]] = {}
        logits: Tensor | None = None
        for name in asked:
            method, layer = named(name)
            if simple and method not in explainer.module.path_of and method not in explainer.module.alone:
                logits, maps[name] = explainer.answer(x, targets, method, layer)
            else:
                # Of the top class each image settles its own; any other is a seed, which takes the logits first.
                seed = None
                if not simple or max(targets) >= 0:
                    seed = self._seed(explainer.forward(x) if logits is None else logits, targets, others)
                options = self.questions.options.get(method)
                answer = explainer.ask(x, None, method, layer, seed=seed, options=options)
                logits, maps[name], told[name] = answer.logits, answer.values, _measured(answer, explainer.layers)
        assert logits is not None
        chances = explainer.probabilities(logits)
        scores = (logits if chances is None else chances).double().cpu()
        order = scores.argsort(dim=1, descending=True, stable=True)
        for number, size in enumerate(sizes):
            own = int(order[number, 0]) if targets[number] < 0 else targets[number]
            second = int(order[number, 1]) if runner_up else others[number] if others[number] != own else None
            rows.append(
                {
                    "top": [
                        {"index": i, "label": explainer.labels[i], "probability": float(scores[number, i])}
                        for i in order[number, :TOP].tolist()
                    ],
                    "maps": [
                        self._map(name, maps[name][number], told.get(name, {}), number, own, second, size)
                        for name in asked
                    ],
                    "trust": self._trust(x[number : number + 1], own, photos[number].path)
                    if self.questions.trust
                    else [],
                }
            )
        return rows

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

    def _map(
        self,
        asked: str,
        values: Tensor,
        told: Mapping[str, Tensor],
        number: int,
        target: int,
        contrast: int | None,
        size: tuple[int, int],
    ) -> dict[str, Any]:
        """One map as it is kept: at its layer's own size, or half as precise at the image's."""
        method, layer = named(asked)
        labels, one = self.explainer.labels, flat(values[None], method)[0].cpu()
        place = (
            ""
            if Place(self.explainer.module.at_of[method]).at_image and layer == -1
            else self._layer(method, layer)
        )
        kept = one.half().float() if not place else at_own_size(one, self._shape(place))
        told_of = self._told.get(place, {})
        window = self.explainer.geometry.window(*size)
        boxes = boxes_on_photo(one.numpy(), window, size, self.questions.threshold)
        return {
            "asked": asked, "method": method, "layer": place or None, "target": target, "label": labels[target],
            "rather_than": None if contrast is None else labels[contrast], "rows": kept.shape[0],
            "columns": kept.shape[1], "values": kept.flatten().tolist(),
            "stride": told_of.get("stride"), "offset": told_of.get("offset"),
            "boxes": [
                {"left": b.left, "top": b.top, "right": b.right, "bottom": b.bottom, "score": b.score}
                for b in boxes
            ],
            "arrived": float(told["arrived"][number]) if "arrived" in told else None,
            "missing": float(told["missing"][number]) if "missing" in told else None,
        }  # fmt: skip

    def _layer(self, method: str, layer: int | str) -> str:
        if isinstance(layer, str):
            return layer
        module = self.explainer.module
        return str(module.layers[dict(module.last_of).get(method, -1)])

    def _shape(self, layer: str) -> tuple[int, int]:
        shape = self.explainer.module.shapes[self.explainer.layers.index(layer)]
        return int(shape[1]), int(shape[2])

    def _trust(self, x: Tensor, target: int, path: str) -> list[dict[str, Any]]:
        """The numbers that were asked for, of each map and of each control. A photo's random map is its path's,
        whatever is answered together with it."""
        values = self.evaluation.of_photo(x, target, zlib.crc32(path.encode()))
        return [
            {"map": who, "column": column, "value": value}
            for who, own in values.items()
            for column, value in own.items()
        ]


def _measured(answer: Attribution, layers: Sequence[str]) -> dict[str, Tensor]:
    """What arrived at the layer that was asked, and what is missing, [N], where the method tells."""
    found = {}
    if answer.arrived is not None:
        found["arrived"] = answer.arrived[:, 1 + layers.index(answer.layers[0]) if answer.layers else 0]
    if answer.completeness is not None:
        found["missing"] = answer.completeness
    return found


def at_own_size(map: Tensor, size: tuple[int, int]) -> Tensor:
    """A map [S, S] that was enlarged bilinearly from [h, w], as it was before: what solves E_S M E_Sᵀ = map, which
    is exact but for rounding, since enlarging loses nothing. A map that isn't smaller stays as it is."""
    if size[0] >= map.shape[0] or size[1] >= map.shape[1]:
        return map.float()
    down, across = (_smaller(length, int(full)) for length, full in zip(size, map.shape, strict=True))
    found: Tensor = (down @ map.double() @ across.T).float()
    return found


@cache
def _smaller(length: int, full: int) -> Tensor:
    """The pseudoinverse of how `length` values become `full` ones bilinearly, float64 [length, full]."""
    like = torch.empty(1, 1, length, 1, dtype=torch.float64)
    found: Tensor = torch.linalg.pinv(bilinear_matrix(like, 2, full))
    return found


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


def _told(label: Any) -> str | None:
    return None if label is None else str(label)
