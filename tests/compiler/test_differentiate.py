import pytest
import torch
from torch import nn

from engine.compiler.capture import capture
from engine.compiler.coverage import coverage


class Bent(nn.Module):
    """One convolution and a function of what it computes."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(2, 3, 3), function

    def forward(self, image):
        return self.function(self.conv(image)).flatten(1)


# What no policy acts on, and what the coverage calls it.
BENDING = {
    "clamp_max": lambda x: torch.clamp_max(x, 1.0),
    "clamp": lambda x: torch.clamp(x, max=1.0),
    "log_sigmoid": nn.functional.logsigmoid,
    "floor": lambda x: x + torch.floor(x),
    "ne": lambda x: x * (x != 0),
    "exp": torch.exp,
    "square": torch.square,
    "pow": lambda x: x**3,
    "tanh": torch.tanh,
    "maximum": lambda x: torch.maximum(x, x.flip(3)),
    "scaled_dot_product_attention": lambda x: nn.functional.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("op", BENDING)
def test_what_bends_and_is_no_activation_is_in_the_coverage(op):
    found = coverage(capture(Bent(BENDING[op]).eval(), torch.zeros(1, 2, 6, 6)))
    assert (found.replaced, found.plain) == ({}, {op: 1})


@pytest.mark.parametrize(
    "function", [lambda x: x * 2 + 1, lambda x: -x, lambda x: x.amax((2, 3)), lambda x: x.mean((2, 3))]
)
def test_what_is_straight_or_pools_is_not(function):
    found = coverage(capture(Bent(function).eval(), torch.zeros(1, 2, 6, 6)))
    assert (found.replaced, found.plain) == ({}, {})


def test_an_activation_with_weights_is_gated():
    found = coverage(capture(Bent(nn.PReLU()).eval(), torch.zeros(1, 2, 6, 6)))
    assert (found.smooth, found.plain) == ({"prelu": 1}, {})
