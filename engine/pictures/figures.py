"""From a photo and a question to pictures: what the command line writes and what the demo shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.pictures.geometry import Window
from engine.pictures.render import Picture, View, contact_sheet, gradient_picture, on_photo, overlay, unit
from engine.run.explainer import Explainer

# The largest of a gradient's values is many times the rest, so pictures scale by this percentile and clip there.
PERCENTILE = 99.5


@dataclass(frozen=True)
class Look:
    """How attributions are drawn."""

    view: View = "all"  # of signed attributions: all, positive or negative
    gray: bool = False
    strength: float = 0.5  # of a heatmap over the photo, 0..1
    colormap: str = "turbo"


def answers(
    explainer: Explainer, photo: NDArray[np.uint8], seed: Tensor, methods: list[str]
) -> dict[str, NDArray[Any]]:
    """Ask `methods` about one photo, uint8 [H, W, 3]: for each [S, S], [C, S, S], [L, S, S] or [L, C, S, S]."""
    x = explainer.preprocess(torch.from_numpy(photo))
    found = explainer.survey(x, seed, methods)
    return {name: answer[0].float().cpu().numpy() for name, answer in found.items()}


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
    values = np.tensordot((0.299, 0.587, 0.114), attribution, 1) if gray and len(attribution) == 3 else attribution
    return float(np.percentile(np.abs(values), PERCENTILE)) or float(np.abs(values).max(initial=0.0))


def sheet(
    explainer: Explainer, photo: NDArray[np.uint8], stack: NDArray[Any], look: Look, title: str | None = None
) -> Picture:
    """Every layer's picture with its name and shape: stack [L, S, S] or [L, C, S, S]."""
    window = explainer.geometry.window(*photo.shape[:2])
    layers = explainer.manifest["layers"]
    captions = [f"{layer['name']}\n{shape_text(layer['shape'])}" for layer in layers]
    pictures = [picture(photo, window, attribution, look, False) for attribution in stack]
    return contact_sheet(pictures, captions, title=title)


def shape_text(shape: list[int]) -> str:
    """`512 × 14 × 14` for [512, 14, 14]."""
    return " × ".join(str(length) for length in shape)
