"""The compiled program against plain numpy, which shares nothing with it: no torch, no autograd, no rule."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import compile_model
from tests.conformance import numpy_reference as calculus
from tests.oracle import fixed_seed, randomise

Weights = Callable[[str], dict[str, np.ndarray]]  # the name of a module -> its weights by name
SIDE = 13


class Plain(nn.Module):
    """Strides, paddings, BatchNorm, max pooling, and a ReLU in the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)
        self.hidden, self.head = nn.Linear(96, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(self.relu(self.norm(self.conv(x))))
        return self.head(F.relu(self.hidden(h.flatten(1))))

    @staticmethod
    def derived(net: calculus.Network, of: Weights) -> None:
        net("conv", calculus.conv2d, "image", **of("conv"), stride=2, padding=1)
        net("norm", calculus.batch_norm, "conv", **of("norm"))
        net("relu", calculus.relu, "norm")
        net("pool", calculus.max_pool, "relu", kernel=3, stride=2, padding=1)
        net("flat", calculus.flatten, "pool")
        net("hidden", calculus.linear, "flat", **of("hidden"))
        net("gated", calculus.relu, "hidden")
        net("logits", calculus.linear, "gated", **of("head"))


class Residual(nn.Module):
    """Two blocks with a skip, whose one ReLU module is used four times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8))
        self.norm_a, self.norm_b = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.relu, self.head = nn.ReLU(), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.stem(x))
        h = self.relu(h + self.norm_a(self.a(h)))
        return self.head(self.relu(h + self.norm_b(self.b(self.relu(h)))).mean((2, 3)))

    @staticmethod
    def derived(net: calculus.Network, of: Weights) -> None:
        net("stem", calculus.conv2d, "image", **of("stem"), padding=1)
        net("relu", calculus.relu, "stem")
        net("a", calculus.conv2d, "relu", **of("a"), padding=1)
        net("norm_a", calculus.batch_norm, "a", **of("norm_a"))
        net("add", calculus.add, "relu", "norm_a")
        net("relu@2", calculus.relu, "add")
        net("relu@3", calculus.relu, "relu@2")
        net("b", calculus.conv2d, "relu@3", **of("b"), padding=1)
        net("norm_b", calculus.batch_norm, "b", **of("norm_b"))
        net("add@2", calculus.add, "relu@2", "norm_b")
        net("relu@4", calculus.relu, "add@2")
        net("mean", calculus.global_average, "relu@4")
        net("logits", calculus.linear, "mean", **of("head"))


class Mobile(nn.Module):
    """An inverted residual: 1x1, depthwise, 1x1 without an activation; ReLU6 and SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm, self.silu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(inplace=True)
        self.wide, self.relu6 = nn.Conv2d(8, 12, 1), nn.ReLU6()
        self.depth, self.depth_norm = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12)
        self.thin, self.head = nn.Conv2d(12, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.silu(self.stem_norm(self.stem(x)))
        wide = self.relu6(4 * self.wide(h))
        return self.head((h + self.thin(F.relu6(self.depth_norm(self.depth(wide))))).mean((2, 3)))

    @staticmethod
    def derived(net: calculus.Network, of: Weights) -> None:
        net("stem", calculus.conv2d, "image", **of("stem"))
        net("stem_norm", calculus.batch_norm, "stem", **of("stem_norm"))
        net("silu", calculus.silu, "stem_norm")
        net("wide", calculus.conv2d, "silu", **{name: 4 * value for name, value in of("wide").items()})
        net("relu6", calculus.relu6, "wide")
        net("depth", calculus.conv2d, "relu6", **of("depth"), padding=1, groups=12)
        net("depth_norm", calculus.batch_norm, "depth", **of("depth_norm"))
        net("gated", calculus.relu6, "depth_norm")
        net("thin", calculus.conv2d, "gated", **of("thin"))
        net("add", calculus.add, "silu", "thin")
        net("mean", calculus.global_average, "add")
        net("logits", calculus.linear, "mean", **of("head"))


class Inception(nn.Module):
    """Three branches put side by side: grouped convolution, max pooling, average pooling; GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gelu = nn.Conv2d(3, 6, 3, padding=2), nn.GELU()
        self.grouped, self.behind = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), nn.Conv2d(6, 3, 1)
        self.max, self.avg = nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1)
        self.head = nn.Linear(17 * 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.gelu(self.stem(x))
        branches = F.relu(self.grouped(h)), self.max(h), self.behind(self.avg(h))
        return self.head(self.gelu(torch.cat(branches, 1)).flatten(1))

    @staticmethod
    def derived(net: calculus.Network, of: Weights) -> None:
        net("stem", calculus.conv2d, "image", **of("stem"), padding=2)
        net("gelu", calculus.gelu, "stem")
        net("grouped", calculus.conv2d, "gelu", **of("grouped"), stride=2, padding=1, groups=2)
        net("gated", calculus.relu, "grouped")
        net("max", calculus.max_pool, "gelu", kernel=3, stride=2, padding=1)
        net("avg", calculus.avg_pool, "gelu", kernel=3, stride=2, padding=1)
        net("behind", calculus.conv2d, "avg", **of("behind"))
        net("cat", calculus.concat, "gated", "max", "behind")
        net("gelu@2", calculus.gelu, "cat")
        net("flat", calculus.flatten, "gelu@2")
        net("logits", calculus.linear, "flat", **of("head"))


TRUNKS = {
    Plain: ["conv", "norm", "relu", "pool"],
    Residual: ["stem", "relu", "add", "relu@2", "add@2", "relu@4"],
    Mobile: ["stem", "stem_norm", "silu", "add"],
    Inception: ["stem", "gelu", "cat", "gelu@2"],
}


@pytest.mark.parametrize("kind", TRUNKS, ids=lambda kind: kind.__name__)
def test_compiled_equals_numpy(kind: type[nn.Module]) -> None:
    with fixed_seed(0):
        x, seed = torch.randn(2, 3, SIDE, SIDE), torch.randn(2, 4).double()
        module = randomise(kind().eval(), x).double()
    x = x.double()
    explainer = compile_model(module, x)
    assert explainer.layers == TRUNKS[kind]

    net = calculus.Network(x.numpy())
    kind.derived(net, lambda name: weights_of(module.get_submodule(name)))
    plain, guided = net.backward(seed.numpy(), "gradient"), net.backward(seed.numpy(), "guided")
    for policy in ("gradient", "deconvnet", "guided"):
        wanted = net.backward(seed.numpy(), policy)
        logits, primals, cotangents, image = explainer.probe(x, seed, policy)
        same(logits, net.values["logits"])
        same(image, wanted["image"])
        for layer, primal, ct in zip(explainer.layers, primals, cotangents, strict=True):
            same(primal, net.values[layer])
            same(ct, wanted[layer])
    for layer in explainer.layers:
        cam = calculus.grad_cam(net.values[layer], plain[layer])
        same(explainer.explain(x, seed, "grad_cam", layer), calculus.resized(cam, SIDE))
        product = calculus.guided_grad_cam(net.values[layer], plain[layer], guided["image"])
        same(explainer.explain(x, seed, "guided_grad_cam", layer), product)


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items() if value.ndim}


def same(found: Tensor, wanted: np.ndarray) -> None:
    """Equal within 1e-9 of the largest value, which is not zero."""
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() > 0
    assert np.abs(found.numpy() - wanted).max() < 1e-9 * np.abs(wanted).max()
