"""Relevance through linear maps with weights: how a unit's relevance is shared out among what it was made of.

Layer-wise relevance propagation, Bach et al. 2015, doi:10.1371/journal.pone.0130140, in the notation of Montavon
et al. 2019, doi:10.1007/978-3-030-28954-6_10. With z = W x + b the unit's value and R its relevance, every rule
has a z' and weights W' of its own, and one form:

    R_in = x · W'ᵀ (R / z')

so that the sum of the relevance stays what it was, up to what falls on a bias and on the stabiliser of z'.

A rule stands for the op's own: (call, R, y, input, weight, bias, *steps) -> shares, see `policy.Call`. It is an
ordinary function on tensors, and never asks which convolution it is in: `call.op` is one forwards, `call` the way
back. Nothing here reads the op's output where another z' is computed anyway.
"""

from dataclasses import dataclass
from typing import Any

from .policy import Call
from .registry import aten

EPSILON = 1e-6  # as a share of the size of the values that are stabilised
LEAST = 1e-20  # where all of them are zero
Shares = tuple[Any, ...]


def size_of(z):
    """The root mean square of an image's values, or of a token's. Below four axes the batch need not be the first
    one, so that each vector along the last axis has a size of its own: images of a batch must not mix."""
    axes = list(range(1, len(z.shape))) if len(z.shape) > 3 else [-1]
    return aten.sqrt(aten.mean(z * z, axes, True))


def stabilised(z, sign=0):
    """z, moved away from zero by `EPSILON` of its size, as a divisor. An absolute stabiliser would take all
    relevance where activations are tiny. sign: 1 where z is known never to lie below zero, -1 never above."""
    step = size_of(z) * EPSILON + LEAST
    if sign:
        return z + step * sign
    return aten.where(aten.lt(z, 0), z - step, z + step)


def refuse_active_weights(call: Call) -> None:
    """Raise NotImplementedError where a kernel changes with the image: then it is no weight, and has relevance."""
    if any(call.active[1:3]):
        raise NotImplementedError("relevance through a kernel that depends on the image")


def parts(call, input, weight, sign):
    """The products that make up the positive (sign 1) or the negative part (-1) of W x: values and kernels.

    W⁺ x⁺ and W⁻ x⁻, or W⁻ x⁺ and W⁺ x⁻. Behind a ReLU, where x⁻ is nothing, it is one product.
    """
    up, down = aten.clamp_min(weight, 0), aten.clamp_max(weight, 0)
    kernels = (up, down) if sign > 0 else (down, up)
    if call.nonnegative[:1] == (True,):
        return [(input, kernels[0])]
    return list(zip((aten.clamp_min(input, 0), aten.clamp_max(input, 0)), kernels, strict=True))


def total_of(call, pairs, bias, steps):
    """The sum of the products, and of a bias."""
    total = None
    for values, kernel in pairs:
        product = call.op(values, kernel, bias if total is None else None, *steps)
        total = product if total is None else total + product
    return total


def shared_out(call, ratio, y, pairs, steps):
    """x · Wᵀ ratio, summed over the products."""
    total = None
    for values, kernel in pairs:
        share = values * call(ratio, y, values, kernel, None, *steps)[0]
        total = share if total is None else total + share
    return total


@dataclass(frozen=True)
class Epsilon:
    """z' = z, W' = W: the input times the gradient of a linear map, by shares of its output."""

    def __call__(self, call: Call, relevance: Any, y: Any, input: Any, *rest: Any) -> Shares:
        """The share of the input."""
        refuse_active_weights(call)
        return input * call(relevance / stabilised(y), y, input, *rest)[0], None, None


@dataclass(frozen=True)
class ZPlus:
    """z' = W⁺ x⁺ + W⁻ x⁻ + b⁺: what spoke for a unit is answerable for it, alone. For inputs of any sign.

    bias: does b⁺ take its part? In excitation backprop, Zhang et al. 2016, arXiv:1608.00507, it takes none.
    """

    bias: bool = True

    def __call__(
        self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, bias: Any = None, *steps: Any
    ) -> Shares:
        """The share of the input."""
        refuse_active_weights(call)
        pairs = parts(call, input, weight, 1)
        offset = aten.clamp_min(bias, 0) if self.bias and bias is not None else None
        # What is left below zero is rounding.
        z = aten.relu(total_of(call, pairs, offset, steps))
        return shared_out(call, relevance / stabilised(z, 1), y, pairs, steps), None, None


@dataclass(frozen=True)
class AlphaBeta:
    """α times the relevance by what spoke for a unit, less β times that by what spoke against it; α - β = 1."""

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        """Raises ValueError where the two do not conserve relevance."""
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(f"alpha is {self.alpha:g} and beta {self.beta:g}: alpha - beta is one, and beta >= 0")

    def __call__(
        self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, bias: Any = None, *steps: Any
    ) -> Shares:
        """The share of the input."""
        refuse_active_weights(call)
        share = None
        for sign, factor, clamp in ((1, self.alpha, aten.clamp_min), (-1, -self.beta, aten.clamp_max)):
            if not factor:
                continue
            pairs = parts(call, input, weight, sign)
            z = total_of(call, pairs, None if bias is None else clamp(bias, 0), steps)
            own = shared_out(call, relevance * factor / stabilised(clamp(z, 0), sign), y, pairs, steps)
            share = own if share is None else share + own
        return share, None, None


@dataclass(frozen=True)
class Gamma:
    """What spoke for the sign that a unit has counts 1 + γ times: z' = z + γ z⁺ where z > 0, z + γ z⁻ where z < 0.

    Generalised from γ of Montavon et al. 2019 to inputs of any sign, as in Andéol et al. 2021, arXiv:2106.13498.
    """

    gamma: float

    def __call__(
        self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, bias: Any = None, *steps: Any
    ) -> Shares:
        """The share of the input."""
        refuse_active_weights(call)
        share = None
        for sign, clamp, there in ((1, aten.clamp_min, y > 0), (-1, aten.clamp_max, aten.lt(y, 0))):
            pairs = self.strengthened(call, input, weight, sign)
            offset = None if bias is None else bias + clamp(bias, 0) * self.gamma
            z = total_of(call, pairs, offset, steps)
            # z' has the sign of z, and is further away from zero.
            own = shared_out(call, relevance / stabilised(z) * there, y, pairs, steps)
            share = own if share is None else share + own
        return share, None, None

    def strengthened(self, call: Call, input: Any, weight: Any, sign: int) -> list[tuple[Any, Any]]:
        """Pairs of values and kernel, as `parts`, of W x and γ times one of its parts."""
        up, down = (weight + clamp(weight, 0) * self.gamma for clamp in (aten.clamp_min, aten.clamp_max))
        kernels = (up, down) if sign > 0 else (down, up)
        if call.nonnegative[:1] == (True,):
            return [(input, kernels[0])]
        return list(zip((aten.clamp_min(input, 0), aten.clamp_max(input, 0)), kernels, strict=True))


@dataclass(frozen=True)
class Flat:
    """x = 1, W' = 1, without a bias: alike to all that a unit sees, as for a first layer that looks at pixels."""

    def __call__(self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, *rest: Any) -> Shares:
        """The share of the input."""
        return _regardless(call, relevance, y, input, aten.ones_like(weight), rest)


@dataclass(frozen=True)
class WSquare:
    """x = 1, W' = W², without a bias: by the weights alone."""

    def __call__(self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, *rest: Any) -> Shares:
        """The share of the input."""
        return _regardless(call, relevance, y, input, weight * weight, rest)


def _regardless(call: Call, relevance: Any, y: Any, input: Any, weight: Any, rest: tuple[Any, ...]) -> Shares:
    """The share of the input by weights that never lie below zero, whatever the input is."""
    refuse_active_weights(call)
    steps = rest[1:]
    z = call.op(aten.ones_like(input), weight, None, *steps)
    return call(relevance / stabilised(z, 1), y, input, weight, None, *steps)[0], None, None


@dataclass(frozen=True)
class ZBox:
    """z' = W x - W⁺ l - W⁻ h, for inputs between l and h, as pixels are: Montavon et al. 2017,
    doi:10.1016/j.patcog.2016.11.008. R_in is x times its own weight less l and h times theirs."""

    def __call__(
        self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, bias: Any = None, *steps: Any
    ) -> Shares:
        """The share of the input."""
        refuse_active_weights(call)
        if call.bounds is None:
            raise NotImplementedError("z-B between unknown bounds: it is for what comes to the image first")
        low, high = call.bounds
        up, down = aten.clamp_min(weight, 0), aten.clamp_max(weight, 0)
        z = call.op(input, weight, None, *steps) - (
            call.op(low, up, None, *steps) + call.op(high, down, None, *steps)
        )
        ratio = relevance / stabilised(z)
        share = input * call(ratio, y, input, weight, None, *steps)[0]
        share = share - low * call(ratio, y, input, up, None, *steps)[0]
        return share - high * call(ratio, y, input, down, None, *steps)[0], None, None


@dataclass(frozen=True)
class Contrasted:
    """What speaks for a unit less what would speak for its opposite, of the negated weights: the contrastive start
    of excitation backprop, Zhang et al. 2016, arXiv:1608.00507, at the last linear layer. It conserves nothing."""

    def __call__(self, call: Call, relevance: Any, y: Any, input: Any, weight: Any, *rest: Any) -> Shares:
        """The share of the input."""
        (speaks, *_), (against, *_) = (
            ZPlus(bias=False)(call, relevance, y, input, kernel, None, *rest[1:])
            for kernel in (weight, weight * -1)
        )
        return speaks - against, None, None
