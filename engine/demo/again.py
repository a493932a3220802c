"""What makes a map again: its settings, the line to type, and the lines of Python."""

import platform
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .. import METHODS, __version__
from .language import say
from .scene import Scene, options_of
from .state import model_title, standings
from .words import why_line

PHOTO, PICTURE, MAP = "photo.png", "picture.png", "map.npy"  # beside the settings
FILES = (
    "{map} holds the values, {picture} is how the page draws them. In this folder, with ConvLens\n"
    "{version} installed, the line and the lines below each write the same values to again.npy."
)
OWN_MODEL = "{model} is to lie beside them: the page gives it under “About this picture”."
CHECKOUT = 'In a checkout "convlens" is "python -m engine", and "import convlens" is "import engine as convlens".'


def settings(scene: Scene, credit: str = "") -> dict[str, Any]:
    """All that a map depends on, for JSON. Indices count from 0. credit: whose the photo is, where known."""
    question, manifest = scene.question, scene.model.explainer.manifest
    low, high = scene.range(scene.layer)
    values = scene.attribution(scene.layer)
    source = manifest["model"]
    return {
        "question": sentence(scene),
        "model": {
            "name": question.model,
            "title": model_title(scene),
            "weights": source["weights"] if question.weights == "default" else question.weights,
            "sha256": source.get("sha256"),
            "licence": source["licence"],
            "program": manifest["program"],
        },
        "method": {"name": question.method, "title": scene.title, "cite": METHODS[question.method].cite}
        | {"options": options_of(question.method) or {}},
        "layer": {"name": scene.layer_name, "index": scene.layer} if scene.layers else None,
        "target": _class(scene, question.target),
        "contrast": _class(scene, question.contrast),
        "map": {"file": MAP, "dtype": "float32", "shape": list(values.shape), "range": [low, high]},
        "view": vars(question.look),
        "photo": {"file": PHOTO, "size": list(scene.photo.pixels.shape[:2]), "credit": credit or None},
        "versions": {
            "convlens": __version__,
            "manifest": manifest["format"],
            "compiler": manifest["compiler"],
            "torch": torch.__version__,
            "compiled with torch": manifest["torch"],
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def sentence(scene: Scene, shown: Callable[[str], str] = str) -> str:
    """What is asked, as the page's head has it. shown: what becomes of the classes' names."""
    target, *contrast = (shown(label) for label, _ in standings(scene))
    return why_line(target, contrast[0] if contrast else None)


def command(scene: Scene) -> list[str]:
    """The arguments of `convlens` that make the values again, in the folder of the archive."""
    question = scene.question
    arguments = ["explain", PHOTO, "-o", "again.npy", "--model", question.model]
    if question.weights != "default":
        arguments += ["--weights", question.weights]
    arguments += ["--method", question.method]
    if scene.layers:
        arguments += ["--layer", scene.layer_name]
    arguments += ["--target", str(question.target)]
    if question.contrast is not None:
        arguments += ["--contrast", str(question.contrast)]
    for name, value in (options_of(question.method) or {}).items():
        arguments += ["--option", f"{name}={value:g}"]
    return arguments


def python(scene: Scene) -> str:
    """The lines of Python that make the values again, in the folder of the archive."""
    question = scene.question
    given = [str(question.target), repr(question.method)]
    if scene.layers:
        given.append(repr(scene.layer_name))
    if question.contrast is not None:
        given.append(f"contrast={question.contrast}")
    if options := options_of(question.method):
        given.append(f"options={options}")
    opened = f"load({question.model!r})"
    if not question.model.endswith(".pt"):
        opened = f"open_model({question.model!r}, {question.weights!r})"
    return (
        "import convlens, numpy\n"
        f"explainer = convlens.{opened}\n"
        f'answer = explainer.ask(convlens.load_photo("{PHOTO}"), {", ".join(given)})\n'
        'numpy.save("again.npy", answer.values[0])\n'
    )


def again(scene: Scene) -> str:
    """The text that goes with the files: what to type for the same values."""
    own = ""
    if scene.question.model.endswith(".pt"):
        own = say(OWN_MODEL, model=scene.question.model) + "\n"
    return (
        f"{sentence(scene)}\n\n"
        f"{say(FILES, map=MAP, picture=PICTURE, version=__version__)}\n{own}{say(CHECKOUT)}\n\n"
        f"convlens {shlex.join(command(scene))}\n\n"
        f"{python(scene)}"
    )


def _class(scene: Scene, index: int | None) -> dict[str, Any] | None:
    return None if index is None else {"name": scene.model.labels[index], "index": index}
