"""From the top down: the parts that are redrawn, in their order, and noise that is averaged away."""

import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.trust import cascade, denoised, spearman, ssim


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip
    return compile_model(network.eval(), torch.zeros(1, 3, 24, 24), methods=["gradient", "deconvnet"])


X = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def gradient(network: Explainer) -> Tensor:
    return network.explain(X, network.one_hot(2).expand(2, -1), "gradient")


def test_the_cascade_redraws_one_part_after_the_other(explainer: Explainer) -> None:
    found = cascade(gradient, explainer, seed=3)
    assert [*found] == explainer.weighted[::-1] == ["6", "2", "0"]
    by_hand = {
        "6": spearman(gradient(explainer), gradient(explainer.randomised(["6"], 3))),
        "2": spearman(gradient(explainer), gradient(explainer.randomised(["6", "2"], 3))),
        "0": spearman(gradient(explainer), gradient(explainer.randomised(seed=3))),
    }
    for part, wanted in by_hand.items():
        assert torch.equal(found[part], wanted) and bool((wanted < 1).all())
    top = cascade(gradient, explainer, ["6"], ssim)
    assert [*top] == ["6"] and top["6"].shape == (2,)
    with pytest.raises(ValueError, match="'7' has no weights"):
        cascade(gradient, explainer, ["7"])


def test_what_asks_no_weights_stays_as_it_is(explainer: Explainer) -> None:
    found = cascade(lambda network: X.sum(1), explainer)
    assert all(bool(torch.allclose(value, torch.ones(2).double())) for value in found.values())


def test_noise_is_averaged_away(explainer: Explainer) -> None:
    linear = torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(2))

    def explain(x: Tensor) -> Tensor:
        return x * linear

    means = [denoised(explain, X, draws, 0.5).sub(X * linear).abs().mean() for draws in (4, 64)]
    assert float(means[1]) == pytest.approx(float(means[0]) / 4, rel=0.1), "as the root of their number"
    assert torch.equal(denoised(explain, X, 1, 0.0), (X * linear).double())
    small, large = (denoised(explain, scale * X, 3, 0.15, seed=5) / scale for scale in (1, 10))
    assert torch.allclose(small, large, atol=1e-5), "as a share of the image's own range"
    with pytest.raises(ValueError, match="draws is 0"):
        denoised(explain, X, 0)
