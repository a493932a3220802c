"""Boxes that people drew, as COCO has them, and how much of a map lies in them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..pictures.boxes import Box
from .reading import StoredMap


@dataclass(frozen=True)
class Inside:
    """share: of a map's positive values, that lies in the boxes of its photo, 0..1 (the energy-based pointing game
    of Wang et al. 2020, arXiv:1910.01279). room: of what the network saw, that the boxes take, 0..1: what a map
    that is the same everywhere would reach."""

    share: float
    room: float


class DrawnBoxes:
    """The boxes of a COCO file, by photo: {"images": [...], "annotations": [...], "categories": [...]}.

    Raises ValueError for a file that is none.
    """

    def __init__(self, file: str | Path) -> None:
        self.name = Path(file).name
        try:
            told = json.loads(Path(file).read_text(encoding="utf-8"))
            images = {one["id"]: str(one["file_name"]) for one in told["images"]}
            names = {one["id"]: str(one["name"]) for one in told.get("categories", [])}
            found: dict[str, list[Box]] = {}
            for one in told["annotations"]:
                found.setdefault(images[one["image_id"]], []).append(_box(one, names))
        except OSError as error:
            raise ValueError(f"there is no {self.name!r} with boxes: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.name} is no COCO file of boxes: {type(error).__name__}: {error}") from None
        self.by_path = found
        # A photo may lie in another folder here; a name that two of them have tells nothing.
        last = Counter(PurePosixPath(path).name for path in found)
        self.by_name = {name: own for path, own in found.items() if last[name := PurePosixPath(path).name] == 1}

    def of(self, map: StoredMap) -> list[Box]:
        """Those of a map's photo: of the class that the map is of, where the file knows a class called so."""
        name = PurePosixPath(map.path).name
        boxes = self.by_path.get(map.path, self.by_name.get(name, []))
        same = [box for box in boxes if box.label.lower() == map.label_of_target.lower()]
        return same or boxes


def inside(map: StoredMap, boxes: Sequence[Box]) -> Inside | None:
    """How much of a map lies in boxes in the pixels of its photo; None where nothing of it is positive."""
    values = np.maximum(np.nan_to_num(map.at_input), 0)
    total = float(values.sum())
    if not total > 0:
        return None
    window = map.geometry.window(*map.size)
    down, right = (
        start + (np.arange(places) + 0.5) * length / places
        for start, length, places in (
            (window.top, window.height, values.shape[0]),
            (window.left, window.width, values.shape[1]),
        )
    )
    covered = np.zeros(values.shape, bool)
    for box in boxes:
        rows, columns = (down >= box.top) & (down < box.bottom), (right >= box.left) & (right < box.right)
        covered |= rows[:, None] & columns
    return Inside(float(values[covered].sum()) / total, float(covered.mean()))


def _box(told: Mapping[str, Any], names: Mapping[Any, str]) -> Box:
    left, top, width, height = map(float, told["bbox"])
    return Box(left, top, left + width, top + height, 1.0, label=names.get(told.get("category_id"), ""))
