"""From attributions to pictures: colour, blend, contact sheets. Every picture is uint8 RGB [H, W, 3]."""

import base64
import math
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .colours import levels, tables

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]
View = Literal["all", "positive", "negative"]

LUMA = np.array([0.299, 0.587, 0.114])  # how bright the eye finds red, green and blue (ITU-R BT.601)


def unit(attribution: NDArray[Any], scale: float | None = None) -> Map:
    """Return the positive part over its maximum, or over a shared `scale`, in 0..1; any shape.

    All zeros where nothing is positive. NaN and infinity count as 0.
    """
    positive = np.maximum(_finite(attribution), 0.0)
    if scale is None:
        scale = float(positive.max(initial=0.0))
    if not scale > 0:
        return np.zeros(positive.shape, np.float32)
    return np.minimum(positive / scale, 1.0).astype(np.float32)


def _finite(attribution: NDArray[Any]) -> NDArray[np.float64]:
    # In float64 a quotient of any two float32 numbers is finite too.
    return np.nan_to_num(np.asarray(attribution, np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def gradient_picture(
    attribution: NDArray[Any], view: View = "all", gray: bool = False, scale: float | None = None
) -> Picture:
    """Show a signed attribution [3, h, w] (or [1, h, w]) as a picture [h, w, 3].

    all: zero is mid-gray, 128, and the largest absolute value, or `scale`, is 127 levels away; the negated
    attribution gives the picture mirrored about 128. positive, negative: that part alone on black, over its
    maximum or `scale`. gray: the attribution's luma (0.299, 0.587, 0.114), taken before scaling.
    """
    values = _finite(attribution)
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"attribution must be [3, h, w] or [1, h, w]; got {list(values.shape)}")
    if gray and values.shape[0] == 3:
        values = np.tensordot(LUMA, values, axes=1)[None]
    if view == "all":
        levels = 128 + 127 * np.sign(values) * unit(np.abs(values), scale)
    elif view in ("positive", "negative"):
        levels = 255 * unit(values if view == "positive" else -values, scale)
    else:
        raise ValueError(f"view must be all, positive or negative; got {view!r}")
    picture = np.rint(levels).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def on_photo(
    attribution: NDArray[Any], window: tuple[float, float, float, float], photo_size: tuple[int, int]
) -> tuple[Map, NDArray[np.bool_]]:
    """Bring a map [h, w] of the network's input back to the photo it came from.

    window: what the network saw, (top, left, height, width) in photo pixels, as `Geometry.window` gives it.
    photo_size: (H, W). Returns the map [H, W], bilinear between the cells' centres and 0 where the network
    saw nothing, and a mask [H, W] of the pixels that it saw, wholly or in part.
    """
    top, left, tall, wide = window
    values = np.ascontiguousarray(attribution, np.float32)
    # A map finer than the photo is averaged down first: sampling it would skip cells.
    rows = min(values.shape[0], max(1, round(tall)))
    columns = min(values.shape[1], max(1, round(wide)))
    values = np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    seen = np.outer(_touched(top, tall, photo_size[0]), _touched(left, wide, photo_size[1]))
    x, y, across, down = cv2.boundingRect(seen.view(np.uint8))
    # The centre of cell i lies at photo coordinate (i + 1/2) * step + start, and that of pixel j at j + 1/2.
    x_step, y_step = wide / columns, tall / rows
    affine = np.array([[x_step, 0, x_step / 2 + left - 0.5 - x], [0, y_step, y_step / 2 + top - 0.5 - y]])
    placed = np.zeros(photo_size, np.float32)
    placed[y : y + down, x : x + across] = cv2.warpAffine(
        values, affine, (across, down), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return placed, seen


def _touched(start: float, length: float, pixels: int) -> NDArray[np.bool_]:
    """Return which of a row of pixels [i, i + 1) the interval overlaps by more than rounding errors."""
    index = np.arange(pixels)
    return (index + 1 > start + 1e-6) & (index < start + length - 1e-6)


def overlay(
    photo: Picture,
    values: NDArray[Any],
    seen: NDArray[np.bool_],
    strength: float = 0.85,
    colormap: str | None = None,
    signed: bool = False,
    alone: bool = False,
    pale: bool = False,
) -> Picture:
    """Lay a map's colours over the photo where the network saw it: evidence is opaque, no evidence transparent.
    The rest of the photo is dimmed and loses its colour.

    photo [H, W, 3] uint8, seen [H, W]. values [H, W] in 0..1, or -1..1 where they are `signed`. strength: how
    opaque the strongest evidence is, 0 (photo) to 1. colormap: viridis, or coolwarm for signed values, if None.
    alone: the colours without the photo. pale: the photo under them is a light print in gray, from which lines as
    thin as pixels stand out. See `colours.tables` for the formula.
    """
    if photo.dtype != np.uint8 or photo.shape != (*values.shape, 3) or seen.shape != values.shape:
        raise ValueError(
            f"photo must be uint8 [H, W, 3], map and seen [H, W]; got {photo.dtype} {list(photo.shape)}, "
            f"{list(values.shape)} and {list(seen.shape)}: bring the map to the photo with on_photo first"
        )
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 (photo only) and 1; got {strength}")
    picture = _printed(photo, _DIM)
    x, y, wide, tall = cv2.boundingRect(seen.view(np.uint8))
    box = np.s_[y : y + tall, x : x + wide]  # no work where the network saw nothing
    found = levels(values[box], signed)
    colours, kept = tables(colormap or ("coolwarm" if signed else "viridis"), strength, signed, alone)
    laid = cv2.applyColorMap(found, colours[:, None])
    shown = _printed(photo[box], _PALE) if pale else photo[box]
    under = cv2.multiply(shown, cv2.applyColorMap(found, kept[:, None]), scale=1 / 255)
    cv2.copyTo(cv2.add(laid, under), seen[box].view(np.uint8), picture[box])
    return np.asarray(picture, np.uint8)


_DIM, _PALE = (0.0, 127.5), (140.0, 255.0)  # what a photo's black and white become where it is printed in gray


def _printed(photo: Picture, ends: tuple[float, float]) -> Picture:
    """The photo in gray, its black and its white at `ends`."""
    black, white = ends
    gray = cv2.convertScaleAbs(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), alpha=(white - black) / 255, beta=black)
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), np.uint8)


PAPER, INK, FAINT = (22, 23, 27), (236, 236, 240), (150, 152, 160)
_TITLE_SIZE, _CAPTION_SIZE, _GAP = 24, 14, 14


def contact_sheet(
    pictures: Sequence[Picture],
    captions: Sequence[str],
    columns: int | None = None,
    title: str | None = None,
    cell: int = 224,
) -> Picture:
    """Lay out pictures in rows, each scaled to a longest side of `cell` pixels, with its caption below.

    Lines of a caption after its first are set fainter. A line too long for the picture loses its middle.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(f"need one caption per picture; got {len(pictures)} pictures, {len(captions)} captions")
    tiles = [fit(picture, cell) for picture in pictures]
    tall, wide = max(tile.shape[0] for tile in tiles), max(tile.shape[1] for tile in tiles)
    lines = [caption.split("\n") for caption in captions]
    leading = round(_CAPTION_SIZE * 1.35)
    row_step = tall + leading * max(map(len, lines)) + 2 * _GAP
    if columns is None:  # The sheet comes out about half again as wide as it is tall.
        columns = math.ceil(math.sqrt(1.5 * len(tiles) * row_step / (wide + _GAP)))
    columns = max(1, min(columns, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    head = 2 * _GAP + (_TITLE_SIZE + 3 * _GAP // 2 if title else 0)
    across = columns * (wide + _GAP) + 3 * _GAP
    sheet = np.full((head + rows * row_step, across, 3), PAPER, np.uint8)
    if title:
        write(sheet, title, 2 * _GAP, 2 * _GAP + _TITLE_SIZE, across - 4 * _GAP, _TITLE_SIZE, 600, INK)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = 2 * _GAP + column * (wide + _GAP), head + row * row_step
        down, right = (tall - tile.shape[0]) // 2, (wide - tile.shape[1]) // 2
        sheet[y + down : y + down + tile.shape[0], x + right : x + right + tile.shape[1]] = tile
        for number, line in enumerate(lines[index]):
            baseline = y + tall + _GAP // 2 + _CAPTION_SIZE + number * leading
            write(sheet, line, x, baseline, wide, _CAPTION_SIZE, 400, FAINT if number else INK)
    return sheet


def fit(picture: Picture, longest: int) -> Picture:
    """Scale a picture so that its longer side has `longest` pixels."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def write(
    sheet: Picture,
    text: str,
    x: int,
    baseline: int,
    width: int,
    size: int,
    weight: int,
    ink: tuple[int, int, int],
) -> None:
    """Write one line in OpenCV's own sans-serif font, with an ellipsis for what does not fit.

    The font has Latin, Greek, Cyrillic, Chinese, Japanese, Korean and more; what it lacks, as emoji, is a "?".
    """
    shown = text
    for length in range(len(text) - 1, -1, -1):
        if text_width(shown, size, weight) <= width:
            break
        shown = text[: (length + 1) // 2] + "…" + text[len(text) - length // 2 :]
    cv2.putText(sheet, shown, (x, baseline), ink, cv2.FontFace("sans"), size, weight)


def text_width(text: str, size: int, weight: int) -> int:
    """How many pixels wide a line is that `write` writes."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), size, weight)[2])


def data_url(picture: Picture, kind: Literal["png", "jpeg"] = "png") -> str:
    """A picture as an address that holds it, for pages that are whole by themselves."""
    content = cv2.imencode(f".{kind}", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()  # OpenCV takes BGR
