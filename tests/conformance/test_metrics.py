"""Metrics beside Quantus, captum and grad-cam: equal where they are right, and their faults with numbers."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.trust import (
    average_drop,
    complexity,
    deletion,
    energy,
    gini,
    infidelity,
    max_sensitivity,
    pixel_flipping,
    pointing_game,
    road,
)
from engine.trust.filling import fill
from tests.trust.toys import FOUR, T1, T1_GRADIENT, T1_MAP, t1_score, total

QUANTUS = "quantus is not installed: pip install -r tests/conformance/requirements.txt"
DRAWN = np.random.default_rng(0)
AS_THEY_ARE = {"abs": False, "normalise": False, "disable_warnings": True}
SIGNED = torch.tensor([[[0.4, -0.6], [0.2, 0.1]]], dtype=torch.float64)


class Total(nn.Module):
    """The sum of an image, and its opposite."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([total(x), -total(x)], 1)


def quantus(metric: str, x: Any, map: Any, mask: Any = None, **options: Any) -> Any:
    """What a metric of Quantus gives for images and maps [N, C, H, W]; the image's sum is the score."""
    tool = pytest.importorskip("quantus", reason=QUANTUS)
    asked = getattr(tool, metric)(**AS_THEY_ARE | options)
    return asked(
        model=Total().eval(), x_batch=np.asarray(x, np.float32), y_batch=np.zeros(len(x), int),
        a_batch=np.asarray(map, np.float32), s_batch=mask, softmax=False, device="cpu", channel_first=True,
    )  # fmt: skip


def test_pixel_flipping_is_quantus_own_but_for_the_image_as_it_is() -> None:
    x = FOUR[:, None]
    theirs = quantus("PixelFlipping", x, x, features_in_step=1, perturb_baseline=0.0)
    ours = pixel_flipping(total, x, FOUR)
    assert theirs[0] == pytest.approx([0.6, 0.3, 0.1, 0], abs=1e-6)
    assert ours.values[0].tolist() == pytest.approx([1, 0.6, 0.3, 0.1, 0])
    assert float(ours.auc) == pytest.approx(0.375)


def test_fault_quantus_black_is_no_black() -> None:
    x = FOUR[:, None]
    theirs = quantus("PixelFlipping", x, x, features_in_step=1, perturb_baseline="black")
    assert theirs[0] == pytest.approx([0.7, 0.5, 0.4, 0.4]), "the image's own least value stands for black"
    assert deletion(total, x, FOUR, steps=4).values[0].tolist() == pytest.approx([1, 0.6, 0.3, 0.1, 0])


def test_fault_quantus_takes_the_colours_of_a_pixel_one_by_one() -> None:
    x = DRAWN.random((1, 3, 8, 8))
    theirs = quantus("PixelFlipping", x, x.sum(1, keepdims=True), features_in_step=1, perturb_baseline=0.0)
    assert len(theirs[0]) == 192
    ours = pixel_flipping(total, torch.from_numpy(x), torch.from_numpy(x.sum(1)))
    assert ours.values.shape == (1, 65)


def test_fault_quantus_area_and_road_break() -> None:
    x = FOUR[:, None]
    with pytest.raises(AttributeError, match="trapz"):
        quantus("PixelFlipping", x, x, features_in_step=1, perturb_baseline=0.0, return_auc_per_sample=True)
    colours = DRAWN.random((1, 3, 8, 8))
    with pytest.raises(IndexError):
        quantus("ROAD", colours, colours.sum(1, keepdims=True), percentages=[10, 50])
    image = torch.from_numpy(colours)
    assert bool(road(total, image, image.sum(1)).value.isfinite().all())


def test_fault_quantus_finds_more_mass_than_there_is() -> None:
    mask = torch.tensor([[[True, False], [False, False]]])
    theirs = quantus("RelevanceMassAccuracy", FOUR[:, None], SIGNED[:, None], mask[:, None].numpy())
    assert theirs == [pytest.approx(4)]
    assert float(energy(SIGNED, mask)) == pytest.approx(0.4 / 0.7)


def test_pointing_and_sparseness_are_quantus_own() -> None:
    maps = DRAWN.normal(size=(6, 1, 8, 8)).astype(np.float32)
    masks = DRAWN.random((6, 1, 8, 8)) < 0.5
    theirs = quantus("PointingGame", maps, maps, masks)
    ours = pointing_game(torch.from_numpy(maps), torch.from_numpy(masks[:, 0]), 0)
    assert [bool(one) for one in theirs] == ours.bool().tolist() and 0 < ours.sum() < 6
    sparse = quantus("Sparseness", maps, np.abs(maps), abs=True)
    assert sparse == pytest.approx(gini(torch.from_numpy(maps)).tolist(), abs=1e-5)
    assert float(gini(FOUR)) == pytest.approx(0.25)


def test_infidelity_and_sensitivity_are_captums_own() -> None:
    metrics = pytest.importorskip("captum.metrics", reason="captum is not installed")
    step = torch.zeros_like(T1)
    step[0, 0, 1, 1] = 5

    def perturbed(inputs: Tensor) -> tuple[Tensor, Tensor]:
        return step.expand_as(inputs), inputs - step

    for map, wanted in ((T1_GRADIENT, 1.0), (T1_MAP, 441.0)):
        theirs = metrics.infidelity(t1_score, perturbed, T1, map[:, None], n_perturb_samples=1)
        ours = infidelity(t1_score, T1, map[:, None], step)
        assert theirs.tolist() == pytest.approx([wanted]) and ours.tolist() == pytest.approx([wanted])

    def explain(x: Any) -> Tensor:  # captum asks with a tuple
        x = x[0] if isinstance(x, tuple) else x
        return x * T1_GRADIENT[:, None].to(x)

    def moved(inputs: Any) -> Any:
        drawn = torch.Generator().manual_seed(0)
        return tuple(x + 0.02 * (2 * torch.rand(x.shape, generator=drawn, dtype=x.dtype) - 1) for x in inputs)

    theirs = metrics.sensitivity_max(explain, T1, perturb_func=moved, n_perturb_samples=1)
    assert theirs.tolist() == pytest.approx(max_sensitivity(explain, T1, draws=1).tolist())


def test_complexity_is_quantus_own() -> None:
    maps = DRAWN.normal(size=(4, 1, 8, 8)).astype(np.float32)
    theirs = quantus("Complexity", maps, np.abs(maps), abs=True)
    assert theirs == pytest.approx(complexity(torch.from_numpy(maps)).tolist(), abs=1e-5)
    assert float(complexity(FOUR)) == pytest.approx(1.279854, abs=1e-6)


def test_average_drop_is_torchcams_own_and_rewards_a_map_of_everything() -> None:
    """Of a map that is one nearly everywhere nothing drops, whatever it is of."""
    tool = pytest.importorskip("torchcam.metrics", reason="torchcam is not installed")
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(2)) + 0.1
    maps = torch.rand(5, 6, 6, generator=torch.Generator().manual_seed(3))
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)

    class Extractor:
        """Has the maps already."""

        def __init__(self) -> None:
            self.model = nn.Sequential(Total())

        def __call__(self, *asked: Any, **more: Any) -> list[Tensor]:
            return [(maps - low) / (high - low)]

        def fuse_cams(self, cams: list[Tensor]) -> Tensor:
            return cams[0]

        def _hooks_off(self) -> Any:
            return nullcontext()

    metric = tool.ClassificationMetric(Extractor())
    metric.update(x, 0)
    drop, rose = average_drop(total, x, maps)
    told = metric.summary()
    assert told["avg_drop"] == pytest.approx(float(drop.mean()), rel=1e-5) and 0.2 < float(drop.mean()) < 0.8
    assert told["conf_increase"] == pytest.approx(float(rose.mean()))
    everything = torch.ones(5, 6, 6)
    everything[:, 0, 0] = 0
    assert float(average_drop(total, x, everything)[0].mean()) < 0.05
    assert float(average_drop(total, torch.ones(1, 1, 2, 2), FOUR)[0]) == pytest.approx(0.5)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_road_fills_as_grad_cam_does() -> None:
    tool = pytest.importorskip("pytorch_grad_cam.metrics.road", reason="grad-cam is not installed")
    x = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(3))
    gone = torch.rand(1, 12, 10, generator=torch.Generator().manual_seed(4)) < 0.6
    theirs = tool.NoisyLinearImputer(noise=0.0)(x[0], (~gone[0]).float())
    assert torch.allclose(fill(x, gone, 0.0)[0], theirs.float(), atol=1e-3)
