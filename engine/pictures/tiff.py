"""TIFF as instruments write it: any number of bands, any depth, and the tags that say what black and white are.

Pillow reads the TIFFs of cameras and painters, and of 16 bits the upper 8. What it does not read, or not right, is
read here: samples [H, W, S] of any type, of which those that are asked for are kept.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import PhotoError
from .choice import band_indices, page_index, unchosen
from .directory import Directory, Pages, Tag
from .samples import black_and_white, check_size, eight_bits, on_white
from .strips import COMPRESSIONS, Packing, unpack

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _LAB = 0, 1, 2, 8
_SENSOR = (32803, 34892)  # a colour filter's mosaic, and what was made of one
_MULTIPLIED, _ALPHA = 1, 2  # of ExtraSamples: colours that hold their alpha already, and that do not


def read_tiff(file: IO[bytes], page: int | None, bands: Sequence[int] | None) -> NDArray[np.uint8] | None:
    """Read a page as it is meant to be seen, RGB [H, W, 3]; None where it is an ordinary one, which Pillow reads.

    `page` and `bands` are counted from 1. Raises PhotoError for a camera's RAW, for a page or a band that is not
    there, and for bands of which none is known to be red; ValueError and the like where the file is damaged.
    """
    pages = Pages(file)
    directory = pages.directory(pages.first)
    _refuse_raw(directory)
    if page not in (None, 1):
        places = [*pages.places()]
        directory = pages.directory(places[page_index(page, len(places))])
    check_size(directory.first(Tag.WIDTH, 0), directory.first(Tag.HEIGHT, 0))
    packing = _packing(directory)
    if packing is None or (bands is None and _ordinary(directory, packing)):
        return None
    colours, cover = _colours(directory, packing.samples, bands)
    own = [*dict.fromkeys(colours)]
    values = unpack(file, packing, own if cover is None else [*own, cover])
    shown = values[:, :, : len(own)]
    lab = bands is None and directory.first(Tag.PHOTOMETRIC, 1) == _LAB
    photo = _from_lab(shown) if lab else _seen(directory, packing, shown, own)
    if cover is not None:
        most = {"u": 2.0**packing.bits - 1, "i": 2.0 ** (packing.bits - 1) - 1}.get(packing.kind, 1.0)
        alpha = eight_bits(values[:, :, -1], 0.0, most)
        photo = on_white(photo, alpha, directory.first(Tag.EXTRA_SAMPLES, _ALPHA) == _MULTIPLIED)
    photo = photo[:, :, [own.index(band) for band in colours]]
    return np.ascontiguousarray(_upright(photo, directory.first(Tag.ORIENTATION, 1)))


def _refuse_raw(directory: Directory) -> None:
    """A RAW's first page is a thumbnail or the bare sensor: neither is the photo."""
    thumbnail = directory.first(Tag.SUBFILE, 0) & 1 and Tag.SUB_DIRECTORIES in directory.tags
    if thumbnail or Tag.DNG in directory.tags or directory.first(Tag.PHOTOMETRIC, 1) in _SENSOR:
        raise PhotoError(
            "This is what a camera's sensor saw (RAW: DNG, NEF, ARW and the like), not a photo that can be read. "
            "Develop it with the camera's or any RAW program and save it as JPEG or TIFF."
        )


def _packing(directory: Directory) -> Packing | None:
    """Return how the samples lie in the file; None where that is Pillow's to know (JPEG, fax, palettes, inks)."""
    first = directory.first
    width, height, bits = first(Tag.WIDTH, 0), first(Tag.HEIGHT, 0), directory.common(Tag.BITS, 1)
    kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(directory.common(Tag.KIND, 1), "")
    whole, photometric = bits in (8, 16, 32, 64), first(Tag.PHOTOMETRIC, _BLACK_IS_ZERO)
    if (
        not (photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or (photometric == _LAB and bits == 16))
        or first(Tag.COMPRESSION, 1) not in COMPRESSIONS
        or not (whole or (kind == "u" and 0 < bits < 16))
        or not kind
        or (kind == "f" and bits == 8)
    ):
        return None
    tiled = Tag.TILES in directory.tags
    tile, strip = (
        (first(Tag.TILE_HEIGHT, 0), first(Tag.TILE_WIDTH, 0)),
        (min(first(Tag.ROWS, height), height), width),
    )
    return Packing(
        shape=(height, width, first(Tag.SAMPLES, 1)),
        bits=bits,
        kind=kind,
        order=directory.order,
        compression=first(Tag.COMPRESSION, 1),
        predictor=first(Tag.PREDICTOR, 1),
        planar=first(Tag.PLANAR, 1) == 2,
        reversed_bits=first(Tag.FILL_ORDER, 1) == 2,
        piece=tile if tiled else strip,
        padded=tiled,
        places=directory.tags[Tag.TILES if tiled else Tag.STRIPS],
        lengths=directory.tags.get(Tag.TILE_BYTES if tiled else Tag.STRIP_BYTES, ()),
    )


def _ordinary(directory: Directory, packing: Packing) -> bool:
    """Tell whether Pillow reads this page, and all that its samples hold."""
    if packing.kind != "u" or packing.bits not in (1, 2, 4, 8) or _says_white(directory, packing):
        return False
    photometric = directory.first(Tag.PHOTOMETRIC, _BLACK_IS_ZERO)
    if photometric == _RGB:
        return packing.bits == 8 and packing.samples in (3, 4)
    with_alpha = packing.samples == 2 and directory.tags.get(Tag.EXTRA_SAMPLES) == (_ALPHA,)
    return packing.samples == 1 or (
        with_alpha and packing.bits == 8 and photometric == _BLACK_IS_ZERO and not packing.planar
    )


def _colours(directory: Directory, count: int, bands: Sequence[int] | None) -> tuple[list[int], int | None]:
    """Return the places of red, green and blue among `count` samples, and that of alpha where there is one."""
    if bands is not None:
        return band_indices(bands, count), None
    colours = 3 if directory.first(Tag.PHOTOMETRIC, _BLACK_IS_ZERO) in (_RGB, _LAB) else 1
    unsaid = _ALPHA if (colours, count) == (3, 4) else 0  # a fourth beside RGB is alpha to whoever does not say
    extra = directory.first(Tag.EXTRA_SAMPLES, unsaid)
    cover = colours if count > colours and extra in (_MULTIPLIED, _ALPHA) else None
    if colours == 1 and count > 1 and (cover is None or count > 2):
        raise unchosen(count)
    return [0, 1, 2] if colours == 3 else [0, 0, 0], cover


def _says_white(directory: Directory, packing: Packing) -> bool:
    """Tell whether the tags of the least and the largest sample value say what black and white are.

    TIFF 6.0 calls them statistics, not to be shown by. Yet who writes 12 or 14 bits into 16 has no other tag to
    say so, and without it the photo is black. Of 8 bits they stay statistics, but for a depth of fewer bits.
    """
    if packing.bits > 8 or packing.kind != "u":
        return True
    most = directory.first(Tag.MOST, 0)
    return 0 < most < (1 << packing.bits) - 1 and most & (most + 1) == 0


def _seen(directory: Directory, packing: Packing, values: NDArray[Any], own: Sequence[int]) -> NDArray[np.uint8]:
    """Scale samples [H, W, C], those of the places `own`, from what is black to what is white in this file."""
    holes = None
    with suppress(AttributeError, ValueError):  # GDAL's value for a pixel that was not measured, as text
        missing = float(directory.tags.get(Tag.NO_DATA, (b"",))[0].rstrip(b"\0 "))
        marked = values == missing
        holes = marked if marked.any() else None
    if packing.kind == "u" and packing.bits < 16:
        black, white = 0.0, 2.0**packing.bits - 1
    else:
        black, white = black_and_white(values, holes)
    if _says_white(directory, packing):
        least = min(_of(directory, (Tag.SIGNED_LEAST, Tag.LEAST), own) or [black])
        most = max(_of(directory, (Tag.SIGNED_MOST, Tag.MOST), own) or [white])
        if least < most:
            black, white = float(least), float(most)
    if directory.first(Tag.PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
        black, white = white, black
    return eight_bits(values, black, white, holes)


def _from_lab(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert CIELAB [H, W, 3] of 16 bits by Pillow's of 8: lightness 0..65535, a* and b* signed, 256-fold."""
    lightness = eight_bits(values[:, :, :1].astype(np.uint16), 0, 65535)
    opponents = np.clip(np.rint(values[:, :, 1:].astype(np.int16) / 256), -128, 127).astype(np.int8)
    stored = np.concatenate([lightness, opponents.view(np.uint8)], axis=2)
    return np.array(Image.frombytes("LAB", (values.shape[1], values.shape[0]), stored.tobytes()).convert("RGB"))


def _of(directory: Directory, tags: Sequence[Tag], own: Sequence[int]) -> list[float]:
    """Return what the first of these tags that is there says of the samples `own`, or of all samples at once."""
    said = next((directory.tags[tag] for tag in tags if tag in directory.tags), ())
    return [said[place] for place in own] if len(said) > max(own) else [*said]


def _upright(photo: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a photo [H, W, 3] as tag 274 says, which tells where the first row and the first column belong."""
    if orientation in (5, 6, 7, 8):  # rows are columns
        photo = photo.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):  # the first row is the last
        photo = photo[::-1]
    if orientation in (2, 3, 6, 7):
        photo = photo[:, ::-1]
    return photo
