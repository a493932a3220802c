"""The loop: photos in, rows out, with what is done told as it goes."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..run.explainer import Explainer
from .answering import Answering
from .places import is_address
from .questions import Questions, content_of, decoded
from .sources import Photo, photos_of
from .store import Store

BATCH, READERS = 8, 8
PART, PAUSE = 256, 30.0  # rows, or seconds, after which a part is written


@dataclass(frozen=True)
class Progress:
    """done: photos with a row, those of runs before included; total; errors: of this run; rate: photos a second of
    this run; left: seconds that the rest takes at that rate."""

    done: int
    total: int
    errors: int
    rate: float

    @property
    def left(self) -> float:
        """In seconds; infinite before the first photo."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")

    def __str__(self) -> str:
        errors = f", {self.errors} with an error" if self.errors else ""
        return f"{self.done} of {self.total} photos{errors}, {self.rate:.1f}/s, {_clock(self.left)} left"


def explain_folder(
    source: str | Path,
    out: str | Path,
    explainer: Explainer,
    questions: Questions | None = None,
    retry_errors: bool = False,
    batch: int = BATCH,
    progress: Callable[[Progress], object] | None = None,
) -> Progress:
    """Explain every photo of a source once, into rows of Parquet in a folder; `read_maps` gives them back.

    source: a folder, a list or an archive, see `photos_of`. out: a folder of its own. Both may be addresses, as
    s3://bucket/photos. questions: see `Questions`.
    Stopped at any moment, by whatever, the same call goes on where it was. A photo that can't be read is a row
    with the reason; with retry_errors those are tried again. batch: photos that go through the network together.
    progress: called after each batch. At most two batches of photos are in memory, and PART rows.
    Raises ValueError for what is not there, or where the folder holds rows of something else.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}: at least one photo goes through the network at once")
    questions = questions or Questions()
    answering = Answering(explainer, questions)
    store = Store(out, asked_of(explainer, questions), told_of(explainer, source))
    with store.writing():
        photos, left = what_is_left(store, source, explainer, again=retry_errors)
        return keep(store, photos, left, map(answering.rows, _batches(left, batch)), progress)


def what_is_left(store: Store, source: str | Path, explainer: Explainer, again: bool) -> tuple[int, list[Photo]]:
    """How many photos a source has, and those that have no row yet; again: or one that is an error."""
    photos = photos_of(source, explainer.labels)
    known = store.done(again)
    return len(photos), [photo for photo in photos if photo.path not in known]


def keep(
    store: Store,
    total: int,
    left: Sequence[Photo],
    answers: Iterable[list[dict[str, Any]]],
    progress: Callable[[Progress], object] | None,
) -> Progress:
    """Keep the rows of the photos that are left of so many, a part after the other, and tell of it."""
    began = written = time.monotonic()
    state = Progress(total - len(left), total, 0, 0.0)
    rows: list[dict[str, Any]] = []
    try:
        for found in answers:
            rows += found
            now, done = time.monotonic(), state.done + len(found)
            errors = state.errors + sum(row["error"] is not None for row in found)
            state = Progress(done, total, errors, (done - total + len(left)) / max(1e-9, now - began))
            if progress:
                progress(state)
            if len(rows) >= PART or now - written > PAUSE:
                kept, rows, written = rows, [], now
                store.add(kept)
    finally:
        store.add(rows)  # what is known is kept, whatever ended the loop
    return state


def asked_of(explainer: Explainer, questions: Questions) -> dict[str, Any]:
    """What makes a run another one: the program, and what is asked of it."""
    manifest = explainer.manifest
    return {"program": digest_of(explainer), "model": manifest["model"]["title"], **questions.as_dict()}


def digest_of(explainer: Explainer) -> str:
    """The program's digest as its file tells it; of one that was never saved, of its weights and classes."""
    if told := explainer.manifest.get("program"):
        return str(told)
    found = hashlib.sha256(json.dumps([list(explainer.labels), list(explainer.layers)]).encode())
    for name, value in sorted(explainer.module.weights.named_buffers()):
        found.update(name.encode() + value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return f"unsaved {found.hexdigest()}"


def told_of(explainer: Explainer, source: str | Path) -> dict[str, Any]:
    """What it takes to read rows without the file they were made with."""
    manifest = explainer.manifest
    return {
        "model": manifest["model"],
        "geometry": manifest["geometry"],
        "convlens": manifest.get("convlens"),
        "torch": manifest["torch"],
        "source": str(source) if is_address(source) else str(Path(source).resolve()),
        "classes": list(explainer.labels),
    }


def _batches(photos: Sequence[Photo], size: int) -> Iterator[list[tuple[Photo, NDArray[np.uint8] | str]]]:
    """The photos in their order, so many at once, with their pixels.

    Files are read ahead while the network answers, which takes no core from it; decoding would, so that all cores
    decode between two batches:

        read    2 2 2 2   3 3 3 3
        decode  1 1       2 2
        answer      1 1       2 2
    """
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(torch.get_num_threads()) as decoders:

        def begun(first: int) -> list[tuple[Photo, Future[bytes | str]]]:
            return [(photo, readers.submit(content_of, photo)) for photo in photos[first : first + size]]

        ahead = begun(0)
        for first in range(0, len(photos), size):
            now, ahead = ahead, begun(first + size)
            pixels = decoders.map(decoded, [content.result() for _, content in now])
            yield [(photo, one) for (photo, _), one in zip(now, pixels, strict=True)]


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
