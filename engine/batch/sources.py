"""What a data set may be: a folder, a list, a tar of WebDataset, or a Hugging Face data set that was saved."""

import csv
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..pictures.folder import classes_of, suffixes
from .places import Place, is_address, photos_below, place_of
from .store import table_of

PATHS = ("path", "file", "file_name", "image")  # what the column of photos may be called
LABELS = ("label", "class", "target")


@dataclass(frozen=True)
class Photo:
    """A photo of a data set. path: by which its row is known; read: its bytes, or OSError; label: its class, by
    number or name, where the data set tells; rather_than: the number of the class that the one which is explained
    is held against, where who asks says so."""

    path: str
    read: Callable[[], bytes]
    label: int | str | None = None
    rather_than: int | None = None


def photos_of(source: str | Path, labels: Sequence[str] = ()) -> list[Photo]:
    """All photos of a source, each path once, in one order on every machine.

    source: a folder, whose own folders are classes where all of them are called so (see `pictures.folder`); a
    `.csv` or `.parquet` with a column `path`, relative to where it lies, and maybe one of classes; a `.tar` of
    WebDataset, `NAME.jpg` beside `NAME.cls` or `NAME.json`; or a folder that `datasets` saved, with a column of
    images. Any of them may lie at an address, see `places`.
    labels: the network's, by which folders are told to be classes.
    Raises ValueError for what is none of these, or holds no photo.
    """
    given = place_of(source)
    if (given / "state.json").is_file() or (given / "dataset_dict.json").is_file():
        found = _saved(given)
    elif given.is_dir():
        paths = photos_below(given)
        classes = classes_of(paths, given, labels)
        found = [
            Photo(path.relative_to(given).as_posix(), path.read_bytes, own)
            for path, own in zip(paths, classes, strict=True)
        ]
    elif not given.is_file():
        raise ValueError(f"there is no {given.name!r}: give a folder, a list (.csv, .parquet) or a .tar")
    elif given.suffix == ".csv":
        with given.open(newline="", encoding="utf-8-sig") as file:
            found = _listed(given, csv.DictReader(file))
    elif given.suffix == ".parquet":
        found = _listed(given, table_of(given).to_pylist())
    elif given.suffix == ".tar":
        found = _archived(given)
    else:
        raise ValueError(f"{given.name}: a list is .csv or .parquet, an archive .tar; or give a folder")
    once = {photo.path: photo for photo in reversed(found)}
    if not once:
        raise ValueError(f"there is no photo in {given.name}")
    return sorted(once.values(), key=lambda photo: photo.path)


def _listed(file: Place, rows: Iterable[Mapping[str, Any]]) -> list[Photo]:
    found = []
    for row in rows:
        column = next((name for name in PATHS if name in row), None)
        if column is None:
            raise ValueError(f"{file.name} has the columns {', '.join(row)}: photos are in one called path")
        if not row[column]:
            continue
        label = next((row[name] for name in LABELS if row.get(name) not in (None, "")), None)
        told = str(row[column])
        found.append(Photo(told, (place_of(told) if is_address(told) else file.parent / told).read_bytes, label))
    return found


def _archived(file: Place) -> list[Photo]:
    """The photos of a tar, each with what stands beside it under the same name. Its table of contents is read
    once, and each photo from its place in the file."""
    photos: dict[str, tarfile.TarInfo] = {}
    classes: dict[str, int | str] = {}
    with file.open("rb") as opened, tarfile.open(fileobj=opened) as archive:
        for member in archive:
            if not member.isfile():
                continue
            suffix = PurePosixPath(member.name).name.partition(".")[2]
            if f".{suffix.lower()}" in suffixes():
                photos[member.name] = member
            elif suffix in ("cls", "json"):
                content = archive.extractfile(member)
                label = _beside(content.read() if content else b"", suffix)
                if label is not None:
                    classes[_key(member.name)] = label
    return [
        Photo(name, partial(_part, file, member.offset_data, member.size), classes.get(_key(name)))
        for name, member in photos.items()
    ]


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0]))


def _beside(content: bytes, suffix: str) -> int | str | None:
    text = content.decode("utf-8", "replace").strip()
    if suffix == "cls":
        return text or None
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return next((told[name] for name in LABELS if name in told), None) if isinstance(told, dict) else None


def _part(file: Place, start: int, length: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        content: bytes = opened.read(length)
        return content


def _saved(folder: Place) -> list[Photo]:
    """Of a data set that `datasets` saved, the column of images; of several splits each under its name."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise ValueError(f"{folder.name} was saved by Hugging Face datasets: pip install datasets") from None
    loaded = datasets.load_from_disk(str(folder))
    splits = loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    return [photo for name, split in splits.items() for photo in _of_split(datasets, name, split, folder)]


def _of_split(datasets: Any, name: str, split: Any, folder: Place) -> Iterator[Photo]:
    images = [column for column, kind in split.features.items() if isinstance(kind, datasets.Image)]
    if not images:
        raise ValueError(f"{folder.name} has the columns {', '.join(split.features)}, and none of images")
    raw = split.cast_column(images[0], datasets.Image(decode=False))
    label = next((column for column in LABELS if column in split.features), None)
    kind = split.features.get(label) if label else None
    for number in range(len(raw)):
        row = raw[number]
        own = None if label is None else row[label]
        if isinstance(kind, datasets.ClassLabel) and isinstance(own, int) and own >= 0:
            own = kind.int2str(own)
        yield Photo(f"{name}/{number}" if name else str(number), partial(_encoded, raw, images[0], number), own)


def _encoded(split: Any, column: str, number: int) -> bytes:
    image = split[number][column]
    content: bytes = image["bytes"] if image["bytes"] is not None else place_of(image["path"]).read_bytes()
    return content
