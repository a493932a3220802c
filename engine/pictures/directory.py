"""What a TIFF's pages say of themselves: their tags, read without a picture being decoded."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, Any, Literal


class Tag(IntEnum):
    """The tags that are asked for. A file's others, previews and notes of any size, stay unread."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIPS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS = 278
    STRIP_BYTES = 279
    LEAST = 280
    MOST = 281
    PLANAR = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILES = 324
    TILE_BYTES = 325
    SUB_DIRECTORIES = 330
    EXTRA_SAMPLES = 338
    KIND = 339
    SIGNED_LEAST = 340
    SIGNED_MOST = 341
    NO_DATA = 42113
    DNG = 50706


_ASKED = {int(tag) for tag in Tag}

_TYPES = {
    1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip


@dataclass(frozen=True)
class Directory:
    """What one page's tags say, in a file of byte `order` < or >."""

    order: Literal["<", ">"]
    tags: dict[int, tuple[Any, ...]]

    def first(self, tag: int, otherwise: int) -> int:
        """Return a tag's first number, or what the standard takes where it is missing."""
        return int(self.tags.get(tag, (otherwise,))[0])

    def common(self, tag: int, otherwise: int) -> int:
        """Return the number that a tag has for all samples; -1 where they differ."""
        values = {*self.tags.get(tag, (otherwise,))}
        return int(values.pop()) if len(values) == 1 else -1


def is_tiff(head: bytes) -> bool:
    """Tell whether a file that begins so is a TIFF, BigTIFF included."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Pages:
    """The pages of a TIFF, first to last, by the places of their directories.

    Finding one costs no more than the file's length; a chain that comes back to itself ends there. Raises
    struct.error where the file ends before what it says of itself.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.end = file, file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        self.order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
        big = 43 in head[2:4]
        # A directory is a count, its entries (tag, type, count, values or their place), and the next one's place.
        self.count, self.entry, self.word = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
        (self.first,) = struct.unpack_from(self.order + self.word, head, 8 if big else 4)

    def places(self) -> Iterator[int]:
        """Yield where the pages' directories lie."""
        place, seen = self.first, set[int]()
        while place and place not in seen:
            seen.add(place)
            yield place
            self.file.seek(place)
            self.file.seek(self._number(self.count) * struct.calcsize(f"<{self.entry}"), 1)
            place = self._number(self.word)

    def directory(self, place: int) -> Directory:
        """Read what the directory at `place` says."""
        self.file.seek(place)
        size, tags = self._number(self.count) * struct.calcsize(f"<{self.entry}"), {}
        table = self.file.read(min(size, self.end))
        if len(table) < size:
            raise struct.error("the file ends in a directory")
        for tag, kind, number, field in struct.iter_unpack(self.order + self.entry, table):
            if tag not in _ASKED or kind not in _TYPES or not number:
                continue
            length = number * struct.calcsize(_TYPES[kind])
            if length > len(field):
                self.file.seek(struct.unpack(self.order + self.word, field)[0])
                field = self.file.read(min(length, self.end))
            tags[tag] = struct.unpack(f"{self.order}{number}{_TYPES[kind]}", field[:length])
        return Directory(self.order, tags)

    def _number(self, kind: str) -> int:
        """Read a number of this struct type; what lies behind the end of the file is 0, as the last place is."""
        size = struct.calcsize(f"<{kind}")
        packed = self.file.read(size)
        return int(struct.unpack(self.order + kind, packed)[0]) if len(packed) == size else 0
