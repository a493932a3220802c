"""What a file answers where a network gives it nothing to read."""

import pytest
import torch
from torch import Tensor, nn

from engine import compile_model


class Apart(nn.Module):
    """Two ways from the image to the logits: no value lies on both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 5), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        ways = [torch.relu(way(x)).mean([2, 3]) for way in (self.left, self.right)]
        return self.head(torch.cat(ways, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_may_have_no_trunk(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    explainer = compile_model(Apart().eval().to(dtype), torch.zeros(1, 3, 16, 16, dtype=dtype))
    assert explainer.layers == []
    x, seed = torch.randn(2, 3, 16, 16, dtype=dtype), torch.randn(2, 5, dtype=dtype)
    assert explainer.explain(x, seed, "guided_backprop").any()
    assert explainer.sweep(x, seed, "grad_cam").shape == (2, 0, 16, 16)
    assert explainer.sweep(x, seed, "guided_grad_cam").shape == (2, 0, 3, 16, 16)
    with pytest.raises(ValueError, match=r"no layer lies on every path.*layers='all'"):
        explainer.explain(x, seed, "grad_cam")
