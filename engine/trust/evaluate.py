"""An evaluation that is kept as it goes: who stops it goes on where it was."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import PhotoError
from .evaluation import OF_MOSAICS, Evaluation, Values
from .table import Table

ROWS = "rows.jsonl"
SURE, MOSAICS, MOST = 0.5, 8, 64  # photos that mosaics are made of: the surest of each class, at most so many


@dataclass(frozen=True)
class Item:
    """A photo of a data set. name: by which it is known again. read: uint8 [H, W, 3], or PhotoError. target: its
    class; None for the network's own."""

    name: str
    read: Callable[[], NDArray[np.uint8]]
    target: int | None = None


def evaluate(
    evaluation: Evaluation,
    items: Sequence[Item],
    folder: str | Path | None = None,
    mosaics: int = MOSAICS,
    sure: float = SURE,
    progress: Callable[[int, int], object] | None = None,
) -> Table:
    """Measure every photo, then mosaics of those that the network is sure of.

    folder: in which `rows.jsonl` keeps a line for each photo as soon as it is measured; those that are there are
    not measured again, and one that could not be read is tried again. mosaics: how many; sure: the probability
    from which on a photo may be in one. progress: called with the photos that are done and all.
    Raises ValueError where the folder holds an evaluation of something else.
    """
    if mosaics < 0 or not items:
        raise ValueError(
            f"mosaics is {mosaics} and photos are {len(items)}: none is fewer than 0, of photos than 1"
        )
    kept = _Kept(None if folder is None else Path(folder) / ROWS, _asked(evaluation, mosaics, sure))
    for number, item in enumerate(items):
        if item.name not in kept.rows:
            kept.add({"photo": item.name} | _row(evaluation, item, number))
        if progress:
            progress(number + 1, len(items))
    rows = [kept.rows[item.name] for item in items]
    told = _told(rows)
    if mosaics and any(name in OF_MOSAICS for name in evaluation.columns):
        surest = _surest(rows, items, sure)
        if len(surest) < 4:
            told.append(
                f"The network gives {sure:g} or more to photos of {len(surest)} classes: a mosaic takes four."
            )
        elif len(kept.mosaics) < mosaics:
            images = torch.cat([_input(evaluation, item) for item, _ in surest])
            classes = torch.tensor([number for _, number in surest])
            for values in evaluation.of_mosaics(images, classes, mosaics, len(kept.mosaics)):
                kept.add({"mosaic": len(kept.mosaics), "values": values})
        if kept.mosaics:
            told.append(f"Of {len(kept.mosaics)} mosaics, made of {len(surest)} photos.")
    photos = [_numbers(row["values"]) for row in rows if "values" in row]
    if not photos:
        raise ValueError(f"none of {len(items)} photos can be read: {rows[0]['error']}")
    return Table(evaluation.asked, evaluation.columns, photos, [_numbers(row) for row in kept.mosaics], told)


def _asked(evaluation: Evaluation, mosaics: int, sure: float) -> dict[str, Any]:
    """What makes an evaluation another one."""
    manifest = evaluation.explainer.manifest
    return {
        "model": manifest["model"]["title"], "weights": manifest["model"].get("sha256"),
        "compiler": manifest.get("compiler"), "asked": list(evaluation.asked),
        "columns": list(evaluation.columns),
        "options": {name: dict(own) for name, own in evaluation.options.items()},
        "seed": evaluation.seed, "mosaics": mosaics, "sure": sure,
    }  # fmt: skip


def _input(evaluation: Evaluation, item: Item) -> torch.Tensor:
    return evaluation.explainer.preprocess(torch.from_numpy(np.ascontiguousarray(item.read())))


def _row(evaluation: Evaluation, item: Item, number: int) -> dict[str, Any]:
    """What is kept of a photo."""
    explainer = evaluation.explainer
    try:
        x = _input(evaluation, item)
    except PhotoError as error:
        return {"error": str(error)}
    logits = explainer.forward(x)
    chances = explainer.probabilities(logits)
    scores = (logits if chances is None else chances)[0]
    top = int(scores.argmax())
    target = top if item.target is None else item.target
    values = evaluation.of_photo(x, target, number)
    return {
        "class": target, "label": explainer.labels[target], "top": top, "score": float(scores[target]),
        "values": {who: {name: _json(value) for name, value in own.items()} for who, own in values.items()},
    }  # fmt: skip


def _surest(rows: Sequence[Mapping[str, Any]], items: Sequence[Item], sure: float) -> list[tuple[Item, int]]:
    """Of each class the photo that the network is surest of, the surest classes first: (photo, class)."""
    ranked = sorted(
        (place for place, row in enumerate(rows) if row.get("score", 0) >= sure and row["top"] == row["class"]),
        key=lambda place: -rows[place]["score"],
    )
    first = dict[int, int]()
    for place in ranked:
        first.setdefault(rows[place]["class"], place)
    return [(items[place], number) for number, place in first.items()][:MOST]


def _told(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    read = [row for row in rows if "values" in row]
    classes = len({row["class"] for row in read})
    told = [f"{len(read)} photos, of {classes} classes."]
    if len(read) < 100:
        told[0] += " So few tell a pattern, and no digit."
    if broken := [row for row in rows if "error" in row]:
        told.append(
            f"{len(broken)} could not be read, and are not in it: {broken[0]['photo']}: {broken[0]['error']}"
        )
    if wrong := sum(row["top"] != row["class"] for row in read):
        told.append(f"The network takes {wrong} of them for another class than they are of.")
    return told


class _Kept:
    """Rows in memory, and in a file where there is one: its first line tells what was asked, each other one is a
    photo or a mosaic. A line that was cut off is measured again."""

    def __init__(self, path: Path | None, asked: Mapping[str, Any]) -> None:
        self.path = path
        self.rows, self.mosaics = dict[str, dict[str, Any]](), list[Values]()
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = [*_whole_lines(path)] if path.is_file() else []
        if whole and whole[0] != {"asked": dict(asked)}:
            differ = [key for key, value in asked.items() if whole[0].get("asked", {}).get(key) != value]
            raise ValueError(
                f"{path} holds an evaluation with other {', '.join(differ)}: choose another folder, or empty it"
            )
        lines = whole or [{"asked": dict(asked)}]
        lines = [line for line in lines if "error" not in line]
        written = path.with_name(f".{path.name}.{os.getpid()}")
        written.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        written.replace(path)
        for line in lines[1:]:
            self._take(line)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, on the disk before it counts as done."""
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        if "mosaic" in row:
            self.mosaics.append(row["values"])
        else:
            self.rows[row["photo"]] = row


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            found = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _json(number: float) -> float | None:
    return number if number == number and abs(number) != float("inf") else None


def _numbers(values: Mapping[str, Mapping[str, float | None]]) -> Values:
    return {
        who: {name: torch.nan if value is None else value for name, value in own.items()}
        for who, own in values.items()
    }
