"""Gradient ascent: one loop for all parametrisations and objectives, in plain tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..run.explainer import Explainer
from ..run.watched import Progress
from .objectives import Natural, Objective
from .parametrisations import Parametrisation
from .views import Views, shaken


@dataclass(frozen=True)
class Dream:
    """A picture that was optimised, and how that went."""

    picture: NDArray[np.uint8]  # [H, W, 3] RGB
    course: tuple[float, ...]  # the objective at each step, before it, as the network was shown the picture
    value: float  # the objective of the picture as it is, its 256 levels and all


@dataclass(frozen=True)
class Shaking:
    """How a picture is shown at each step. Without it ascent finds noise that no shifted picture has.

    jitter: whole pixels, at most, in both directions; zoom: the largest share by which it is larger or smaller;
    views: how many at a time, whose mean counts.
    """

    jitter: int = 8
    zoom: float = 0.05
    views: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError, which names the field."""
        if self.jitter < 0:
            raise ValueError(f"jitter is {self.jitter}: it is a number of pixels, 0 or more")
        if not 0 <= self.zoom < 1:
            raise ValueError(f"zoom is {self.zoom:g}: it is a share, 0 or more and below 1")
        if self.views < 1:
            raise ValueError(f"views is {self.views}: it is a number of them, 1 or more")


STILL = Shaking(jitter=0, zoom=0.0)


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), upwards, on one tensor."""

    def __init__(self, rate: float, decay: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        self.rate, self.decay, self.epsilon = rate, decay, epsilon
        self.steps, self.mean, self.square = 0, torch.zeros(()), torch.zeros(())

    def step(self, gradient: Tensor) -> Tensor:
        """What to add for this gradient."""
        (first, second), self.steps = self.decay, self.steps + 1
        self.mean = first * self.mean.to(gradient) + (1 - first) * gradient
        self.square = second * self.square.to(gradient) + (1 - second) * gradient.square()
        mean, square = self.mean / (1 - first**self.steps), self.square / (1 - second**self.steps)
        return self.rate * mean / (square.sqrt() + self.epsilon)


class Lens:
    """The network as pictures meet it: [C, H, W] of 0..1 in, an objective's value and its gradient out."""

    def __init__(self, explainer: Explainer, objective: Objective) -> None:
        geometry = explainer.geometry
        if len(geometry.mean) not in (1, 3):
            raise ValueError(f"the network takes {len(geometry.mean)} bands: a picture is RGB or gray")
        self.objective, self.size = objective, geometry.crop
        self.fine = explainer.module.fine
        self.like = like_of(explainer)
        self.mean, self.std = (self.like.new_tensor(each)[:, None, None] for each in (geometry.mean, geometry.std))

    def look(self, image: Tensor, views: Views) -> tuple[float, Tensor]:
        """The mean objective of the views of a picture [C, H, W], and its gradient, [C, H, W]."""
        views = Views(views.rows.to(self.like), views.columns.to(self.like))
        x = (views.show(image) - self.mean) / self.std
        value, gradient = self.objective(x.to(self.fine))
        return float(value.double().mean()), views.adjoint(gradient.to(self.like) / self.std) / len(x)


def like_of(explainer: Explainer) -> Tensor:
    """An empty tensor where the file is, of the type that pictures are optimised in: float32, of float64 files
    float64."""
    fine: Tensor = explainer.module.fine
    return torch.empty(0, device=fine.device, dtype=torch.promote_types(fine.dtype, torch.float32))


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """[C, H, W] of 0..1 -> uint8 [H, W, 3]; gray is repeated."""
    levels = (255 * image.clamp(0, 1)).round().to(torch.uint8).cpu()
    return levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def ascend(
    lens: Lens,
    parametrisation: Parametrisation,
    steps: int,
    seed: int,
    shaking: Shaking,
    natural: Natural | None = None,
    progress: Progress | None = None,
) -> Dream:
    """Raise an objective, from the parametrisation's start, by so many steps of Adam.

    seed: of all that is drawn; the same one gives the same picture. natural: what is subtracted from the
    objective; it is no part of the course. Raises ValueError for fewer steps than one.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: it is a number of them, 1 or more")
    generator = torch.Generator().manual_seed(seed)
    free, adam, course = parametrisation.start(generator), Adam(parametrisation.rate), []
    for done in range(1, steps + 1):
        image = parametrisation.image(free)
        sides = (image.shape[1], image.shape[2])
        views = shaken(sides, lens.size, shaking.jitter, shaking.zoom, shaking.views, generator)
        value, ct = lens.look(image, views)
        course.append(value)
        if natural is not None:
            ct = ct - natural(image)[1]
        free = free + adam.step(parametrisation.adjoint(free, ct))
        if progress is not None:
            progress(done, steps)
    image = parametrisation.image(free)
    seen = shaken((image.shape[1], image.shape[2]), lens.size, 0, 0.0, 1, generator)
    return Dream(to_picture(image), tuple(course), lens.look((255 * image).round() / 255, seen)[0])
