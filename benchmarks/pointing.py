"""The grid pointing game: of a mosaic of four photos, which share of a map lies on the photo of its class?

    python -m benchmarks.pointing [MODEL|FILE.pt] [--methods lrp_epsilon_plus guided_backprop ...]

Böhle et al. 2021, arXiv:2104.00032: photos that a network is sure of, four in a square, each in a cell of its
own and as large as the network takes it, so that the square is twice as wide and high. (A FILE.pt takes one size
alone: there the photos become smaller.) A map of one of their classes should lie on its cell; by chance a quarter
of it does. Counted is what is positive in a map, summed over the colours, at the pixels. The contrastive seed asks
for a class rather than for the other three.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import gradio
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import METHODS, Explainer, compile_model, load, load_model, load_photo
from engine.models.loading import Model
from engine.trust import grid_energy

METHODS_ASKED = (
    "lrp_epsilon_plus",
    "lrp_epsilon_gamma_box",
    "lrp_epsilon",
    "excitation_backprop",
    "guided_backprop",
)
SURE = 0.5  # the probability from which on a network is sure of a photo: others say little of their own class


def photos() -> list[NDArray[np.uint8]]:
    """Six photos that come with scikit-image and Gradio: a cat, coffee, a rocket, a camera, a lion, a cheetah."""
    folder = Path(gradio.__file__).parent
    wild = [folder / "media_assets/images/lion.jpg", folder / "test_data/cheetah2.jpg"]
    names = ("chelsea", "coffee", "rocket", "camera")
    known: list[NDArray[np.uint8]] = [getattr(skimage.data, name)() for name in names]
    known[-1] = np.stack([known[-1]] * 3, -1)  # which is grey
    return [*known, *map(load_photo, wild)]


def sure_of(explainer: Explainer) -> list[Tensor]:
    """Those of the photos that the network is sure of, each as its input; four at least, or ValueError."""
    images = [explainer.preprocess(torch.from_numpy(np.ascontiguousarray(photo))) for photo in photos()]
    sure = [x for x in images if float(explainer.forward(x).softmax(1).max()) >= SURE]
    if len(sure) < 4:
        raise ValueError(f"the network is sure of {len(sure)} photos of {len(images)}, and a mosaic takes four")
    return sure


def mosaics(count: int) -> list[tuple[int, ...]]:
    """Four photos of so many in the cells of each mosaic: each photo as often as the others, and in each cell."""
    return [tuple((first + step) % count for step in range(4)) for first in range(count)]


def mosaic(images: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Four images [1, C, S, S] as one of that size, row by row, each made smaller where that is less."""
    half = (size[0] // 2, size[1] // 2)
    small = [
        x if x.shape[2:] == half else torch.nn.functional.interpolate(x, half, mode="bilinear", antialias=True)
        for x in images
    ]
    return torch.cat([torch.cat(small[:2], 3), torch.cat(small[2:], 3)], 2)


def wide(model: Model, methods: Sequence[str]) -> Explainer:
    """The network as it takes mosaics of whole images, twice as wide and high."""
    height, width = model.geometry.crop
    example = torch.zeros(1, len(model.geometry.mean), 2 * height, 2 * width)
    return compile_model(model.module, example, [], list(methods), model.labels)


def play(
    explainer: Explainer, method: str, images: Sequence[Tensor], classes: Sequence[int], contrastive: bool
) -> list[float]:
    """The energy of each photo of each mosaic, as large as the explainer takes it; classes: of each alone."""
    found = []
    for places in mosaics(len(images)):
        x = mosaic([images[place] for place in places], explainer.geometry.crop)
        for cell, place in enumerate(places):
            seed = torch.zeros_like(explainer.one_hot(0))
            seed[0, [classes[other] for other in places]] = -1 / 3 if contrastive else 0.0
            seed[0, classes[place]] = 1.0
            found.append(float(grid_energy(explainer.explain(x, seed, method), cell)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the mean energy of each method."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pointing", description=__doc__)
    parser.add_argument("model", nargs="?", default="efficientnet_lite0", metavar="MODEL|FILE.pt")
    parser.add_argument("--methods", nargs="+", default=METHODS_ASKED, choices=list(METHODS), metavar="METHOD")
    options = parser.parse_args(arguments)
    if options.model.endswith(".pt"):
        explainer = of_mosaics = load(options.model)
    else:
        model = load_model(options.model)
        given = (list(options.methods), model.labels, model.geometry, model.source)
        explainer = compile_model(model.module, model.example, [], *given)
        of_mosaics = wide(model, options.methods)
    images = sure_of(explainer)
    classes = []
    for x in images:
        logits = explainer.forward(x)
        classes.append(int(logits.argmax(1)))
        print(f"{explainer.labels[int(logits.argmax(1))]}, {float(logits.softmax(1).max()):.2f}")
    print("\n| method | a class | a class rather than the other three |\n| --- | --- | --- |")
    for method in options.methods:
        shares = [np.mean(play(of_mosaics, method, images, classes, contrastive)) for contrastive in (False, True)]
        print(f"| {method} | {shares[0]:.3f} | {shares[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
