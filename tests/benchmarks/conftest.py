"""The small network and its artifact."""

import pytest
import torch
from torch import nn

from engine import compile_model
from tests.benchmarks.small import SIDE, Small
from tests.oracle import fixed_seed


@pytest.fixture(scope="module")
def small() -> nn.Module:
    with fixed_seed(0):
        module = Small().eval().requires_grad_(False)
    module.classifier.weight.abs_()  # so that no Grad-CAM is zero everywhere
    return module


@pytest.fixture(scope="module")
def explainer(small):
    return compile_model(small, torch.randn(2, 3, SIDE, SIDE))
