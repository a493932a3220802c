"""From a photo and a question to pictures: what the command line writes and what the demo shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Window
from .render import LUMA, Picture, View, gradient_picture, on_photo, overlay, unit

# The largest of a gradient's values is many times the rest, so pictures scale by this percentile and clip there.
PERCENTILE = 99.5


@dataclass(frozen=True)
class Look:
    """How attributions are drawn."""

    view: View = "all"  # of signed attributions: all, positive or negative
    gray: bool = False
    strength: float = 0.5  # of a heatmap over the photo, 0..1
    colormap: str = "turbo"


def picture(
    photo: NDArray[np.uint8], window: Window, attribution: NDArray[Any], look: Look, at_image: bool
) -> Picture:
    """Draw one attribution: a signed one [C, S, S] as a picture of the network's input, a map [S, S] as a heatmap
    on the photo [H, W, 3], where the network saw it.

    window: the part of the photo that the network saw. at_image: whether the map is one of the image itself
    (saliency), which is as spiky as the gradient that it comes from; the maps of layers are smooth.
    """
    if attribution.ndim == 3:
        return gradient_picture(attribution, look.view, look.gray, robust_scale(attribution, look.gray))
    heat = unit(attribution, robust_scale(attribution) if at_image else None)
    placed, seen = on_photo(heat, window, photo.shape[:2])
    return overlay(photo, placed, seen, look.strength, look.colormap)


def robust_scale(attribution: NDArray[Any], gray: bool = False) -> float:
    """The percentile of the absolute values that a gradient picture is scaled by; 0 for an all-zero one."""
    values = np.tensordot(LUMA, attribution, 1) if gray and len(attribution) == 3 else attribution
    return float(np.percentile(np.abs(values), PERCENTILE)) or float(np.abs(values).max(initial=0.0))


def shape_text(shape: list[int]) -> str:
    """`512 × 14 × 14` for [512, 14, 14]."""
    return " × ".join(str(length) for length in shape)
