"""The picture that the file draws by itself is the one that the demo draws with OpenCV."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch import Tensor, nn

from engine.files.artifact import Explainer, load, save
from engine.files.compiling import compile_model
from engine.pictures import render
from engine.pictures.colours import colors_of
from engine.pictures.figures import Look, picture
from engine.pictures.geometry import Geometry, placement
from engine.torchscript.lowering import scripted
from engine.torchscript.overlay import extent, overlay, seen

CAT = data.chelsea()
VIRIDIS = torch.from_numpy(colors_of("viridis").copy())
SIZES = [(300, 451), (700, 1000), (1000, 333), (224, 224), (57, 60), (5, 9), (1, 1), (2, 500), (700, 3), (23, 22)]
GEOMETRIES = {
    "crop": Geometry(256, (224, 224), "bicubic", (0.0,) * 3, (1.0,) * 3),
    "odd": Geometry(255, (191, 192), "bilinear", (0.0,) * 3, (1.0,) * 3),
    "small, not square": Geometry(24, (20, 16), "bilinear", (0.0,) * 3, (1.0,) * 3),
    "padded": Geometry(16, (20, 24), "bilinear", (0.0,) * 3, (1.0,) * 3),
    "squashed": Geometry((24, 40), (24, 40), "bilinear", (0.0,) * 3, (1.0,) * 3),
    "squashed and cropped": Geometry((30, 18), (20, 24), "bilinear", (0.0,) * 3, (1.0,) * 3),
}
DEGENERATE = {
    "zero": (0.0, 0.0),
    "negative": (-7.0, 0.0),
    "positive": (0.25, 1.0),
    "tiny": (1e-45, 1.0),
    "huge": (3e38, 1.0),
    "nan": (float("nan"), 0.0),
    "infinite": (float("inf"), 0.0),
}


@pytest.fixture(scope="module")
def drawn() -> Callable[..., Tensor]:
    """`overlay` as TorchScript compiles it into the file."""
    return scripted(overlay)  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9 * 7, 5)).eval()
    return compile_model(net, torch.zeros(1, 3, 20, 16), preprocess=GEOMETRIES["small, not square"])


def random_photo(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def opencv(photo: NDArray[np.uint8], heat: Tensor, strength: float, geometry: Geometry, nudge: float = 0.0):
    size = photo.shape[:2]
    placed, mask = render.on_photo(render.unit(heat.numpy()), geometry.window(*size), size)
    return render.overlay(photo, np.clip(placed + nudge, 0, 1), mask, strength).astype(int)


def levels_apart(
    got: Tensor, photo: NDArray[np.uint8], heat: Tensor, strength: float, geometry: Geometry
) -> tuple[int, float]:
    """The largest difference, and the share of pixels that took the next colour.

    The colormap has 256 steps of up to 8 levels, and OpenCV places maps in float32, which moves them by up to
    0.006 steps: where the heat lies that near the border of two colours, either is right.
    """
    exact = np.abs(opencv(photo, heat, strength, geometry) - got.numpy()).max(-1)
    nearby = [opencv(photo, heat, strength, geometry, nudge) for nudge in (-0.02 / 255, 0.02 / 255)]
    nearest = np.min([exact, *(np.abs(near - got.numpy()).max(-1) for near in nearby)], axis=0)
    return int(nearest.max()), float((exact > 2).mean())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_picture_is_the_demos(drawn: Callable[..., Tensor], name: str, size: tuple[int, int]) -> None:
    """Maps of noise, which make the most of every difference in where a cell lies."""
    geometry, photo = GEOMETRIES[name], random_photo(*size)
    heat = torch.randn(geometry.crop, generator=torch.Generator().manual_seed(sum(size)))
    for strength in (0.0, 0.3, 1.0):
        got = drawn(torch.from_numpy(photo), heat, strength, VIRIDIS, geometry.sides, list(geometry.crop))
        assert got.dtype == torch.uint8
        apart, other_colour = levels_apart(got, photo, heat, strength, geometry)
        assert apart <= 2
        assert other_colour <= 2e-4


def test_a_smooth_map_on_the_cat_is_the_demos_picture(explainer: Explainer) -> None:
    geometry = explainer.geometry
    heat = torch.linspace(-1, 3, 20)[:, None] * torch.linspace(0, 1, 16)
    expected = picture(CAT, geometry.window(*CAT.shape[:2]), heat.numpy(), Look(), at_image=False)
    got = explainer.overlay(torch.from_numpy(CAT), heat)
    apart = np.abs(expected.astype(int) - got.numpy())
    assert (apart <= 2).mean() > 0.9999
    assert apart.max() <= 4  # the next colour at half strength


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_maps(explainer: Explainer, name: str, dtype: torch.dtype) -> None:
    """Fault 10 of other tools: NaN or garbage where a map is constant, negative or zero."""
    value, shown = DEGENERATE[name]
    photo = torch.from_numpy(random_photo(40, 40))
    got = explainer.overlay(photo, torch.full((20, 16), value).to(dtype), 1.0)
    inside = got[4:-4, 8:-8]
    assert (inside == (VIRIDIS[-1] if shown else photo[4:-4, 8:-8])).all()


def test_only_the_positive_part_counts_and_only_up_to_scale(explainer: Explainer) -> None:
    photo, heat = torch.from_numpy(random_photo(40, 40)), torch.randn(20, 16)
    expected = explainer.overlay(photo, heat)
    assert torch.equal(explainer.overlay(photo, heat.clamp(min=0)), expected)
    assert torch.equal(explainer.overlay(photo, 2.0**40 * heat), expected)
    assert not torch.equal(explainer.overlay(photo, -heat), expected)


def test_strength_and_the_unseen_margin(explainer: Explainer) -> None:
    photo, heat = torch.from_numpy(random_photo(40, 80)), torch.rand(20, 16)
    plain = explainer.overlay(photo, heat, 0)  # a whole number is a strength too
    window = explainer.geometry.window(40, 80)
    inside = slice(*seen(window.top, window.height, 40)), slice(*seen(window.left, window.width, 80))
    assert torch.equal(plain[inside], photo[inside])
    margin = torch.ones(40, 80, dtype=torch.bool)
    margin[inside] = False
    assert margin.sum() > 1000
    gray = plain[margin].int()
    assert (gray == gray[:, :1]).all()
    luma = photo[margin].float() @ torch.tensor([0.299, 0.587, 0.114])
    assert (gray[:, 0] - luma / 2).abs().max() <= 1


@pytest.mark.parametrize("name", GEOMETRIES)
def test_it_lies_where_the_network_saw_the_photo(name: str) -> None:
    geometry = GEOMETRIES[name]
    for height, width in [*SIZES, *np.random.default_rng(1).integers(1, 3000, (200, 2)).tolist()]:
        axes = placement(height, width, geometry.sides, list(geometry.crop))
        (top, tall), (left, wide) = map(extent, axes, geometry.crop)
        assert (top, left, tall, wide) == geometry.window(height, width)
        for start, length, pixels in ((top, tall, height), (left, wide, width)):
            touched = np.flatnonzero(render._touched(start, length, pixels))
            assert seen(start, length, pixels) == (touched[0], touched[-1] + 1)


def test_a_pixel_touched_by_a_rounding_error_is_unseen() -> None:
    assert seen(3 - 1e-9, 2 + 2e-9, 10) == (3, 5)
    assert seen(3 - 1e-3, 2 + 2e-3, 10) == (2, 6)


def test_the_photo_stays_as_it_is_and_may_be_a_view(explainer: Explainer) -> None:
    planes = torch.from_numpy(random_photo(30, 50)).permute(2, 0, 1).contiguous()
    photo, heat = planes.permute(1, 2, 0).flip(1), torch.rand(20, 16)
    before = photo.clone()
    assert torch.equal(explainer.overlay(photo, heat), explainer.overlay(before.contiguous(), heat))
    assert torch.equal(photo, before)
    assert torch.equal(explainer.overlay(before, heat.t().contiguous().t()), explainer.overlay(before, heat))


def test_low_precision_maps(explainer: Explainer) -> None:
    photo, heat = torch.from_numpy(random_photo(30, 50)), torch.rand(20, 16).bfloat16()
    assert torch.equal(explainer.overlay(photo, heat), explainer.overlay(photo, heat.float()))


def test_it_is_in_the_file(explainer: Explainer, tmp_path: Path) -> None:
    photo, heat = torch.from_numpy(CAT), torch.rand(20, 16)
    save(explainer, tmp_path / "net.pt")
    again = load(tmp_path / "net.pt")
    assert torch.equal(again.overlay(photo, heat, 0.7), explainer.overlay(photo, heat, 0.7))
    again.module.to(torch.bfloat16)  # the colours are no weights
    assert torch.equal(again.overlay(photo, heat, 0.7), explainer.overlay(photo, heat, 0.7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, m: (p.float(), m, 0.5), "photo must be uint8"),
        (lambda p, m: (p.permute(2, 0, 1), m, 0.5), r"photo must be \[H, W, 3\].*got shape \[3, 30, 50\]"),
        (lambda p, m: (p[None], m, 0.5), r"photo must be \[H, W, 3\].*got shape \[1, 30, 50, 3\]"),
        (lambda p, m: (p[:0], m, 0.5), "photo must be .*not empty"),
        (lambda p, m: (p, m.long(), 0.5), "map must be floating point"),
        (lambda p, m: (p, m[None], 0.5), r"one image, \[20, 16\]; got \[1, 20, 16\]: index it, map\[0\]"),
        (lambda p, m: (p, m.expand(3, 20, 16), 0.5), r"got \[3, 20, 16\].*saliency"),
        (lambda p, m: (p, m.t(), 0.5), r"map must be \[20, 16\].*got \[16, 20\]"),
        (lambda p, m: (p, m[0], 0.5), r"map must be \[20, 16\].*got \[16\]"),
        (lambda p, m: (p, m, float("nan")), "strength must be between 0 .* got nan"),
        (lambda p, m: (p, m, 1.01), "strength must be between 0 .* got 1.01"),
        (lambda p, m: (p, m, -0.01), "strength must be between 0 .* got -0.01"),
    ],
)
def test_what_can_not_be_drawn_is_refused(
    explainer: Explainer, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, float]], message: str
) -> None:
    question = change(torch.from_numpy(random_photo(30, 50)), torch.rand(20, 16))
    with pytest.raises(ValueError, match=message):
        explainer.overlay(*question)
    with pytest.raises(torch.jit.Error, match=message):  # as C++ would ask
        explainer.module.overlay(*question)
