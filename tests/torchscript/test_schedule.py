"""What a listing spares: values that are written over, and policies that convolutions take along."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.methods.readings import mean, total, weighted

LAYOUTS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}


class PreActivation(nn.Sequential):
    """A BatchNorm that no convolution can take in, with a ReLU behind it."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
        )  # fmt: skip


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    net = PreActivation()
    nn.init.constant_(net[3].bias, -0.3)  # or else all that comes out of the pooling is above zero
    return compile_model(net.eval().double(), torch.zeros(1, 3, 32, 32, dtype=torch.float64))


@pytest.fixture(scope="module")
def question() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=generator)
    return x, torch.randn(2, 5, dtype=torch.float64, generator=generator)


def counted(explainer: Explainer, x: Tensor, seed: Tensor, methods: list[str], layer: int | None) -> Counter[str]:
    """How often the file calls each op of ATen: for methods at a layer, or at all of them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled, torch.no_grad():
        for method in methods if layer is not None else []:
            explainer.module.explain(x, seed, method, layer)
        if layer is None:
            explainer.module.survey(x, seed, methods)
    return Counter({event.key: event.count for event in profiled.key_averages()})


def test_a_value_is_written_over_unless_its_layer_is_read(
    explainer: Explainer, question: tuple[Tensor, Tensor]
) -> None:
    norm = explainer.layer_index("3")
    away = counted(explainer, *question, ["grad_cam"], -1)
    read = counted(explainer, *question, ["grad_cam"], norm)
    assert read["aten::relu"] == away["aten::relu"] + 1
    assert read["aten::relu_"] == away["aten::relu_"] - 1


def test_what_is_read_was_not_written_over(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    x, seed = question
    with torch.no_grad():
        _, primals = explainer.module.primals(x)
    every = explainer.sweep(x, seed, "grad_cam")
    _, _, cts, _ = explainer.probe(x, seed, "gradient")
    for index, (primal, ct) in enumerate(zip(primals, cts, strict=True)):
        small = torch.einsum("nchw,nc->nhw", primal, ct.mean((2, 3))).relu()
        wanted = nn.functional.interpolate(small[:, None], x.shape[2:], mode="bilinear")[:, 0]
        assert wanted.any()
        for found in (every[:, index], explainer.explain(x, seed, "grad_cam", index)):
            assert (found - wanted).abs().max() <= 1e-12 * wanted.abs().max()


def test_convolutions_take_gates_along_that_no_method_reads(
    explainer: Explainer, question: tuple[Tensor, Tensor]
) -> None:
    """No method reads a guided cotangent at a layer; only a probe wants it before the policy as well."""
    without = counted(explainer, *question, ["grad_cam"], None)
    guided = counted(explainer, *question, ["grad_cam", "guided_backprop"], None)
    # ReLU is in place behind a convolution; the one at the last layer is behind a division.
    assert guided["aten::relu"] - without["aten::relu"] == 1
    _, _, probed, _ = explainer.probe(*question, "guided")
    _, _, gated, _ = explainer.probe(*question, "gradient")
    last = explainer.layer_index("8")
    assert torch.equal(probed[last], gated[last])
    assert any(ct.min() < 0 for ct in probed[:last])


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_readings_are_their_formulas(layout: str, dtype: torch.dtype, images: int) -> None:
    generator = torch.Generator().manual_seed(0)
    primal, ct = torch.randn(2, images, 7, 5, 6, generator=generator).to(dtype)
    laid_out = [value.contiguous(memory_format=LAYOUTS[layout]) for value in (primal, ct)]
    weights = ct.double().mean((2, 3))
    bound = 8 * torch.finfo(dtype).eps

    def close(found: Tensor, wanted: Tensor) -> None:
        assert found.shape == wanted.shape
        assert (found.double() - wanted).abs().max() <= bound * wanted.abs().max()

    close(mean(laid_out[1]), weights)
    close(total(laid_out[1]), ct.double().sum((2, 3)))
    close(weighted(laid_out[0], weights.to(dtype)), torch.einsum("nchw,nc->nhw", primal.double(), weights))
