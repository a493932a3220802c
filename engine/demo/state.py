"""From a scene to what the page shows: for each component, by name, the properties to set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import method_list, words
from .address import address_of
from .controls import visibility
from .language import say
from .notes import small_print
from .offer import ZOO, Offer
from .panels import PANELS
from .panels.panel import buttons
from .scene import Scene

TOP = 5  # classes in the list

Props = dict[str, dict[str, Any]]


def shown(scene: Scene, picture: Path, examples: Sequence[Path] = ()) -> Props:
    """What the page tells of a scene: everything that is no choice of the visitor's."""
    question, model, layered = scene.question, scene.model, len(scene.layers) > 1
    target, layer = question.target or 0, scene.layer
    label, against = model.labels[target], None if question.contrast is None else model.labels[question.contrast]
    title, found = scene.title, [standing for _, standing in standings(scene)]
    return {
        "heading": {
            "value": words.heading(
                label, against, title, model_title(scene), found[0], found[1] if against else None
            ),
            "labels": model.labels,
            "top": [[index, float(scene.probabilities[index])] for index in top_classes(scene)],
        },
        "picture": {"value": str(picture), "alt_text": say("{method} for {label}", method=title, label=label)},
        "line": {"value": model.layers[layer] if scene.layers else say("at the image itself")},
        "legend": {
            "value": words.legend(question.method, scene.signed, question.look) + words.unseen(*scene.part)
        },
        "range": {"value": scene.range_told(layer)},
        "film": {"visible": layered},
        # gradio keeps the button of a tab, whatever its `visible` becomes; this class hides both.
        "tabs": {"elem_classes": []} if layered else {"elem_classes": ["single"], "selected": "one"},
        "about": {"value": method_list.method_line(question.method, model.explainer.manifest["absent"])},
        "stages": {
            "value": words.stage_bar(model.stages, model.explainer.manifest["layers"], model.kept),
            "visible": layered,
        },
        "panels": {"value": buttons(panel for panel in PANELS.values() if panel.applies(scene))},
        "trust": {
            "value": words.trust_line(
                model.explainer.manifest, question.method, layered, layer == len(model.layers) - 1
            )
        },
        **visibility(scene),
        "methods": {"value": method_list.method_choice(question.method, model.methods, model.passes)},
        "method": {"value": question.method},
        "address": {"value": address_of(scene, examples)},
        "classes": {"value": classes(scene), "elem_classes": [_mark(scene)]},
        "notes": {"value": small_print(model.explainer.manifest, scene.file_lines["Python"])},
    }


def chosen(scene: Scene) -> Props:
    """The classes that a scene compares, where the visitor has not chosen both."""
    contrast = -1 if scene.question.contrast is None else scene.question.contrast
    return {"target": {"value": scene.question.target}, "contrast": {"value": contrast}}


def offered(scene: Scene, offer: Offer = ZOO) -> Props:
    """What there is to choose from, where the model is new, and which model that is."""
    question, model = scene.question, scene.model
    several: Props = {
        "open": {"value": {"model": question.model, "untrained": question.weights == "random"}},
        # What was downloaded for it is cached from now on, which the labels tell.
        "model": {"choices": offer.choices()},
        "layer": {"maximum": len(model.layers), "value": (question.layer or 0) + 1},
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
    return {scene.model.labels[index]: float(scene.probabilities[index]) for index in top_classes(scene)}


def model_title(scene: Scene) -> str:
    """The name of the model, for people."""
    return scene.model_title


def standings(scene: Scene) -> list[tuple[str, words.Standing]]:
    """The classes that a scene is about, by name, with how probable each is."""
    asked = [index for index in (scene.question.target, scene.question.contrast) if index is not None]
    return [(scene.model.labels[index], scene.standing(index)) for index in asked]


def top_classes(scene: Scene) -> list[int]:
    """The most probable classes, the first first."""
    return [int(index) for index in scene.probabilities.argsort()[::-1][:TOP]]


def _mark(scene: Scene) -> str:
    """The CSS class that marks the target in the list of classes."""
    top = top_classes(scene)
    return f"chosen-{top.index(scene.question.target) + 1}" if scene.question.target in top else "chosen-none"
