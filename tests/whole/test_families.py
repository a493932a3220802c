"""Every convolutional family of torchvision: compiled = autograd, at the image and at every layer of the trunk."""

import pytest
import torch
from torch import Tensor

from engine.compiler.capture import capture
from engine.compiler.passes import compile_program
from engine.listing.layers import choose_layers
from engine.listing.program import Program
from engine.models.loading import load_model
from engine.pictures.geometry import Geometry
from engine.torchscript.lowering import lower
from tests.oracle import GATED, activation_sides, at_image, at_nodes, deviation, flips, randomise

FAMILIES = ["resnet18", "googlenet", "mobilenet_v3_small"]
SWEPT = [
    "alexnet", "squeezenet1_1", "regnet_y_400mf", "vgg11", "vgg11_bn", "densenet121", "inception_v3",
    "mobilenet_v2", "mnasnet0_5", "efficientnet_b0", "resnext50_32x4d", "shufflenet_v2_x0_5", "convnext_tiny",
]  # fmt: skip
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
NETWORKS = [(name, torch.float64) for name in FAMILIES] + [("resnet18", torch.float32)]
SWEEP = [(name, dtype) for dtype in BOUNDS for name in FAMILIES + SWEPT if (name, dtype) not in NETWORKS]


@pytest.mark.parametrize(
    ("name", "dtype"), [*NETWORKS, *(pytest.param(*row, marks=pytest.mark.sweep) for row in SWEEP)]
)
def test_compiled_equals_autograd(name: str, dtype: torch.dtype) -> None:
    side = 80 if name == "inception_v3" else 64
    images = torch.randn(16, 3, side, side, generator=torch.Generator().manual_seed(1))
    module = randomise(load_model(name, "random").module, images).to(dtype)
    example = torch.zeros(1, 3, side, side, dtype=dtype)
    compiled = compile_program(module, example)
    scripted = lower(compiled, [""] * 1000, Geometry(side, (side, side), "bilinear", (0.0,) * 3, (1.0,) * 3))
    forward = capture(module, example)
    for batch in (1, 3):
        x, seed = question(module, compiled.program, batch, side, dtype)
        for policy in GATED:
            check(scripted, module, forward, x, seed, policy, BOUNDS[dtype])


def question(
    module: torch.nn.Module, program: Program, batch: int, side: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Images on which rounding moves no activation across a kink and no pooling to another pixel, and seeds.

    In float32 a folded BatchNorm rounds otherwise than an unfolded one. An input within 1e-7 of zero may then
    land on either side, where both derivatives are right; such images can't tell a defect from a kink.
    """
    for attempt in range(20):
        generator = torch.Generator().manual_seed(attempt)
        x = torch.randn(batch, 3, side, side, generator=generator, dtype=torch.float64).to(dtype)
        seed = torch.randn(batch, 1000, generator=generator, dtype=torch.float64).to(dtype)
        if flips(activation_sides(program, x), at_image(module, x, seed, "gradient")[2]) == 0:
            return x, seed
    pytest.fail("rounding moved an activation across a kink in each of 20 draws")


def check(
    scripted: torch.jit.ScriptModule,
    module: torch.nn.Module,
    forward: Program,
    x: Tensor,
    seed: Tensor,
    policy: str,
    bound: float,
) -> None:
    with torch.no_grad():
        logits, primals, cotangents, image = scripted.probe(x, seed, policy)
    wanted_logits, wanted_image, _ = at_image(module, x, seed, policy)
    assert deviation(logits, wanted_logits) <= bound
    assert deviation(image, wanted_image) <= bound
    trunk = choose_layers(forward, "trunk")
    assert scripted.layers == [layer.name for layer in trunk]
    wanted_primals, wanted_cotangents = at_nodes(forward, [layer.node for layer in trunk], x, seed, policy)
    for layer, found, wanted in zip(scripted.layers, primals, wanted_primals, strict=True):
        assert deviation(found, wanted) <= bound, layer
    for layer, found, wanted in zip(scripted.layers, cotangents, wanted_cotangents, strict=True):
        assert deviation(found, wanted) <= bound, layer
