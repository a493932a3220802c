"""From a photo and a question to pictures: what the command line writes and what the demo shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .geometry import Window
from .render import LUMA, Picture, View, gradient_picture, on_photo, overlay, unit

# The largest of a gradient's values is many times the rest, so pictures scale by this percentile and clip there.
PERCENTILE = 99.5
Scale = Literal["own", "common"]


@dataclass(frozen=True)
class Look:
    """How attributions are drawn."""

    view: View = "all"  # of signed attributions: all, positive or negative
    gray: bool = False
    strength: float = 0.85  # how opaque the strongest evidence lies on the photo, 0..1
    colormap: str = "viridis"  # of maps without signs, one of `colours.SEQUENTIAL`; those with signs have coolwarm
    alone: bool = False  # the colours without the photo
    scale: Scale = "own"  # of several layers: each by its own largest value, or all by that of all layers


def picture(
    photo: NDArray[np.uint8],
    window: Window,
    attribution: NDArray[Any],
    look: Look,
    at_image: bool,
    signed: bool = False,
    scale: float | None = None,
) -> Picture:
    """Draw one attribution: a signed one [C, S, S] as a picture of the network's input, a map [S, S] as a heatmap
    on the photo [H, W, 3], where the network saw it.

    window: the part of the photo that the network saw. at_image: whether the map is one of the image itself
    (saliency), which is as spiky as the gradient that it comes from; the maps of layers are smooth. signed: do the
    values of a map below zero mean something? They are drawn then, both signs by one scale; over a pale photo in a
    map of the image, whose lines are as thin as pixels. scale: the value that has the last colour; the
    attribution's own, `scale_of`, if None.
    """
    if scale is None:
        scale = scale_of(attribution, look, at_image, signed)
    if attribution.ndim == 3:
        return gradient_picture(attribution, look.view, look.gray, scale)
    heat = unit(np.abs(attribution), scale) * np.sign(attribution) if signed else unit(attribution, scale)
    placed, seen = on_photo(np.nan_to_num(heat), window, photo.shape[:2])
    # Colours that run from nothing to the most would show what speaks against the class as next to nothing.
    colormap = "coolwarm" if signed else look.colormap
    return overlay(photo, placed, seen, look.strength, colormap, signed, look.alone, signed and at_image)


def scale_of(attribution: NDArray[Any], look: Look, at_image: bool, signed: bool = False) -> float:
    """The value that has the last colour where an attribution is drawn by itself, as `picture` takes it; 0 where
    nothing is to be seen."""
    if attribution.ndim == 3 or at_image:
        return robust_scale(attribution, look.gray and attribution.ndim == 3)
    values = np.nan_to_num(attribution, nan=0.0, posinf=0.0, neginf=0.0)
    return float((np.abs(values) if signed else values).max(initial=0.0))


def scale_over(layers: Iterable[NDArray[Any]], look: Look, signed: bool = False) -> float | None:
    """The scale of every layer of several: the largest of theirs where the look has them in common, else None."""
    if look.scale == "own":
        return None
    return max(scale_of(attribution, look, False, signed) for attribution in layers)


EMPTY = {True: "all 0: no effect", False: "max 0: nothing for the class"}  # by whether a map is signed


def empty_line(attribution: NDArray[Any], signed: bool) -> str:
    """What a caption adds where every value is 0, a line of its own; nothing for any other attribution."""
    if attribution.any():
        return ""
    return f"\n{EMPTY[signed or attribution.ndim == 3]}"


def robust_scale(attribution: NDArray[Any], gray: bool = False) -> float:
    """The percentile of the absolute values that a gradient picture is scaled by; 0 for an all-zero one."""
    values = np.tensordot(LUMA, attribution, 1) if gray and len(attribution) == 3 else attribution
    return float(np.percentile(np.abs(values), PERCENTILE)) or float(np.abs(values).max(initial=0.0))


def shape_text(shape: list[int]) -> str:
    """`512 × 14 × 14` for [512, 14, 14]."""
    return " × ".join(str(length) for length in shape)
