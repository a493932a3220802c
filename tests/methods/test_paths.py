"""What is random along a path: normal, without memory, and the same in any batch."""

import numpy as np
import pytest
import torch

from engine.methods.masks import cells
from engine.methods.paths import noisy_copies, references, standard_normal, uniform_numbers

STEPS, PIXELS = 200, 3 * 32 * 32
NONE = torch.empty(0)


def test_noise_is_normal() -> None:
    drawn = standard_normal(0, STEPS, PIXELS).numpy()
    count = drawn.size
    assert abs(drawn.mean()) < 5 / count**0.5
    assert abs(drawn.std() - 1) < 5 / (2 * count) ** 0.5
    assert (
        abs((drawn**3).mean()) < 5 * (15 / count) ** 0.5 and abs((drawn**4).mean() - 3) < 5 * (96 / count) ** 0.5
    )
    assert (np.abs(drawn) > 4).sum() < 3 * 6.3e-5 * count


def test_the_noise_of_two_steps_or_of_two_pixels_is_not_correlated() -> None:
    drawn = standard_normal(0, STEPS, PIXELS).numpy()
    steps = np.corrcoef(drawn) - np.eye(STEPS)
    assert np.abs(steps).max() < 6 / PIXELS**0.5
    flat = drawn.ravel()
    for apart in (1, 32, 1024, PIXELS):
        assert abs((flat[apart:] * flat[:-apart]).mean()) < 5 / flat.size**0.5
    pixels = np.corrcoef(drawn[:, :64].T) - np.eye(64)
    assert np.abs(pixels).max() < 6 / STEPS**0.5


def test_no_number_is_drawn_twice_and_streams_differ() -> None:
    drawn = torch.cat([uniform_numbers(0, 50, 500, stream).flatten() for stream in range(4)])
    assert len(drawn.unique()) == len(drawn)
    assert 0 < float(drawn.min()) < 1e-4 and 1 - 1e-4 < float(drawn.max()) < 1
    counts = np.histogram(drawn.numpy(), 10, (0, 1))[0]
    assert np.abs(counts - 10_000).max() < 5 * 10_000**0.5


@pytest.mark.parametrize("split", [1, 3, 10])
def test_steps_are_the_same_in_batches_of_any_size(split: int) -> None:
    x, others = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 8, 8)
    spans = [(begin, min(10, begin + split)) for begin in range(0, 10, split)]
    for path, options in ((noisy_copies, {"spread": 0.2}), (references, {"steps": 10.0})):
        whole = path(x, others, options, 0, 10)[0]
        assert torch.equal(torch.cat([path(x, others, options, *span)[0] for span in spans]), whole)
    masks = [cells(16, 16, {"cells": 4.0, "keep": 0.5}, *span) for span in spans]
    assert torch.equal(torch.cat(masks), cells(16, 16, {"cells": 4.0, "keep": 0.5}, 0, 10))


def test_the_noise_is_the_same_for_each_image_in_units_of_its_range() -> None:
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    x[1], x[2] = x[0], x[0] * 4 - 7
    points, origins = noisy_copies(x, NONE, {"spread": 0.2}, 0, 5)
    noise = points - origins
    assert torch.equal(noise[:, 0], noise[:, 1])
    assert (noise[:, 2] - 4 * noise[:, 0]).abs().max() < 1e-12
    wanted = 0.2 * (x[0].max() - x[0].min()) * standard_normal(0, 5, 192).double().view(5, 3, 8, 8)
    assert (noise[:, 0] - wanted).abs().max() < 1e-12


def test_masks_keep_each_pixel_with_their_chance() -> None:
    masks = cells(21, 35, {"cells": 7.0, "keep": 0.3}, 0, 2000)
    assert masks.shape == (2000, 21, 35) and float(masks.min()) >= 0 and float(masks.max()) < 1 + 1e-12
    assert (masks.mean(0) - 0.3).abs().max() < 5 * (0.21 / 2000) ** 0.5
