"""The rules of activations, and of the squashing functions that are none.

See `registry` for what a rule is, and `policies` for what a policy does with an activation's.
"""

from . import kinds
from .registry import aten, defvjp, scalar


@defvjp(aten.relu, kind=kinds.RECTIFIER)
def relu_vjp(ct, y, self):
    """Pass where y > 0."""
    return (aten.threshold_backward(ct, y, 0),)


@defvjp(aten.hardtanh, kind=kinds.RECTIFIER)
def hardtanh_vjp(ct, y, self, min_val=-1, max_val=1):
    """Pass strictly between the ends. The output tells as much as the input, and is kept anyway."""
    return (aten.hardtanh_backward(ct, y, min_val, max_val),)


@defvjp(aten.relu6, kind=kinds.RECTIFIER)
def relu6_vjp(ct, y, self):
    """Pass strictly between 0 and 6."""
    return (aten.hardtanh_backward(ct, y, 0, 6),)


@defvjp(aten.silu, kind=kinds.SMOOTH)
def silu_vjp(ct, y, self):
    """With s = sigmoid(x): s (1 + x (1 - s))."""
    return (aten.silu_backward(ct, self),)


@defvjp(aten.gelu, kind=kinds.SMOOTH)
def gelu_vjp(ct, y, self, approximate="none"):
    """Φ(x) + x φ(x), or the derivative of its tanh approximation."""
    return (aten.gelu_backward(ct, self, approximate=approximate),)


@defvjp(aten.hardswish, kind=kinds.SMOOTH)
def hardswish_vjp(ct, y, self):
    """0 below -3, 1 above 3, x/3 + 1/2 between."""
    return (aten.hardswish_backward(ct, self),)


@defvjp(aten.leaky_relu, kind=kinds.SMOOTH)
def leaky_relu_vjp(ct, y, self, negative_slope=0.01):
    """1 above zero, the slope below."""
    return (aten.leaky_relu_backward(ct, self, negative_slope, False),)


@defvjp(aten.prelu, kind=kinds.SMOOTH)
def prelu_vjp(ct, y, self, weight):
    """1 above zero, the channel's slope below."""
    slope = aten.reshape(weight, [1, -1] + [1] * (len(self.shape) - 2) if len(self.shape) > 1 else [-1])
    return aten.where(self > 0, ct, ct * slope), None


@defvjp(aten.elu, kind=kinds.SMOOTH)
def elu_vjp(ct, y, self, alpha=1, scale=1, input_scale=1):
    """scale above zero, scale α e^x below."""
    return (aten.elu_backward(ct, alpha, scale, input_scale, False, self),)


@defvjp(aten.selu, kind=kinds.SMOOTH)
def selu_vjp(ct, y, self):
    """ELU with the constants of Klambauer et al. 2017, arXiv:1706.02515."""
    return (
        aten.elu_backward(
            ct, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1, False, self
        ),
    )


@defvjp(aten.celu, kind=kinds.SMOOTH)
def celu_vjp(ct, y, self, alpha=1.0):
    """1 above zero, e^(x / α) below."""
    return (aten.elu_backward(ct, alpha, 1, 1 / alpha, False, self),)


@defvjp(aten.threshold, kind=kinds.RECTIFIER)
def threshold_vjp(ct, y, self, threshold, value):
    """Pass above the threshold."""
    return (aten.threshold_backward(ct, self, threshold),)


@defvjp(aten.mish, kind=kinds.SMOOTH)
def mish_vjp(ct, y, self):
    """Of x tanh(softplus(x))."""
    return (aten.mish_backward(ct, self),)


@defvjp(aten.softplus, kind=kinds.SMOOTH)
def softplus_vjp(ct, y, self, beta=1, threshold=20):
    """sigmoid(β x)."""
    return (aten.softplus_backward(ct, self, beta, threshold),)


# Squashing functions: they weigh other values, and keep their derivative under every gate


scalar(aten.sigmoid, lambda ct, y, x: aten.sigmoid_backward(ct, y), kind=kinds.SQUASH)  # y (1 - y)
scalar(
    aten.hardsigmoid, lambda ct, y, x: aten.hardsigmoid_backward(ct, x), kind=kinds.SQUASH
)  # 1/6 strictly between -3 and 3
scalar(aten.tanh, lambda ct, y, x: aten.tanh_backward(ct, y), kind=kinds.SQUASH)  # 1 - y²


@defvjp(aten.softmax, kind=kinds.SOFTMAX)
def softmax_vjp(ct, y, self, dim, dtype=None):
    """y (ct - Σ ct y)."""
    if dtype is not None:
        raise NotImplementedError(f"softmax in {dtype}")
    return (y * (ct - aten.sum(ct * y, [dim], True)),)


@defvjp(aten.log_softmax, kind=kinds.SOFTMAX)
def log_softmax_vjp(ct, y, self, dim, dtype=None):
    """ct - e^y Σ ct."""
    if dtype is not None:
        raise NotImplementedError(f"log_softmax in {dtype}")
    return (ct - aten.exp(y) * aten.sum(ct, [dim], True),)


scalar(aten.log_sigmoid, lambda ct, y, x: ct * aten.sigmoid(x * -1))


@defvjp(aten.glu, kind=kinds.SQUASH)
def glu_vjp(ct, y, self, dim=-1):
    """Of a σ(b): σ(b) to the first half, a σ(b) (1 - σ(b)) to the second."""
    return (aten.glu_backward(ct, self, dim),)


@defvjp(aten.hardshrink, aten.softshrink, kind=kinds.ELEMENTWISE)
def shrink_vjp(ct, y, self, lambd=0.5):
    """Pass outside of ±λ, where the result is not zero."""
    return (ct * aten.ne(y, 0),)
