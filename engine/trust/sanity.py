"""What a map owes to its score, to its class, to the weights and to small changes of the image.

Each asks one thing that a good map should do, and none is enough: a map that passes may still mislead.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .agreement import histogram_entropy, spearman
from .maps import Score, check_images, scored


def completeness(map: Tensor, score: Tensor, reference: Tensor | float = 0.0) -> Tensor:
    """The share of what the score gained since a reference that a map's values don't make up, [N]: 0 where their
    sum is score - reference. Sundararajan et al. 2017, arXiv:1703.01365. NaN where nothing was gained.

    map: [N, …], all values of an image count. score: [N], of the images; reference: [N] or a number, of what the
    path began at. Input times gradient of the network in T1's test: 0.
    """
    gained = (score - reference).double()
    if list(score.shape) != [len(map)]:
        raise ValueError(f"score is {list(score.shape)} for {len(map)} maps: it is one number for each, [N]")
    missing = (map.double().flatten(1).sum(1).to(gained.device) - gained).abs()
    return torch.where(gained == 0, torch.nan, missing / gained.abs())


def runner_up(logits: Tensor, target: Tensor) -> Tensor:
    """The class with the largest logit but for the target, int64 [N]; of equal ones the first.

    logits: [N, K], K at least 2. target: int64 [N].
    """
    if logits.ndim != 2 or logits.shape[1] < 2 or list(target.shape) != [len(logits)]:
        raise ValueError(
            f"logits are {list(logits.shape)}, targets {list(target.shape)}: give [N, K] with two classes, and [N]"
        )
    others = logits.scatter(1, target[:, None].to(logits.device), -torch.inf)
    return others.argsort(dim=1, descending=True, stable=True)[:, 0]


def class_contrast(map: Tensor, other: Tensor) -> Tensor:
    """How far the map of another class, as the runner-up, is another one, [N]: 1 - Spearman's correlation. 0 of a
    map that does not know its class, as deconvnet's; about 1 where they have nothing in common, up to 2 where what
    speaks for one class speaks against the other. Maps as in `spearman`."""
    return 1 - spearman(map, other)


def entropy_rise(map: Tensor, randomised: Tensor) -> Tensor:
    """eMPRT: by how much of itself the entropy of a map's histogram rises when all weights of the network are
    redrawn, [N]; below zero where it falls. NaN where the map is constant. Hedström et al. 2024, arXiv:2401.06465.

    map: of the network. randomised: of the one with other weights, same image and class.
    """
    before, after = histogram_entropy(map), histogram_entropy(randomised)
    return torch.where(before > 0, (after - before) / before, torch.nan)


def infidelity(score: Score, x: Tensor, map: Tensor, changes: Tensor, at_once: int = 16) -> Tensor:
    """The mean square of what a map foretells of a change less what the score does, [N]: of (I·map - (f(x) -
    f(x - I)))². Yeh et al. 2019, arXiv:1901.09392, without their scaling.

    map: [N, C, H, W], like a gradient; a map that is a share of the score, as input times gradient, foretells
    only changes from the image to a baseline, and is divided by them first. changes: I, [K, C, H, W], the same
    for all images. Of T1, with 5 at (1, 1): its gradient 1, its input times gradient 441.
    """
    check_images(x)
    if map.shape != x.shape or changes.ndim != 4 or changes.shape[1:] != x.shape[1:] or not len(changes):
        raise ValueError(
            f"map is {list(map.shape)}, changes {list(changes.shape)}: for images {list(x.shape)} the map has "
            "their shape, and changes are [K, C, H, W]"
        )
    changes = changes.to(x)
    foretold = torch.einsum("nchw,kchw->nk", map.to(x).double(), changes.double()).cpu()
    rows = (image - change for image in x for change in changes)
    fell = scored(score, x, at_once)[:, None] - scored(score, rows, at_once).view(len(x), len(changes))
    return (foretold - fell).square().mean(1)


def max_sensitivity(
    explain: Callable[[Tensor], Tensor],
    x: Tensor,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
    changes: Tensor | None = None,
) -> Tensor:
    """How far a map moves at most when the image does by up to `radius` at each value, [N]: the largest
    |E(x + d) - E(x)| / |E(x)| over draws of d, uniform. Yeh et al. 2019, arXiv:1901.09392. NaN of a map that is
    zero. It cannot tell explanations from noise that is always the same: arXiv:2412.10942.

    explain: images [N, C, H, W] -> maps [N, …]. radius: in the network's own units. changes: those to try in the
    place of drawn ones, [K, C, H, W]. Of T1's gradient, with 1 added everywhere: 1.
    """
    check_images(x)
    if draws < 1 or not radius > 0:
        raise ValueError(f"draws is {draws} and radius {radius}: both are above 0")
    generator = torch.Generator().manual_seed(seed)
    before = explain(x).double().flatten(1)
    moved = torch.zeros(len(x), dtype=torch.float64, device=before.device)
    for draw in range(draws if changes is None else len(changes)):
        step = (2 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 1) * radius
        step = step if changes is None else changes[draw].expand_as(x)
        after = explain(x + step.to(x)).double().flatten(1)
        moved = torch.maximum(moved, (after - before).norm(dim=1))
    size = before.norm(dim=1)
    return torch.where(size > 0, moved / size, torch.nan)
