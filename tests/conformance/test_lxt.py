"""lxt's functions, each of which carries relevance by autograd, put together to a block: the same numbers.

lxt asks for a dozen packages that its functions do not use: `pip install --no-deps "lxt>=2.1,<3"`. Without it
these tests skip.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine import compile_model
from engine.rules import relevance
from tests.oracle import deviation

functional: Any = pytest.importorskip(
    "lxt.explicit.functional", reason='lxt is not installed: pip install --no-deps "lxt>=2.1,<3"'
)
SIDE, PATCH, WIDTH = 8, 2, 12
SMALL = 1e-12  # their stabilisers, which are absolute


class Block(nn.Module):
    """A transformer's block, and a head on the mean of all tokens. lxt: by its functions."""

    def __init__(self, lxt: bool = False) -> None:
        super().__init__()
        self.lxt = lxt
        self.embed, self.norm = nn.Linear(3 * PATCH * PATCH, WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, image: Tensor) -> Tensor:
        patches = image.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
        x = self.linear(self.embed, patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))
        y = self.normed(x)
        q, k, v = (self.linear(part, y) for part in (self.q, self.k, self.v))
        scores = self.scaled(self.product(q, k.transpose(1, 2)))
        weights = functional.softmax(scores, -1) if self.lxt else scores.softmax(-1)
        x = self.sum(x, self.linear(self.out, self.product(weights, v)))
        x = self.sum(x, self.linear(self.down, torch.relu(self.linear(self.up, self.normed(x)))))
        mean = functional.mean(x, 1, False, SMALL) if self.lxt else x.mean(1)
        return self.linear(self.head, mean)

    def linear(self, part: nn.Linear, x: Tensor) -> Tensor:
        return functional.linear_epsilon(x, part.weight, part.bias, SMALL) if self.lxt else part(x)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.matmul(a, b, False, SMALL) if self.lxt else a @ b

    def scaled(self, x: Tensor) -> Tensor:
        return functional.mul2(x, WIDTH**-0.5) if self.lxt else x * WIDTH**-0.5

    def sum(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.add2(a, b, False, SMALL) if self.lxt else a + b

    def normed(self, x: Tensor) -> Tensor:
        if not self.lxt:
            return self.norm(x)
        given = x, self.norm.weight, self.norm.bias, self.norm.eps, SMALL
        return functional.layer_norm_grad_fn.apply(*given)  # whose function has no such argument


def test_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "EPSILON", SMALL)  # which the certificate does not know: hence not strict
    torch.manual_seed(0)
    block = Block().double().eval()
    same = Block(lxt=True).double().eval()
    same.load_state_dict(block.state_dict())
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    explainer = compile_model(block, x, methods=["attn_lrp"], strict=False)
    leaf = x.clone().requires_grad_()
    logits = same(leaf)
    torch.testing.assert_close(logits, explainer.forward(x), rtol=1e-9, atol=1e-9)
    # From the score, as this project starts.
    (wanted,) = torch.autograd.grad(logits, leaf, explainer.one_hot(2) * logits.detach())
    assert deviation(explainer.explain(x, explainer.one_hot(2), "attn_lrp"), wanted) < 1e-9


def test_a_softmax_over_another_axis_sums_over_the_last_one() -> None:
    """Where this starts to be right, the fault is gone."""
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    r = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(functional.softmax(x, 0), x, r)
    wanted = (x * (r - x.softmax(0) * r.sum(0, keepdim=True))).detach()
    (other,) = torch.autograd.grad(functional.softmax(x.T, -1), x, r.T)
    assert deviation(other, wanted) < 1e-12
    assert deviation(found, wanted) > 0.5


def test_its_stabiliser_has_a_pole() -> None:
    """It adds its epsilon whatever the sign: a value of minus that much is divided by nothing."""
    z = torch.tensor([-1e-6, 1e-6], dtype=torch.float64)
    assert functional._stabilize(z.clone(), 1e-6).abs().min() == 0
