"""A metric over a data set, a batch at a time, with its controls and how sure its mean is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .controls import beside_controls

DRAWS, SURE = 2000, 0.95


@dataclass(frozen=True)
class Summary:
    """mean: over the images. low, high: between which it lies with the chance `sure`, by bootstrap over the
    images; NaN of one image. count: the images that have a value; unmeasured: those that have none, as a constant
    map has no order."""

    mean: float
    low: float
    high: float
    count: int
    unmeasured: int = 0


class OverImages:
    """A metric over a data set: `update` with a batch, `summary` at any time, `reset` to begin anew.

        over = OverImages(lambda map, score, x: deletion(score, x, map).auc)
        for x, map in batches:
            over.update(x, map, score, x)
        over.summary()["map"].mean

    metric: (map, *asked) -> [N], a number for each image.
    """

    def __init__(self, metric: Callable[..., Tensor]) -> None:
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._values: dict[str, list[Tensor]] = {}
        self._images = 0

    def update(self, x: Tensor, maps: Tensor | Mapping[str, Tensor], *asked: Any) -> None:
        """Measure the maps of images [N, C, H, W], and their controls; see `beside_controls`. asked: what the
        metric takes beside a map. Raises ValueError where maps have other names than before."""
        found = beside_controls(lambda map: self.metric(map, *asked), x, maps, self._images)
        if self._values and found.keys() != self._values.keys():
            raise ValueError(f"maps are {', '.join(found)}, and were {', '.join(self._values)}: reset() forgets")
        for name, values in found.items():
            if list(values.shape) != [len(x)]:
                raise ValueError(
                    f"the metric gives {list(values.shape)} for {len(x)} images: it is one number for each, [N]"
                )
            self._values.setdefault(name, []).append(values.detach().double().cpu())
        self._images += len(x)

    def values(self) -> dict[str, Tensor]:
        """All that was measured, by the name of each map and control, float64 [images]."""
        return {name: torch.cat(found) for name, found in self._values.items()}

    def summary(self, sure: float = SURE, seed: int = 0) -> dict[str, Summary]:
        """Mean and interval of each map and control. Raises ValueError before the first image."""
        if not self._values:
            raise ValueError("nothing was measured yet: update(x, maps) takes a batch")
        return {name: summarised(values, sure, seed) for name, values in self.values().items()}


def summarised(values: Tensor, sure: float = SURE, seed: int = 0) -> Summary:
    """The mean of numbers [N] with the interval that the means of as many drawn from them, again and again, lie
    in: Efron's bootstrap by percentiles, 1979, doi:10.1214/aos/1176344552. Of few images it is too narrow."""
    if not 0 < sure < 1:
        raise ValueError(f"sure is {sure}: it is a chance, between 0 and 1")
    known = values[values.isfinite()].double()
    missing = len(values) - len(known)
    if not len(known):
        return Summary(torch.nan, torch.nan, torch.nan, 0, missing)
    if len(known) == 1:
        return Summary(float(known), torch.nan, torch.nan, 1, missing)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(known), (DRAWS, len(known)), generator=generator)
    ends = torch.tensor([(1 - sure) / 2, (1 + sure) / 2], dtype=torch.float64)
    low, high = known[drawn].mean(1).quantile(ends).tolist()
    return Summary(float(known.mean()), low, high, len(known), missing)
