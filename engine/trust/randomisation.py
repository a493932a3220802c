"""What is left of a map while a network's weights are redrawn, from the top down, and without the map's own noise.

A map that stays the same explains the photo and no network. How alike two maps are hangs on how they are compared:
edges that every network shows keep SSIM high, and noise that no network means keeps every number low.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..methods.paths import standard_normal
from ..run.explainer import Explainer
from .agreement import spearman
from .maps import check_images

Similarity = Callable[[Tensor, Tensor], Tensor]


def cascade(
    explain: Callable[[Explainer], Tensor],
    explainer: Explainer,
    parts: Sequence[str] | None = None,
    similarity: Similarity = spearman,
    seed: int = 0,
) -> dict[str, Tensor]:
    """How far a map stays the same while one part of its network after the other is redrawn, from the top down:
    the name of the part that came last -> similarity [N]. Adebayo et al. 2018, arXiv:1810.03292.

        cascade(lambda network: network.explain(x, network.one_hot(281), "guided_backprop"), explainer)

    explain: an explainer -> maps [N, …], of the same images and the same classes. parts: names of modules, the top
    first, see `Explainer.weighted`; None for each of them. similarity: of two maps, such as `spearman`, `ssim`.
    Raises ValueError for names that have no weights.
    """
    before, found, redrawn = explain(explainer), dict[str, Tensor](), list[str]()
    for part in explainer.weighted[::-1] if parts is None else parts:
        redrawn.append(part)
        found[part] = similarity(before, explain(explainer.randomised(redrawn, seed)))
    return found


def denoised(
    explain: Callable[[Tensor], Tensor], x: Tensor, draws: int = 50, spread: float = 0.15, seed: int = 0
) -> Tensor:
    """The mean map of so many noisy copies of each image, which sMPRT compares in the place of the map itself:
    what a single map has by chance is in neither then. Hedström et al. 2024, arXiv:2401.06465.

        similarity(denoised(explain, x), denoised(explain_randomised, x))

    explain: images [N, C, H, W] -> maps [N, …]. spread: of the normal noise, as a share of each image's range.
    """
    check_images(x)
    if draws < 1 or not spread >= 0:
        raise ValueError(f"draws is {draws} and spread {spread}: one is above 0, the other at least 0")
    size = spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    total = None
    for draw in range(draws):
        noise = standard_normal(seed + draw, seed + draw + 1, x[0].numel()).view(1, *x.shape[1:])
        found = explain(x + size * noise.to(x)).double()
        total = found if total is None else total + found
    assert total is not None
    return total / draws
