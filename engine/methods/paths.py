"""Which inputs a method walks instead of the image alone, as plain functions that TorchScript takes as they are.

    (x, reference, options, begin, end) -> points, origins

x: the images [N, C, H, W]. reference: [R, C, H, W], what a path begins at. Steps begin..end of the path give
points [M, N, C, H, W], and where those of a line come from, origins [M, 1 or N, C, H, W].
What is random is a function of step and pixel, not of a generator's state: it is the same in Python and in C++,
for every image of a batch, and however the steps are split into batches.
"""

import math

import torch
from torch import Tensor


def noisy_copies(
    x: Tensor, reference: Tensor, options: dict[str, float], begin: int, end: int
) -> tuple[Tensor, Tensor]:
    """x + normal noise, with the share `spread` of an image's range, largest less smallest, as its deviation."""
    low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
    deviation = (options["spread"] * (high - low)).view(1, -1, 1, 1, 1)
    drawn = standard_normal(begin, end, x[0].numel()).to(x.device, x.dtype)
    points = x[None] + deviation * drawn.view(end - begin, 1, x.shape[1], x.shape[2], x.shape[3])
    return points, x[None]


def straight_line(
    x: Tensor, reference: Tensor, options: dict[str, float], begin: int, end: int
) -> tuple[Tensor, Tensor]:
    """The midpoints of equal parts of the line from the reference, of each image or one for all, to the image."""
    share = (torch.arange(begin, end, dtype=torch.float64) + 0.5) / options["steps"]
    share = share.to(x.device, x.dtype).view(-1, 1, 1, 1, 1)
    return reference + share * (x - reference), reference[None]


def references(
    x: Tensor, reference: Tensor, options: dict[str, float], begin: int, end: int
) -> tuple[Tensor, Tensor]:
    """A point somewhere on the line from a reference to the image: each reference in turn, the place by chance."""
    share = uniform_numbers(begin, end, 1, 0).to(x.device, x.dtype).view(-1, 1, 1, 1, 1)
    origins = reference[torch.arange(begin, end, device=x.device).remainder(reference.shape[0])][:, None]
    return origins + share * (x[None] - origins), origins


def uniform_numbers(begin: int, end: int, count: int, stream: int) -> Tensor:
    """Numbers between 0 and 1, float64 [end - begin, count], made of step, place and stream by counting."""
    drawn = random_bits(begin, end, count, stream)
    return ((drawn >> 11 & 9007199254740991).to(torch.float64) + 0.5) / 9007199254740992.0


def standard_normal(begin: int, end: int, count: int) -> Tensor:
    """Standard normal numbers, float32 [end - begin, count], after Box and Muller: the halves of 64 bits are a
    radius and an angle, of which cosine and sine are a number each."""
    drawn = random_bits(begin, end, (count + 1) // 2, 1)
    radius = ((drawn & 4294967295).to(torch.float32) + 0.5) / 4294967296.0
    radius = radius.log_().mul_(-2.0).sqrt_()
    angle = (drawn >> 32 & 4294967295).to(torch.float32).mul_(2 * math.pi / 4294967296.0)
    return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)], 1)[:, :count]


def random_bits(begin: int, end: int, count: int, stream: int) -> Tensor:
    """Bits that look random, int64 [end - begin, count], made of step, place and stream by counting.

    A counter is scattered by the finaliser of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195),
    with a step's own scattered number as the seed of its places.
    """
    steps = scattered_bits(torch.arange(begin, end, dtype=torch.int64) * 4 + stream)
    places = torch.arange(count, dtype=torch.int64) * -7046029254386353131
    return scattered_bits(steps[:, None] + places[None, :])


def scattered_bits(counter: Tensor) -> Tensor:
    """An int64 whose bits look independent of its neighbours'. >> keeps the sign, so the rest is masked."""
    z = (counter * -7046029254386353131).add_(-7046029254386353131)
    z.bitwise_xor_((z >> 30).bitwise_and_(17179869183)).mul_(-4658895280553007687)
    z.bitwise_xor_((z >> 27).bitwise_and_(137438953471)).mul_(-7723592293110705685)
    return z.bitwise_xor_((z >> 31).bitwise_and_(8589934591))
