"""What files that answer one question have in common: their layer, their manifest, their labels."""

from collections.abc import Sequence
from typing import Any

from ..compiler.passes import Compiled
from ..methods import METHODS, NO_POLICY, Method
from ..methods.places import CALLS
from ..run.explainer import Explainer

LABELS = "labels.txt"  # one name on each line, in the order of the logits


def layers_for(method: str, layer: int | str) -> str | list[str]:
    """The layers to compile for one question: the named one, or the trunk to count in.

    Raises ValueError for a method that is more than one pass of a listing.
    """
    if method in METHODS and (
        METHODS[method].path or METHODS[method].policy == NO_POLICY or METHODS[method].at is CALLS
    ):
        raise ValueError(f"{method} is no single pass with a gradient: only TorchScript files answer it")
    named = isinstance(layer, str) and method in METHODS and METHODS[method].at.at_every_layer
    return [str(layer)] if named else "trunk"


def layer_index(compiled: Compiled, method: Method, layer: int | str) -> int:
    """The index of the layer among the compiled ones."""
    layers = compiled.program.layers
    if not method.at.at_image and not method.at.at_every_layer:
        pooled = layers[compiled.pooled]
        if layer not in (-1, compiled.pooled, pooled.name, *pooled.aliases):
            raise ValueError(f"{method.name} has one layer, {pooled.name!r}; ask for it or for -1")
        return compiled.pooled
    if isinstance(layer, int) and method.at.at_every_layer and not -len(layers) <= layer < len(layers):
        raise ValueError(f"layer {layer} is not one of 0..{len(layers) - 1}")
    return layer if isinstance(layer, int) else 0


def manifest_of_question(explainer: Explainer, format: str, method: str, layer: int | str) -> dict[str, Any]:
    """The explainer's manifest, for a file that answers one question, and that `load` refuses by its format."""
    read = METHODS[method].at.layers(len(explainer.layers), explainer.module.pooled)
    index = explainer.layer_index(layer) if METHODS[method].at.at_every_layer else 0
    name = explainer.layers[read[index]] if read else ""
    facts = {"format": format, "method": method, "layer": name}
    return {key: value for key, value in explainer.manifest.items() if key != "program"} | facts


def label_lines(labels: Sequence[str]) -> str:
    """The names of the classes, one on each line."""
    return "".join(f"{' '.join(label.split())}\n" for label in labels)
