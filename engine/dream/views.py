"""What the network is shown of a picture: parts of it, shifted and zoomed, and the adjoint of showing.

A view is linear and separable: rows · picture · columnsᵀ, with two weights in each row of both matrices. So
its adjoint is rowsᵀ · ct · columns, and jitter, zoom and tiles are all one thing. Beyond its edges a picture
goes on with its other side.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Views(NamedTuple):
    """N views of a picture: which of its rows, [N, S, H], and which of its columns, [N, S', W]."""

    rows: Tensor
    columns: Tensor

    def show(self, image: Tensor) -> Tensor:
        """[C, H, W] -> [N, C, S, S']."""
        return self.rows[:, None] @ image @ self.columns[:, None].mT

    def adjoint(self, ct: Tensor) -> Tensor:
        """[N, C, S, S'] -> [C, H, W]."""
        return (self.rows[:, None].mT @ ct @ self.columns[:, None]).sum(0)


def sampling(side: int, size: int, start: Tensor, step: Tensor) -> Tensor:
    """The matrices [N, size, side] that read `size` values of `side`, bilinearly, from `start` on by `step`.

    start, step: [N], in pixels; with a step of one and a whole start it is a cyclic shift, exactly.
    """
    place = start[:, None] + step[:, None] * (torch.arange(size, dtype=start.dtype) + 0.5) - 0.5
    low = place.floor()
    share = (place - low)[..., None]
    below, above = (torch.nn.functional.one_hot((low.long() + by) % side, side) for by in (0, 1))
    return (1 - share) * below + share * above


def shaken(
    sides: tuple[int, int], size: tuple[int, int], jitter: int, zoom: float, count: int, generator: torch.Generator
) -> Views:
    """`count` views of the middle: each shifted by up to `jitter` whole pixels, and zoomed by 1 ± `zoom`
    around it."""
    step = 1 + zoom * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
    matrices = []
    for side, seen in zip(sides, size, strict=True):
        shift = torch.randint(-jitter, jitter + 1, [count], generator=generator)
        start = (side - step * seen) / 2 if zoom else torch.full_like(step, (side - seen) // 2)
        matrices.append(sampling(side, seen, start + shift, step))
    return Views(*matrices)


def tiled(sides: tuple[int, int], size: tuple[int, int], generator: torch.Generator) -> Views:
    """Views that together show all of a picture, edge to edge, from a random place on; the last ones may
    overlap."""
    matrices = []
    for side, seen in zip(sides, size, strict=True):
        start = torch.randint(side, [1], generator=generator)
        starts = (start + seen * torch.arange(math.ceil(side / seen))).double()
        matrices.append(sampling(side, seen, starts, torch.ones_like(starts)))
    rows, columns = matrices
    return Views(rows.repeat_interleave(len(columns), 0), columns.repeat(len(rows), 1, 1))
