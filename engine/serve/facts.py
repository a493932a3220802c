"""What a client has to know of a file to ask it, as JSON has it."""

from typing import Any

from ..batch.run import digest_of
from ..run.explainer import Explainer
from .settings import Settings

OF_LAYERS = ("name", "aliases", "shape", "stride", "offset")
OF_METHODS = ("name", "title", "at", "signed", "passes", "cite")


def facts_of(explainer: Explainer, settings: Settings) -> dict[str, Any]:
    """The names and numbers that questions and answers are made of.

    model: its title; program: the digest of what answers; classes: labels by their number; layers: from the image
    to the logits, shape [C, h, w], stride and offset in pixels of the input; methods: with the passes that one
    takes; absent: those that do not apply, and why; preprocessing: how a photo becomes the input; limits.
    """
    manifest = explainer.manifest
    return {
        "model": manifest["model"]["title"],
        "program": digest_of(explainer),
        "convlens": manifest.get("convlens"),
        "torch": manifest["torch"],
        "outputs": explainer.outputs,
        "classes": explainer.labels,
        "layers": [{name: layer[name] for name in OF_LAYERS} for layer in manifest["layers"]],
        "methods": [{name: method[name] for name in OF_METHODS} for method in manifest["methods"]],
        "absent": manifest["absent"],
        "preprocessing": manifest["geometry"],
        "limits": settings.told(),
    }
