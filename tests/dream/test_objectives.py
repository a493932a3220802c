"""Each objective's gradient is autograd's of its own formula, through the network as its author wrote it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine import Explainer
from engine.dream.objectives import Natural, Objective, like_layer, of_channel, of_class, of_layer, of_unit
from tests.dream.small import Tiny, tiny

WANTED = torch.linspace(-1, 1, 8 * 8 * 10, dtype=torch.float64).reshape(1, 8, 8, 10)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return tiny()


def network() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval().double()


def inner(net: Tiny, x: Tensor) -> Tensor:
    return net.inner(net.act(net.stem(x)))


CASES: dict[str, tuple[Callable[[Explainer], Objective], Callable[[Tiny, Tensor], Tensor]]] = {
    "class": (lambda e: of_class(e, "dog"), lambda net, x: net(x)[:, 1]),
    "channel": (lambda e: of_channel(e, "inner", 3), lambda net, x: inner(net, x)[:, 3].mean((1, 2))),
    "unit": (lambda e: of_unit(e, "inner", 3, (1, 7)), lambda net, x: inner(net, x)[:, 3, 1, 7]),
    "middle unit": (lambda e: of_unit(e, "inner", 3), lambda net, x: inner(net, x)[:, 3, 4, 5]),
    "layer": (lambda e: of_layer(e, "inner"), lambda net, x: inner(net, x).square().mean((1, 2, 3))),
    "inversion": (
        lambda e: like_layer(e, "inner", WANTED),
        lambda net, x: -(inner(net, x) - WANTED).square().sum((1, 2, 3)) / WANTED.square().sum(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_the_formulas(explainer: Explainer, name: str) -> None:
    objective, formula = CASES[name]
    x = torch.randn(2, 3, 16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value, gradient = objective(explainer)(x.clone())
    leaf = x.requires_grad_()
    wanted = formula(network(), leaf)
    (slope,) = torch.autograd.grad(wanted.sum(), leaf)
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-9, atol=1e-12)


def test_what_keeps_a_picture_natural_has_its_gradient() -> None:
    image = torch.rand(3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    tv = (image[:, 1:] - image[:, :-1]).pow(2).sum() + (image[:, :, 1:] - image[:, :, :-1]).pow(2).sum()
    wanted = (0.7 * tv + 0.3 * (4 * (image - 0.5)).pow(6).sum()) / image.numel()
    (slope,) = torch.autograd.grad(wanted, image)
    value, gradient = Natural(0.7, 0.3)(image.detach())
    assert value == pytest.approx(wanted.item())
    torch.testing.assert_close(gradient, slope)


def test_what_is_not_there_is_named(explainer: Explainer) -> None:
    x = torch.zeros(1, 3, 16, 20, dtype=torch.float64)
    with pytest.raises(ValueError, match="no class is called 'hen'"):
        of_class(explainer, "hen")
    with pytest.raises(ValueError, match="outer"):
        of_unit(explainer, "outer", 0)
    with pytest.raises(ValueError, match=r"channel 8 of inner is not one of 0\.\.7"):
        of_channel(explainer, "inner", 8)(x)
    with pytest.raises(ValueError, match=r"\(8, 0\) lies outside of inner, which is 8 by 10"):
        of_unit(explainer, "inner", 0, (8, 0))(x)
    with pytest.raises(ValueError, match="inner is zero everywhere"):
        like_layer(explainer, "inner", torch.zeros(1, 8, 8, 10))
    with pytest.raises(ValueError, match="no method is called 'gradient'; this file has grad_cam"):
        of_class(tiny(methods="grad_cam"), "cat")(x)
