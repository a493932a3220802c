"""The choices of the page: one row each, from which all follows that the page does with them.

From a row come the check of what is posted, the place in a question, when the control is shown, and what it is
called in the page's address. A choice that has no row can't be posted.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..methods import METHODS, Place
from ..models.zoo import DEFAULT_MODEL
from ..pictures.figures import Scale
from ..pictures.render import View
from .language import say

if TYPE_CHECKING:
    from .scene import Model, Scene

DEFAULT_METHOD = "hires_cam"
Where = Literal["image", "layers"]  # where a method is read that may be at both
COLOURS = ("viridis", "inferno", "turbo")  # the page's choice of `pictures.colours.SEQUENTIAL`
NO_CONTRAST = -1
WHICH_CLASS = "The class is a whole number; got {got}."
STRENGTH = "The strength lies between 0 and 1; got {got}."


class RefusalError(ValueError):
    """A question that can't be answered; the text is meant for the person who asked."""


@dataclass(frozen=True)
class Here:
    """What a page has that others may not: the folder of its uploads, and its models."""

    uploads: Path
    models: Container[object]


@dataclass(frozen=True, eq=False)
class Control:
    """A choice of the visitor's.

    name: of the component, of the field that is posted, and of the argument for programs. default: where it stands
    at first. place: the field of a Question that takes it, `look.…` for one of its Look.
    read: (posted value, page) -> what the question takes. Raises RefusalError for what the page never offers;
    what depends on the model is checked when that is open.
    applies: whether the control is shown beside a scene; None for one that always is, or that is no component.
    address: what it is called in the page's address; empty for what no address tells. tell: its text there, from a
    scene; None where it says nothing. quiet: is it left out where it stands as at first? hear: (text, the open
    model) -> what is posted. Raises RefusalError.
    """

    name: str
    default: Any
    place: str
    read: "Callable[[Any, Here], Any]"
    applies: "Callable[[Scene], bool] | None" = None
    address: str = ""
    tell: "Callable[[Scene], str | None]" = lambda scene: None
    quiet: bool = False
    hear: "Callable[[str, Model], Any]" = lambda text, model: text


def uploaded(payload: Any, uploads: Path) -> Path:
    """The path of a photo that was uploaded; RefusalError for any other path of this machine."""
    path = payload.get("path") if isinstance(payload, dict) else None
    if isinstance(path, str) and "\0" not in path:
        resolved = Path(path).resolve()
        if resolved.is_relative_to(uploads.resolve()) and resolved.is_file():
            return resolved
    raise RefusalError(say("That photo was not uploaded here, or it is gone by now. Upload it and try again."))


def short(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _model(value: Any, here: Here) -> str:
    if not isinstance(value, str) or value not in here.models:
        raise RefusalError(say("There is no model {name}. Choose one from the list.", name=short(value)))
    return value


def _one_of(complaint: str, values: tuple[Any, ...]) -> Callable[[Any, Here], Any]:
    """One of `values`. complaint: about any other one, as `say` takes it, as in the two that follow."""

    def read(value: Any, here: Here) -> Any:
        if value not in values:
            raise RefusalError(say(complaint, values=", ".join(map(str, values)), got=short(value)))
        return value

    return read


def _share(complaint: str) -> Callable[[Any, Here], float]:
    def read(value: Any, here: Here) -> float:
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RefusalError(say(complaint, got=short(value)))
        return float(value)

    return read


def _whole(complaint: str, first: int = 0, none: int | None = None) -> Callable[[Any, Here], int | None]:
    """A number, counted from `first` on the page and from 0 in a question. none: what stands for no such."""

    def read(value: Any, here: Here) -> int | None:
        if value is None or value == none:
            return None
        if isinstance(value, int | float) and value == value // 1:
            return int(value) - first
        raise RefusalError(say(complaint, got=short(value)))

    return read


def _class_named(text: str, model: "Model") -> int:
    """The class of that name, or the only one whose name starts so."""
    if text in model.labels:
        return model.labels.index(text)
    like = [index for index, label in enumerate(model.labels) if label.lower().startswith(text.lower())]
    if len(like) != 1:
        raise RefusalError(say("This model has no class {name}. Choose one from the list.", name=short(text)))
    return like[0]


def _layer_named(text: str, model: "Model") -> int:
    names = model.explainer.layers
    if text not in names:
        raise RefusalError(say("This model has no layer {name}. Choose one with the slider.", name=short(text)))
    return names.index(text) + 1


def _number(text: str, model: "Model") -> float:
    try:
        return float(text)
    except ValueError:
        raise RefusalError(say(STRENGTH, got=short(text))) from None


def _signed(scene: "Scene") -> bool:
    return scene.signed


def _heat(scene: "Scene") -> bool:
    return not scene.signed


def _one_end(scene: "Scene") -> bool:
    """Has the map one end for nothing and one for the most? One with signs has nothing in the middle."""
    return _heat(scene) and not METHODS[scene.question.method].signed


def _throughout(scene: "Scene") -> bool:
    return METHODS[scene.question.method].at is Place.THROUGHOUT


def _layered(scene: "Scene") -> bool:
    return len(scene.layers) > 1


CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control("photo", None, "photo", lambda value, here: uploaded(value, here.uploads)),
        Control("model", DEFAULT_MODEL, "model", _model, address="model", tell=lambda s: s.question.model),
        Control(
            "untrained", False, "weights", lambda value, here: "random" if value else "default",
            address="weights", tell=lambda s: "random" if s.question.weights == "random" else None,
            hear=lambda text, model: text == "random",
        ),
        Control(
            "method", DEFAULT_METHOD, "method", lambda value, here: str(value), address="method",
            tell=lambda s: s.question.method,
        ),
        Control(
            "layer", None, "layer", _whole("The layer is a whole number; got {got}.", first=1), _layered,
            address="layer",
            tell=lambda s: s.model.explainer.layers[s.layer] if len(s.layers) > 1 else None, hear=_layer_named,
        ),
        Control(
            "at", "image", "at",
            _one_of("It is read at one of {values}; got {got}.", get_args(Where)), _throughout,
            address="at", tell=lambda s: s.question.at if _throughout(s) else None, quiet=True,
        ),
        Control(
            "target", None, "target", _whole(WHICH_CLASS), address="why",
            tell=lambda s: s.model.labels[s.question.target or 0], hear=_class_named,
        ),
        Control(
            "contrast", NO_CONTRAST, "contrast", _whole(WHICH_CLASS, none=NO_CONTRAST), address="rather",
            tell=lambda s: None if s.question.contrast is None else s.model.labels[s.question.contrast],
            hear=_class_named,
        ),
        Control(
            "view", "all", "look.view",
            _one_of("The view is one of {values}; got {got}.", get_args(View)), _signed, address="values",
            tell=lambda s: s.question.look.view, quiet=True,
        ),
        Control(
            "gray", False, "look.gray", lambda value, here: bool(value), _signed, address="gray",
            tell=lambda s: "yes" if s.question.look.gray else None, hear=lambda text, model: text == "yes",
        ),
        Control(
            "show", "overlay", "look.alone", lambda value, here: value == "alone", _heat, address="show",
            tell=lambda s: "alone" if s.question.look.alone else None,
        ),
        Control(
            "strength", 0.85, "look.strength", _share(STRENGTH), _heat, address="strength",
            tell=lambda s: f"{s.question.look.strength:g}", quiet=True, hear=_number,
        ),
        Control(
            "colours", "viridis", "look.colormap",
            _one_of("The colours are one of {values}; got {got}.", COLOURS), _one_end, address="colours",
            tell=lambda s: s.question.look.colormap, quiet=True,
        ),
        Control(
            "scale", "own", "look.scale",
            _one_of("The scale is one of {values}; got {got}.", get_args(Scale)), _layered, address="scale",
            tell=lambda s: s.question.look.scale, quiet=True,
        ),
    )
}  # fmt: skip
# Those below the picture, which draw it again: how it is shown, and where it is read. The slider of the layers
# stands nowhere at first, and moves without asking.
VIEW = tuple(name for name, control in CONTROLS.items() if control.applies and control.default is not None)
DEFAULTS: dict[str, Any] = {name: control.default for name, control in CONTROLS.items()}


def read_controls(fields: Mapping[str, Any], here: Here) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was posted, checked: the fields of a Question, and those of its Look. What is not given stands as at
    first. Raises RefusalError where a value is none that the page offers."""
    asked: dict[str, Any] = {}
    look: dict[str, Any] = {}
    for name, control in CONTROLS.items():
        value = control.read(fields.get(name, control.default), here)
        _, within, field = control.place.partition("look.")
        (look if within else asked)[field or control.place] = value
    return asked, look


def visibility(scene: "Scene") -> dict[str, dict[str, Any]]:
    """Which controls are shown beside a scene."""
    return {
        name: {"visible": control.applies(scene)}
        for name, control in CONTROLS.items()
        if control.applies is not None
    }
