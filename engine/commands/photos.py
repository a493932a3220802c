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
from ..pictures.boxes import THRESHOLD, draw_boxes, told_boxes
from ..pictures.colours import SEQUENTIAL
from ..pictures.figures import Look, empty_line, picture, scale_over, shape_text
from ..pictures.photo import load_photo
from ..pictures.render import Picture, contact_sheet
from ..run.attribution import Attribution
from ..run.explainer import Explainer
from ..run.watched import Progress
from .own import given, own_of


def explain(options: argparse.Namespace) -> int:
    """Explain a photo and write the picture, or the raw values where the name ends in .npy."""
    _check_boxes(options)
    if options.colours not in SEQUENTIAL:
        raise ValueError(f"--colours {options.colours}: choose one of {', '.join(SEQUENTIAL)}")
    if options.scale == "common" and options.layer != "all":
        raise ValueError("--scale common is one scale for several layers: give --layer all")
    photo = load_photo(options.photo, page=options.page, bands=options.bands)
    explainer = explainer_of(options)
    x = explainer.preprocess(torch.from_numpy(photo))
    logits = explainer.forward(x)
    ranking = explainer.ranking(logits)[0]
    for row in ranking[:5]:
        print(f"{row.told:>7}  {row.index:4}  {row.label}")
    look = Look(options.view, options.gray, colormap=options.colours, scale=options.scale)
    layer = -1 if options.layer == "last" else options.layer
    answer = explainer.ask(
        x, options.target, options.method, layer, contrast=options.contrast, smooth=options.smooth,
        baseline=options.baseline, options=numbers_of(options.option), progress=told_progress(),
    )  # fmt: skip
    title = f"{answer.title}: {answer.asked[0]}"
    values = answer.values[0].float().cpu().numpy()
    if Path(options.output).suffix == ".npy":
        return _write_values(options.output, values, answer, title)
    if len(answer.layers) > 1:
        result = sheet(explainer, photo, values, look, title, answer.signed)
    else:
        title = f"{title}, {answer.layers[0]}" if answer.layers else title
        result = answer.picture(photo, look=look)
    if options.boxes:
        share = THRESHOLD if options.threshold is None else options.threshold
        boxes = answer.boxes(share, options.several, photo)
        result = draw_boxes(result, boxes)
        print("\n".join(told_boxes(boxes, answer.asked[0])))
    for note in answer.told()[1:]:
        print(note)
    write_picture(options.output, result)
    print(f"{title} -> {options.output} ({result.shape[1]} × {result.shape[0]})")
    return 0


def _write_values(output: str, values: NDArray[np.float32], answer: Attribution, title: str) -> int:
    """Write the raw values of the one photo, float32 [S, S], [C, S, S] or, of every layer, [L, …]."""
    np.save(output, values)
    for note in answer.told()[1:]:
        print(note)
    print(f"{title} -> {output} ({shape_text(list(values.shape))})")
    return 0


def _check_boxes(options: argparse.Namespace) -> None:
    """Raise ValueError for what fits no boxes, before anything is computed."""
    if not options.boxes and (options.several or options.threshold is not None):
        raise ValueError("--several and --threshold say which boxes: give --boxes too")
    if options.boxes and Path(options.output).suffix == ".npy":
        raise ValueError("--boxes are drawn: give -o a picture's name")
    if options.boxes and options.layer == "all":
        raise ValueError("--boxes are of one layer: name it")


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


def numbers_of(given: list[str]) -> dict[str, float]:
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
    explainer: Explainer,
    photo: NDArray[np.uint8],
    stack: NDArray[Any],
    look: Look,
    title: str | None = None,
    signed: bool = False,
) -> Picture:
    """Every layer's picture with its name and shape: stack [L, S, S] or [L, C, S, S]."""
    window = explainer.geometry.window(*photo.shape[:2])
    layers = explainer.manifest["layers"]
    captions = [
        f"{layer['name']}\n{shape_text(layer['shape'])}{empty_line(attribution, signed)}"
        for layer, attribution in zip(layers, stack, strict=True)
    ]
    scale = scale_over(stack, look, signed)
    pictures = [picture(photo, window, attribution, look, False, signed, scale) for attribution in stack]
    return contact_sheet(pictures, captions, title=title)
