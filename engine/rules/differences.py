"""DeepLIFT's rules: differences from a baseline in the place of slopes. Shrikumar et al. 2017, arXiv:1704.02685.

Each image goes through the network in one batch with its baseline, which stands mirrored: image i has its own at
N - 1 - i. So the difference of a value from that at the baseline is x - flip(x), and no other pass has to be kept.
What is carried back is m, by which differences are multiplied; its sum with those of the image is what the score
gained:

    activation    m_x = m_y (y - y') / (x - x')      the rescale rule; the derivative where x is x'
    max pooling   what y gained goes to the pixel that won it, x's or x''s, over the difference there
    product       m_a = m_y (b + b') / 2             ab - a'b' = (a - a')(b + b')/2 + (b - b')(a + a')/2

Calls that are linear keep their derivative, and so do all others, whose share in the difference is told by what is
missing in the sum.
"""

from typing import Any

from .policy import Call
from .registry import aten

STILL = 1e-10  # a difference that is none, in the units of the value: that of the authors' own code
Shares = tuple[Any, ...]


def rescaled(call: Call, ct: Any, y: Any, *args: Any) -> Shares:
    """The rescale rule, of a function of each number by itself."""
    shares = call(ct, y, *args)
    if [place for place, active in enumerate(call.active) if active] != [0]:
        return shares
    x = args[0]
    return _over(ct * (y - _baseline(call, y)), x - _baseline(call, x), shares[0]), *shares[1:]


def rescaled_pool(call: Call, ct: Any, y: Any, x: Any, *args: Any) -> Shares:
    """Of a max pooling: where the image's value is larger its winner has what was gained, else the baseline's."""
    best, gone = y[0], _baseline(call, y[0])
    larger = aten.maximum(best, gone)
    (by_image,) = call((ct[0] * (larger - gone), None), y, x, *args)
    (by_baseline,) = call((aten.flip(ct[0] * (best - larger), [0]), None), y, x, *args)
    (slope,) = call(ct, y, x, *args)
    return (_over(by_image + aten.flip(by_baseline, [0]), x - _baseline(call, x), slope),)


def averaged(call: Call, ct: Any, y: Any, *args: Any) -> Shares:
    """Of a product of two values that both change with the image, the derivative between image and baseline."""
    if call.active[:2] != (True, True) or call.op not in (aten.mul, aten.matmul, aten.bmm):
        return call(ct, y, *args)
    left, right = ((value + _baseline(call, value)) * 0.5 for value in args[:2])
    return call(ct, y, left, right, *args[2:])


def _over(gained: Any, difference: Any, slope: Any) -> Any:
    """What was gained over the difference; the slope where there is none."""
    still = aten.le(aten.abs(difference), STILL)
    return aten.where(still, slope, gained / aten.where(still, aten.ones_like(difference), difference))


def _baseline(call: Call, value: Any) -> Any:
    """The value at the baseline. Raises NotImplementedError where the first axis is not the images'."""
    length = value.shape[0]
    if isinstance(length, int) or not length.node.expr.is_Symbol:
        raise NotImplementedError(
            f"a difference from a baseline at aten.{call.op.__name__}, whose first axis is not the images'"
        )
    return aten.flip(value, [0])
