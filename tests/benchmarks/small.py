"""A small network that stands for the large ones, and what is asked of it."""

import torch
from torch import Tensor, nn

from benchmarks.questions import Question
from tests.oracle import fixed_seed

CLASSES, SIDE = 5, 26
GUIDED = "guided_backprop"


class Small(nn.Module):
    """Parts that bear VGG's names, for the handbook's loop."""

    def __init__(self) -> None:
        super().__init__()
        parts = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU()
        self.features, self.avgpool = nn.Sequential(*parts), nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def asked_of(small: nn.Module, layers: list[str], batch: int = 1) -> Question:
    with fixed_seed(1):
        x = torch.randn(batch, 3, SIDE, SIDE)
    return Question(small, x, torch.eye(CLASSES)[1 : batch + 1], layers)
