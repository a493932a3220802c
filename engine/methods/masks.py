"""What is hidden of the input, step by step, for methods that look at the score alone; TorchScript's Python.

(height, width, options, begin, end) -> what is kept of each pixel, 0..1, [M, H, W]
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .paths import uniform_numbers


def side_of(window: float, length: int) -> int:
    """How many pixels a window is long: a seventh of the side where it is left open."""
    return max(1, int(window)) if window > 0 else max(1, (length + 6) // 7)


def stride_of(options: dict[str, float], length: int) -> int:
    """How far a window moves: by its own length where that is left open."""
    return int(options["stride"]) if options["stride"] > 0 else side_of(options["window"], length)


def windows_along(options: dict[str, float], length: int) -> int:
    """How many windows there are along an axis, so that each pixel is in one; the last may be cut by the edge."""
    over = max(0, length - side_of(options["window"], length))
    stride = stride_of(options, length)
    return (over + stride - 1) // stride + 1


def windows(height: int, width: int, options: dict[str, float], begin: int, end: int) -> Tensor:
    """One window hidden at each step, row by row."""
    count = windows_along(options, width)
    step = torch.arange(begin, end)
    hidden_rows = covered_pixels(step.div(count, rounding_mode="floor"), options, height)
    hidden_columns = covered_pixels(step.remainder(count), options, width)
    return 1 - hidden_rows[:, :, None] * hidden_columns[:, None, :]


def covered_pixels(window: Tensor, options: dict[str, float], length: int) -> Tensor:
    """Which pixels of an axis the windows of these numbers cover: float64 [M, length], 0 or 1."""
    first = window * stride_of(options, length)
    pixel = torch.arange(length)
    covered = (pixel >= first[:, None]) & (pixel < first[:, None] + side_of(options["window"], length))
    return covered.to(torch.float64)


def cells(height: int, width: int, options: dict[str, float], begin: int, end: int) -> Tensor:
    """Coarse cells kept with the chance `keep`, enlarged bilinearly, and shifted by part of a cell, as in RISE."""
    count, kept = int(options["cells"]), options["keep"]
    grids = (uniform_numbers(begin, end, count * count, 0) < kept).to(torch.float64).view(-1, 1, count, count)
    tall, wide = (height + count - 1) // count, (width + count - 1) // count
    large = F.interpolate(grids, [(count + 1) * tall, (count + 1) * wide], mode="bilinear", align_corners=False)
    shifts = uniform_numbers(begin, end, 2, 3)
    found: list[Tensor] = []
    for index in range(end - begin):
        top, left = int(float(shifts[index, 0]) * tall), int(float(shifts[index, 1]) * wide)
        found.append(large[index, 0, top : top + height, left : left + width])
    return torch.stack(found)
