"""Controls beside every map, and metrics over a data set."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.trust import CONTROLS, OverImages, beside_controls, centre_map, edge_map, gini, random_map
from engine.trust.over_images import summarised

X = torch.rand(2, 3, 12, 9, generator=torch.Generator().manual_seed(4))


def test_every_map_has_the_controls_beside_it() -> None:
    found = beside_controls(lambda map: map.shape, X, X)
    assert list(found) == ["map", "random", "centre", "sobel"]
    assert found["random"] == found["centre"] == found["sobel"] == (2, 12, 9)
    assert list(beside_controls(gini, X, {"a": X, "b": X})) == ["a", "b", *CONTROLS]
    with pytest.raises(ValueError, match="a map is called 'sobel'"):
        beside_controls(gini, X, {"sobel": X})


def test_numbers_by_chance_are_uniform_and_come_again() -> None:
    large = torch.zeros(2, 3, 200, 200)
    drawn = random_map(large)
    assert torch.equal(drawn, random_map(large)) and not torch.equal(drawn, random_map(large, 1))
    assert float(gini(drawn)[0]) == pytest.approx(1 / 3, abs=0.005)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("size", [(12, 9), (5, 6)])
def test_the_middle_is_the_middle(size: tuple[int, int]) -> None:
    map = centre_map(torch.zeros(1, 3, *size))[0]
    rows, columns = np.mgrid[: size[0], : size[1]]
    down, right = (rows - (size[0] - 1) / 2) / (size[0] / 4), (columns - (size[1] - 1) / 2) / (size[1] / 4)
    np.testing.assert_allclose(map, np.exp(-(down**2 + right**2) / 2), rtol=1e-12)


def test_edges_are_where_brightness_changes() -> None:
    grey = np.pad(X.double().mean(1).numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    wanted = np.zeros((2, 12, 9))
    for i in range(12):
        for j in range(9):
            part = grey[:, i : i + 3, j : j + 3]
            across = (part[:, :, 2] - part[:, :, 0]) @ [1, 2, 1]
            down = (part[:, 2] - part[:, 0]) @ [1, 2, 1]
            wanted[:, i, j] = np.sqrt(across**2 + down**2)
    np.testing.assert_allclose(edge_map(X), wanted, rtol=1e-6, atol=1e-12)


def brightness(map: Tensor, x: Tensor) -> Tensor:
    return (map * x.mean(1)).mean((1, 2))


def test_a_metric_over_batches_is_that_over_all() -> None:
    over = OverImages(brightness)
    images, maps = torch.rand(5, 3, 12, 9), torch.rand(5, 12, 9)
    for begin in (0, 2, 4):
        over.update(images[begin : begin + 2], maps[begin : begin + 2], images[begin : begin + 2])
    found = over.summary()
    each = brightness(maps, images).double()
    assert found["map"].mean == pytest.approx(float(each.mean()))
    assert found["centre"].mean == pytest.approx(float(brightness(centre_map(images), images).mean()))
    assert found["map"].low < found["map"].mean < found["map"].high and found["map"].count == 5
    assert set(found) == {"map", *CONTROLS}
    with pytest.raises(ValueError, match="maps are other"):
        over.update(images, {"other": maps}, images)
    over.reset()
    with pytest.raises(ValueError, match="nothing was measured yet"):
        over.summary()


def test_an_interval_is_as_wide_as_the_spread_of_means() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = summarised(values)
    error = float(values.std()) / 20
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert summarised(values) == found


def test_what_has_no_value_is_counted_apart() -> None:
    found = summarised(torch.tensor([1.0, torch.nan]))
    assert (found.mean, found.count, found.unmeasured) == (1.0, 1, 1) and np.isnan(found.low)
    assert np.isnan(summarised(torch.tensor([torch.nan])).mean)
    with pytest.raises(ValueError, match="sure is 1"):
        summarised(torch.ones(2), sure=1)
    with pytest.raises(ValueError, match=r"gives \[\] for 2 images"):
        OverImages(lambda map: map.sum()).update(X, X)
