"""Boxes drawn around maps, held against boxes that people drew: weakly supervised localisation.

What a box is like hangs on the threshold more than on the method, so MaxBoxAcc is asked at every threshold and
takes the best one of the whole data set: Choe et al. 2020, arXiv:2001.07437. That is a bound, not what a user
gets: a threshold must be chosen on other images than those that it is judged on.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..pictures.boxes import Box, boxes_of, iou
from .controls import beside_controls
from .maps import plane

OVERLAPS = (0.3, 0.5, 0.7)
THRESHOLDS = tuple(number / 100 for number in range(100))


def box_iou(map: Tensor, boxes: Sequence[Sequence[Box]], threshold: float = 0.2) -> Tensor:
    """How far the box around the largest part of each map that reaches threshold * maximum is one of those that
    people drew: intersection over union with the best of them, [N], 0..1; 0 where nothing is positive.

    map: [N, H, W] or [N, C, H, W]. boxes: for each image at least one, in pixels of the map.
    """
    values = _checked(map, boxes)
    return torch.tensor(
        [_best(boxes_of(one.cpu().numpy(), threshold), own) for one, own in zip(values, boxes, strict=True)],
        dtype=torch.float64,
    )


class MaxBoxAcc:
    """MaxBoxAcc over a data set, of maps and of their controls: `update`, `summary`, `reset`.

    several: the second version, as its authors call it: of all connected parts the box that fits best counts, and
    the mean over the overlaps .3, .5 and .7 is told. Else the first: the largest part alone, at an overlap of .5.
    thresholds: shares of a map's maximum, 0..1.
    """

    def __init__(self, several: bool = False, thresholds: Sequence[float] = THRESHOLDS) -> None:
        if not thresholds:
            raise ValueError("thresholds are none: give shares of a map's maximum, 0..1")
        self.several, self.thresholds = several, tuple(thresholds)
        self.overlaps = OVERLAPS if several else (0.5,)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._hits: dict[str, Tensor] = {}  # by name, [thresholds, overlaps]
        self.count = 0

    def update(self, x: Tensor, maps: Tensor | Mapping[str, Tensor], boxes: Sequence[Sequence[Box]]) -> None:
        """Take the maps of images [N, C, H, W], see `beside_controls`, and the boxes that people drew, for each
        image at least one, in pixels of the maps."""
        for name, hits in beside_controls(lambda map: self._found(map, boxes), x, maps, self.count).items():
            self._hits[name] = self._hits.get(name, torch.zeros_like(hits)) + hits
        self.count += len(x)

    def summary(self) -> dict[str, float]:
        """By name, the share of images whose box fits, at the threshold that is best for the whole data set; the
        mean of that over the overlaps. Raises ValueError before the first image."""
        if not self.count:
            raise ValueError("nothing was measured yet: update(x, maps, boxes) takes a batch")
        return {name: float(hits.amax(0).mean()) / self.count for name, hits in self._hits.items()}

    def best_thresholds(self) -> dict[str, list[float]]:
        """By name, the threshold that is best for each overlap; the lowest of equal ones."""
        return {n: [self.thresholds[i] for i in hits.argmax(0).tolist()] for n, hits in self._hits.items()}

    def _found(self, map: Tensor, boxes: Sequence[Sequence[Box]]) -> Tensor:
        """How many images' boxes fit, [thresholds, overlaps]."""
        least = torch.tensor(self.overlaps, dtype=torch.float64)
        hits = torch.zeros(len(self.thresholds), len(self.overlaps), dtype=torch.float64)
        for one, own in zip(_checked(map, boxes), boxes, strict=True):
            values = one.cpu().numpy()
            for number, threshold in enumerate(self.thresholds):
                hits[number] += _best(boxes_of(values, threshold, self.several, 0.0), own) >= least
        return hits


def _checked(map: Tensor, boxes: Sequence[Sequence[Box]]) -> Tensor:
    values = plane(map)
    if len(boxes) != len(values) or not all(boxes):
        drawn = sum(len(own) > 0 for own in boxes)
        raise ValueError(
            f"{drawn} of {len(boxes)} images have boxes, for {len(values)} maps: give each at least one"
        )
    return values


def _best(found: Sequence[Box], wanted: Sequence[Box]) -> float:
    return max((iou(a, b) for a in found for b in wanted), default=0.0)
