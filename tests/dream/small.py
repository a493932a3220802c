"""A tiny network of random weights, compiled in the process that asks it."""

import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.pictures.geometry import Geometry


class Tiny(nn.Module):
    """Two convolutions, smooth, so that gradients have no kinks; float64, so that they are exact."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(channels, 6, 3, stride=2, padding=1), nn.SiLU()
        self.inner, self.head = nn.Conv2d(6, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.inner(self.act(self.stem(x))))
        return self.head(x.mean((2, 3)))


def tiny(channels: int = 3, dtype: torch.dtype = torch.float64, methods: str = "gradient") -> Explainer:
    torch.manual_seed(0)
    net, x = Tiny(channels).eval().to(dtype), torch.zeros(1, channels, 16, 20, dtype=dtype)
    mean, std = (0.4, 0.45, 0.5)[:channels], (0.2, 0.25, 0.3)[:channels]
    geometry = Geometry(18, (16, 20), "bilinear", mean, std)
    return compile_model(net, x, methods=methods.split(), labels=["cat", "dog", "owl"], preprocess=geometry)
