"""Views are shifts, zooms and tiles, and their adjoint is theirs."""

import pytest
import torch

from engine.dream.views import sampling, shaken, tiled


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(9, 11), (4, 30)])
@pytest.mark.parametrize("kind", ["shaken", "tiled"])
def test_views_pass_the_dot_product_test(kind: str, sides: tuple[int, int]) -> None:
    generator, size = torch.Generator().manual_seed(0), (6, 8)
    views = shaken(sides, size, 3, 0.3, 2, generator) if kind == "shaken" else tiled(sides, size, generator)
    image = drawn(3, *sides)
    shown = views.show(image)
    ct = drawn(*shown.shape, seed=1)
    torch.testing.assert_close((shown * ct).sum(), (image * views.adjoint(ct)).sum(), rtol=1e-12, atol=1e-12)


def test_without_zoom_a_view_is_a_shift() -> None:
    image = drawn(3, 9, 11)
    shown = shaken((9, 11), (9, 11), 2, 0.0, 40, torch.Generator().manual_seed(0)).show(image)
    shifts = [image.roll((row, column), (1, 2)) for row in range(-2, 3) for column in range(-2, 3)]
    met = [next(place for place, one in enumerate(shifts) if torch.equal(one, each)) for each in shown]
    assert len({*met}) > 10


def test_no_jitter_and_no_zoom_is_the_picture_itself() -> None:
    image = drawn(3, 9, 11)
    assert torch.equal(shaken((9, 11), (9, 11), 0, 0.0, 1, torch.Generator()).show(image)[0], image)


def test_a_zoom_reads_between_pixels() -> None:
    ramp = torch.arange(10.0, dtype=torch.float64)
    half = sampling(10, 4, torch.tensor([2.0], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64))[0]
    torch.testing.assert_close(half @ ramp, torch.tensor([1.75, 2.25, 2.75, 3.25], dtype=torch.float64))


@pytest.mark.parametrize("sides", [(12, 16), (13, 30), (5, 40)])
def test_tiles_show_all_of_a_picture(sides: tuple[int, int]) -> None:
    views = tiled(sides, (6, 8), torch.Generator().manual_seed(1))
    seen = views.adjoint(torch.ones(len(views.rows), 1, 6, 8, dtype=torch.float64))
    assert seen.min() >= 1
    if sides == (12, 16):
        assert len(views.rows) == 4 and torch.equal(seen, torch.ones_like(seen))
