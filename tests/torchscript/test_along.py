"""Methods along a path of inputs: the small network's values, numpy's formulas, and the steps of a path."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.methods.finishes import mean_map, mean_square, spread
from engine.methods.paths import noisy_copies
from tests.oracle import deviation
from tests.whole.test_reference import SEED, Small, X

NONE = torch.empty(0)
INTEGRATED = [
    [0, 2 / 27, 4 / 27, 6 / 27],
    [1.234568, 3.302469, 3.962963, 2.462963],
    [2.469136, 5.944444, 6.604938, 3.870370],
    [3.703704, 7.623457, 8.209877, 4.166667],
]
NOISY = {"steps": 6.0, "spread": 0.3}
FINISHED = {
    "smooth_grad": lambda maps: maps.mean(0),
    "smooth_grad_squared": lambda maps: (maps**2).mean(0),
    "var_grad": lambda maps: maps.var(0),
}


@pytest.fixture(scope="module")
def small() -> Explainer:
    return compile_model(Small().double().eval(), X)


class Curved(nn.Module):
    """SiLU between two convolutions and a linear head: its gradient is another at every point."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.silu(self.second(nn.functional.silu(self.first(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def curved() -> tuple[Explainer, nn.Module, Tensor, Tensor]:
    module = Curved().double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    x[1] *= 3
    return compile_model(module, x), module, x, torch.eye(5, dtype=torch.float64)[[1, 3]]


def along(explainer: Explainer, x: Tensor, seed: Tensor, method: str, reference: Tensor = NONE, **options: float):
    return explainer.module.explain_along(x, seed, method, -1, options, reference, NONE)


def test_integrated_gradients_of_the_small_network(small: Explainer) -> None:
    """Where the path crosses a kink, a midpoint is off by up to gradient times way over the steps: 15 / 1000."""
    for steps, bound in ((1000.0, 0.015), (20000.0, 0.00075)):
        found, error = along(small, X, SEED, "integrated_gradients", steps=steps)
        assert np.abs(found[0, 0].numpy() - INTEGRATED).max() < bound
        assert float(error) == pytest.approx(abs(float(found.sum()) - 54) / 54, rel=1e-6)


def test_fifty_midpoints_miss_a_little_of_the_score(small: Explainer) -> None:
    found, error = along(small, X, SEED, "integrated_gradients", steps=50.0)
    assert float(found.sum()) - 54 == pytest.approx(-0.18, abs=1e-9)
    assert float(error) == pytest.approx(0.18 / 54, rel=1e-9)


@pytest.mark.parametrize(("error", "steps"), [(0.5, 16), (0.05, 32)])
def test_steps_that_are_left_open_are_doubled_until_the_parts_make_up_the_score(
    small: Explainer, error: float, steps: int
) -> None:
    assert float(along(small, X, SEED, "integrated_gradients", steps=16.0)[1]) > 0.05
    found, left = along(small, X, SEED, "integrated_gradients", error=error)
    assert torch.equal(found, along(small, X, SEED, "integrated_gradients", steps=float(steps))[0])
    assert float(left) <= error


def test_the_doubling_ends_at_the_most(curved: tuple[Explainer, nn.Module, Tensor, Tensor]) -> None:
    explainer, _, x, seed = curved
    found, error = along(explainer, x, seed, "integrated_gradients", error=0.0, most=40.0)
    wanted, _ = along(explainer, x, seed, "integrated_gradients", steps=40.0)
    assert torch.equal(found, wanted) and bool((error > 0).all())
    assert explainer.module.passes("integrated_gradients", -1, {"most": 40.0}) == 80


def test_integrated_gradients_is_the_midpoint_rule_from_the_reference(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor],
) -> None:
    explainer, module, x, seed = curved
    for reference in (torch.ones(1, 3, 8, 8, dtype=torch.float64), x.flip(0) / 2):
        steps = [reference + (k + 0.5) / 9 * (x - reference) for k in range(9)]
        wanted = torch.stack([gradient(module, point, seed) for point in steps]).mean(0) * (x - reference)
        found, error = along(explainer, x, seed, "integrated_gradients", reference, steps=9.0)
        assert deviation(found, wanted) < 1e-12
        gained = ((module(x) - module(reference)) * seed).sum(1).detach()
        assert deviation(error, ((wanted.sum((1, 2, 3)) - gained) / gained).abs()) < 1e-9


def test_expected_gradients_with_one_reference_come_near_to_integrated_gradients(small: Explainer) -> None:
    found, error = along(small, X, SEED, "expected_gradients", torch.zeros_like(X), steps=4000.0)
    assert np.abs(found[0, 0].numpy() - INTEGRATED).max() < 0.4
    assert float(error) < 0.05


def test_expected_gradients_take_each_reference_in_turn(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor],
) -> None:
    explainer, module, x, seed = curved
    several = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    alone = [along(explainer, x, seed, "expected_gradients", one[None], steps=900.0)[0] for one in several]
    found, error = along(explainer, x, seed, "expected_gradients", several, steps=900.0)
    assert deviation(found, torch.stack(alone).mean(0)) < 0.1
    gained = ((module(x) - module(several).mean(0)) * seed).sum(1).detach()
    assert deviation(error, ((found.sum((1, 2, 3)) - gained) / gained).abs()) < 1e-9


@pytest.mark.parametrize("method", FINISHED)
def test_maps_on_noisy_copies_are_finished_as_numpy_does(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor], method: str
) -> None:
    explainer, module, x, seed = curved
    points, _ = noisy_copies(x, NONE, NOISY, 0, 6)
    maps = torch.stack([gradient(module, point, seed) for point in points]).numpy()
    found, error = along(explainer, x, seed, method, **NOISY)
    assert deviation(found, torch.from_numpy(FINISHED[method](maps))) < 1e-12
    assert bool(error.isnan().all())


def test_one_step_up_and_one_down_in_the_small_network(small: Explainer) -> None:
    maps = torch.stack([small.explain(X + way, SEED, "gradient")[0, 0] for way in (1, -1)])
    mean, variance = maps.mean(0), maps.var(0, correction=0)
    assert mean_map(mean, variance).tolist() == [[0.5, 1, 1, 0.5], *[[1, 1.5, 1.5, 0.5]] * 2, [0.5, 0.5, 0.5, 0]]
    squares = [[0.5, 2, 2, 0.5], *[[1, 2.5, 2.5, 0.5]] * 2, [0.5, 0.5, 0.5, 0]]
    assert mean_square(mean, variance).tolist() == squares
    assert spread(mean, variance).tolist() == [[0.25, 1, 1, 0.25], *[[0, 0.25, 0.25, 0.25]] * 2, [0.25] * 3 + [0]]


@pytest.mark.parametrize(
    "method", [*FINISHED, "integrated_gradients", "expected_gradients", "occlusion", "rise", "score_cam"]
)
def test_an_answer_is_the_same_however_its_steps_are_split_into_batches(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor], method: str
) -> None:
    explainer, _, x, seed = curved
    options = {"steps": 7.0} if "steps" in explainer.module.options(method) else {}
    room, found = explainer.module.room, []
    try:
        for explainer.module.room in (1, 6, 16):
            found.append(along(explainer, x, seed, method, **options)[0])
    finally:
        explainer.module.room = room
    assert max(deviation(one, found[0]) for one in found[1:]) < 1e-12


@pytest.mark.parametrize("method", ["smooth_grad", "integrated_gradients", "rise", "occlusion", "ablation_cam"])
def test_each_image_of_a_batch_is_answered_as_if_alone(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor], method: str
) -> None:
    explainer, _, x, seed = curved
    options = {"steps": 7.0} if "steps" in explainer.module.options(method) else {}
    both = along(explainer, x, seed, method, **options)[0]
    for image in (slice(0, 1), slice(1, 2)):
        assert deviation(both[image], along(explainer, x[image], seed[image], method, **options)[0]) < 1e-12


def test_any_method_of_one_pass_is_smoothed_as_the_mean_over_the_noisy_copies(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor],
) -> None:
    explainer, _, x, seed = curved
    points, _ = noisy_copies(x, NONE, NOISY, 0, 6)
    for method, layer in (("grad_cam", 1), ("guided_backprop", -1), ("guided_grad_cam", 0), ("eigen_cam", 1)):
        wanted = torch.stack([explainer.explain(point, seed, method, layer) for point in points]).mean(0)
        found = explainer.module.explain_smooth(x, seed, method, layer, 6, 0.3, NONE)
        assert deviation(found, wanted) < 1e-12
    with pytest.raises(torch.jit.Error, match="a mean takes one step or more"):
        explainer.module.explain_smooth(x, seed, "grad_cam", 1, 0, 0.3, NONE)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("smooth_grad", {"step": 3.0}, "smooth_grad has no option step; it has steps, spread"),
        ("smooth_grad", {"spread": -0.1}, "spread is -0.1"),
        ("smooth_grad", {"spread": float("nan")}, "spread is nan"),
        ("smooth_grad", {"steps": 2e6}, "steps is 2000000.*: it lies between 1 and 1000000"),
        ("smooth_grad", {"steps": 0.0}, "steps is 0.*: it lies between 1 and"),
        ("expected_gradients", {"steps": 0.0}, "steps is 0.*: it lies between 1 and"),
        ("integrated_gradients", {"steps": 2.5}, "steps is 2.5: it is a whole number"),
        ("occlusion", {"stride": 0.5}, "stride is 0.5: it is a whole number"),
        ("rise", {"cells": 0.0}, "cells is 0.*: it lies between 1 and"),
        ("rise", {"keep": 0.0}, "keep is 0.*: it is a chance"),
        ("rise", {"keep": 1.5}, "keep is 1.5: it is a chance"),
        ("recipro_cam", {"steps": 3.0}, "recipro_cam has no option steps"),
        ("gradient", {}, "gradient is no method of many passes; this file has smooth_grad"),
    ],
)
def test_an_option_that_can_not_be_is_refused_with_its_name(
    small: Explainer, method: str, options: dict[str, float], said: str
) -> None:
    with pytest.raises(torch.jit.Error, match=said):
        along(small, X, SEED, method, **options)


def test_references_of_another_shape_or_number_are_refused(
    curved: tuple[Explainer, nn.Module, Tensor, Tensor],
) -> None:
    explainer, _, x, seed = curved
    with pytest.raises(torch.jit.Error, match=r"reference is .*the images are"):
        along(explainer, x, seed, "integrated_gradients", x[:, :, 1:])
    with pytest.raises(torch.jit.Error, match="there are 3 references for 2 images"):
        along(explainer, x, seed, "integrated_gradients", torch.cat([x, x[:1]]))


def test_whoever_watches_may_stop_a_question(small: Explainer) -> None:
    state = torch.zeros(3, dtype=torch.int64)
    small.module.explain_along(X, SEED, "smooth_grad", -1, {"steps": 40.0}, NONE, state)
    assert state.tolist() == [40, 40, 0]
    state = torch.tensor([0, 0, 1])
    with pytest.raises(torch.jit.Error, match="stopped by whoever asked it"):
        small.module.explain_along(X, SEED, "smooth_grad", -1, {"steps": 40.0}, NONE, state)
    parts = -(-40 // small.module.room)
    assert state.tolist() == [-(-40 // parts), 40, 1]


def gradient(module: nn.Module, x: Tensor, seed: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad((module(leaf) * seed).sum(), leaf)[0]
