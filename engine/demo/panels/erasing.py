"""Parts of a photo that are erased: which, how they come from the browser, and what lies there instead.

They are cells of a grid over the photo, LONGEST along its longer side, so that a browser posts them in two
kilobytes of bits, and nothing has to be decoded.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pictures.render import Picture, on_photo
from ..controls import RefusalError
from ..language import say
from ..scene import Photo, Scene, fitted

LONGEST = 96  # cells along the longer side
BLURRED = 256  # longest side of what is blurred: there are no details to lose
# What lies where the photo is erased. mean: the gray that the network takes for nothing, its inputs being 0 there.
FILLS = ("mean", "blur", "black")
Mask = NDArray[np.bool_]  # [rows, columns] of cells


def grid(photo: Photo) -> tuple[int, int]:
    """How many rows and columns of cells lie over a photo; each has at least one."""
    tall, wide = photo.pixels.shape[:2]
    scale = LONGEST / max(tall, wide)
    return max(1, round(tall * scale)), max(1, round(wide * scale))


def packed(mask: Mask) -> str:
    """The cells row by row, eight to a byte, the first the highest bit, in base64."""
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def unpacked(text: object, size: tuple[int, int]) -> Mask:
    """What `packed` gives, of so many rows and columns. Raises RefusalError for anything else."""
    count = size[0] * size[1]
    bits = math.ceil(count / 8)
    if isinstance(text, str) and len(text) == 4 * math.ceil(bits / 3):
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) == bits:
            cells = np.unpackbits(np.frombuffer(content, np.uint8), count=count)
            return cells.reshape(size).astype(bool)
    rows, columns = size
    raise RefusalError(
        say(
            "That is no part of this photo: it has {rows} × {columns} cells. Erase anew.",
            rows=rows,
            columns=columns,
        )
    )


def seen_cells(scene: Scene) -> Mask:
    """The cells whose middle the network sees; of a photo so long that there is none, the nearest one."""
    (rows, columns), (tall, wide) = grid(scene.photo), scene.photo.pixels.shape[:2]
    top, left, height, width = scene.model.explainer.geometry.window(tall, wide)
    return np.outer(_within(rows, tall, top, height), _within(columns, wide, left, width))


def _within(cells: int, pixels: int, start: float, length: float) -> NDArray[np.bool_]:
    """Which of the cells along an axis have their middle within an interval of its pixels."""
    apart = (np.arange(cells) + 0.5) * pixels / cells - (start + length / 2)
    found: NDArray[np.bool_] = (apart >= -length / 2) & (apart < length / 2)
    found[np.abs(apart).argmin()] = True
    return found


def importance(scene: Scene) -> NDArray[np.float32]:
    """How much the map of the layer that is shown makes of each cell, [rows, columns]: its values where they speak
    for the class; of a map for each channel their absolute values, since either sign is of importance there."""
    values = np.nan_to_num(scene.shown(scene.layer), nan=0.0, posinf=0.0, neginf=0.0)
    heat = np.abs(values).sum(0) if values.ndim == 3 else np.maximum(values, 0.0)
    size, (tall, wide) = grid(scene.photo), scene.photo.pixels.shape[:2]
    _, (top, left, height, width) = fitted(scene.photo, scene.model, max(tall, wide))
    down, right = size[0] / tall, size[1] / wide
    placed, _ = on_photo(heat, (top * down, left * right, height * down, width * right), size)
    return placed


def strongest(scene: Scene, share: float) -> Mask:
    """The cells that the map makes most of: `share` of those that the network sees, but only such as it marks."""
    seen, found = seen_cells(scene), importance(scene)
    count = round(share * int(seen.sum()))
    order = np.argsort(-np.where(seen, found, -1.0), axis=None, kind="stable")[:count]
    mask = np.zeros(seen.shape, bool)
    mask.reshape(-1)[order] = True
    return np.asarray(mask & seen & (found > 0), bool)


def elsewhere(mask: Mask, seen: Mask, draw: int) -> Mask:
    """The same cells moved to another place that the network sees, of the same area and shape.

    What leaves on one side comes back on the other. Of all places it is one of the tenth where the least is
    covered twice; draw: which of them, by a number that always means the same place.
    """
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not mask.any() or not len(rows):
        return mask
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = mask[inside].astype(np.float64)
    # How much of it is covered twice after each move: the mask's correlation with itself.
    spectrum = np.fft.rfft2(shape)
    twice = np.rint(np.fft.irfft2(spectrum * spectrum.conj(), shape.shape))
    order = np.argsort(twice, axis=None, kind="stable")
    apart = order[: max(1, order.size // 10)]
    seed = hashlib.sha256(packed(mask).encode() + str(draw).encode()).digest()
    chosen = int(apart[int.from_bytes(seed[:8]) % len(apart)])
    moved = np.zeros_like(mask)
    moved[inside] = np.roll(mask[inside], np.unravel_index(chosen, shape.shape), (0, 1))
    return moved


def filling(scene: Scene, photo: Picture, fill: str) -> Picture:
    """The photo, or a smaller picture of it, [H, W, 3], where all of it is erased: one of FILLS."""
    if fill == "blur":
        small = cv2.resize(photo, _fitted(photo.shape, BLURRED), interpolation=cv2.INTER_AREA)
        down, right = (
            max(length / 20, 0.1) for length in small.shape[:2]
        )  # as `methods.baselines` blurs an input
        soft = cv2.GaussianBlur(small, (0, 0), right, sigmaY=down, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(soft, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    mean = scene.model.explainer.geometry.mean if fill == "mean" else (0.0,)
    return np.broadcast_to(np.rint(255 * np.asarray(mean)).astype(np.uint8), photo.shape).copy()


def erased(scene: Scene, mask: Mask, fill: str) -> Photo:
    """The photo without the cells of a mask. What is erased of it is told by its key, and it lies nowhere."""
    if not mask.any():
        return scene.photo
    pixels = scene.photo.pixels
    covered = np.asarray(cv2.resize(mask.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    changed = np.where(covered[:, :, None] > 0, filling(scene, pixels, fill), pixels)
    mean = scene.model.explainer.geometry.mean  # what gray is hangs on the network
    key = hashlib.sha256(repr((scene.photo.key, packed(mask), fill, mean)).encode()).hexdigest()
    return Photo(key, np.asarray(changed, np.uint8))


def _fitted(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Width and height of a picture [H, W, 3] with a longer side of at most `side` pixels."""
    scale = min(1.0, side / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
