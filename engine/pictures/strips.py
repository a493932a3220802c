"""The samples of a TIFF's strips and tiles, whatever their type: [H, W, S] of those that are asked for.

Pillow hands samples out in its few modes alone. Its libtiff unpacks any, though: each piece goes there as a gray
picture whose pixels are the bytes of the rows, and what the bytes mean is said here.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import PhotoError
from .samples import MAX_PIXELS, MOST, TOO_BIG

_NONE, _DEFLATE = 1, (8, 32946)
COMPRESSIONS = (_NONE, *_DEFLATE, 5, 32773, 34925, 50000)  # and LZW, PackBits, LZMA, Zstandard

# A piece of more unpacked bytes than this is no photo's: four samples of 32 bits for each of the most pixels.
_MAX_BYTES = 16 * MAX_PIXELS

_BLOCK = 1 << 20  # packed numbers that are taken apart at once: their bits take eight times their room

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Packing:
    """How samples lie in a file: [H, W, S] of `bits` and numpy's `kind` (u, i, f), in pieces of [h, w] pixels.

    The pieces lie at `places`, row by row; where the samples are `planar`, all of the first sample's come before
    the second's. Tiles are `padded` to their whole size, a last strip is not.
    """

    shape: tuple[int, int, int]
    bits: int
    kind: str
    order: Literal["<", ">"]
    compression: int
    predictor: int
    planar: bool
    reversed_bits: bool
    piece: tuple[int, int]
    padded: bool
    places: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return self.shape[2]

    @property
    def type(self) -> np.dtype[Any]:
        """The type of the samples once they are unpacked, in this machine's byte order."""
        return np.dtype(f"{self.kind}{next(size for size in (1, 2, 4, 8) if self.bits <= 8 * size)}")


def unpack(file: IO[bytes], packing: Packing, kept: Sequence[int]) -> NDArray[Any]:
    """Read the samples at the places `kept`: [H, W, len(kept)].

    Raises PhotoError for pieces that are too big, ValueError and others where the file is damaged.
    """
    (height, width, _), (rows, columns) = packing.shape, packing.piece
    if rows < 1 or columns < 1:
        raise ValueError("pieces without pixels")
    down, across = -(-height // rows), -(-width // columns)
    out = np.empty((height, width, len(kept)), packing.type)
    for index in range(down * across):
        top, left = index // across * rows, index % across * columns
        where = out[top : top + rows, left : left + columns]
        lines = rows if packing.padded else len(where)
        if packing.planar:
            for place, sample in enumerate(kept):
                piece = _piece(file, packing, sample * down * across + index, lines)
                where[:, :, place] = piece[: where.shape[0], : where.shape[1], 0]
        else:
            where[:] = _piece(file, packing, index, lines)[: where.shape[0], : where.shape[1], kept]
    return out


def _piece(file: IO[bytes], packing: Packing, index: int, rows: int) -> NDArray[Any]:
    """Read one piece: [rows, columns, S], S being 1 where samples are planar."""
    columns, samples = packing.piece[1], 1 if packing.planar else packing.samples
    row_bytes = -(-columns * samples * packing.bits // 8)
    needed = rows * row_bytes
    if needed > _MAX_BYTES:
        raise PhotoError(TOO_BIG, most=MOST)
    file.seek(packing.places[index])
    packed = file.read(needed if packing.compression == _NONE else packing.lengths[index])
    if packing.reversed_bits:
        packed = packed.translate(_REVERSED)
    content = np.frombuffer(_inflate(packed, packing.compression, rows, row_bytes), np.uint8, needed)
    lines = content.reshape(rows, row_bytes)
    if packing.bits not in (8, 16, 32, 64):
        return _bits(lines, columns * samples, packing.bits).reshape(rows, columns, samples).astype(packing.type)
    if packing.predictor == 3:
        return _floats(lines, samples, packing.type.itemsize).reshape(rows, columns, samples).astype(packing.type)
    stored = lines.view(packing.type.newbyteorder(packing.order)).reshape(rows, columns, samples)
    if packing.predictor == 2:  # each sample is the difference to the pixel before, wrapping around
        whole = np.dtype(f"u{packing.type.itemsize}")
        bits = stored.view(whole.newbyteorder(packing.order)).astype(whole)
        return np.cumsum(bits, axis=1, dtype=whole).view(packing.type)
    return stored


def _inflate(packed: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    if compression == _NONE:
        return packed
    if compression in _DEFLATE:  # by itself, since Pillow warns of a single piece as large as a photo may be
        return zlib.decompressobj().decompress(packed, rows * row_bytes)
    numbers = {
        256: row_bytes,
        257: rows,
        258: 8,
        259: compression,
        262: 1,
        273: 8,
        277: 1,
        278: rows,
        279: len(packed),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in numbers.items())
    directory = struct.pack("<H", len(numbers)) + entries + bytes(4)
    content = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory
    with Image.open(BytesIO(content), formats=("TIFF",)) as image:
        return image.tobytes()


def _bits(lines: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint16]:
    """Return the `count` numbers of `bits` that each line holds, the first in its highest bits: [lines, count]."""
    out = np.empty((len(lines), count), np.uint16)
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint16)
    step = max(1, _BLOCK // count)
    for start in range(0, len(lines), step):
        apart = np.unpackbits(lines[start : start + step], axis=1, count=count * bits)
        out[start : start + step] = apart.reshape(-1, count, bits) @ weights
    return out


def _floats(lines: NDArray[np.uint8], samples: int, size: int) -> NDArray[Any]:
    """Undo the predictor of floats: the differences of bytes, which lie apart by their weight, highest first."""
    count = lines.shape[1] // samples
    summed = np.cumsum(lines.reshape(len(lines), count, samples), axis=1, dtype=np.uint8)
    apart = summed.reshape(len(lines), size, -1)
    return np.ascontiguousarray(apart.transpose(0, 2, 1)).view(f">f{size}")
