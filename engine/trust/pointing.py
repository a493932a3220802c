"""Does a map point where its class is? By an object's mask, or by mosaics that need no mask.

In a mosaic of images of different classes it is known where each class is, and a map for one of them has no
business in the others' cells. By chance a share of 1/side² falls into the right one; a map that ignores its
class, as deconvnet's, gets no more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..methods.paths import uniform_numbers
from .maps import check_images, ordered, plane, positive_part

TOLERANCE = 15  # pixels, Zhang et al. 2018


def energy(map: Tensor, mask: Tensor) -> Tensor:
    """The share of a map's positive values that lies in a mask, [N], 0..1; 0 where nothing is positive. Wang et
    al. 2020 (Score-CAM), arXiv:1910.01279.

    map: [N, H, W] or [N, C, H, W], see `maps.plane`. mask: bool [N, H, W]. Sums of signed values can exceed all of
    them: only what is positive counts. Of (.4 -.6 / .2 .1) with the first row as the mask it is 4/7.
    """
    found, inside = positive_part(map), _mask(map, mask)
    total = found.sum((1, 2))
    return torch.where(total > 0, (found * inside).sum((1, 2)) / total.clamp(min=torch.finfo(total.dtype).tiny), 0)


def pointing_game(map: Tensor, mask: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Does a map's largest value lie within so many pixels of a mask? 1 or 0 for each, [N]. Zhang et al. 2018,
    arXiv:1608.00507. Of equal ones the first counts; a mask that is empty is missed.

    map, mask: as in `energy`. tolerance: in pixels, a circle around the largest value.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}: it is a distance in pixels, at least 0")
    values, inside = plane(map), _mask(map, mask)
    first = ordered(values)[:, 0]
    width = values.shape[2]
    rows, columns = (torch.arange(length, device=values.device) for length in values.shape[1:])
    down = (rows[None] - first[:, None].div(width, rounding_mode="floor")).square()
    right = (columns[None] - first[:, None].remainder(width)).square()
    near = down[:, :, None] + right[:, None, :] <= tolerance**2
    return (near & inside).flatten(1).any(1).double()


def grid_mosaics(
    x: Tensor, classes: Tensor, side: int = 2, count: int = 8, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Mosaics of images of different classes: [K, C, H, W], as large as the images are, and the number of the
    image in each cell, row by row, int64 [K, side²]. Böhle et al. 2021 (CoDA-Nets), arXiv:2104.00032, whose
    mosaics are side times as large; here each image becomes smaller, for networks that take one size.

    x: [M, C, H, W], images that the network is sure of; one that it takes for something else tells nothing.
    classes: int64 [M]. count: mosaics, drawn by chance; no mosaic has a class twice. Raises ValueError where
    there are fewer classes than cells.
    """
    check_images(x)
    cells, known = side * side, torch.unique(classes)
    if side < 1 or list(classes.shape) != [len(x)] or count < 1:
        raise ValueError(
            f"side {side}, count {count}, {len(x)} images and classes {list(classes.shape)} don't fit"
        )
    if len(known) < cells:
        raise ValueError(f"a mosaic of {side} × {side} takes as many classes; these images have {len(known)}")
    drawn = uniform_numbers(seed, seed + 1, 2 * count * max(len(known), len(x)), 3).view(2, count, -1)
    members = torch.empty(count, cells, dtype=torch.int64)
    for number in range(count):
        for cell, chosen in enumerate(drawn[0, number, : len(known)].argsort()[:cells].tolist()):
            own = (classes == known[chosen]).nonzero()[:, 0]
            members[number, cell] = own[int(drawn[1, number, cell] * len(own))]
    mosaics = torch.empty(count, *x.shape[1:], dtype=x.dtype, device=x.device)
    for cell in range(cells):
        rows, columns = _cell(x, cell, side)
        size = [rows.stop - rows.start, columns.stop - columns.start]
        smaller = F.interpolate(x[members[:, cell]], size, mode="bilinear", align_corners=False, antialias=True)
        mosaics[:, :, rows, columns] = smaller
    return mosaics, members


def grid_energy(map: Tensor, cell: int | Tensor, side: int = 2) -> Tensor:
    """The share of a map's positive values in the cell of its class, [N]: by chance 1/side². Böhle et al. 2021,
    arXiv:2104.00032; Rao et al. 2022, arXiv:2205.10435.

    map: as in `energy`, of mosaics. cell: its number, row by row, one for all or int64 [N].
    """
    return energy(map, _cells(plane(map), cell, side))


def grid_hit(map: Tensor, cell: int | Tensor, side: int = 2) -> Tensor:
    """Does a map's largest value lie in the cell of its class? 1 or 0 for each, [N]; by chance 1/side². The
    arguments are those of `grid_energy`."""
    return pointing_game(map, _cells(plane(map), cell, side), 0)


def _mask(map: Tensor, mask: Tensor) -> Tensor:
    wanted = [len(map), *map.shape[-2:]]
    if mask.dtype != torch.bool or list(mask.shape) != wanted:
        raise ValueError(f"mask is {mask.dtype} {list(mask.shape)}: for these maps it is bool {wanted}")
    return mask.to(map.device)


def _cell(like: Tensor, cell: int, side: int) -> tuple[slice, slice]:
    """Where a cell of a mosaic lies; no pixel belongs to two."""
    if not 0 <= cell < side * side:
        raise ValueError(f"cell {cell} is not one of 0..{side * side - 1}")
    row, column = divmod(cell, side)
    height, width = like.shape[-2:]
    return (
        slice(height * row // side, height * (row + 1) // side),
        slice(width * column // side, width * (column + 1) // side),
    )


def _cells(values: Tensor, cell: int | Tensor, side: int) -> Tensor:
    """Which pixels of maps [N, H, W] lie in a cell, bool [N, H, W]."""
    numbers = torch.as_tensor(cell).expand(len(values)).tolist()
    mask = torch.zeros(values.shape, dtype=torch.bool, device=values.device)
    for image, number in enumerate(numbers):
        rows, columns = _cell(values, int(number), side)
        mask[image, rows, columns] = True
    return mask
