"""What a picture is written in while it is optimised, and the adjoint of each way, line by line.

Gradient ascent finds another picture in each: a step that is short in pixels is long in frequencies. Olah et
al. 2017, "Feature visualization", doi:10.23915/distill.00007.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

# The square root of the covariance of colours on ImageNet, as lucid (Apache-2.0) has it: its columns are
# brightness, blue to yellow and green to purple.
COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
COLOURS /= COLOURS.norm(dim=0).max()


class Parametrisation(Protocol):
    """A picture [C, H, W], values 0..1, as a function of free numbers."""

    rate: float  # Adam's, for one step

    def start(self, generator: torch.Generator) -> Tensor:
        """Free numbers to begin with."""

    def image(self, free: Tensor) -> Tensor:
        """The picture [C, H, W], 0..1."""

    def adjoint(self, free: Tensor, ct: Tensor) -> Tensor:
        """The cotangent of the free numbers, from that of the picture, [C, H, W]."""


def sigmoid_adjoint(image: Tensor, ct: Tensor) -> Tensor:
    """What goes back through image = sigmoid(z): ∂image/∂z = image (1 - image)."""
    return ct * image * (1 - image)


def colours(channels: int, like: Tensor) -> Tensor:
    """[C, C], from decorrelated colours to RGB; other channels than three are left as they are."""
    return (COLOURS if channels == 3 else torch.eye(channels)).to(like)


def mixed(matrix: Tensor, planes: Tensor) -> Tensor:
    """matrix [C, C] times the channels of planes [C, H, W]. Its adjoint is the same with the matrix transposed."""
    return torch.einsum("dc,chw->dhw", matrix, planes)


def irfft2_adjoint(ct: Tensor) -> Tensor:
    """The adjoint of `torch.fft.irfft2(·, norm="ortho")` in real and imaginary parts: [C, H, W] -> [C, H,
    W//2 + 1].

    Half of a spectrum stands for all of it: each of its columns counts twice, but the first and, of an even width,
    the last, which are their own mirror.
    """
    width = ct.shape[-1]
    twice = torch.full([width // 2 + 1], 2.0, dtype=ct.dtype, device=ct.device)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    half: Tensor = torch.fft.rfft2(ct, norm="ortho")
    return half * twice


def falloff(height: int, width: int) -> Tensor:
    """1 / max(f, 1/N) of each frequency f, in cycles for a pixel, N the longer side: float64 [H, W//2 + 1]."""
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    frequencies: Tensor = (rows**2 + columns**2).sqrt()
    return frequencies.clamp(min=1 / max(height, width)).reciprocal()


class Pixels:
    """Each pixel by itself, before a sigmoid: [C, H, W]. What comes is what Simonyan et al. 2014 (arXiv:1312.6034)
    found: strong answers to fine noise."""

    rate = 0.05

    def __init__(self, shape: Sequence[int], like: Tensor) -> None:
        self.shape, self.like = list(shape), like

    def start(self, generator: torch.Generator) -> Tensor:
        """Nearly mid-gray."""
        free: Tensor = 0.01 * torch.randn(self.shape, generator=generator)
        return free.to(self.like)

    def image(self, free: Tensor) -> Tensor:
        """sigmoid(z)."""
        return free.sigmoid()

    def adjoint(self, free: Tensor, ct: Tensor) -> Tensor:
        """Back through the sigmoid."""
        return sigmoid_adjoint(free.sigmoid(), ct)


class Fourier:
    """Fourier coefficients, scaled by 1 / max(f, 1/N), of decorrelated colours, before a sigmoid.

    z = colours · irfft2(coefficients / max(f, 1/N)) / 4, free numbers [C, H, W//2 + 1, 2], real and imaginary. So
    all frequencies move about as far as they do in photos (Olah et al. 2017).
    """

    rate = 0.05

    def __init__(self, shape: Sequence[int], like: Tensor) -> None:
        self.shape, self.like = list(shape), like
        self.scale = (falloff(*self.shape[1:]) / 4).to(like)
        self.colours = colours(self.shape[0], like)

    def start(self, generator: torch.Generator) -> Tensor:
        """Nearly mid-gray."""
        free = 0.01 * torch.randn([self.shape[0], *self.scale.shape, 2], generator=generator)
        return free.to(self.like)

    def image(self, free: Tensor) -> Tensor:
        """sigmoid(colours · irfft2(scale · c))."""
        spectrum = self.scale * torch.view_as_complex(free)
        return mixed(self.colours, torch.fft.irfft2(spectrum, self.shape[1:], norm="ortho")).sigmoid()

    def adjoint(self, free: Tensor, ct: Tensor) -> Tensor:
        """The same, backwards."""
        ct = mixed(self.colours.T, sigmoid_adjoint(self.image(free), ct))
        return torch.view_as_real(self.scale * irfft2_adjoint(ct))


class Maco:
    """The phase of each frequency alone, its magnitude fixed: MACO, Fel et al. 2023, arXiv:2306.06805.

    z = colours · irfft2(magnitude · exp(i phase)), free numbers [C, H, W//2 + 1]. The paper's magnitude is
    the mean over ImageNet's photos, which is nothing that this project has: here it is the mean over the
    photos that are given, or, of none, 1 / max(f, 1/N), the law that photos follow on the whole, with a
    standard deviation of one before the sigmoid. It is no measurement then, and the contrast of colours is
    that of `COLOURS`.
    """

    # Radians. The paper takes ten times as much, for the mean of 32 crops: one view is too rough for it.
    rate = 0.1

    def __init__(self, shape: Sequence[int], like: Tensor, photos: Sequence[Tensor] = ()) -> None:
        self.shape, self.like = list(shape), like
        self.colours = colours(self.shape[0], like)
        magnitude = falloff(*self.shape[1:]).expand(self.shape[0], -1, -1)
        if photos:
            unmix = torch.linalg.inv(self.colours.double())
            planes = [mixed(unmix, photo.double().clamp(1 / 255, 254 / 255).logit()) for photo in photos]
            magnitude = torch.stack([torch.fft.rfft2(plane, norm="ortho").abs() for plane in planes]).mean(0)
        else:
            # By Parseval, the mean square of a plane is that of its whole spectrum.
            whole = irfft2_adjoint(torch.fft.irfft2(magnitude + 0j, self.shape[1:], norm="ortho")).abs()
            magnitude = magnitude / ((whole * magnitude).sum() / math.prod(self.shape)).sqrt()
        self.magnitude = magnitude.to(like)

    def start(self, generator: torch.Generator) -> Tensor:
        """Any phases."""
        shape = [self.shape[0], self.shape[1], self.shape[2] // 2 + 1]
        return (2 * math.pi * torch.rand(shape, generator=generator) - math.pi).to(self.like)

    def image(self, free: Tensor) -> Tensor:
        """sigmoid(colours · irfft2(magnitude · exp(i phase)))."""
        spectrum = torch.polar(self.magnitude, free)
        return mixed(self.colours, torch.fft.irfft2(spectrum, self.shape[1:], norm="ortho")).sigmoid()

    def adjoint(self, free: Tensor, ct: Tensor) -> Tensor:
        """The same, backwards: ∂(m e^{iφ})/∂φ = i m e^{iφ}, so ct_φ = m (cos φ · Im ct - sin φ · Re ct)."""
        ct = irfft2_adjoint(mixed(self.colours.T, sigmoid_adjoint(self.image(free), ct)))
        return self.magnitude * (free.cos() * ct.imag - free.sin() * ct.real)


PARAMETRISATIONS = ("pixels", "fourier", "maco")


def parametrisation(
    name: str, shape: Sequence[int], like: Tensor, photos: Sequence[Tensor] = ()
) -> Parametrisation:
    """The parametrisation of a name, for pictures [C, H, W], in the type and on the device of `like`.

    photos: [C, H, W] each, 0..1, whose magnitudes MACO takes. Raises ValueError for an unknown name, and for
    photos beside another one.
    """
    if name not in PARAMETRISATIONS:
        raise ValueError(f"no parametrisation is called {name!r}; there are {', '.join(PARAMETRISATIONS)}")
    if name == "maco":
        return Maco(shape, like, photos)
    if photos:
        raise ValueError(f"photos give MACO its magnitudes, and {name} has none; leave them out or take 'maco'")
    return Pixels(shape, like) if name == "pixels" else Fourier(shape, like)
