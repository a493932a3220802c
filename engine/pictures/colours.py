"""Colours of maps, and how opaque they are: evidence is, no evidence is not.

The default maps are made for all eyes: viridis grows lighter from no evidence to the most, and coolwarm tells the
signs by blue and red, which those who confuse red and green tell apart.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.uint8]
COLORMAPS: dict[str, int | None] = {  # OpenCV's number; None for one of our own
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "hot": cv2.COLORMAP_HOT,
    "jet": cv2.COLORMAP_JET,
    "coolwarm": None,
}
# Those that have one end for nothing and one for the most; coolwarm has nothing in the middle.
SEQUENTIAL = tuple(name for name in COLORMAPS if name != "coolwarm")
ZERO = 128  # the level of a signed value that is 0; -1 and 1 are 127 levels away
# Of coolwarm, RGB: the ends and the middle of Moreland 2009, doi:10.1007/978-3-642-10520-3_9.
COOL, MIDDLE, WARM = (59, 76, 192), (221, 221, 221), (180, 4, 38)


@lru_cache
def colors_of(colormap: str) -> Colours:
    """The colours of a colormap, uint8 [256, 3] RGB. Raises ValueError for a name that there is not."""
    if colormap not in COLORMAPS:
        raise ValueError(f"there is no colormap {colormap!r}; choose one of {', '.join(COLORMAPS)}")
    number = COLORMAPS[colormap]
    if number is None:
        colours: Colours = _diverging()
    else:
        ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], number)
        colours = np.asarray(cv2.cvtColor(ramp, cv2.COLOR_BGR2RGB)[0], np.uint8)
    colours.setflags(write=False)
    return colours


def _diverging() -> Colours:
    """From COOL over MIDDLE, at level ZERO, to WARM, in equal steps to the eye: along straight lines of CIELAB."""
    ends = cv2.cvtColor(np.array([[COOL, MIDDLE, WARM]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    at = np.arange(256) - ZERO
    lab = np.stack([np.interp(at, (-127, 0, 127), ends[:, axis]) for axis in range(3)], 1)[None]
    return np.asarray(np.rint(255 * cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)[0]), np.uint8)


def levels(values: NDArray[Any], signed: bool = False) -> Colours:
    """Values in 0..1, or -1..1 where they are signed, as the numbers of colours, uint8.

    Those are 0..255, or 1..255 about ZERO, so that 0 has one of its own. NaN counts as 0, and what lies beyond the
    ends as an end.
    """
    given = cv2.patchNaNs(np.clip(np.asarray(values, np.float32), -1 if signed else 0, 1), 0)
    # OpenCV scales, rounds and packs in one pass.
    scale, shift = (127, ZERO) if signed else (255, 0)
    return np.asarray(cv2.convertScaleAbs(given, alpha=scale, beta=shift), np.uint8)


def heatmap(values: NDArray[Any], colormap: str = "viridis", signed: bool = False) -> Colours:
    """Colour a map [h, w] of values in 0..1, or -1..1: uint8 [h, w, 3]."""
    return np.asarray(cv2.applyColorMap(levels(values, signed), colors_of(colormap)[:, None]), np.uint8)


@lru_cache(maxsize=64)
def tables(colormap: str, strength: float, signed: bool = False, alone: bool = False) -> tuple[Colours, Colours]:
    """What a map's colours add to a picture, and what of the photo is kept, in 255ths, uint8 [256, 3] both.

        picture = a colour + (1 - a) photo,   a = strength (1 - (1 - evidence)²)

    with the absolute value of a level as its evidence. So the photo stands unchanged where there is none and the
    colour at its strength where it is most; half the evidence has three quarters of that, and nowhere is there an
    edge. alone: a is 1.
    """
    level = np.arange(256)
    evidence = np.minimum(np.abs(level - ZERO) / 127, 1) if signed else level / 255
    opacity = np.ones(256) if alone else strength * (1 - (1 - evidence) ** 2)
    colours = np.rint(colors_of(colormap) * opacity[:, None]).astype(np.uint8)
    kept = np.rint(255 * (1 - opacity)).astype(np.uint8)[:, None].repeat(3, 1)
    return colours, kept
