"""What a visitor asks, checked: nothing that comes from the page is taken on trust."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import MODELS
from ..pictures.figures import Scale
from ..pictures.render import View
from .controls import DEFAULT_METHOD, Here, Where, read_controls


@dataclass(frozen=True)
class Look:
    """How an attribution becomes a picture; what does not apply to a method is ignored.

    view, gray: of signed attributions. alone, strength (0..1), colormap: of heatmaps on the photo, see
    `pictures.colours`. scale: of several layers.
    """

    view: View = "all"
    gray: bool = False
    alone: bool = False
    strength: float = 0.85
    colormap: str = "viridis"
    scale: Scale = "own"


@dataclass(frozen=True)
class Question:
    """Why does `model` see `target` (rather than `contrast`) in `photo`, as `method` tells it at `layer`?

    target None: the most probable class. layer: from 0; None for the last. at: where a method is read that may be
    at the image and at layers alike. weights: "default" or "random".
    """

    photo: Path
    model: str
    weights: str = "default"
    method: str = DEFAULT_METHOD
    layer: int | None = None
    target: int | None = None
    contrast: int | None = None
    look: Look = field(default_factory=Look)
    at: Where = "image"


def read_question(fields: Mapping[str, Any], uploads: Path, known: Container[object] = MODELS) -> Question:
    """Read the values of CONTROLS; one that is not given stands as at first. known: the models of this page.

    Raises RefusalError where a value is none that the page offers; what depends on the model is checked when it
    is open.
    """
    asked, look = read_controls(fields, Here(uploads, known))
    return Question(**asked, look=Look(**look))
