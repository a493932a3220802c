"""A map laid over the photo it explains, inside the file: the default look of `pictures.render`, on torch alone.

Like `pictures.geometry`'s second half, this is compiled into every artifact and keeps to what TorchScript knows.
"""

import math

import torch
from torch import Tensor

from ..pictures.geometry import Axis, placement


def overlay(
    photo: Tensor, map: Tensor, strength: float, colors: Tensor, resize: list[int], crop: list[int]
) -> Tensor:
    """Lay a map's colours over the photo where the network saw it: evidence is opaque, no evidence transparent.
    The rest of the photo is dimmed and loses its colour.

    photo: uint8 [H, W, 3] RGB. map: [*crop], floating point, as `explain` gives it for one image; its positive
    part is shown over its maximum, NaN and infinity count as 0. strength: how opaque the strongest evidence is,
    0 (photo) to 1. colors: uint8 [256, 3] RGB, from no heat to the most. resize, crop: `sides` and `crop` of
    `Geometry`.
    Returns uint8 [H, W, 3] on the photo's device. Raises ValueError as `check_overlay` does.
    """
    check_overlay(photo, map, strength, crop)
    rows, columns = placement(photo.shape[0], photo.shape[1], resize, crop)
    (top, tall), (left, wide) = extent(rows, crop[0]), extent(columns, crop[1])
    height, width = seen(top, tall, photo.shape[0]), seen(left, wide, photo.shape[1])
    heat = unit(map.to(photo.device))
    heat = sample(heat.t(), left, wide, width).t().contiguous()
    heat = sample(heat, top, tall, height)
    levels = (255 * heat).round().to(torch.int32)
    # The table is weighted, not the picture, so that the picture is written once.
    opacity = strength * (1 - (1 - torch.linspace(0, 1, 256, device=photo.device)).square())
    weighted = colors.to(photo.device).float() * opacity.unsqueeze(1)
    blended = weighted.index_select(0, levels.flatten()).view(levels.shape[0], levels.shape[1], 3)
    kept = (1 - opacity).index_select(0, levels.flatten()).view(levels.shape[0], levels.shape[1], 1)
    under = photo[height[0] : height[1], width[0] : width[1]]
    picture = dimmed(photo)
    picture[height[0] : height[1], width[0] : width[1]] = blended.add_(under * kept).round_()
    return picture


def check_overlay(photo: Tensor, map: Tensor, strength: float, crop: list[int]) -> None:
    """Raise ValueError, which says what is wrong and how to mend it, unless `overlay` can draw."""
    if photo.dtype != torch.uint8:
        raise ValueError("photo must be uint8, 0..255: give the photo itself, not what preprocess made of it")
    shape = list(photo.shape)
    if len(shape) != 3 or shape[2] != 3 or photo.numel() == 0:
        raise ValueError(f"photo must be [H, W, 3], not empty, channels last; got shape {shape}")
    if not map.is_floating_point():
        raise ValueError("map must be floating point, as explain gives it")
    found = list(map.shape)
    if len(found) > 2 and found[-2:] == crop:
        way_out = "index it, map[0], and for a signed attribution ask saliency instead"
        raise ValueError(f"map must be that of one image, {crop}; got {found}: {way_out}")
    if found != crop:
        raise ValueError(f"map must be {crop}, the size of this network's input; got {found}")
    if not (strength >= 0 and strength <= 1):  # so that NaN is refused too
        raise ValueError(f"strength must be between 0 (photo only) and 1; got {strength}")


def extent(axis: Axis, crop: int) -> tuple[float, float]:
    """Where the network's input lies along one side of the photo: start and length, as `Geometry.window` tells."""
    return axis.first + axis.start * axis.kept / axis.resized, crop * axis.kept / axis.resized


def seen(start: float, length: float, pixels: int) -> tuple[int, int]:
    """The first and one past the last of a row of pixels that the window overlaps by more than rounding errors."""
    return max(0, math.floor(start + 1e-6)), min(pixels, math.ceil(start + length - 1e-6))


def unit(map: Tensor) -> Tensor:
    """The positive part over its maximum, float64 in 0..1; all zeros where nothing is positive."""
    positive = torch.nan_to_num(map.double(), 0.0, 0.0, 0.0).clamp(min=0)
    peak = float(positive.max())
    return positive / peak if peak > 0 else positive


def sample(values: Tensor, start: float, length: float, span: tuple[int, int]) -> Tensor:
    """Bring the n cells of `values` [n, ...], which lie on start .. start + length, to the pixels of `span`.

    Linear between the cells' centres, constant beyond the outermost. Returns float32 [pixels, ...].
    """
    # Cells finer than pixels are averaged down first: sampling would skip some.
    cells = min(values.shape[0], max(1, int(round(length))))  # noqa: RUF046, TorchScript's round gives a float
    values = average(values, cells).float()
    # The centre of pixel j lies at j + 1/2, that of cell i at (i + 1/2) * length / cells from the start.
    pixels = torch.arange(span[0], span[1], device=values.device, dtype=torch.float64)
    at = ((pixels + 0.5 - start) * (cells / length) - 0.5).clamp(0, cells - 1)
    below = at.long()
    above = (below + 1).clamp(max=cells - 1)
    return torch.lerp(values[below], values[above], (at - below).float().unsqueeze(1))


def average(values: Tensor, cells: int) -> Tensor:
    """The means of n values [n, ...] over `cells` equal parts, a value on a border counted by its shares."""
    step = values.shape[0] / cells
    begin = torch.arange(cells, device=values.device, dtype=values.dtype).unsqueeze(1) * step
    index = torch.arange(values.shape[0], device=values.device, dtype=values.dtype)
    overlap = torch.minimum(begin + step, index + 1) - torch.maximum(begin, index)
    return overlap.clamp(min=0) @ values / step


def dimmed(photo: Tensor) -> Tensor:
    """The photo's luma at half its brightness, uint8 [H, W, 3]."""
    luma = 0.299 * photo[:, :, 0] + 0.587 * photo[:, :, 1] + 0.114 * photo[:, :, 2]
    return (0.5 * luma).round().to(torch.uint8).unsqueeze(2).repeat(1, 1, 3)
