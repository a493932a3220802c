"""A small network and its artifact, also for the processes that a test starts."""

import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.files.artifact import Explainer
from engine.files.compiling import compile_model


class Small(nn.Module):
    """A folded BatchNorm, a rectifier, a smooth activation, a call that bends, and a head for CAM."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.act = nn.SiLU()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        return self.fc((x * x.tanh()).mean((2, 3)))


def module(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small().eval()


def compiled(seed: int = 0) -> Explainer:
    return compile_model(module(seed), torch.zeros(1, 3, 12, 16), labels=["cat", "dog", "owl"])


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
