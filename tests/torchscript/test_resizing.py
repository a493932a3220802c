"""How maps of all sizes become one answer, against torch's own interpolation."""

import pytest
import torch
import torch.nn.functional as F

from engine.torchscript.resizing import enlarge, resize

SIZES = {"7": (7, 7), "one pixel": (1, 1), "an eighth": (28, 28), "not small": (29, 28), "one row": (1, 20)}


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SIZES)
def test_maps_are_enlarged_as_torch_does(name: str, dtype: torch.dtype, images: int) -> None:
    torch.manual_seed(0)
    maps = torch.randn(images, 5, *SIZES[name], dtype=dtype)
    answer = torch.full((images, 9, 224, 230), torch.nan, dtype=dtype)
    enlarge(maps, answer[:, 2:7])
    wanted = F.interpolate(maps, (224, 230), mode="bilinear")
    assert (answer[:, 2:7] - wanted).abs().max() <= 8 * torch.finfo(dtype).eps * wanted.abs().max()
    assert answer[:, :2].isnan().all()
    assert answer[:, 7:].isnan().all()


@pytest.mark.parametrize("rectified", [False, True])
def test_neighbours_of_one_size_go_together(rectified: bool) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, side, side) for side in (16, 16, 8, 4, 4, 4, 8)]
    before = [map.clone() for map in maps]
    found = torch.empty(2, 7, 32, 32)
    resize(maps, rectified, found)
    for index, map in enumerate(before):
        given = map.relu() if rectified else map
        wanted = F.interpolate(given[:, None], (32, 32), mode="bilinear")[:, 0]
        assert (found[:, index] - wanted).abs().max() <= 1e-6
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(maps, before, strict=True))
