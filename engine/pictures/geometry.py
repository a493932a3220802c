"""From the photo to the network's input, and back: what the network sees of a photo, and where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]


class Window(NamedTuple):
    """The box of a photo that the network sees, in photo pixels.

    Pixel (i, j) covers [i, i + 1) x [j, j + 1). Where the input is padded, the box exceeds the photo.
    """

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class Geometry:
    """How a photo becomes the network's input: resize, center crop, normalise.

    resize: length of the photo's shorter side after the antialiased resize, in pixels; or (height, width), which
    the photo is squashed to whatever its shape, as torchvision's Resize((h, w)) does.
    crop: (H, W) of the network's input, cut from the middle; what the resized photo lacks is added in black.
    mean, std: per channel, for values in 0..1; one entry for a network on gray images, three for RGB, and as many
    as there are channels where the images are no photos.
    Raises ValueError, which names the field, for anything else.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Turn lists (JSON has no tuples) into tuples, and check every field."""
        for field in ("crop", "mean", "std"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if isinstance(self.resize, list):
            object.__setattr__(self, "resize", tuple(self.resize))
        pair = isinstance(self.resize, tuple) and len(self.resize) == 2
        if not (pair or isinstance(self.resize, int)) or not all(isinstance(n, int) and n > 0 for n in self.sides):
            raise ValueError(
                f"resize must be a positive whole number of pixels, or (height, width); got {self.resize!r}"
            )
        if len(self.crop) != 2 or not all(isinstance(side, int) and side > 0 for side in self.crop):
            raise ValueError(f"crop must be (height, width), two positive whole numbers; got {self.crop!r}")
        if self.interpolation not in get_args(Interpolation):
            choices = " or ".join(get_args(Interpolation))
            raise ValueError(f"interpolation must be {choices}; got {self.interpolation!r}")
        if not self.mean or not all(math.isfinite(value) for value in self.mean):
            raise ValueError(
                f"mean must be finite numbers, one per channel: 3, or 1 for gray images; got {self.mean!r}"
            )
        if len(self.std) != len(self.mean) or not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"std must be {len(self.mean)} positive numbers, as many as mean; got {self.std!r}")

    @property
    def sides(self) -> list[int]:
        """What `resize` says, as a file has it: [shorter side], or [height, width] to squash to."""
        return [self.resize] if isinstance(self.resize, int) else list(self.resize)

    def __str__(self) -> str:
        """In words: "RGB, the middle 224 × 224 of a photo brought to 256 on its shorter side (bilinear), …"."""
        colours = {1: "gray", 3: "RGB"}.get(len(self.mean), f"{len(self.mean)} channels")
        crop, sides = (" × ".join(map(str, lengths)) for lengths in (self.crop, self.sides))
        if len(self.sides) == 1:
            part = f"the middle {crop} of a photo brought to {sides} on its shorter side"
        else:
            part = f"{'' if crop == sides else f'the middle {crop} of '}a photo squashed to {sides}"
        return f"{colours}, {part} ({self.interpolation}), mean {list(self.mean)}, std {list(self.std)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON knows them; `from_dict` takes them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Geometry":
        """Build a geometry from `as_dict`'s fields; ValueError where one is missing or unknown."""
        wrong = set(fields) ^ set(cls.__dataclass_fields__)
        if wrong:
            wanted = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"a geometry has exactly the fields {wanted}; check {', '.join(sorted(wrong))}")
        return cls(**fields)

    def preprocess(self, image: Tensor) -> Tensor:
        """Turn a photo, uint8 [H, W, 3], into float32 [1, C, *crop]; see `preprocess`."""
        return preprocess(image, self.sides, list(self.crop), self.interpolation, list(self.mean), list(self.std))

    def window(self, height: int, width: int) -> Window:
        """Return the part of a height x width photo that becomes the network's input."""
        rows, columns = placement(height, width, self.sides, list(self.crop))
        return Window(
            rows.first + rows.start * rows.kept / rows.resized,
            columns.first + columns.start * columns.kept / columns.resized,
            self.crop[0] * rows.kept / rows.resized,
            self.crop[1] * columns.kept / columns.resized,
        )

    def middle_of(self, photo: Sequence[int], layer: Mapping[str, Any], place: Sequence[int]) -> list[float]:
        """The middle of a place (row, column) of a layer on a photo (H, W), whose pixel (i, j) covers [i, i + 1)
        down and [j, j + 1) to the right. layer: its entry in the manifest."""
        window = self.window(photo[0], photo[1])
        down, across = (
            (layer["offset"][axis] + layer["stride"][axis] * place[axis]) / self.crop[axis] for axis in (0, 1)
        )
        return [window.top + down * window.height, window.left + across * window.width]


# What follows is compiled into every artifact, so it keeps to what TorchScript knows.


class Axis(NamedTuple):
    """One side of a photo: its pixels first .. first + kept become `resized` pixels, cropped from `start` on.

    A negative `start` is padding.
    """

    first: int
    kept: int
    resized: int
    start: int


def placement(height: int, width: int, resize: list[int], crop: list[int]) -> tuple[Axis, Axis]:
    """Plan resize and crop of a height x width photo: its rows and its columns. resize: `Geometry.sides`."""
    if len(resize) == 2:  # squashed: each side goes by itself, and all of it
        rows = plan_axis(height, height, height, resize[0], crop[0])
        return rows, plan_axis(width, width, width, resize[1], crop[1])
    short = min(height, width)
    # Resizing a 5000 x 2 photo whole would take half a gigabyte, only to crop nearly all of it away.
    reach = short * max(16, 2 * (max(crop[0], crop[1]) // resize[0] + 1))
    rows = plan_axis(height, short, reach, resize[0], crop[0])
    return rows, plan_axis(width, short, reach, resize[0], crop[1])


def plan_axis(side: int, short: int, reach: int, resize: int, crop: int) -> Axis:
    """Plan one side of a photo whose shorter side is `short`, reading about `reach` pixels of its middle."""
    # An even number of pixels goes, half at each end, so that the middle stays the middle.
    kept = min(side, reach + (side - reach) % 2)
    resized = resize * kept // short
    spare = resized - crop
    if spare < 0:
        return Axis((side - kept) // 2, kept, resized, -(-spare // 2))
    # Halves are rounded to even, as torchvision and timm do.
    return Axis((side - kept) // 2, kept, resized, spare // 2 + spare % 2 * (spare // 2 % 2))


def preprocess(
    image: Tensor, resize: list[int], crop: list[int], mode: str, mean: list[float], std: list[float]
) -> Tensor:
    """Resize, center-crop and normalise: uint8 [H, W, 3] RGB or [H, W, 1] gray -> float32 [1, C, *crop].

    The arguments are the fields of `Geometry`, resize its `sides`. Before normalisation the result is within 2/255
    of what the evaluation transforms of torchvision and timm make of a PIL image. A network on gray images gets
    the luma 0.299 R + 0.587 G + 0.114 B; a gray photo is repeated for a network on colour. Where it takes C other
    channels, the image is [H, W, C]. Raises ValueError for another dtype or shape.
    """
    if image.dtype != torch.uint8:
        found = "floating-point" if image.is_floating_point() else "boolean or wider integer"
        raise ValueError(f"image must be uint8, 0..255; got {found} values: scale and convert them first")
    shape = list(image.shape)
    if len(mean) != 3 and len(mean) != 1:
        if len(shape) != 3 or shape[2] != len(mean) or image.numel() == 0:
            raise ValueError(f"image must be [H, W, {len(mean)}], not empty, channels last; got shape {shape}")
    elif len(shape) != 3 or (shape[2] != 3 and shape[2] != 1) or image.numel() == 0:
        raise ValueError(f"image must be [H, W, 3] or [H, W, 1], not empty, channels last; got shape {shape}")
    rows, columns = placement(shape[0], shape[1], resize, crop)
    x = image[rows.first : rows.first + rows.kept, columns.first : columns.first + columns.kept]
    # Only on the CPU does torch resize uint8, rounding after each of the two passes as Pillow does.
    x = x.cpu().permute(2, 0, 1).unsqueeze(0)
    x = F.interpolate(x, [rows.resized, columns.resized], mode=mode, align_corners=False, antialias=True)
    # A negative pad crops and a positive one adds black, on each side by itself.
    below = rows.start + crop[0] - rows.resized
    right = columns.start + crop[1] - columns.resized
    x = F.pad(x, [-columns.start, right, -rows.start, below])
    x = x.to(image.device, torch.float32) / 255.0
    if len(mean) == 1 and shape[2] == 3:
        luma = torch.tensor([0.299, 0.587, 0.114], device=x.device)
        x = (x * luma.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    center = torch.tensor(mean, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
    spread = torch.tensor(std, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
    return (x - center) / spread
