"""What a run wrote, given back as maps and as pictures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import PhotoError
from ..pictures.boxes import Box
from ..pictures.figures import Look, picture
from ..pictures.geometry import Geometry
from ..pictures.photo import load_photo
from ..pictures.render import Picture
from ..trust.one_picture import has_signs
from .questions import EVERY
from .sources import Photo, photos_of
from .store import rows_of, told_there


@dataclass(frozen=True, eq=False)
class StoredMap:
    """A map of a photo. values: float32 [h, w], as large as its layer, or as the input where `layer` is None.

    top: (index, label, probability), the most likely first. label: the photo's own class, where it is known. size:
    of the photo, (H, W).
    """

    path: str
    method: str
    layer: str | None
    target: int
    label_of_target: str
    asked: str
    values: NDArray[np.float32]
    boxes: list[Box]
    top: list[tuple[int, str, float]]
    label: str | None
    arrived: float | None
    missing: float | None
    size: tuple[int, int]
    geometry: Geometry = field(repr=False)
    read: Callable[[], bytes] | None = field(repr=False)

    @property
    def question(self) -> str:
        """What was asked, as it was asked: "hires_cam@blocks.4.2"."""
        return self.method if self.layer is None else f"{self.method}@{self.layer}"

    @property
    def at_input(self) -> NDArray[np.float32]:
        """The map as large as the network's input, float32 [S, S]."""
        size = tuple(self.geometry.crop)
        if self.values.shape == size:
            return self.values
        map = torch.from_numpy(np.ascontiguousarray(self.values))[None, None]
        larger = torch.nn.functional.interpolate(map, size, mode="bilinear", align_corners=False)
        return np.asarray(larger[0, 0].numpy(), np.float32)

    def overlay(self, photo: NDArray[np.uint8] | None = None, look: Look | None = None) -> Picture:
        """The map on its photo, uint8 [H, W, 3]; without one given, it is read from where the run found it.
        Raises PhotoError where it is not there any more, or can't be read."""
        if photo is None:
            try:
                if self.read is None:
                    raise FileNotFoundError
                photo = load_photo(self.read())
            except OSError:
                gone = "The photo “{name}” is not where the run found it. Give its pixels."
                raise PhotoError(gone, name=self.path) from None
        window = self.geometry.window(*photo.shape[:2])
        signed = has_signs(self.values, self.method)
        return picture(photo, window, self.at_input, look or Look(), self.layer is None, signed)


def read_maps(out: str | Path, asked: str | None = None) -> Iterator[StoredMap]:
    """The maps that a run wrote, a photo after the other; rows with an error have none.

    asked: one of the questions, as it was asked, or one layer of "hires_cam@all"; None for all. Raises ValueError
    where there are no rows, or nothing of the kind was asked.
    """
    told = told_there(out)
    if asked is not None and not {asked, f"{asked.partition('@')[0]}@{EVERY}"} & {*told["asked"]["asked"]}:
        raise ValueError(f"{asked!r} was not asked there: {', '.join(told['asked']['asked'])}")
    geometry, photos = Geometry.from_dict(told["geometry"]), _photos(told)
    for row in rows_of(out):
        for map in row["maps"] or []:
            if asked in (None, map["asked"], f"{map['method']}@{EVERY}"):
                photo = photos.get(row["path"])
                yield stored(row, map, geometry, None if photo is None else photo.read)


def _photos(told: dict[str, Any]) -> dict[str, Photo]:
    """The photos of the source by their paths; none where it is not there any more."""
    try:
        return {photo.path: photo for photo in photos_of(told["source"])}
    except (ValueError, OSError):
        return {}


def stored(
    row: dict[str, Any], map: dict[str, Any], geometry: Geometry, read: Callable[[], bytes] | None = None
) -> StoredMap:
    """One of the maps of a row as what it is. read: the photo's bytes, where they are to be had."""
    about = class_asked(map)
    boxes = [
        Box(box["left"], box["top"], box["right"], box["bottom"], box["score"], label=about)
        for box in map["boxes"]
    ]
    return StoredMap(
        row["path"], map["method"], map["layer"], map["target"], map["label"], about,
        np.asarray(map["values"], np.float32).reshape(map["rows"], map["columns"]), boxes,
        [(one["index"], one["label"], one["probability"]) for one in row["top"]], row["label"], map["arrived"],
        map["missing"], (row["height"], row["width"]), geometry, read,
    )  # fmt: skip


def class_asked(map: Mapping[str, Any]) -> str:
    """What a row's map is of, in words: "tiger cat rather than tabby"."""
    return str(map["label"]) if map["rather_than"] is None else f"{map['label']} rather than {map['rather_than']}"
