"""The networks that tools are asked about: random weights, three colours, the same each time."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torchvision import models

from tests.oracle import fixed_seed, randomise
from tests.whole.test_reference import Small, X

TARGETS = [1, 3]  # the class asked of each of the two images


class Net(nn.Module):
    """Two convolutions and a linear head; subclasses say what runs between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.other, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(8, 10)

    def classify(self, h: Tensor) -> Tensor:
        return self.head(h.mean((2, 3)))


class Residual(Net):
    """BatchNorm, pooling and a skip; each ReLU a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.pool, self.last = nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(self.relu(self.norm(self.first(x))))
        return self.classify(self.last(h + self.other(self.second(h))))


class SharedInput(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.classify(h + self.second(self.relu(h)))


class Branches(Net):
    """One ReLU module in two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.second(self.relu(self.first(x))) + self.relu(self.side(x)))


class Reused(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.second(self.relu(self.first(x))))
        return self.classify(self.relu(self.second(h)))


class Gelu(Net):
    def __init__(self) -> None:
        super().__init__()
        self.gelu = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.gelu(self.second(self.gelu(self.first(x)))))


class Flat(nn.Module):
    """1x1 convolution on images of one colour: its maps are constant, and not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x)).mean((2, 3)))


def vgg(name: str) -> nn.Module:
    """torchvision's features, with one linear layer for its hundred million weights behind them."""
    net = getattr(models, name)(init_weights=False)
    net.classifier = nn.Linear(512 * 49, 10)
    return net


def without_eps(net: nn.Module) -> nn.Module:
    """With BatchNorms that divide by the deviation alone."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-30  # torch takes no zero
    return net


BUILDERS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # name -> builder, side of the images
    "small residual": (Residual, 16),
    "ReLU whose input is shared": (SharedInput, 16),
    "one ReLU in two branches": (Branches, 16),
    "reused modules": (Reused, 16),
    "GELU": (Gelu, 16),
    "constant maps": (Flat, 8),
    "on paper": (Small, 4),
    "vgg11": (lambda: vgg("vgg11"), 64),
    "vgg16": (lambda: vgg("vgg16"), 32),
    "vgg19_bn, eps 0": (lambda: without_eps(vgg("vgg19_bn")), 32),
    "alexnet": (lambda: models.alexnet(num_classes=10), 64),
    "resnet18": (lambda: models.resnet18(num_classes=10), 64),
    "resnet18, eps 0": (lambda: without_eps(models.resnet18(num_classes=10)), 64),
    "resnet50, eps 0": (lambda: without_eps(models.resnet50(num_classes=10)), 32),
    "densenet, 8 layers": (lambda: models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=10), 64),
    "googlenet": (lambda: models.googlenet(num_classes=10, aux_logits=False, init_weights=False), 64),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=10), 64),
    "efficientnet_b0": (lambda: models.efficientnet_b0(num_classes=10), 64),
}


@cache
def network(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """The module, two images [2, 3, S, S], and the one-hot seed of TARGETS [2, 10]. Copy the module before a tool
    gets it: some change what they are given."""
    build, side = BUILDERS[name]
    with fixed_seed(0):
        module = build().eval()
        x = torch.rand(2, 3, 1, 1).expand(-1, -1, side, side) if build is Flat else torch.randn(2, 3, side, side)
        randomise(module, x)
    if build is Small:  # whose numbers are known: an image and its mirror image, which score the same
        return module.to(dtype), torch.cat([X, X.mT]).to(dtype), torch.eye(4, dtype=dtype)[TARGETS]
    return module.to(dtype), x.to(dtype).contiguous(), torch.eye(10, dtype=dtype)[TARGETS]
