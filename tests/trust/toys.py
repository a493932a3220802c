"""Networks and images small enough to check by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor

T1 = torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
# Gradient times input of T1's first class, row by row.
T1_MAP = torch.tensor([[[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]], dtype=torch.float64)
T1_GRADIENT = torch.tensor([[[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]], dtype=torch.float64)
FOUR = torch.tensor([[[0.4, 0.3], [0.2, 0.1]]], dtype=torch.float64)
RED, GREEN, BLUE = 0.5, 0.3, 0.2


def t1_score(x: Tensor) -> Tensor:
    """The first logit: a convolution of ones to two channels, ReLU, eight weights, ReLU."""
    kernel, bias = torch.ones(2, 1, 3, 3, dtype=torch.float64), torch.tensor([-50.0, -75.0]).double()
    hidden = F.relu(F.conv2d(x.double(), kernel, bias)).flatten(1)
    weights = torch.tensor([1, 1, 1, 1, 1, -1, -1, -1], dtype=torch.float64)
    return F.relu(hidden @ weights)


def total(x: Tensor) -> Tensor:
    """The sum of an image."""
    return x.sum((1, 2, 3))
