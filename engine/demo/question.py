"""What a visitor asks, checked: nothing that comes from the page is taken on trust."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from .. import MODELS
from ..models.zoo import DEFAULT_MODEL
from ..pictures.render import View

DEFAULT_METHOD = "hires_cam"

# The controls of the page and where they stand at first. Layers count from 1 there; no contrast is -1.
CONTROLS: dict[str, Any] = {
    "photo": None,
    "model": DEFAULT_MODEL,
    "untrained": False,
    "method": DEFAULT_METHOD,
    "layer": None,
    "target": None,
    "contrast": -1,
    "view": "all",
    "gray": False,
    "show": "overlay",
    "strength": 0.5,
}


class RefusalError(ValueError):
    """A question that can't be answered; the text is meant for the person who asked."""


@dataclass(frozen=True)
class Look:
    """How an attribution becomes a picture; what does not apply to a method is ignored.

    view, gray: of signed attributions. alone, strength (0..1): of heatmaps on the photo.
    """

    view: View = "all"
    gray: bool = False
    alone: bool = False
    strength: float = 0.5


@dataclass(frozen=True)
class Question:
    """Why does `model` see `target` (rather than `contrast`) in `photo`, as `method` tells it at `layer`?

    target None: the most probable class. layer: from 0; None for the last. weights: "default" or "random".
    """

    photo: Path
    model: str
    weights: str = "default"
    method: str = DEFAULT_METHOD
    layer: int | None = None
    target: int | None = None
    contrast: int | None = None
    look: Look = field(default_factory=Look)


def read_question(fields: Mapping[str, Any], uploads: Path) -> Question:
    """Read the values of CONTROLS; one that is not given stands as at first.

    Raises RefusalError where a value is none that the page offers; what depends on the model is checked when it
    is open.
    """
    fields = CONTROLS | dict(fields)
    if not isinstance(fields["model"], str) or fields["model"] not in MODELS:
        raise RefusalError(f"There is no model {_short(fields['model'])}. Choose one from the list.")
    if fields["view"] not in get_args(View):
        raise RefusalError(f"The view is one of {', '.join(get_args(View))}; got {_short(fields['view'])}.")
    strength = fields["strength"]
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise RefusalError(f"The strength lies between 0 and 1; got {_short(strength)}.")
    layer, target, contrast = (_whole(name, fields[name]) for name in ("layer", "target", "contrast"))
    return Question(
        photo=uploaded(fields["photo"], uploads),
        model=fields["model"],
        weights="random" if fields["untrained"] else "default",
        method=str(fields["method"]),
        layer=None if layer is None else layer - 1,
        target=target,
        contrast=None if contrast == -1 else contrast,
        look=Look(fields["view"], bool(fields["gray"]), fields["show"] == "alone", float(strength)),
    )


def uploaded(payload: Any, uploads: Path) -> Path:
    """The path of a photo that was uploaded; RefusalError for any other path of this machine."""
    path = payload.get("path") if isinstance(payload, dict) else None
    if isinstance(path, str) and "\0" not in path:
        resolved = Path(path).resolve()
        if resolved.is_relative_to(uploads.resolve()) and resolved.is_file():
            return resolved
    raise RefusalError("That photo was not uploaded here, or it is gone by now. Upload it and try again.")


def _whole(name: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int | float) and value == value // 1):
        return None if value is None else int(value)
    raise RefusalError(f"The {name} is a whole number; got {_short(value)}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
