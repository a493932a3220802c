"""Sample values of any type and depth: how many are read, and how they become the 0..255 of a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError

MAX_PIXELS = 25_000_000

MOST = MAX_PIXELS // 1_000_000  # megapixels
TOO_BIG = "The photo is too big; at most {most} megapixels are read. Make it smaller and try again."

# What values may reach, in the depths that cameras and converters have; 1 is that of floats.
_WHITES = (1, 255, 1023, 4095, 16383, 65535)

_BLOCK = 1 << 20  # values that are scaled at once: as float64 a whole photo would take many times its own room


def check_size(width: int, height: int) -> None:
    """Raise PhotoError where a photo of this size is not to be decoded."""
    pixels = width * height
    if pixels <= 0:
        raise PhotoError("The photo has no pixels. Choose another one.")
    if pixels > MAX_PIXELS:
        raise PhotoError(
            "The photo has {width} x {height} pixels, {millions} million; at most {most} megapixels are read. "
            "Make it smaller and try again.",
            width=width, height=height, millions=f"{pixels / 1e6:.1f}", most=MOST,
        )  # fmt: skip


def black_and_white(values: NDArray[Any], holes: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return the values that are black and white, where nothing but the values' type and themselves tells.

    Unsigned samples of 8 and 16 bits have their type's whole range: a dark photo stays dark. Any other type says
    nothing. Where no value is negative and none above 65535, white is the least of the usual depths that holds
    them (1, 255, 1023, 4095, 16383, 65535), and never more than the type can hold; else the smallest value is
    black and the largest white. What is not finite, and what `holes` marks, has no say.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return 0.0, float(np.iinfo(values.dtype).max)
    counted = values if holes is None else values[~holes]
    if values.dtype.kind == "f" and not np.isfinite(counted).all():
        counted = counted[np.isfinite(counted)]
    if not counted.size:
        return 0.0, 1.0
    black, white = float(counted.min()), float(counted.max())
    if black < 0 or white > _WHITES[-1]:
        return black, white
    depth = float(next(limit for limit in _WHITES if white <= limit))
    return 0.0, depth if values.dtype.kind == "f" else min(depth, float(np.iinfo(values.dtype).max))


def eight_bits(
    values: NDArray[Any], black: float, white: float, holes: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Scale `values` so that `black` becomes 0 and `white` 255; what lies beyond is clipped, the shape is kept.

    Black above white inverts. NaN, infinities and what `holes` marks are painted 0.
    """
    out = np.empty(values.shape, np.uint8)
    flat, seen, table = values.reshape(-1), out.reshape(-1), None
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:  # a table of all that there is takes a tenth
        table = _scaled(np.arange(np.iinfo(values.dtype).max + 1), black, white)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        seen[start : start + _BLOCK] = _scaled(block, black, white) if table is None else table[block]
    if holes is not None:
        out[holes] = 0
    return out


def _scaled(values: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    # Halves, which are exact, since the distance between float64's extremes is no float64.
    halves, range_ = values * np.float64(0.5), white * 0.5 - black * 0.5
    with np.errstate(over="ignore", invalid="ignore"):
        share = (halves - black * 0.5) / (range_ or 1.0) * 255
    share[~np.isfinite(halves)] = 0
    return np.rint(np.clip(share, 0, 255)).astype(np.uint8)


def on_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], multiplied: bool) -> NDArray[np.uint8]:
    """Lay colours [H, W, C] on white by their alpha [H, W]; `multiplied` where they hold their alpha already."""
    cover = alpha[:, :, None].astype(np.uint16)
    # A colour above its own alpha is none: cut there, every sum stays below 255², which uint16 holds.
    shown = np.minimum(colours, cover) * np.uint16(255) if multiplied else colours * cover
    shown += (255 - cover) * 255 + 127
    return (shown // 255).astype(np.uint8)
