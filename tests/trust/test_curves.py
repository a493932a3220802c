"""Curves of deletion, insertion and pixel flipping: by hand on small images, and by a loop that knows no batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.trust import Curve, blurred, deletion, insertion, pixel_flipping
from tests.trust.toys import FOUR, T1, T1_MAP, t1_score, total

DRAWN = torch.Generator().manual_seed(0)
X = torch.rand(3, 3, 6, 5, generator=DRAWN, dtype=torch.float64)
MAPS = torch.randint(-2, 3, (3, 6, 5), generator=DRAWN).double()  # full of ties


def weighed(x: Tensor) -> Tensor:
    """A score that is not linear, and has a place and a colour of its own."""
    weights = torch.linspace(-1, 2, x[0].numel(), dtype=x.dtype).view(x.shape[1:])
    return (x * weights).sum((1, 2, 3)).tanh()


def by_hand(score: object, before: Tensor, after: Tensor, map: Tensor, counts: list[int]) -> np.ndarray:
    """One image [C, H, W]: pixels are set one after the other, in Python's own stable order."""
    flat = map.flatten().tolist()
    order = sorted(range(len(flat)), key=lambda pixel: -flat[pixel])
    values = []
    for count in counts:
        now = before.clone()
        for pixel in order[:count]:
            row, column = divmod(pixel, map.shape[1])
            now[:, row, column] = after[:, row, column]
        values.append(float(score(now[None])))
    return np.array(values)


def test_the_toy_network_is_deleted_and_inserted_as_by_hand() -> None:
    removed = deletion(t1_score, T1, T1_MAP, 0.0, steps=4)
    assert removed.values.tolist() == [[54, 15, 1, 0, 0]] and removed.auc.tolist() == [10.75]
    given = insertion(t1_score, T1, T1_MAP, 0.0, steps=4)
    assert given.values.tolist() == [[0, 0, 3, 4, 54]] and given.auc.tolist() == [8.5]
    assert removed.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert removed.relative_auc.tolist() == [10.75 / 54] and given.relative_auc.tolist() == [8.5 / 54]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_that_is_its_own_map_has_the_area_three_eighths(channels: int) -> None:
    x = FOUR[:, None].repeat(1, channels, 1, 1) / channels
    for curve in (deletion(total, x, FOUR, steps=4), pixel_flipping(total, x, FOUR)):
        assert curve.values.flatten().tolist() == pytest.approx([1, 0.6, 0.3, 0.1, 0])
        assert float(curve.auc) == pytest.approx(0.375)
    assert insertion(total, x, FOUR, 0.0, steps=4).values.flatten().tolist() == pytest.approx(
        [0, 0.4, 0.7, 0.9, 1]
    )


@pytest.mark.parametrize("steps", [1, 4, 7, 30])
@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_a_batch_is_what_each_image_is_alone(steps: int, at_once: int) -> None:
    counts = [int(np.floor(30 * step / steps + 0.5)) for step in range(steps + 1)]
    removed = deletion(weighed, X, MAPS, 0.25, steps, at_once)
    given = insertion([weighed] * 3, X, MAPS, "blur", steps, at_once)
    empty, soft = torch.full_like(X[0], 0.25), blurred(X)
    for image in range(3):
        wanted = by_hand(weighed, X[image], empty, MAPS[image], counts)
        np.testing.assert_allclose(removed.values[image], wanted, rtol=1e-12)
        wanted = by_hand(weighed, soft[image], X[image], MAPS[image], counts)
        np.testing.assert_allclose(given.values[image], wanted, rtol=1e-12)
    np.testing.assert_allclose(removed.auc, np.trapezoid(removed.values, np.array(counts) / 30), rtol=1e-12)
    torch.testing.assert_close(given.whole, weighed(X), rtol=1e-12, atol=0)
    torch.testing.assert_close(removed.whole, weighed(X), rtol=1e-12, atol=0)


def test_pixel_flipping_takes_so_many_at_a_time_and_all_at_last() -> None:
    curve = pixel_flipping(weighed, X, MAPS, 0.0, pixels=8)
    for image in range(3):
        wanted = by_hand(weighed, X[image], torch.zeros_like(X[0]), MAPS[image], [0, 8, 16, 24, 30])
        np.testing.assert_allclose(curve.values[image], wanted, rtol=1e-12)
    assert curve.shares.tolist() == [0, 8 / 30, 16 / 30, 24 / 30, 1]


def test_maps_of_channels_are_summed_and_those_of_other_pixels_enlarged() -> None:
    colours = torch.randn(3, 3, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = deletion(weighed, X, colours.sum(1)).values
    assert torch.equal(deletion(weighed, X, colours).values, wanted)
    assert torch.equal(deletion(weighed, X, colours.sum(1, keepdim=True)).values, wanted)
    coarse = torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)
    curve = deletion(lambda x: x[:, :, :, 4].mean((1, 2)), torch.ones(1, 1, 6, 5), coarse, steps=5)
    assert curve.values[0].tolist() == [1, 0, 0, 0, 0, 0], "the right column goes first"


def test_ties_fall_as_one_reads() -> None:
    curve = deletion(lambda x: x[:, 0, 0, 0], torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4), steps=16)
    assert curve.values[0].tolist() == [1] + [0] * 16
    assert torch.equal(deletion(total, X, MAPS.float()).values, deletion(total, X, MAPS).values)


def test_each_image_has_its_own_score_and_its_own_baseline() -> None:
    scores = [lambda x, c=c: x[:, c].mean((1, 2)) for c in range(3)]
    curve = deletion(scores, X, MAPS, torch.full_like(X, 7.0), steps=2)
    np.testing.assert_allclose(curve.values[:, 0], [float(X[c, c].mean()) for c in range(3)], rtol=1e-12)
    assert curve.values[:, 2].tolist() == pytest.approx([7, 7, 7])
    blank = deletion(total, X, MAPS, torch.zeros(3, 1, 1)[:, :1, :1].expand(3, 6, 5), steps=1)
    assert blank.values[:, 1].tolist() == [0, 0, 0]


def test_a_score_of_zero_has_no_relative_area() -> None:
    curve = Curve(torch.tensor([[0.0, 1.0]]), torch.tensor([0.0, 1.0]), torch.tensor([0.0]))
    assert bool(curve.relative_auc.isnan())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": X[0]}, r"give images \[N, C, H, W\]"),
        ({"map": MAPS[:2]}, "2 maps for 3 images"),
        ({"map": MAPS[0]}, r"map is \[6, 5\]"),
        ({"map": MAPS * torch.nan}, "NaN or infinity"),
        ({"score": [weighed]}, "1 scores for 3 images"),
        ({"score": lambda x: x}, r"score gives \[13, 3, 6, 5\] for 13 images"),
        ({"steps": 0}, "steps is 0.*1 to 30 parts"),
        ({"steps": 31}, "steps is 31"),
        ({"baseline": "black"}, "baseline is 'black'"),
        ({"baseline": torch.zeros(2, 3, 6, 5)}, r"baseline is \[2, 3, 6, 5\]"),
        ({"at_once": 0}, "at_once is 0"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deletion(**{"score": weighed, "x": X, "map": MAPS, "at_once": 13} | change)


def test_flipping_no_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels is 0: a step takes 1 to 30"):
        pixel_flipping(weighed, X, MAPS, pixels=0)
