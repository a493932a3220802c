"""What is compared: for each comparison the answers that stand beside each other, that of the page the first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from ... import METHODS, MODELS, availability
from ..controls import uploaded
from ..language import say
from ..question import Question
from ..scene import Model, Scene
from ..studio import Studio
from ..words import share
from .panel import Wish, choice, choices, picked

GATES = {
    "gradient": "A ReLU passes on what comes back wherever it was active: the derivative.",
    "deconvnet": "A ReLU passes on what comes back where that is positive, whether it was active or not.",
    "guided_backprop": "A ReLU passes on what comes back where that is positive and it was active.",
}
BESIDE = {  # what has no gate, and is worth seeing beside them
    "lrp_epsilon_plus": "No gate: what comes back to a value is shared out among all that it was made of.",
}
CHANNELS = ("guided_backprop", "gradient")  # have a value for each channel: for a page that shows none
COLOURED = ("in colour", "in gray")
VIEWS = {"all": "All values", "positive": "What raises the score", "negative": "What lowers it"}


@dataclass(frozen=True)
class Side:
    """One of the answers. caption: HTML. click: does a click on it make its method the page's?"""

    scene: Scene
    caption: str
    click: bool = False


def methods(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """All methods of one pass, at the layer that is shown; the page's own first, whatever it takes."""
    own = scene.question.method
    others = [name for name in scene.model.methods if name != own and not METHODS[name].path]
    for name in (own, *others):
        other = scene if name == own else studio.scene(replace(scene.question, method=name))
        place = ""
        if scene.layers and other.layers and other.layer != scene.layer:  # CAM has one layer
            place = " " + escape(say("At {layer}.", layer=other.layer_name))
        caption = f"<b>{escape(other.title)}</b> {escape(say(METHODS[name].says))}{place}"
        yield Side(other, caption, click=True)


def gates_of(scene: Scene) -> list[str]:
    """The methods that differ in what a ReLU passes on the way back alone."""
    return [name for name in GATES if name in scene.model.methods]


def gates(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """The three gates and relevance, each with its sentence."""
    told = GATES | BESIDE
    for name in (*gates_of(scene), *(name for name in BESIDE if name in scene.model.methods)):
        other = studio.scene(replace(scene.question, method=name))
        caption = f"<b>{escape(other.title)}</b> {escape(say(told[name]))}"
        yield Side(other, caption, click=True)


def has_channels(scene: Scene) -> bool:
    """Is there a method here with a value for each channel of a pixel?"""
    return scene.signed or any(name in scene.model.methods for name in CHANNELS)


def views(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """All, positive and negative values, in colour and gray, of the map that is shown or the first with such."""
    method = scene.question.method
    if not scene.signed:
        method = next(name for name in CHANNELS if name in scene.model.methods)
    for gray, colours in enumerate(COLOURED):
        for view, title in VIEWS.items():
            look = replace(scene.question.look, view=view, gray=bool(gray))  # type: ignore[arg-type]
            other = studio.scene(replace(scene.question, method=method, look=look))
            caption = f"<b>{escape(say(title))}</b> {escape(say(colours))}"
            if not scene.signed:
                caption += f" · {escape(other.title)}"
            yield Side(other, caption, click=True)


def classes(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """The class that is explained, and the one that it is compared with or else the strongest other one."""
    target = scene.asked[0]
    order = [int(index) for index in scene.probabilities.argsort()[::-1]]
    rivals = [index for index in (*scene.asked[1:], *order) if index != target]
    for index in (target, *rivals[:1]):
        other = studio.scene(replace(scene.question, target=index, contrast=None))
        yield Side(other, _standing(other))


def photos(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """The photo that is shown, the visitor's own and the examples, each for its first class or all for one."""
    own_class = picked(wish, "why", ("first", "same")) == "first"
    yield Side(scene, _standing(scene))
    shown = scene.question.photo.resolve()
    for path in _photos(studio, wish):
        if path.resolve() == shown:
            continue
        asked = replace(scene.question, photo=path)
        if own_class:
            asked = replace(asked, target=None, contrast=None)
        other = studio.scene(asked)
        if other.photo.key != scene.photo.key:  # one's own may be one of the examples
            yield Side(other, _standing(other))


def _photos(studio: Studio, wish: Wish) -> Iterator[Path]:
    if wish.get("own"):
        yield uploaded({"path": wish["own"]}, studio.folder.parent)
    yield from studio.examples


def choose_class(studio: Studio, scene: Scene, wish: Wish, wished: Callable[..., Wish]) -> str:
    """Whether each photo is explained for its own first class, as HTML."""
    chosen = picked(wish, "why", ("first", "same"))
    same = escape(say("{class_name} in each", class_name=scene.model.labels[scene.asked[0]]))
    buttons = (
        choice(wished(why="first"), escape(say("Each its first class")), chosen == "first"),
        choice(wished(why="same"), same, chosen == "same"),
    )
    return choices(say("Explain"), buttons)


def at_hand(studio: Studio, scene: Scene) -> list[str]:
    """The other models of the page that need no download, those whose files lie ready first."""
    offer, shown = studio.offer, scene.question.model
    own = [name for name in offer.own if name != shown]
    zoo = [
        name
        for name in MODELS
        if name != shown
        and offer.limits.offers(name)
        and (offer.prepared(name, "default") or availability(name) != "download")
    ]
    return sorted(own + zoo, key=lambda name: not offer.prepared(name, "default"))


def choose_model(studio: Studio, scene: Scene, wish: Wish, wished: Callable[..., Wish]) -> str:
    """The model to compare with, as HTML."""
    names = at_hand(studio, scene)
    if not names:
        told = say("No other model lies ready here. Choose one at the top, which may have to be downloaded first.")
        return f"<p>{escape(told)}</p>"
    chosen = _chosen(scene, wish, names)
    rows = (choice(wished(model=name), escape(_called(studio, name)), name == chosen) for name in names)
    return choices(say("Beside it"), rows)


def _chosen(scene: Scene, wish: Wish, names: list[str]) -> str:
    """The model of a wish. One that the page shows by now is no other one."""
    return names[0] if wish.get("model") == scene.question.model else picked(wish, "model", names)


def _called(studio: Studio, name: str) -> str:
    title = studio.offer.title(name)
    return title if studio.offer.prepared(name, "default") else say("{model}, compiled first", model=title)


def models(studio: Studio, scene: Scene, wish: Wish) -> Iterator[Side]:
    """The model that is shown and another one: for the same class, at the layer whose cells are as large."""
    yield Side(scene, _of_model(scene))
    names = at_hand(studio, scene)
    if not names:
        return
    name = _chosen(scene, wish, names)
    model = studio.open(name, "default")
    target = same_class(scene, model)
    method = model.method(scene.question.method)
    question = Question(
        scene.question.photo, name, method=method, layer=like_layer(scene, model), target=target,
        look=scene.question.look,
    )  # fmt: skip
    other = studio.scene(question)
    notes = ""
    if target is None:
        label = scene.model.labels[scene.asked[0]]
        notes = " " + escape(
            say("It knows no class {class_name}: its own first one is explained.", class_name=label)
        )
    yield Side(other, _of_model(other) + notes)


def same_class(scene: Scene, model: Model) -> int | None:
    """The class of another model that is called as the one that is explained; None where there is none."""
    names = [label.lower() for label in model.labels]
    label = scene.model.labels[scene.asked[0]].lower()
    return names.index(label) if label in names else None


def like_layer(scene: Scene, model: Model) -> int:
    """The last layer of another model whose cells are nearest in size to those of the layer that is shown."""
    here = scene.model.explainer.manifest
    own = here["layers"][scene.layer if scene.layers else -1]["stride"][0] / here["geometry"]["crop"][0]
    there = model.explainer.manifest
    tall = there["geometry"]["crop"][0]
    apart = [abs(layer["stride"][0] / tall / own - 1) for layer in there["layers"]]
    least = min(apart)
    return max(index for index, found in enumerate(apart) if found <= least + 1e-6)


def _standing(scene: Scene) -> str:
    """The class of an answer and how probable the network finds it, as HTML."""
    index = scene.asked[0]
    probability, rank, count = scene.standing(index)
    told = say("{share}, rank {rank} of {classes}", share=share(probability), rank=rank, classes=count)
    return f"<b>{escape(scene.model.labels[index])}</b> {escape(told)}"


def _of_model(scene: Scene) -> str:
    """A model, its layer and what it says, as HTML."""
    layer = f" · {escape(scene.layer_name)}" if scene.layers else ""
    return f"<b>{escape(scene.model_title)}</b> · {escape(scene.title)}{layer}<br>{_standing(scene)}"
