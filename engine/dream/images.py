"""The pictures that can be asked for: one function for each."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..run.explainer import Explainer
from ..run.watched import Progress
from .ascent import STILL, Dream, Lens, Shaking, ascend, to_picture
from .objectives import Natural, Objective, like_layer, of_channel, of_class, of_layer, of_unit
from .parametrisations import parametrisation as named
from .views import tiled

OCTAVE = 1.4  # how much larger each octave of a deep dream is than the one before


def class_image(
    explainer: Explainer,
    target: int | str,
    *,
    steps: int = 96,
    seed: int = 0,
    parametrisation: str = "fourier",
    photos: Sequence[Any] = (),
    shaking: Shaking | None = None,
    natural: Natural | None = None,
    progress: Progress | None = None,
) -> Dream:
    """A picture that raises a class's logit: Simonyan et al. 2014, arXiv:1312.6034.

    target: the class, by index or name. parametrisation: "fourier" (Olah et al. 2017), "maco" (Fel et al.
    2023, its magnitudes those of `photos`, uint8 [H, W, 3] each, or 1/f) or "pixels". seed: the same one
    gives the same picture. shaking: how it is shown at each step. natural: what keeps it natural, of which
    nothing is asked unless given. progress: called with steps done and steps in all; what it raises ends the
    ascent. The picture is as large as the network's input. Raises ValueError for what is not there or out of
    range, and where the file has no `gradient`.
    """
    objective = of_class(explainer, target)
    return _image(explainer, objective, steps, seed, parametrisation, photos, shaking, natural, progress)


def channel_image(
    explainer: Explainer,
    layer: int | str,
    channel: int,
    *,
    steps: int = 96,
    seed: int = 0,
    parametrisation: str = "fourier",
    photos: Sequence[Any] = (),
    shaking: Shaking | None = None,
    natural: Natural | None = None,
    progress: Progress | None = None,
) -> Dream:
    """A picture that raises a channel's mean over its layer: Olah et al. 2017, doi:10.23915/distill.00007.

    layer: index, name or alias, one that questions may start at. The rest as in `class_image`.
    """
    objective = of_channel(explainer, layer, channel)
    return _image(explainer, objective, steps, seed, parametrisation, photos, shaking, natural, progress)


def unit_image(
    explainer: Explainer,
    layer: int | str,
    channel: int,
    at: tuple[int, int] | None = None,
    *,
    steps: int = 96,
    seed: int = 0,
    parametrisation: str = "fourier",
    photos: Sequence[Any] = (),
    shaking: Shaking | None = None,
    natural: Natural | None = None,
    progress: Progress | None = None,
) -> Dream:
    """A picture that raises one unit: a channel at a row and a column, its layer's middle unless given.

    Erhan et al. 2009, Olah et al. 2017; arguments as in `channel_image`.
    """
    objective = of_unit(explainer, layer, channel, at)
    return _image(explainer, objective, steps, seed, parametrisation, photos, shaking, natural, progress)


def invert(
    explainer: Explainer,
    photo: Any,
    layer: int | str,
    *,
    steps: int = 200,
    seed: int = 0,
    parametrisation: str = "fourier",
    natural: Natural | None = None,
    progress: Progress | None = None,
) -> Dream:
    """What a layer knows of a photo: a picture, from noise, with the same values there.

    Mahendran and Vedaldi 2015, arXiv:1412.0035: -|A(x) - A(x₀)|² / |A(x₀)|² is raised, which is at most zero, less
    total variation and a norm, `natural`. photo: uint8 [H, W, 3]. The rest as in `class_image`.
    """
    x = explainer.preprocess(torch.as_tensor(photo))
    objective = like_layer(explainer, layer, explainer.layer_value(x, layer))
    natural = Natural(tv=1.0, norm=0.001) if natural is None else natural
    return _image(explainer, objective, steps, seed, parametrisation, (), STILL, natural, progress)


def deep_dream(
    explainer: Explainer,
    photo: Any,
    layer: int | str,
    *,
    octaves: int = 4,
    steps: int = 10,
    rate: float = 1.5 / 255,
    side: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dream:
    """A photo with more of whatever a layer sees in it: Mordvintsev, Olah and Tyka 2015, "Inceptionism".

    The squares of the layer's values are raised by `steps` steps in each octave, from the smallest up, each
    1.4 times as large as the one before; what a step adds is `rate` (of the range 0..1) times the gradient
    over its mean absolute value. photo: uint8 [H, W, 3]. side: the shorter side of the picture; the network's
    own unless given. A picture larger than the network's input is shown to it in tiles, a smaller one
    repeatedly, from another place at each step. The rest as in `class_image`, steps in all being those of all
    octaves.
    """
    side = min(explainer.geometry.crop) if side is None else side
    for name, count in (("octaves", octaves), ("steps", steps), ("side", side)):
        if count < 1:
            raise ValueError(f"{name} is {count}: it is 1 or more")
    if not rate > 0:
        raise ValueError(f"rate is {rate:g}: it is a share of the pixels' range, above 0")
    lens, generator = Lens(explainer, of_layer(explainer, layer)), torch.Generator().manual_seed(seed)
    image = _pixels(photo, len(explainer.geometry.mean)).to(lens.like)
    scales = [side / min(image.shape[1:]) / OCTAVE**octave for octave in reversed(range(octaves))]
    course: list[float] = []
    detail = torch.zeros_like(image)
    for octave, scale in enumerate(scales):
        sides = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[2] * scale)))
        base = _resized(image, sides)
        dream = (base + _resized(detail, sides)).clamp(0, 1)
        for step in range(steps):
            value, ct = lens.look(dream, tiled(sides, lens.size, generator))
            course.append(value)
            dream = (dream + rate * ct / ct.abs().mean().clamp(min=1e-30)).clamp(0, 1)
            if progress is not None:
                progress(octave * steps + step + 1, octaves * steps)
        detail = dream - base
    dream = (255 * dream).round() / 255
    return Dream(to_picture(dream), tuple(course), lens.look(dream, tiled(sides, lens.size, generator))[0])


def _image(
    explainer: Explainer,
    objective: Objective,
    steps: int,
    seed: int,
    parametrisation: str,
    photos: Sequence[Any],
    shaking: Shaking | None,
    natural: Natural | None,
    progress: Progress | None,
) -> Dream:
    """A picture as large as the network's input."""
    lens = Lens(explainer, objective)
    shape = (len(lens.mean), *lens.size)
    seen = [
        explainer.preprocess(torch.as_tensor(photo))[0].to(lens.like) * lens.std + lens.mean for photo in photos
    ]
    free = named(parametrisation, shape, lens.like, seen)
    if shaking is None:
        shaking = Shaking(jitter=math.ceil(min(lens.size) / 28))  # 8 of 224 pixels, and as much of others
    return ascend(lens, free, steps, seed, shaking, natural, progress)


def _pixels(photo: Any, channels: int) -> Tensor:
    """uint8 [H, W, 3] -> [C, H, W], 0..1; for a network on gray images the luma."""
    photo = torch.as_tensor(photo)
    if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.numel():
        raise ValueError(f"photo is {photo.dtype} {list(photo.shape)}: it is uint8 [H, W, 3]")
    image: Tensor = photo.permute(2, 0, 1).double() / 255
    luma = image.new_tensor([0.299, 0.587, 0.114])
    return image if channels == 3 else (luma[:, None, None] * image).sum(0, keepdim=True)


def _resized(image: Tensor, sides: tuple[int, int]) -> Tensor:
    found: Tensor = F.interpolate(image[None], sides, mode="bilinear", align_corners=False, antialias=True)
    return found[0]
