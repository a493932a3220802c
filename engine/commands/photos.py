"""A photo in, a picture out."""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..files.artifact import load
from ..files.shelf import build, open_model
from ..methods import METHODS
from ..pictures.figures import Look, picture, shape_text
from ..pictures.photo import load_photo
from ..pictures.render import Picture, contact_sheet
from ..run.explainer import Explainer
from .own import given, own_of


def explain(options: argparse.Namespace) -> int:
    """Explain a photo and write the picture."""
    photo = load_photo(options.photo, page=options.page, bands=options.bands)
    explainer = _explainer(options)
    x = explainer.preprocess(torch.from_numpy(photo))
    logits = explainer.forward(x)
    ranking = explainer.ranking(logits)[0]
    for row in ranking[:5]:
        print(f"{row.told:>7}  {row.index:4}  {row.label}")
    target = explainer.class_index(options.target) if options.target else ranking[0].index
    question = explainer.labels[target]
    if options.contrast:
        other = explainer.class_index(options.contrast)
        seed = explainer.contrast(target, other)
        question += f" rather than {explainer.labels[other]}"
    else:
        seed = explainer.where_seen(logits, target) if logits.ndim > 2 else explainer.one_hot(target)
    window = explainer.geometry.window(*photo.shape[:2])
    look = Look(view=options.view, gray=options.gray)
    title = f"{METHODS[options.method].title}: {question}" if options.method in METHODS else None
    attribution = explainer.survey(x, seed, [options.method])[options.method][0].float().cpu().numpy()
    place = METHODS[options.method].at
    if place.at_every_layer and options.layer == "all":
        result = sheet(explainer, photo, attribution, look, title)
    elif place.at_every_layer:
        index = explainer.layer_index(-1 if options.layer == "last" else options.layer)
        title = f"{title}, {explainer.layers[index]}"
        result = picture(photo, window, attribution[index], look, at_image=False)
    else:
        one = attribution if place.at_image else attribution[0]
        result = picture(photo, window, one, look, place.at_image)
    encoded, data = cv2.imencode(Path(options.output).suffix or ".png", cv2.cvtColor(result, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"{options.output}: no picture format; use .png or .jpg")
    Path(options.output).write_bytes(data.tobytes())
    print(f"{title} -> {options.output} ({result.shape[1]} × {result.shape[0]})")
    return 0


def _explainer(options: argparse.Namespace) -> Explainer:
    """The named file, a model's kept one, or one compiled now for what the caller says of the weights."""
    said = given(options)
    if options.model.endswith(".pt"):
        if said:
            raise ValueError(f"{Path(options.model).name} is compiled already; {', '.join(said)} belong to export")
        return load(options.model)
    if not said or (said == ["--weights"] and options.weights == "random"):
        return open_model(options.model, options.weights)
    method = options.method
    explainer = build(options.model, options.weights, methods=[method], size=options.size, **own_of(options))
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
