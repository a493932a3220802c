"""Maps that know nothing of the network, which every metric is asked about as well.

A number of a metric means nothing before one knows what a map by chance has, one that marks the middle, as
photographers do, and one that marks edges, as the gradient does. Adebayo et al. 2018, arXiv:1810.03292, drew edge
filters beside maps; here every metric gets all three.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..methods.paths import uniform_numbers
from .maps import check_images

Result = TypeVar("Result")


def random_map(x: Tensor, seed: int = 0) -> Tensor:
    """A number between 0 and 1 by chance for each pixel of images [N, C, H, W]: [N, H, W], the same for all images
    of a seed."""
    check_images(x)
    drawn = uniform_numbers(seed, seed + 1, x[0, 0].numel(), 2).to(x.device)
    return drawn.view(1, *x.shape[2:]).repeat(len(x), 1, 1)


def centre_map(x: Tensor, seed: int = 0) -> Tensor:
    """A Gaussian in the middle of images [N, C, H, W], a quarter of each side as its deviation: [N, H, W]."""
    check_images(x)
    sides = []
    for length in x.shape[2:]:
        offsets = torch.arange(length, dtype=torch.float64, device=x.device) - (length - 1) / 2
        sides.append((-8 * (offsets / length).square()).exp())
    return (sides[0][:, None] * sides[1]).repeat(len(x), 1, 1)


def edge_map(x: Tensor, seed: int = 0) -> Tensor:
    """How steep the brightness of images [N, C, H, W] is, the mean of their channels, by Sobel's
    filter: [N, H, W]."""
    check_images(x)
    grey = F.pad(x.detach().double().mean(1, keepdim=True), [1, 1, 1, 1], mode="replicate")
    smooth, slope = grey.new_tensor([1, 2, 1]), grey.new_tensor([-1, 0, 1])
    across, down = (
        F.conv2d(grey, k[None, None])[:, 0] for k in (smooth[:, None] * slope, slope[:, None] * smooth)
    )
    return torch.hypot(across, down)


# name -> (images, seed) -> maps [N, H, W]
CONTROLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "random": random_map,
    "centre": centre_map,
    "sobel": edge_map,
}


def beside_controls(
    metric: Callable[[Tensor], Result], x: Tensor, maps: Tensor | Mapping[str, Tensor], seed: int = 0
) -> dict[str, Result]:
    """What a metric gives for maps, and for the controls of the same images: name -> result, the maps first.

        beside_controls(lambda map: deletion(score, x, map).auc, x, map)

    metric: a map -> anything. x: the images [N, C, H, W]. maps: one, which is called "map", or several by name.
    seed: of the random map. Raises ValueError for a map that is called as a control.
    """
    named = {"map": maps} if isinstance(maps, Tensor) else dict(maps)
    if taken := named.keys() & CONTROLS.keys():
        raise ValueError(f"a map is called {min(taken)!r}, as a control is: give it another name")
    return {name: metric(map) for name, map in (named | {n: c(x, seed) for n, c in CONTROLS.items()}).items()}
