"""What a caller says of the input otherwise than the published weights do: its size, colours and fit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from ..pictures.geometry import Geometry
from .zoo import Size

Fit = Literal["crop", "squash"]
Numbers = float | Sequence[float]  # one for all channels, or one each


def resized(geometry: Geometry, size: Size | None, fit: Fit = "crop") -> Geometry:
    """The same on inputs of another size, which show as much of a photo; squashed, all of it whatever its shape.

    Raises ValueError for another `fit`.
    """
    if fit not in get_args(Fit):
        raise ValueError(f"fit must be {' or '.join(get_args(Fit))}; got {fit!r}")
    height, width = size = size or geometry.crop
    if fit == "squash":
        return replace(geometry, resize=(height, width), crop=size)
    if size == geometry.crop:
        return geometry
    resize = max(*size, round(max(geometry.sides) * max(size) / max(geometry.crop)))
    return replace(geometry, resize=resize, crop=size)


def coloured(
    geometry: Geometry, channels: int, mean: Numbers | None, std: Numbers | None
) -> tuple[Geometry, list[str]]:
    """The same for a network on so many channels, with what was taken for granted, in sentences.

    mean, std: for values in 0..1; None for those of the published weights. Raises ValueError where they are not as
    many as the channels.
    """
    notes, known = list[str](), len(geometry.mean)
    means = _each("mean", geometry.mean if mean is None else mean, channels, mean is None)
    stds = _each("std", geometry.std if std is None else std, channels, std is None)
    if channels != known and (mean is None or std is None):
        taken = " and ".join(name for name, value in (("mean", mean), ("std", std)) if value is None)
        notes.append(
            f"the network takes {channels} {'channel' if channels == 1 else 'channels'}, and nobody said their "
            f"{taken}: those of the published weights were taken, averaged over their {known} channels"
        )
    return replace(geometry, mean=means, std=stds), notes


def _each(name: str, values: Numbers, channels: int, average: bool) -> tuple[float, ...]:
    numbers = [float(values)] if isinstance(values, int | float) else [float(value) for value in values]
    if average and len(numbers) != channels:
        numbers = [sum(numbers) / len(numbers)]
    if len(numbers) not in (1, channels):
        raise ValueError(f"{name} has {len(numbers)} numbers, the network takes {channels} channels")
    return tuple(numbers * channels if len(numbers) == 1 else numbers)
