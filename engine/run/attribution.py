"""An answer that says what it is: values, layers, what was asked, and how far they make up the score."""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..methods import Place
from ..pictures.geometry import Geometry

if TYPE_CHECKING:  # they load OpenCV, which whoever only asks has no use for
    from ..pictures.boxes import Box
    from ..pictures.figures import Look
    from ..pictures.render import Picture


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a method answers, raw, with what it takes to read it.

    values: [N, S, S], or [N, C, S, S] where each channel of the input has its own; with several layers [N, L, …].
    layers: the names of those that the values are of; none where they are of the image as a whole.
    signed: do values below zero mean something? A saliency or a rectified map has none.
    logits: [N, K, …], of the images as they are. asked: what the score is, in words, for each image.
    completeness: of methods whose parts make up the score, or what it gained since a baseline, the share that they
    are off by, [N]; None for the others.
    arrived: of relevance the share of the score that came to the image and to each layer, [N, 1 + L], the image's
    first; what is missing was lost to biases and stabilisers above. None for the others.
    passes: how many passes of one image it took at most. notes: what is to be known before it is believed.
    at: where the method is read, which says how its values are drawn.
    """

    values: Tensor
    method: str
    title: str
    layers: tuple[str, ...]
    signed: bool
    logits: Tensor
    asked: tuple[str, ...]
    geometry: Geometry
    completeness: Tensor | None = None
    passes: int = 1
    notes: tuple[str, ...] = ()
    photo: NDArray[np.uint8] | None = field(default=None, repr=False)
    arrived: Tensor | None = None
    at: Place = Place.IMAGE

    def picture(
        self, photo: NDArray[np.uint8] | None = None, image: int = 0, layer: int = -1, look: "Look | None" = None
    ) -> "Picture":
        """One image's values as a picture, uint8 [H, W, 3]: heat on the photo, where the network saw it, and
        values of each channel as the network's input. Relevance is heat: what the channels of a pixel sum up to.

        photo: uint8 [H, W, 3]; without one, that which was asked about. layer: which of several.
        Raises ValueError where a map is to be drawn and there is no photo.
        """
        from ..pictures.figures import Look, picture, scale_over

        look, scale = look or Look(), None
        if len(self.layers) > 1:
            scale = scale_over((one.float().cpu().numpy() for one in self.values[image]), look, self.signed)
        values = self._drawn(image, layer)
        photo = self.photo if photo is None else photo
        if photo is None:
            if values.ndim == 2:
                raise ValueError("heat is drawn on a photo: give one, uint8 [H, W, 3]")
            photo = np.zeros((*values.shape[-2:], 3), np.uint8)
        window = self.geometry.window(*photo.shape[:2])
        drawn, at_image = values.float().cpu().numpy(), not self.layers
        return picture(photo, window, drawn, look, at_image, self.signed, scale)

    def boxes(
        self,
        threshold: float = 0.2,
        several: bool = False,
        photo: NDArray[np.uint8] | None = None,
        image: int = 0,
        layer: int = -1,
    ) -> "list[Box]":
        """The box around the largest part of one image's map that reaches threshold * maximum, in the photo's own
        pixels; see `pictures.boxes`. Empty where nothing in the map is positive.

        threshold: a share of the maximum; 0.2 is Zhou et al. 2016. It must not be tuned on the images that the
        boxes are judged on: Choe et al. 2020, arXiv:2001.07437. several: a box for each part, the strongest first.
        photo: uint8 [H, W, 3]; without one, that which was asked about. layer: which of several.
        Raises ValueError without a photo, and for a method that has a value for each channel of a pixel.
        """
        from ..pictures.boxes import boxes_on_photo

        values = self._drawn(image, layer)
        if values.ndim != 2:
            raise ValueError(
                f"{self.method} has a value for each channel: boxes are drawn around maps, as grad_cam's"
            )
        photo = self.photo if photo is None else photo
        if photo is None:
            raise ValueError("boxes are in a photo's pixels: give it, uint8 [H, W, 3]")
        height, width = photo.shape[:2]
        window, heat = self.geometry.window(height, width), values.float().cpu().numpy()
        return boxes_on_photo(heat, window, (height, width), threshold, several, self.asked[image])

    def save(self, path: str | Path) -> None:
        """Write the values as NumPy's .npy. Raises ValueError for another ending."""
        if Path(path).suffix != ".npy":
            raise ValueError(f"{Path(path).name}: the values are written as .npy; `picture` draws them")
        np.save(path, self.values.float().cpu().numpy())

    def told(self) -> list[str]:
        """What it is, in sentences: the method and what it was asked, the range, what is missing, the notes."""
        place = f" at {', '.join(self.layers[:3])}{', …' if len(self.layers) > 3 else ''}" if self.layers else ""
        low, high = float(self.values.min()), float(self.values.max())
        lines = [f"{self.title}{place}: {'; '.join(self.asked[:4])}", f"values {low:.3g} to {high:.3g}"]
        if self.passes > 1:
            lines[1] += f", from {self.passes} passes at most"
        if self.completeness is not None:
            off = ", ".join(f"{float(error):.1%}" for error in self.completeness[:4])
            whole = "the score" if self.passes == 1 else "what the score gained since the baseline"
            lines.append(f"all parts make up {whole} but for {off}")
        if self.arrived is not None:
            came = ", ".join(f"{float(share):.1%}" for share in self.arrived[:4, 0])
            lines.append(f"{came} of the score came to the pixels; biases and stabilisers make up the difference")
        return lines + list(self.notes)

    def __repr__(self) -> str:
        return f"Attribution({'; '.join(self.told())}; values {list(self.values.shape)})"

    def _drawn(self, image: int = 0, layer: int = -1) -> Tensor:
        """What of one image, and of one of several layers, is drawn: [S, S], or [C, S, S]."""
        values = self.values[image][layer] if len(self.layers) > 1 else self.values[image]
        return self.at.per_pixel(values)

    def _repr_html_(self) -> str:
        """The first image's picture with what it is, for notebooks."""
        lines = "<br>".join(html.escape(line) for line in self.told())
        if self.photo is None and self._drawn().ndim == 2:
            return f"<p>{lines}<br>give <code>picture(photo)</code> the photo to draw it on</p>"
        from ..pictures.render import data_url

        picture = f'<img alt="{html.escape(self.told()[0])}" src="{data_url(self.picture())}">'
        return f"<figure>{picture}<figcaption>{lines}</figcaption></figure>"


def photo_of(x: Any) -> NDArray[np.uint8] | None:
    """The photo that was given in the place of a tensor of images: uint8 [H, W, 3]; None where it is none."""
    if isinstance(x, Tensor) and x.ndim == 4:
        return None
    pixels = np.asarray(x)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        given = f"{pixels.dtype} {list(pixels.shape)}"
        raise ValueError(f"x is {given}: give images [N, C, S, S] or a photo, uint8 [H, W, 3]")
    return pixels
