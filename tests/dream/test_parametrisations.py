"""Every adjoint against autograd, and the linear ones by <A x, y> = <x, A' y>."""

import math

import pytest
import torch
from torch import Tensor

from engine.dream.parametrisations import (
    COLOURS,
    Maco,
    falloff,
    irfft2_adjoint,
    mixed,
    parametrisation,
    sigmoid_adjoint,
)

LIKE = torch.empty(0, dtype=torch.float64)
SHAPES = [(3, 8, 10), (3, 7, 9), (1, 9, 8), (5, 6, 1)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Of complex numbers that of their real and imaginary parts."""
    return (a.conj() * b).sum().real if a.is_complex() else (a * b).sum()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_inverse_transform_passes_the_dot_product_test(shape: tuple[int, ...]) -> None:
    """For any half of a spectrum, the parts that no real picture has included."""
    half = (*shape[:2], shape[2] // 2 + 1)
    x, y = torch.complex(drawn(*half), drawn(*half, seed=1)), drawn(*shape, seed=2)
    there = inner(torch.fft.irfft2(x, shape[1:], norm="ortho"), y)
    torch.testing.assert_close(there, inner(x, irfft2_adjoint(y)), rtol=1e-12, atol=1e-12)


def test_the_colours_pass_the_dot_product_test() -> None:
    x, y = drawn(3, 4, 5), drawn(3, 4, 5, seed=1)
    there = inner(mixed(COLOURS, x), y)
    torch.testing.assert_close(there, inner(x, mixed(COLOURS.T, y)), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(there, inner(x, mixed(COLOURS, y)))  # the matrix is not its own transpose


def test_the_sigmoids_adjoint_is_autograds() -> None:
    z, ct = drawn(3, 4).requires_grad_(), drawn(3, 4, seed=1)
    (wanted,) = torch.autograd.grad(z.sigmoid(), z, ct)
    torch.testing.assert_close(sigmoid_adjoint(z.detach().sigmoid(), ct), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["pixels", "fourier", "maco"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_parametrisations_adjoint_is_autograds(name: str, shape: tuple[int, ...]) -> None:
    asked = parametrisation(name, shape, LIKE)
    free = asked.start(torch.Generator().manual_seed(3))
    free, ct = (free + drawn(*free.shape)).requires_grad_(), drawn(*shape, seed=4)
    image = asked.image(free)
    (wanted,) = torch.autograd.grad(image, free, ct)
    assert list(image.shape) == list(shape) and image.min() >= 0 and image.max() <= 1
    torch.testing.assert_close(asked.adjoint(free.detach(), ct), wanted, rtol=1e-10, atol=1e-12)


def test_a_frequency_weighs_as_one_over_itself() -> None:
    found = falloff(8, 10)
    assert found.shape == (8, 6)
    assert found[0, 0] == 10  # 1 / max(0, 1/N)
    assert found[0, 5] == 2 and found[4, 0] == 2  # half a cycle for a pixel
    assert math.isclose(found[1, 1], 1 / math.hypot(1 / 8, 1 / 10))


def test_maco_without_photos_has_the_contrast_that_it_tells() -> None:
    asked = Maco((3, 24, 30), LIKE)
    spectrum = torch.polar(asked.magnitude, asked.start(torch.Generator().manual_seed(0)))
    spectrum[:, :, [0, -1]] = asked.magnitude[:, :, [0, -1]] + 0j  # which are their own mirror in no random phase
    planes = torch.fft.irfft2(spectrum, (24, 30), norm="ortho")
    assert math.isclose(planes.square().mean(), 1, rel_tol=1e-9)


def test_maco_with_the_right_phase_is_the_photo() -> None:
    """Its magnitudes are those of the photo, in the space that they are used in."""
    photo = drawn(3, 12, 14).sigmoid()
    asked = parametrisation("maco", (3, 12, 14), LIKE, [photo])
    planes = mixed(torch.linalg.inv(COLOURS), photo.logit())
    torch.testing.assert_close(asked.image(torch.fft.rfft2(planes, norm="ortho").angle()), photo)


def test_maco_takes_the_mean_of_its_photos() -> None:
    photos = [drawn(3, 12, 14, seed=seed).sigmoid() for seed in range(2)]
    first, second = (parametrisation("maco", (3, 12, 14), LIKE, [photo]).magnitude for photo in photos)
    both = parametrisation("maco", (3, 12, 14), LIKE, photos).magnitude
    torch.testing.assert_close(both, (first + second) / 2)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"no parametrisation is called 'wavelets'; there are pixels, fourier, maco"
    ):
        parametrisation("wavelets", (3, 8, 8), LIKE)
    with pytest.raises(ValueError, match=r"photos give MACO its magnitudes, and fourier has none"):
        parametrisation("fourier", (3, 8, 8), LIKE, [torch.zeros(3, 8, 8)])
