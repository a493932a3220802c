"""What the units of one axis see of the input, and how that grows through windows: exact, in whole pixels.

A convolution's units all see alike, each a stride further: Araujo et al. 2019, "Computing Receptive Fields of
Convolutional Neural Networks". Behind an upsampling they take turns: neighbours are copies of the same unit, or of
two. So what is kept is one interval for each unit of a period, and how many pixels on the next period begins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd, inf, lcm


@dataclass(frozen=True)
class Reach:
    """Unit r + len(low) * m sees the pixels low[r] + step * m .. high[r] + step * m, the last not included.

    Pixels before 0 and behind the input's end are padding. Where a unit sees nothing low is inf and high -inf.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    step: int

    @property
    def rate(self) -> Fraction:
        """Pixels from a unit to the next one, in the mean."""
        return Fraction(self.step, len(self.low))

    def at(self, unit: int) -> tuple[float, float]:
        """What a unit sees, be it inside of the axis or beside it."""
        turns, r = divmod(unit, len(self.low))
        return self.low[r] + turns * self.step, self.high[r] + turns * self.step


PIXELS = Reach((0,), (1,), 1)  # of the input itself


@dataclass(frozen=True)
class Windows:
    """Which units of an axis an op reads: result r + len(taps) * m reads the units taps[r] + step * m."""

    taps: tuple[Sequence[int], ...]
    step: int


def through(reach: Reach, windows: Windows) -> Reach:
    """What the results of an op see: all that the units that they read do."""
    period = len(reach.low)
    turns = period // gcd(windows.step, period)  # after which what is read begins anew too
    seen = [
        [reach.at(tap + turn * windows.step) for tap in taps] for turn in range(turns) for taps in windows.taps
    ]
    low = tuple(min((one for one, _ in units), default=inf) for units in seen)
    high = tuple(max((one for _, one in units), default=-inf) for units in seen)
    return Reach(low, high, reach.step * turns * windows.step // period)


def joined(a: Reach, b: Reach, length: int) -> Reach:
    """What units see that read both: one interval around the two. length: of the axis.

    Grids that drift apart, as where 7 units were halved to 3 and stretched to 7 again, have no common period: each
    unit is told by itself then, and those beside the axis go on as a whole axis further.
    """
    units = lcm(len(a.low), len(b.low)) if a.rate == b.rate else length
    pairs = [(a.at(unit), b.at(unit)) for unit in range(units)]
    step = round(a.rate * units)
    return Reach(tuple(min(p[0], q[0]) for p, q in pairs), tuple(max(p[1], q[1]) for p, q in pairs), step)


def sliding(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Windows:
    """Of a convolution or a pooling."""
    return Windows((range(-padding, -padding + dilation * (kernel - 1) + 1, dilation),), stride)


def spread(kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """Of a transposed convolution: unit u is added to the results u * stride - padding + dilation * t."""
    taps = [
        [
            (r + padding - dilation * t) // stride
            for t in range(kernel)
            if (r + padding - dilation * t) % stride == 0
        ]
        for r in range(stride)
    ]
    return Windows(tuple(taps), 1)


def moved(offset: int, step: int = 1) -> Windows:
    """Of a slice, a pad or a roll: result i is unit offset + step * i."""
    return Windows(((offset,),), step)


def binned(units: int, results: int) -> Windows:
    """Of an adaptive pooling, and of a mean over all, which has one result."""
    period = results // gcd(units, results)
    taps = [range(i * units // results, -(-(i + 1) * units // results)) for i in range(period)]
    return Windows(tuple(taps), period * units // results)


def mixed(size: int, stride: int) -> Windows:
    """Of an op that mixes units whose places differ in one factor of an axis: `size` units, each `stride` apart,
    as attention in a window does."""
    return Windows(tuple(range(r % stride, size * stride, stride) for r in range(size * stride)), size * stride)


def nearest(scale: Fraction, exact: bool = False) -> Windows:
    """Of repeating pixels; scale: units for each result."""
    return _sampled(scale, lambda i: [floor((i + Fraction(exact, 2)) * scale)])


def interpolated(scale: Fraction, around: int, aligned: bool, antialias: bool = False) -> Windows:
    """Of an interpolation that reads `around` units on each side, 1 (linear) or 2 (cubic).

    aligned: do the centres of the corner units stay where they are?
    """

    def taps(i: int) -> Sequence[int]:
        centre = (i + Fraction(1, 2)) * scale
        if antialias:
            reach = around * max(scale, Fraction(1))
            # Those whose centres lie nearer than that: at the ends the weight is zero.
            return range(floor(centre - reach - Fraction(1, 2)) + 1, ceil(centre + reach - Fraction(1, 2)))
        place = i * scale if aligned else centre - Fraction(1, 2)
        if place == floor(place):  # it lies on a unit, and all others have no weight
            return [floor(place)]
        return range(floor(place) - around + 1, floor(place) + around + 1)

    return _sampled(scale, taps)


def _sampled(scale: Fraction, taps: Callable[[int], Sequence[int]]) -> Windows:
    return Windows(tuple(taps(i) for i in range(scale.denominator)), scale.numerator)
