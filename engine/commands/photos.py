"""A photo in, a picture out."""

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..files.artifact import load
from ..files.shelf import build, open_model
from ..pictures.figures import Look, picture, shape_text
from ..pictures.photo import load_photo
from ..pictures.render import Picture, contact_sheet
from ..run.explainer import Explainer
from ..run.watched import Progress
from .own import given, own_of


def explain(options: argparse.Namespace) -> int:
    """Explain a photo and write the picture."""
    photo = load_photo(options.photo, page=options.page, bands=options.bands)
    explainer = explainer_of(options)
    x = explainer.preprocess(torch.from_numpy(photo))
    logits = explainer.forward(x)
    ranking = explainer.ranking(logits)[0]
    for row in ranking[:5]:
        print(f"{row.told:>7}  {row.index:4}  {row.label}")
    window = explainer.geometry.window(*photo.shape[:2])
    look = Look(view=options.view, gray=options.gray)
    layer = -1 if options.layer == "last" else options.layer
    answer = explainer.ask(
        x, options.target, options.method, layer, contrast=options.contrast, smooth=options.smooth,
        baseline=options.baseline, options=_options(options.option), progress=told_progress(),
    )  # fmt: skip
    title = f"{answer.title}: {answer.asked[0]}"
    if len(answer.layers) > 1:
        result = sheet(explainer, photo, answer.values[0].float().cpu().numpy(), look, title)
    else:
        title = f"{title}, {answer.layers[0]}" if answer.layers else title
        result = picture(photo, window, answer.values[0].float().cpu().numpy(), look, not answer.layers)
    for note in answer.told()[1:]:
        print(note)
    write_picture(options.output, result)
    print(f"{title} -> {options.output} ({result.shape[1]} × {result.shape[0]})")
    return 0


def check_format(output: str) -> None:
    """Raise ValueError for a name that is no picture's, before anything is computed for it."""
    if (suffix := Path(output).suffix) and not cv2.haveImageWriter(suffix):
        raise ValueError(f"{output}: no picture format; use .png or .jpg")


def write_picture(output: str, result: Picture) -> None:
    """Write a picture, uint8 [H, W, 3], in the format that the name ends in; .png where it ends in none."""
    encoded, data = cv2.imencode(Path(output).suffix or ".png", cv2.cvtColor(result, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"{output}: no picture format; use .png or .jpg")
    Path(output).write_bytes(data.tobytes())


def _options(given: list[str]) -> dict[str, float]:
    """steps=32 and its like. Raises ValueError for anything else."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(f"--option {text}: it is NAME=NUMBER, as steps=32") from None
    return found


def told_progress() -> Progress | None:
    """A line that is written over, where a person looks."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, steps: int) -> None:
        print(f"\r{done} of {steps}", end="\n" if done == steps else "", file=sys.stderr, flush=True)

    return tell


def explainer_of(options: argparse.Namespace) -> Explainer:
    """The named file, a model's kept one, or one compiled now for what the caller says of the weights."""
    said = given(options)
    if options.model.endswith(".pt"):
        if said:
            raise ValueError(f"{Path(options.model).name} is compiled already; {', '.join(said)} belong to export")
        return load(options.model)
    if not said or (said == ["--weights"] and options.weights == "random"):
        return open_model(options.model, options.weights)
    methods = [options.method] if options.method else None
    explainer = build(options.model, options.weights, methods=methods, size=options.size, **own_of(options))
    for note in explainer.manifest["model"].get("notes", []):
        print(f"note: {note}")
    return explainer


def sheet(
    explainer: Explainer, photo: NDArray[np.uint8], stack: NDArray[Any], look: Look, title: str | None = None
) -> Picture:
    """Every layer's picture with its name and shape: stack [L, S, S] or [L, C, S, S]."""
    window = explainer.geometry.window(*photo.shape[:2])
    layers = explainer.manifest["layers"]
    captions = [f"{layer['name']}\n{shape_text(layer['shape'])}" for layer in layers]
    pictures = [picture(photo, window, attribution, look, False) for attribution in stack]
    return contact_sheet(pictures, captions, title=title)
