"""Images that show nothing: by their formulas, and as a path begins at them."""

import numpy as np
import pytest
import torch
from torch import nn

from engine import Geometry, compile_model
from engine.methods.baselines import BASELINES, black, blurred
from tests.oracle import deviation

MEAN, STD = (0.4, 0.5, 0.3), (0.2, 0.25, 0.5)


def test_black_is_what_a_black_photo_becomes() -> None:
    explainer = compile_model(network(), torch.randn(1, 3, 20, 20), preprocess=geometry())
    photo = torch.zeros(40, 40, 3, dtype=torch.uint8)
    found = explainer.module.baseline(torch.randn(2, 3, 20, 20), "black")
    assert found.shape == (2, 3, 20, 20)
    assert deviation(found[:1], explainer.preprocess(photo)) < 1e-6
    assert torch.equal(found, black(torch.randn(2, 3, 20, 20), list(MEAN), list(STD)))


def test_the_mean_colour_is_zero() -> None:
    explainer = compile_model(network(), torch.randn(1, 3, 20, 20), preprocess=geometry())
    assert not explainer.module.baseline(torch.randn(2, 3, 20, 20), "mean").any()
    with pytest.raises(torch.jit.Error, match="no baseline white; there are mean, black, blur"):
        explainer.module.baseline(torch.randn(2, 3, 20, 20), "white")


def test_blur_is_a_gaussian_of_a_twentieth_of_each_side() -> None:
    x = torch.randn(2, 3, 40, 20, dtype=torch.float64)
    wanted = x.numpy()
    for axis, reach in ((2, 6), (3, 3)):
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (x.shape[axis] / 20)) ** 2)
        margin = [(reach, reach) if axis == own else (0, 0) for own in range(4)]
        seen = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, margin, "edge"), 2 * reach + 1, axis)
        wanted = seen @ (weights / weights.sum())
    assert deviation(blurred(x), torch.from_numpy(wanted)) < 1e-12


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_blur_keeps_what_is_plain(side: int) -> None:
    plain = torch.tensor([1.0, -2, 0.5], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, side, side)
    assert deviation(blurred(plain), plain) < 1e-12


@pytest.mark.parametrize("name", BASELINES)
def test_a_path_begins_at_the_baseline_that_is_named(name: str) -> None:
    x = torch.randn(2, 3, 20, 20)
    explainer = compile_model(network(), x, preprocess=geometry())
    reference = {"mean": torch.zeros_like(x), "black": black(x, list(MEAN), list(STD)), "blur": blurred(x)}[name]
    for method in ("integrated_gradients", "occlusion", "rise"):
        options = {} if method == "occlusion" else {"steps": 8}
        found = explainer.ask(x, 1, method, baseline=name, options=options).values
        assert torch.equal(found, explainer.ask(x, 1, method, baseline=reference, options=options).values)
        others = [explainer.ask(x, 1, method, baseline=other, options=options).values for other in BASELINES]
        assert sum(torch.equal(found, other) for other in others) == 1


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


def geometry() -> Geometry:
    return Geometry(20, (20, 20), "bilinear", MEAN, STD)
