"""The names of the classes, as people keep them: lines of a text, a list, a table from number to name or back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

Labels = Sequence[str] | Mapping[Any, Any] | str | Path


def class_names(labels: Labels, classes: int) -> list[str]:
    """The names of `classes` classes, in their order.

    labels: the names; a mapping from index to name (`id2label`), to [code, name] (`imagenet_class_index.json`), or
    from name to index (`class_to_idx`); or the path of a file, with one of these in JSON or a name on each line.
    Raises ValueError where there are not as many, or an index is missing.
    """
    told, found = "labels", cast("Any", labels)
    if isinstance(labels, str | Path):
        told, found = Path(labels).name, _read(Path(labels))
    if isinstance(found, Mapping):
        found = _in_order(found.get("id2label", found), told)
    names = [_name(label) for label in found]
    if len(names) != classes:
        raise ValueError(f"{told} has {len(names)} names, the network has {classes} classes")
    return names


def _read(path: Path) -> Any:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"can't read the labels {path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no text in UTF-8; labels are one name a line, or JSON") from error
    if path.suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path.name} is no JSON: {error}") from error
        if not isinstance(found, list | dict):
            raise ValueError(f"{path.name} is neither a list of names nor a table from index to name")
        return found
    return [line.strip() for line in text.rstrip().splitlines()]


def _in_order(table: Mapping[Any, Any], told: str) -> list[Any]:
    """The names of a table from index to name, or from name to index."""
    by_index = {}
    for key, value in table.items():
        backwards = isinstance(value, int) and not isinstance(value, bool)
        index, name = (value, key) if backwards else (key, value)
        if not (isinstance(index, int) or (isinstance(index, str) and index.isdecimal())):
            raise ValueError(f"{told} has {key!r}: {value!r}, which is no index with its name")
        by_index[int(index)] = name
    missing = next((index for index in range(len(table)) if index not in by_index), None)
    if missing is not None:
        raise ValueError(
            f"{told} has no name for class {missing}; indices go from 0 to {len(table) - 1}, once each"
        )
    return [by_index[index] for index in range(len(table))]


def _name(label: Any) -> str:
    """ImageNet's own table has [code, name] for each class."""
    return str(label[-1]) if isinstance(label, list | tuple) and label else str(label)
