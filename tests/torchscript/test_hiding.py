"""Maps from scores alone, where something is hidden: the small network's values, and the formulas by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.methods.masks import cells
from tests.oracle import deviation
from tests.whole.test_reference import SEED, Small, X, upsampled

NONE = torch.empty(0)


@pytest.fixture(scope="module")
def small() -> Explainer:
    return compile_model(Small().double().eval(), X)


def by_scores(
    explainer: Explainer, x: Tensor, seed: Tensor, method: str, layer: int = -1, **options: float
) -> Tensor:
    return explainer.module.explain_along(x, seed, method, layer, options, NONE, NONE)[0]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"window": 1.0}, [[0, 1, 2, 3], [0, 4, 4, 4], [2, 7, 8, 4], [6, 7, 8, 0]]),
        ({"window": 2.0}, [[7, 7, 4, 4]] * 2 + [[36, 36, 47, 47]] * 2),
        (
            {"window": 2.0, "stride": 1.0},
            [[7, 8, 6.5, 4], [15.5, 20.75, 22.25, 18.5], [30, 39.25, 44.25, 40], [36, 45, 50.5, 47]],
        ),
        ({"window": 9.0}, [[54] * 4] * 4),
    ],
)
def test_occlusion_of_the_small_network(
    small: Explainer, options: dict[str, float], wanted: list[list[float]]
) -> None:
    found = by_scores(small, X, SEED, "occlusion", **options)
    assert deviation(found, torch.tensor([wanted], dtype=torch.float64)) < 1e-12


def test_occlusion_shows_the_reference_in_the_window(small: Explainer) -> None:
    reference = X.flip(3)
    found, _ = small.module.explain_along(X, SEED, "occlusion", -1, {"window": 2.0}, reference, NONE)
    for row, column in ((0, 0), (0, 2), (2, 0), (2, 2)):
        hidden = X.clone()
        hidden[..., row : row + 2, column : column + 2] = reference[..., row : row + 2, column : column + 2]
        lost = float(small.forward(X)[0, 0] - small.forward(hidden)[0, 0])
        assert found[0, row : row + 2, column : column + 2].tolist() == [[lost] * 2] * 2


def test_a_window_that_is_cut_by_the_edge_still_covers_every_pixel(small: Explainer) -> None:
    found = by_scores(small, X, SEED, "occlusion", window=3.0, stride=3.0)
    assert small.module.passes("occlusion", -1, {"window": 3.0, "stride": 3.0}) == 4
    assert found.shape == (1, 4, 4) and float(found[0, 3, 3]) == 0  # by itself in its window, see above
    assert float(found[0, 0, 3]) == float(small.forward(X)[0, 0]) - float(small.forward(without(X, 3))[0, 0])


def test_rise_is_the_mean_of_the_masks_by_their_scores(small: Explainer) -> None:
    options = {"steps": 40.0, "cells": 3.0, "keep": 0.4}
    masks = cells(4, 4, options, 0, 40)
    scores = torch.stack([small.forward(X * mask)[0, 0] for mask in masks])
    wanted = (scores[:, None, None] * masks).sum(0) / (40 * 0.4)
    assert deviation(by_scores(small, X, SEED, "rise", **options)[0], wanted) < 1e-12


def test_all_sixteen_masks_of_four_cells(small: Explainer) -> None:
    """The formula of RISE without its chance: every mask of 2 by 2 cells once, nearest."""
    grids = torch.tensor([[mask >> cell & 1 for cell in range(4)] for mask in range(16)], dtype=torch.float64)
    masks = np.kron(grids.view(16, 2, 2).numpy(), np.ones((2, 2)))
    scores = small.forward(X * torch.from_numpy(masks)[:, None])[:, 0].numpy()
    found = np.einsum("m,mij->ij", scores, masks) / (16 * 0.5)
    assert found[::2, ::2].tolist() == [[16.875, 17.375], [24.625, 28.125]]


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("recipro_cam", [[0, 4], [25, 25]]),
        ("ablation_cam", [[0, 4], [28 + 2 / 3, 34 + 1 / 6]]),  # weights 1 and -7/18
    ],
)
def test_cams_without_gradient_at_the_relu(small: Explainer, method: str, wanted: list[list[float]]) -> None:
    found = by_scores(small, X, SEED, method, 1)
    assert deviation(found, upsampled(torch.tensor([wanted], dtype=torch.float64), 4)) < 1e-12


def test_score_cam_of_the_small_network_is_its_first_channel(small: Explainer) -> None:
    """A softmax over scores of 20.2 and 6.1 leaves the second channel a weight of 7.5e-7."""
    primal = small.probe(X, SEED, "gradient")[1][1]
    large = upsampled(primal[0], 4)
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    scores = small.forward(X * ((large - low) / (high - low))[:, None])[:, 0]
    assert scores.tolist() == pytest.approx([20.2, 6.1], abs=1e-6)
    weights = scores.softmax(0)
    assert float(weights[1]) == pytest.approx(7.5e-7, rel=0.01)
    found = by_scores(small, X, SEED, "score_cam", 1)
    assert deviation(found, torch.einsum("c,cij->ij", weights, large)[None]) < 1e-12
    assert deviation(found, large[:1]) < 1e-6


def test_a_score_of_zero_loses_nothing(small: Explainer) -> None:
    nothing = torch.zeros_like(SEED)
    assert not by_scores(small, X, nothing, "ablation_cam", 1).any()


def test_a_map_that_is_the_same_everywhere_masks_nothing() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    explainer = compile_model(module.double().eval(), X)
    found = by_scores(explainer, torch.ones_like(X), SEED[:, :3], "score_cam", 1)
    assert bool(found.isfinite().all())


def test_beside_other_paths_there_is_no_tail_to_ask() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.head((x + self.inner(x)).mean((2, 3)))

    explainer = compile_model(Skip().double().eval(), X, layers="all")
    with pytest.raises(torch.jit.Error, match=r"hang on more than the values of layer \d, inner"):
        by_scores(explainer, X, SEED, "recipro_cam", explainer.layers.index("inner"))


def without(x: Tensor, column: int) -> Tensor:
    kept = x.clone()
    kept[..., :3, column] = 0
    return kept
