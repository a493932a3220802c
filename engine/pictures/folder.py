"""Which files of a folder are photos, and of which class their folders say that they are."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from .photo import FORMATS

OTHERS = (".dcm", ".heic", ".heif")  # which packages of their own read


@cache
def suffixes() -> frozenset[str]:
    """How the names of photos end, in small letters."""
    known = Image.registered_extensions().items()
    return frozenset({*(suffix for suffix, kind in known if kind in FORMATS), *OTHERS})


def photos_in(folder: str | Path) -> list[Path]:
    """All photos of a folder and of those inside of it, by name, in one order on every machine; links are followed
    to files, not to folders, and what begins with a dot is left out. Raises ValueError where there are none."""
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"there is no folder {root.name!r}: give one with photos in it")
    found = []
    for place, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [
            Path(place, name)
            for name in sorted(files)
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes()
        ]
    if not found:
        raise ValueError(
            f"there is no photo in {root.name!r}: names end in {', '.join(sorted(suffixes())[:6])}, …"
        )
    return found


def class_of(told: int | str, labels: Sequence[str]) -> int | None:
    """The class that a data set calls so: by its number, or by its whole name, in any letters and with `_` for a
    space. None where there is none: what a name begins with is no class here, as "cat" is no catamaran."""
    if isinstance(told, int) or told.isdecimal():
        return int(told) if 0 <= int(told) < len(labels) else None
    wanted = {told.lower(), told.lower().replace("_", " ")}
    return next((number for number, label in enumerate(labels) if label.lower() in wanted), None)


def classes_of(photos: Sequence[Path], folder: Path, labels: Sequence[str]) -> list[int | None]:
    """The class of each photo, where the folders in `folder` are classes: each a class's whole name (`_` for a
    space, in any letters) or its number, or as many folders as there are classes, which count by name then, as
    torchvision's ImageFolder does. None for each photo where the folders are something else.
    """
    tops = [parts[0] if len(parts := photo.relative_to(folder).parts) > 1 else None for photo in photos]
    names = sorted({top for top in tops if top is not None})
    if not names or None in tops:
        return [None] * len(photos)
    known = {name: class_of(name, labels) for name in names}
    if None in known.values():
        if len(names) != len(labels):
            return [None] * len(photos)
        known = {name: number for number, name in enumerate(names)}
    return [known[top] for top in tops if top is not None]
