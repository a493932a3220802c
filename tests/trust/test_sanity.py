"""What a map owes to score, class, weights and small changes: by hand, and by other formulas."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.trust import class_contrast, completeness, entropy_rise, infidelity, max_sensitivity, runner_up
from tests.trust.toys import T1, T1_GRADIENT, T1_MAP, t1_score, total

DRAWN = torch.Generator().manual_seed(7)


def test_input_times_gradient_makes_up_the_toy_networks_score() -> None:
    assert completeness(T1_MAP, t1_score(T1)).tolist() == [0]
    assert completeness(T1_MAP, t1_score(T1), 18.0).tolist() == [0.5], "54 of 36"
    assert bool(completeness(T1_MAP, t1_score(T1), 54.0).isnan())
    with pytest.raises(ValueError, match=r"score is \[2\] for 1 maps"):
        completeness(T1_MAP, torch.ones(2))


def test_the_runner_up_is_the_first_of_the_others() -> None:
    logits = torch.tensor([[1.0, 3, 2], [1, 1, 0], [5, 5, 5]])
    assert runner_up(logits, torch.tensor([1, 2, 0])).tolist() == [2, 0, 1]
    assert runner_up(logits, torch.tensor([0, 0, 2])).tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="two classes"):
        runner_up(logits[:, :1], torch.zeros(3, dtype=torch.int64))


def test_a_map_that_ignores_its_class_has_no_contrast() -> None:
    map = torch.randn(2, 8, 8, generator=DRAWN)
    assert class_contrast(map, 3 * map).tolist() == pytest.approx([0, 0])
    assert class_contrast(map, -map).tolist() == pytest.approx([2, 2])


def test_entropy_rises_by_its_share() -> None:
    even = torch.arange(64.0).view(1, 8, 8)
    halves = (even >= 32).float()
    assert float(entropy_rise(halves, even)) == pytest.approx(np.log(64) / np.log(2) - 1)
    assert float(entropy_rise(even, halves)) == pytest.approx(np.log(2) / np.log(64) - 1)
    assert bool(entropy_rise(torch.zeros(1, 8, 8), even).isnan())


def test_infidelity_of_the_toy_network_is_as_by_hand() -> None:
    change = torch.zeros_like(T1)
    change[0, 0, 1, 1] = 5
    assert infidelity(t1_score, T1, T1_GRADIENT[:, None], change).tolist() == [1]
    assert infidelity(t1_score, T1, T1_MAP[:, None], change).tolist() == [441]
    several = torch.randn(5, 1, 4, 4, generator=DRAWN, dtype=torch.float64)
    wanted = []
    for image in (T1[0], 2 * T1[0]):
        errors = [
            float((T1_GRADIENT * step).sum() - t1_score(image[None]) + t1_score((image - step)[None])) ** 2
            for step in several
        ]
        wanted.append(np.mean(errors))
    x = torch.cat([T1, 2 * T1])
    found = infidelity(t1_score, x, T1_GRADIENT[:, None].expand_as(x), several, at_once=3)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    assert float(infidelity(total, T1, torch.ones_like(T1), several)) < 1e-20, "a sum is its gradient's"
    with pytest.raises(ValueError, match=r"map is \[1, 4, 4\]"):
        infidelity(t1_score, T1, T1_MAP, change)


def test_sensitivity_is_the_largest_move_of_its_size() -> None:
    x, seen = torch.rand(2, 3, 4, 4, generator=DRAWN, dtype=torch.float64), list[Tensor]()

    def explain(images: Tensor) -> Tensor:
        seen.append(images)
        return images.square().sum(1)

    found = max_sensitivity(explain, x, radius=0.1, draws=4)
    base = x.numpy() ** 2
    moves = [np.linalg.norm((s.numpy() ** 2 - base).sum(1).reshape(2, -1), axis=1) for s in seen[1:]]
    np.testing.assert_allclose(found, np.max(moves, 0) / np.linalg.norm(base.sum(1).reshape(2, -1), axis=1))
    largest = max(float((s - x).abs().max()) for s in seen)
    assert len(moves) == 4 and 0.09 < largest <= 0.1
    assert torch.equal(found, max_sensitivity(explain, x, radius=0.1, draws=4))
    assert max_sensitivity(lambda images: torch.ones(2, 3), x).tolist() == [0, 0]
    assert bool(max_sensitivity(lambda images: torch.zeros(2, 3), x).isnan().all())
    with pytest.raises(ValueError, match="both are above 0"):
        max_sensitivity(explain, x, radius=0)


def test_max_sensitivity_of_the_toy_networks_gradient_is_as_by_hand() -> None:
    """One more everywhere wakes up as much of the network again as was awake."""

    def gradient(x: Tensor) -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(t1_score(leaf).sum(), leaf)[0]

    assert float(max_sensitivity(gradient, T1, changes=torch.ones_like(T1))) == pytest.approx(1.0)
    two = torch.stack([torch.zeros_like(T1[0]), torch.ones_like(T1[0])])
    assert float(max_sensitivity(gradient, T1, changes=two)) == pytest.approx(1.0)
