"""From a scene to what the page shows: for each component, by name, the properties to set."""

from pathlib import Path
from typing import Any

from .. import METHODS, MODELS
from . import words
from .limits import OWN, Limits
from .scene import Scene

TOP = 5  # classes in the list

Props = dict[str, dict[str, Any]]


def shown(scene: Scene, picture: Path) -> Props:
    """What the page tells of a scene: everything that is no choice of the visitor's."""
    question, model, layered = scene.question, scene.model, len(scene.layers) > 1
    target, layer = question.target or 0, scene.layer
    label, against = model.labels[target], None if question.contrast is None else model.labels[question.contrast]
    title = METHODS[question.method].title
    return {
        "heading": {"value": words.heading(label, against, title, model_title(scene), *_standings(scene))},
        "picture": {"value": str(picture), "alt_text": f"{title} for {label}"},
        "line": {"value": model.layers[layer] if scene.layers else "at the image itself"},
        "legend": {
            "value": words.legend(
                scene.signed, METHODS[question.method].at.at_image, question.look.view, question.look.gray
            )
        },
        "range": {"value": scene.range_told(layer)},
        "layer": {"visible": layered},
        "every": {"visible": layered},
        "tabs": {} if layered else {"selected": "one"},
        "about": {"value": words.method_line(question.method, model.explainer.manifest["absent"])},
        "view": {"visible": scene.signed},
        "gray": {"visible": scene.signed},
        "show": {"visible": not scene.signed},
        "strength": {"visible": not scene.signed},
        "classes": {"value": classes(scene), "elem_classes": [_mark(scene)]},
        "notes": {"value": words.small_print(model.explainer.manifest, target, question.method, layer)},
    }


def chosen(scene: Scene) -> Props:
    """The classes that a scene compares, where the visitor has not chosen both."""
    contrast = -1 if scene.question.contrast is None else scene.question.contrast
    return {"target": {"value": scene.question.target}, "contrast": {"value": contrast}}


def offered(scene: Scene, limits: Limits = OWN) -> Props:
    """What there is to choose from, where the model is new, and which model that is."""
    question, model = scene.question, scene.model
    choices = [(label, index) for index, label in enumerate(model.labels)]
    methods = [(METHODS[name].title, name) for name in model.explainer.one_pass_methods]
    several: Props = {
        "open": {"value": {"model": question.model, "untrained": question.weights == "random"}},
        # What was downloaded for it is cached from now on, which the labels tell.
        "model": {"choices": words.model_choices(limits.offers)},
        "method": {"choices": methods, "value": question.method},
        "layer": {"maximum": len(model.layers), "value": (question.layer or 0) + 1},
        "target": {"choices": choices},
        "contrast": {"choices": [("no other class", -1), *choices]},
    }
    return merge(several, chosen(scene))


def merge(*several: Props) -> Props:
    """All properties; a component may have some in each."""
    merged: Props = {}
    for props in several:
        for name, settings in props.items():
            merged[name] = merged.get(name, {}) | settings
    return merged


def classes(scene: Scene) -> dict[str, float]:
    """The most probable classes with their probabilities, the first first."""
    return {scene.model.labels[index]: float(scene.probabilities[index]) for index in _top(scene)}


def model_title(scene: Scene) -> str:
    """The name of the model, for people."""
    random = ", random weights" if scene.question.weights == "random" else ""
    return MODELS[scene.question.model].title + random


def _standings(scene: Scene) -> tuple[words.Standing, words.Standing | None]:
    """How probable the class is that is explained, and the one that it is compared with."""
    contrast = scene.question.contrast
    return scene.standing(scene.question.target or 0), None if contrast is None else scene.standing(contrast)


def _top(scene: Scene) -> list[int]:
    return [int(index) for index in scene.probabilities.argsort()[::-1][:TOP]]


def _mark(scene: Scene) -> str:
    """The CSS class that marks the target in the list of classes."""
    top = _top(scene)
    return f"chosen-{top.index(scene.question.target) + 1}" if scene.question.target in top else "chosen-none"
