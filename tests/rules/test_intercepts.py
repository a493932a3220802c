"""What a call adds of its own: b of y = Df(x)[x] + b, for each op that has one, against autograd's derivative."""

import pytest
import torch
from torch import Tensor

from engine.rules import kinds
from engine.rules.intercepts import CHANNELS, ELEMENTS, INTERCEPTS, WHOLE, defintercept
from engine.rules.pages import KINDS, VJPS, ops_of

aten = torch.ops.aten


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, OTHER = drawn(2, 4, 3, 5), drawn(2, 4, 3, 5, seed=1)
KERNEL, BIAS = drawn(4, 4, 1, 1, seed=2), drawn(4, seed=3)
MOMENTS = (drawn(4, seed=4), drawn(4, seed=5), drawn(4, seed=6), drawn(4, seed=7).abs())
# op, arguments, how many of them depend on the image, of the first ones (or which).
CASES = {
    "conv2d": (aten.conv2d, (X, KERNEL, BIAS), [0]),
    "conv2d without a bias": (aten.conv2d, (X, KERNEL), [0]),
    "conv_transpose2d": (aten.conv_transpose2d, (X, KERNEL, BIAS), [0]),
    "conv1d": (aten.conv1d, (X[:, :, 0], KERNEL[..., 0], BIAS), [0]),
    "conv_transpose1d": (aten.conv_transpose1d, (X[:, :, 0], KERNEL[..., 0], BIAS), [0]),
    "conv3d": (aten.conv3d, (X[..., None], KERNEL[..., None], BIAS), [0]),
    "conv_transpose3d": (aten.conv_transpose3d, (X[..., None], KERNEL[..., None], BIAS), [0]),
    "linear": (aten.linear, (X[:, :, 0, :4], KERNEL[:, :, 0, 0], BIAS), [0]),
    "linear without a bias": (aten.linear, (X[:, :, 0, :4], KERNEL[:, :, 0, 0]), [0]),
    "batch_norm": (aten.batch_norm, (X, *MOMENTS, False, 0.1, 1e-3, False), [0]),
    "batch_norm, plain": (aten.batch_norm, (X, None, None, *MOMENTS[2:], False, 0.1, 1e-3, False), [0]),
    "add": (aten.add, (X, BIAS[:, None, None]), [0]),
    "add a number": (aten.add, (X, 0.7), [0]),
    "add to a constant": (aten.add, (OTHER, X), [1]),
    "add two": (aten.add, (X, OTHER), [0, 1]),
    "sub": (aten.sub, (X, BIAS[:, None, None]), [0]),
    "sub from a constant": (aten.sub, (OTHER, X), [1]),
    "rsub": (aten.rsub, (X, 1.5), [0]),
    "mul": (aten.mul, (X, OTHER), [0, 1]),
    "mul, broadcast": (aten.mul, (X, OTHER[:, :, :1, :1]), [0, 1]),
    "mul by a constant": (aten.mul, (X, OTHER), [0]),
    "div": (aten.div, (X, 3 + OTHER.abs()), [0, 1]),
    "div by a constant": (aten.div, (X, 3.0), [0]),
    "div of a constant": (aten.div, (OTHER, 3 + X.abs()), [1]),
    "hardtanh": (aten.hardtanh, (X, -1.0, 0.5), [0]),
    "hardtanh, plain": (aten.hardtanh, (X,), [0]),
    "relu6": (aten.relu6, (4 * X,), [0]),
    "gelu": (aten.gelu, (X,), [0]),
    "elu": (aten.elu, (X, 1.5), [0]),
    "softplus": (aten.softplus, (X, 2.0, 20.0), [0]),
    "tanh": (aten.tanh, (X,), [0]),
}
# By name: a set has another order in every process, and all workers must collect the same tests.
OF_ELEMENTS = sorted(ops_of(kinds.SMOOTH, kinds.SQUASH) & set(INTERCEPTS), key=lambda op: op.__name__)
CASES |= {op.__name__: (op, (X,), [0]) for op in OF_ELEMENTS}


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_the_derivative_leaves(name: str) -> None:
    op, args, moving = CASES[name]
    leaves = [args[index].clone().requires_grad_() for index in moving]
    given = list(args)
    for index, leaf in zip(moving, leaves, strict=True):
        given[index] = leaf
    y = op(*given)
    ct = drawn(*y.shape, seed=9)
    shares = torch.autograd.grad(y, leaves, ct)
    y, leaves = y.detach(), [leaf.detach() for leaf in leaves]
    whole = float((ct * y).sum() - sum((share * leaf).sum() for share, leaf in zip(shares, leaves, strict=True)))
    active = [index in moving for index in range(len(args))]
    added = INTERCEPTS[op](VJPS[op], ct, y, active, *args)
    if added is None:
        assert whole == pytest.approx(0, abs=1e-9)
        return
    how, value = added
    shaped = value.reshape([-1] + [1] * (y.ndim - 2)) if how == CHANNELS else value
    part = value if how == WHOLE else ct * shaped
    assert how in (CHANNELS, ELEMENTS, WHOLE) and part.shape == y.shape
    assert float(part.sum()) == pytest.approx(whole, rel=1e-9)
    assert abs(whole) > 1e-3


def test_every_one_of_them_is_tested_here() -> None:
    assert set(INTERCEPTS) == {op for op, *_ in CASES.values()}


def test_what_bends_and_scales_with_its_input_has_none() -> None:
    """A function that doubles where its input does is all slope."""
    for op in (aten.relu, aten.leaky_relu, aten.prelu, aten.abs):
        assert op in KINDS and op not in INTERCEPTS


def test_an_op_without_a_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="has an intercept already"):
        defintercept(aten.conv2d)(lambda *args: None)
    with pytest.raises(ValueError, match="has no rule"):
        defintercept(aten.gt)(lambda *args: None)
