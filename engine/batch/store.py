"""Rows in Parquet that no kill loses and no second run repeats.

A run writes parts, each whole before it bears its name, so that what is there is always whole. What a part holds
is done; whatever else was computed is computed again.

    OUT/part-000000.parquet   rows, and in the metadata what was asked of which program
    OUT/.lock                 held by who writes

OUT may be an address of an object store, where a file is there whole or not at all too. Nothing is locked there,
so a part's name ends by chance: two processes at once would write photos twice, but no rows over another's.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..errors import ArtifactError
from ..files.archive import clear_abandoned, publish, temporary_beside
from .places import Place, place_of

KEY = b"convlens"
FORMAT = 1
ROOM = 64 << 20  # bytes that stay free on the disk


def parquet() -> Any:
    """pyarrow's Parquet. Raises ValueError where it is not installed."""
    try:
        from pyarrow import parquet as found
    except ModuleNotFoundError:
        raise ValueError('rows are Parquet: pip install "convlens[batch]"') from None
    return found


def schema() -> Any:
    """The columns of a row, as pyarrow has them."""
    import pyarrow as pa

    box = pa.struct([(side, pa.float32()) for side in ("left", "top", "right", "bottom", "score")])
    top = pa.struct([("index", pa.int32()), ("label", pa.string()), ("probability", pa.float32())])
    map = pa.struct(
        [
            ("asked", pa.string()), ("method", pa.string()), ("layer", pa.string()), ("target", pa.int32()),
            ("label", pa.string()), ("rather_than", pa.string()), ("rows", pa.int32()), ("columns", pa.int32()),
            ("values", pa.list_(pa.float32())), ("stride", pa.list_(pa.float32())),
            ("offset", pa.list_(pa.float32())), ("boxes", pa.list_(box)), ("arrived", pa.float32()),
            ("missing", pa.float32()),
        ]
    )  # fmt: skip
    number = pa.struct([("map", pa.string()), ("column", pa.string()), ("value", pa.float64())])
    return pa.schema(
        [
            ("path", pa.string()), ("error", pa.string()), ("height", pa.int32()), ("width", pa.int32()),
            ("label_index", pa.int32()), ("label", pa.string()), ("top", pa.list_(top)), ("maps", pa.list_(map)),
            ("trust", pa.list_(number)),
        ]
    )  # fmt: skip


class Store:
    """The rows in a folder, or at an address. asked: what makes a run another one, as JSON knows it.

    Raises ValueError where the folder holds rows of something else, ArtifactError where another process writes.
    """

    def __init__(
        self, folder: str | Path, asked: Mapping[str, Any], told: Mapping[str, Any] | None = None
    ) -> None:
        parquet()  # what is missing is told before anything is asked
        self.folder, self.asked = place_of(folder), dict(asked)
        self.told = dict(told or {})
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.local:
            clear_abandoned(self.folder)
        before = metadata(self.folder)
        if before is not None and before["asked"] != json.loads(json.dumps(self.asked)):
            differ = [name for name, value in before["asked"].items() if self.asked.get(name) != value]
            raise ValueError(
                f"{self.folder} holds rows of another run, with other {', '.join(differ) or 'questions'}: "
                "choose another folder for this one"
            )

    @property
    def local(self) -> bool:
        """Does it lie on a disk of this machine?"""
        return isinstance(self.folder, Path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While this process writes, and no other may, where there are locks."""
        import fcntl

        if not self.local:
            yield
            return

        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ArtifactError(f"another process writes into {self.folder}: wait for it, or end it") from None
            yield

    def done(self, again: bool = False) -> set[str]:
        """The paths that have a row. again: those of which it is an error lose it, to be tried again."""
        from pyarrow import compute

        found = set[str]()
        for part in parts(self.folder):
            table = table_of(part, ["path", "error"])
            failed = compute.is_valid(table["error"])
            if again and compute.any(failed).as_py():
                table = table_of(part)
                table = table.filter(compute.invert(compute.is_valid(table["error"])))
                self._write(table, part)
            found.update(table["path"].to_pylist())
        return found

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows as a part of their own. Raises OSError before the disk is full."""
        import pyarrow as pa

        if not rows:
            return
        table = pa.Table.from_pylist(list(rows), schema())
        if self.local and (free := shutil.disk_usage(self.folder).free) < table.nbytes + ROOM:
            raise OSError(
                f"{self.folder} has {free >> 20} MiB left, and rows take {table.nbytes >> 20}: make room and run "
                "the same command again; nothing is lost"
            )
        number = 1 + max((int(part.stem.split("-")[1]) for part in parts(self.folder)), default=-1)
        chance = "" if self.local else f"-{uuid4().hex[:8]}"
        self._write(table, self.folder / f"part-{number:06d}{chance}.parquet")

    def _write(self, table: Any, path: Place) -> None:
        """A part under its name only once it is whole."""
        told = {"format": FORMAT, "asked": self.asked, **self.told}
        table = table.replace_schema_metadata({KEY: json.dumps(told).encode()})
        if not self.local:
            whole = BytesIO()
            parquet().write_table(table, whole, compression="zstd")
            path.write_bytes(whole.getvalue())
            return
        with temporary_beside(path) as part:
            parquet().write_table(table, part, compression="zstd")
            publish(part, path)


def parts(folder: str | Path) -> list[Place]:
    """The parts of a folder, in their order."""
    return sorted(place_of(folder).glob("part-*.parquet"), key=str)


def table_of(part: Place, columns: Sequence[str] | None = None) -> Any:
    """A part's table, or some of its columns."""
    with part.open("rb") as file:
        return parquet().read_table(file, columns=list(columns) if columns else None)


def metadata(folder: str | Path) -> dict[str, Any] | None:
    """What the rows of a folder are of; None where there are none. Raises ValueError for rows of someone else."""
    for part in parts(folder):
        with part.open("rb") as file:
            told = parquet().read_schema(file).metadata or {}
        if KEY not in told:
            raise ValueError(f"{part} was not written by ConvLens: choose another folder")
        found: dict[str, Any] = json.loads(told[KEY])
        return found
    return None


def told_there(folder: str | Path) -> dict[str, Any]:
    """What the rows of a folder are of. Raises ValueError where there are none."""
    found = metadata(folder)
    if found is None:
        raise ValueError(f"there are no rows in {folder}: `batch` writes them")
    return found


def rows_of(folder: str | Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """All rows, a part at a time. Raises ValueError where there are none."""
    told_there(folder)
    for part in parts(folder):
        yield from table_of(part, columns).to_pylist()
