"""A network whose answers other runtimes give, and what they are held against."""

import torch
from torch import Tensor, nn

from engine.files.artifact import Explainer
from engine.files.compiling import compile_model
from engine.pictures.geometry import Geometry
from tests.oracle import randomise


class Net(nn.Module):
    """A stem whose convolution is folded, a smooth activation, a skip, a pooled head; wider than high."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


LABELS = ["tiger cat", "tabby", "espresso\ncup", 'a "tripod"', "Käse"]
GEOMETRY = Geometry(20, (16, 20), "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
QUESTIONS = [
    ("guided_backprop", -1),
    ("input_x_gradient", -1),
    ("saliency", -1),
    ("grad_cam", "stem.0"),
    ("grad_cam", -1),
    ("guided_grad_cam", "block.2"),
    ("cam", -1),
]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    module = randomise(Net().eval(), images(4))
    with torch.no_grad():
        module.head.bias -= module(images(64)).mean(0)  # no class wins on every image
    return module.to(dtype)


def explained(dtype: torch.dtype = torch.float32, methods: list[str] | None = None) -> Explainer:
    example = torch.zeros(1, 3, 16, 20, dtype=dtype)
    return compile_model(network(dtype), example, "all", methods, LABELS, GEOMETRY)


def images(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(count), dtype=dtype)


def in_the_file(
    explainer: Explainer, x: Tensor, seed: Tensor, method: str, layer: str | int
) -> tuple[Tensor, Tensor]:
    """Logits and map as the file's own kernels give them; those of this processor round otherwise."""
    with torch.no_grad():
        net = explainer.module
        return net.forward(x), net.explain(x, seed, method, explainer.layer_index(layer))


# A question of a method and a layer that the network of these tests has not, and what is said of it.
WRONG_QUESTIONS = [
    (("gradcam", -1), "no method is called 'gradcam'"),
    (("grad_cam", "stem.9"), "no layer is called 'stem.9'; the nearest are stem"),
    (("grad_cam", 99), "layer 99 is not one of 0"),
    (("cam", "stem.0"), "cam has one layer"),
]
