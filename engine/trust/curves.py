"""What becomes of a score while the pixels that a map marks are taken away, or given back.

Only the order of the map's values matters, neither their size nor their sign. What stands in the place of a pixel
decides as much as the map does: grey or black squares are images that no network has seen, and a curve that
falls may fall for that. So a curve says nothing alone; it is read beside those of the controls
(`beside_controls`), of the same image and the same baseline. Deletion and insertion contradict each other on the
same maps. Where a path method begins at the baseline that deletion paints with, its good curve is a tautology in
part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .maps import Score, check_images, places, plane, score_of, scored

Baseline = float | Literal["blur"] | Tensor
STEPS, AT_ONCE = 12, 16
KERNEL, DEVIATION = 11, 5.0  # of the blur that insertion begins at, in pixels: Petsiuk et al. 2018


@dataclass(frozen=True, eq=False)
class Curve:
    """A score while more and more of an image is changed.

    values: float64 [N, K + 1], the first of the images as they begin. shares: float64 [K + 1], how much of the
    pixels is changed by then, 0..1. whole: float64 [N], the score of the images themselves.
    """

    values: Tensor
    shares: Tensor
    whole: Tensor

    @property
    def auc(self) -> Tensor:
        """The area under each curve by trapezoids over the share, [N]: as large as a score is, 0..1 for a
        probability."""
        return torch.trapezoid(self.values, self.shares, dim=1)

    @property
    def relative_auc(self) -> Tensor:
        """The area over the score of the whole image, [N]: comparable between images that a network is more and
        less sure of. NaN where that score is zero; of no meaning for scores of either sign, as logits are."""
        return torch.where(self.whole == 0, torch.nan, self.auc / self.whole)


def deletion(
    score: Score | Sequence[Score],
    x: Tensor,
    map: Tensor,
    baseline: Baseline = 0.0,
    steps: int = STEPS,
    at_once: int = AT_ONCE,
) -> Curve:
    """Pixels are taken away, those with the largest values first: the lower the curve, the more the score hung on
    what the map marks. Petsiuk et al. 2018 (RISE), arXiv:1806.07421; on what it can't tell, Gomez et al. 2022,
    arXiv:2201.13291.

    score: images [M, C, H, W] -> [M], a probability in the paper; one for all images, or one for each.
    x: [N, C, H, W]. map: [N, H, W] or [N, C, H, W], see `maps.plane`; ties fall as one reads.
    baseline: what a pixel becomes, in the network's own units: a number (0 is the mean colour where the input is
    normalised), "blur", or images like x. steps: equal parts of the pixels, 1 to H·W. at_once: images of a batch.
    Of x = 1 everywhere, map (.4 .3 / .2 .1) and the map's own sum as the score, in 4 steps: 1 .6 .3 .1 0, area
    .375. Raises ValueError for what does not fit.
    """
    empty = _painted(x, baseline)
    return _walk(score, x, x, empty, map, _parts(x, steps), at_once)


def insertion(
    score: Score | Sequence[Score],
    x: Tensor,
    map: Tensor,
    baseline: Baseline = "blur",
    steps: int = STEPS,
    at_once: int = AT_ONCE,
) -> Curve:
    """Pixels are given back, those with the largest values first: the higher the curve, the more the map's own
    pixels suffice. A Sobel filter does well in it, for edges are what a blur takes. Petsiuk et al. 2018 (RISE),
    arXiv:1806.07421.

    The arguments are those of `deletion`; the baseline is where the curve begins.
    """
    return _walk(score, x, _painted(x, baseline), x, map, _parts(x, steps), at_once)


def pixel_flipping(
    score: Score | Sequence[Score],
    x: Tensor,
    map: Tensor,
    baseline: Baseline = 0.0,
    pixels: int = 1,
    at_once: int = AT_ONCE,
) -> Curve:
    """Deletion, so many pixels at each step: Bach et al. 2015, doi:10.1371/journal.pone.0130140; Samek et al.
    2017, arXiv:1509.06321. A pixel goes with all of its colours, and the curve begins with the image as it is.

    pixels: of each step; one of a photo 224 × 224 takes 50177 passes, so take more. Otherwise as `deletion`.
    """
    check_images(x)
    total = int(x.shape[2] * x.shape[3])
    if not 1 <= pixels <= total:
        raise ValueError(f"pixels is {pixels}: a step takes 1 to {total} pixels of such an image")
    counts = [*range(0, total, pixels), total]
    return _walk(score, x, x, _painted(x, baseline), map, counts, at_once)


def blurred(x: Tensor, kernel: int = KERNEL, deviation: float = DEVIATION) -> Tensor:
    """The images [N, C, H, W] under a Gaussian of so many pixels, mirrored at the edge: what insertion begins at.
    Of images smaller than that it is as wide as mirrors reach."""
    from torchvision.transforms.functional import gaussian_blur

    sides = [min(kernel, 2 * int(length) - 1) for length in (x.shape[3], x.shape[2])]
    return gaussian_blur(x, sides, [deviation, deviation])  # type: ignore[no-any-return]


def _painted(x: Tensor, baseline: Baseline) -> Tensor:
    """What the images become when all of their pixels are changed."""
    check_images(x)
    if isinstance(baseline, Tensor):
        if (
            baseline.shape[-3:] != x.shape[1:]
            or baseline.ndim > 4
            or baseline.shape[:-3].numel() not in (1, len(x))
        ):
            raise ValueError(f"baseline is {list(baseline.shape)}, the images are {list(x.shape)}")
        return baseline.to(x).expand_as(x)
    if isinstance(baseline, str):
        if baseline != "blur":
            raise ValueError(f'baseline is {baseline!r}: it is "blur", a number or images like x')
        return blurred(x)
    return torch.full_like(x, float(baseline))


def _parts(x: Tensor, steps: int) -> list[int]:
    """How many pixels are changed by each step: equal parts, rounded."""
    total = int(x.shape[2] * x.shape[3])
    if not 1 <= steps <= total:
        raise ValueError(f"steps is {steps}: such an image has 1 to {total} parts")
    return [(2 * total * step + steps) // (2 * steps) for step in range(steps + 1)]


def _walk(
    score: Score | Sequence[Score],
    x: Tensor,
    before: Tensor,
    after: Tensor,
    map: Tensor,
    counts: Sequence[int],
    at_once: int,
) -> Curve:
    """The scores of the images `before` with so many pixels, in the order of the map, of the images `after`."""
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}: a batch has at least one image")
    place, total = places(plane(map, x)), x[0, 0].numel()

    def rows(image: int) -> Iterator[Tensor]:
        for count in counts:
            yield torch.where(place[image] < count, after[image], before[image])

    # One score for all images fills its batches over their borders; of one for each, each has its own.
    if callable(score):
        every = (row for image in range(len(x)) for row in rows(image))
        values = scored(score, every, at_once).view(len(x), -1)
    else:
        values = torch.stack([scored(score_of(score, i, len(x)), rows(i), at_once) for i in range(len(x))])
    whole = values[:, 0 if before is x else -1]
    return Curve(values, torch.tensor(counts, dtype=torch.float64) / total, whole)
