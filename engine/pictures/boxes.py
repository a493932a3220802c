"""Boxes around what a map marks: weakly supervised localisation, and the overlap of two boxes.

A map knows no edges of an object, only where evidence lies. The box around its strongest part is Zhou et al. 2016,
"Learning Deep Features for Discriminative Localization": all places above 20 % of the map's maximum, the largest
connected one of them, and the tight box around it; Grad-CAM's authors take 15 %. How good such a box is hangs on
that threshold more than on the method: Choe et al. 2020, arXiv:2001.07437, found that most of what was published
as progress was a threshold tuned on the test set. So it is chosen once, on other images, or left as it is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import Window

THRESHOLD = 0.2  # of the map's maximum, as in Zhou et al. 2016
SMALLEST = 0.001  # of the map's places: what is smaller is no box where several are asked for


@dataclass(frozen=True)
class Box:
    """A box in pixels, whose pixel (i, j) covers [i, i + 1) down and [j, j + 1) to the right.

    left, top: where it begins; right, bottom: where it ends, that pixel line not included.
    score: the share of the map's positive values that lies in it, 0..1. peak: the map's largest value in it, raw.
    label: what was asked, in words; empty where nobody said.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 0.0
    label: str = ""
    peak: float = 0.0

    @property
    def area(self) -> float:
        """In pixels; 0 where nothing is left of it."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them, and `coco`: [x, y, width, height], as COCO's annotations have it."""
        return asdict(self) | {"coco": [self.left, self.top, self.right - self.left, self.bottom - self.top]}

    def __str__(self) -> str:
        """In words: "tiger cat: 12, 30 to 200.5, 180 (188.5 × 150), 83% of the map"."""
        corners = f"{_short(self.left)}, {_short(self.top)} to {_short(self.right)}, {_short(self.bottom)}"
        size = f"{_short(self.right - self.left)} × {_short(self.bottom - self.top)}"
        return f"{f'{self.label}: ' if self.label else ''}{corners} ({size}), {self.score:.0%} of the map"


def boxes_of(
    attribution: NDArray[Any], threshold: float = THRESHOLD, several: bool = False, smallest: float = SMALLEST
) -> list[Box]:
    """The boxes of a map [h, w], in its own pixels: the tight box around the largest connected part (corners
    connect too) that reaches threshold * maximum.

    threshold: a share of the maximum, 0..1; it must not be tuned on the images that the boxes are judged on.
    several: a box for each part of at least `smallest` of the map's places, the one with the highest score first.
    Values below zero, NaN and infinity count as 0. Empty where nothing is positive. Raises ValueError for a map
    that is not [h, w] or a share outside of 0..1.
    """
    values = np.asarray(attribution, np.float64)
    if values.ndim != 2:
        raise ValueError(f"boxes are drawn around a map [h, w]; got {list(values.shape)}")
    for name, share in (("threshold", threshold), ("smallest", smallest)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share between 0 and 1; got {share}")
    values = np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    if not (most := float(values.max(initial=0.0))) > 0:
        return []
    values /= most  # first: the sum of float32's largest numbers is finite then too
    reached = (values >= threshold) & (values > 0)
    _, _, parts, _ = cv2.connectedComponentsWithStats(reached.astype(np.uint8), connectivity=8)
    total = float(values.sum())
    found = list[tuple[int, Box]]()
    for left, top, width, height, places in parts[1:].tolist():  # the first is the rest of the map
        inside = values[top : top + height, left : left + width]
        score, peak = min(1.0, float(inside.sum()) / total), float(inside.max()) * most
        found.append((places, Box(left, top, left + width, top + height, score, peak=peak)))
    if not several:
        return [max(found, key=lambda part: (part[0], part[1].score))[1]]
    kept = [box for places, box in found if places >= smallest * values.size]
    return sorted(kept, key=lambda box: -box.score)


def boxes_on_photo(
    attribution: NDArray[Any],
    window: Window,
    photo_size: tuple[int, int],
    threshold: float = THRESHOLD,
    several: bool = False,
    label: str = "",
) -> list[Box]:
    """The boxes of a map [h, w] of what the network saw, in the photo's own pixels and never outside of it.

    window: what the network saw, as `Geometry.window` gives it for a photo of photo_size, (H, W). Where the window
    exceeds the photo the network saw padding: what the map marks there counts for nothing, the maximum included.
    Otherwise as `boxes_of`.
    """
    values = np.array(attribution, np.float64)
    if values.ndim != 2:
        raise ValueError(f"boxes are drawn around a map [h, w]; got {list(values.shape)}")
    down, right = window.height / values.shape[0], window.width / values.shape[1]
    for axis, start, step, length in (
        (0, window.top, down, photo_size[0]),
        (1, window.left, right, photo_size[1]),
    ):
        begin = start + step * np.arange(values.shape[axis])
        beyond = (begin + step <= 1e-6) | (begin >= length - 1e-6)
        values[(slice(None),) * axis + (beyond,)] = 0.0
    found = boxes_of(values, threshold, several)
    return [replace(placed(box, window, values.shape, photo_size), label=label) for box in found]


def placed(box: Box, window: Window, size: Sequence[int], photo_size: tuple[int, int]) -> Box:
    """A box in what the network saw, [H, W] of `size`, in the pixels of the photo, and never outside of it.

    window: what the network saw, as `Geometry.window` gives it for a photo of photo_size, (H, W).
    """
    return clipped(in_window(box, window, size), photo_size)


def in_window(box: Box, window: Window, size: Sequence[int]) -> Box:
    """`placed`, but with what of the box lies in the padding around the photo."""
    down, right = window.height / size[0], window.width / size[1]
    left, top = window.left + right * box.left, window.top + down * box.top
    end, bottom = window.left + right * box.right, window.top + down * box.bottom
    return replace(box, left=left, top=top, right=end, bottom=bottom)


def clipped(box: Box, size: Sequence[int]) -> Box:
    """What of a box lies in an image of size (H, W); without area where nothing does."""
    height, width = size
    left, right = (min(max(side, 0.0), float(width)) for side in (box.left, box.right))
    top, bottom = (min(max(side, 0.0), float(height)) for side in (box.top, box.bottom))
    return replace(box, left=left, top=top, right=right, bottom=bottom)


def cut(picture: NDArray[np.uint8], box: Box, size: tuple[int, int], smooth: bool = True) -> NDArray[np.uint8]:
    """What of a picture, uint8 [H, W, 3], lies in a box of its pixels, as a picture of `size`, (H, W): black where
    the box leaves it. smooth: between the centres of pixels; else each is a square, for maps whose pixels count.

    Raises ValueError for a box without area.
    """
    if not box.area:
        raise ValueError(f"nothing can be cut out of a box without area: {box}")
    shrink = min(1.0, size[0] / (box.bottom - box.top), size[1] / (box.right - box.left))
    tall, wide = (max(1, round(side * shrink)) for side in picture.shape[:2])
    small = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA) if shrink < 1 else picture
    down, right = tall / picture.shape[0], wide / picture.shape[1]
    # Pixel j of the cut has its centre at j + 1/2 of its width; that of the picture's pixel i lies at i + 1/2.
    y, x = down * (box.bottom - box.top) / size[0], right * (box.right - box.left) / size[1]
    affine = np.array([[x, 0, x / 2 + right * box.left - 0.5], [0, y, y / 2 + down * box.top - 0.5]])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST)
    # The outermost half pixels have no neighbour to be mixed with: black would make a dark edge of them.
    found = cv2.warpAffine(small, affine, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    for axis, (start, end) in enumerate(((box.top, box.bottom), (box.left, box.right))):
        at = start + (end - start) * (np.arange(size[axis]) + 0.5) / size[axis]
        found[(slice(None),) * axis + ((at < 0) | (at >= picture.shape[axis]),)] = 0
    return np.asarray(found, np.uint8)


def iou(a: Box, b: Box) -> float:
    """How far two boxes are the same one: the area of their intersection over that of their union, 0..1."""
    wide, tall = min(a.right, b.right) - max(a.left, b.left), min(a.bottom, b.bottom) - max(a.top, b.top)
    both = max(0.0, wide) * max(0.0, tall)
    union = a.area + b.area - both
    return both / union if union > 0 else 0.0


def told_boxes(boxes: Sequence[Box], asked: str = "the answer") -> list[str]:
    """The boxes in sentences, numbered as they are drawn; or one that says why there is none."""
    if not boxes:
        return [f"no box: nothing in the map speaks for {asked}"]
    return [f"box {number}: {box}" for number, box in enumerate(boxes, 1)]


def draw_boxes(picture: NDArray[np.uint8], boxes: Sequence[Box], numbers: bool | None = None) -> NDArray[np.uint8]:
    """The picture, uint8 [H, W, 3], with an outline along each box: white between two dark lines, which is seen on
    any colour. The picture itself is left as it is.

    boxes: in pixels of the picture; what lies outside of it isn't drawn. numbers: write each box's number, from 1,
    into its corner; None where there are several. Raises ValueError for a picture of another shape or type.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"picture must be uint8 [H, W, 3]; got {picture.dtype} {list(picture.shape)}")
    drawn = np.ascontiguousarray(picture).copy()
    thick = max(1, round(min(drawn.shape[:2]) / 200))
    lines = [(_corners(clipped(box, drawn.shape[:2])), number) for number, box in enumerate(boxes, 1) if box.area]
    for ink, width in (
        (_DARK, 3 * thick),
        (_LIGHT, thick),
    ):  # all that is dark first, so that no box hides another's
        for (start, end), _ in lines:
            cv2.rectangle(drawn, start, end, ink, width)
    if len(boxes) > 1 if numbers is None else numbers:
        font, size = cv2.FontFace("sans"), max(10, 7 * thick + 5)
        for ((x, y), _), number in lines:
            corner, baseline = (x + 3 * thick, y + 3 * thick), (x + 5 * thick, y + 4 * thick + size)
            cv2.rectangle(
                drawn, corner, (baseline[0] + size * len(str(number)), baseline[1] + thick + 1), _DARK, -1
            )
            cv2.putText(drawn, str(number), baseline, _LIGHT, font, size, 600)
    return drawn


_DARK, _LIGHT = (16, 17, 20), (255, 255, 255)


def _corners(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and the last pixel of a box, (x, y) both."""
    return (int(box.left), int(box.top)), (
        max(0, int(np.ceil(box.right)) - 1),
        max(0, int(np.ceil(box.bottom)) - 1),
    )


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
