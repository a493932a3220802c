"""What is left of a score where a map is laid over its image as a mask."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .curves import AT_ONCE
from .maps import Score, check_images, plane, score_of, scored


def average_drop(
    score: Score | Sequence[Score], x: Tensor, map: Tensor, at_once: int = AT_ONCE
) -> tuple[Tensor, Tensor]:
    """What share of the score is lost where the image is multiplied by its map, 0..1, and whether it rose instead,
    1 or 0, [N] both: their means over a data set are average drop and increase. Chattopadhay et al. 2018,
    arXiv:1710.11063.

    The map is scaled to 0..1 by its own least and largest value, and multiplies the network's input, so that what
    it hides becomes the mean colour. So a map that is one everywhere loses nothing: the numbers measure how large
    a map is, and a sharp one of pixels looks as bad as a random one. A constant map, which has no scale, hides
    all.
    score, x, map: as in `deletion`. Of x = 1 everywhere, the map (.4 .3 / .2 .1) and the sum as the score the drop
    is 1/2. NaN where the score is zero.
    """
    check_images(x)
    values = plane(map, x)
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    mask = torch.where(high > low, (values - low) / (high - low), 0)[:, None].to(x)
    pairs = torch.stack([x, x * mask], 1)
    found = torch.stack([scored(score_of(score, i, len(x)), iter(pairs[i]), at_once) for i in range(len(x))])
    before, after = found.unbind(1)
    drop = torch.where(before == 0, torch.nan, (before - after).clamp(min=0) / before)
    return drop, (after > before).double()
