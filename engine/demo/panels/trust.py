"""How far the map can be believed: what it says of other classes, of another network, and of the photo itself."""

from collections.abc import Iterator
from html import escape

from ... import METHODS
from ...pictures.figures import picture
from ...pictures.render import Picture
from ...trust.curves import Curve
from ...trust.one_picture import PARTS, SENTENCES, Verdict, alike
from ...trust.plots import AXES, CAUTION, LINES, TITLES, curves_svg
from .. import passes
from ..language import say
from ..passes import Values
from ..scene import Scene, drawn_as, fitted, options_of
from ..studio import Studio
from ..words import share
from .panel import Panel, Wish, choice, figure, picked

SIDE = 320  # longest side of a picture here, in pixels
MARKS = {True: "✓", False: "✗", None: "·"}


def draw(studio: Studio, scene: Scene, wish: Wish) -> Iterator[str]:
    """The verdicts as they are found, with what they were found by."""
    weights = picked(wish, "weights", (False, True))
    verdicts, parts = list[Verdict](), dict[str, str]()

    def page(waits: bool) -> str:
        lines = "".join(_line(verdict) for verdict in verdicts)
        more = (
            f"<li class='waits'><b>·</b><span>{escape(say('More is being measured …'))}</span></li>"
            if waits
            else ""
        )
        return f'<div role="status"><ul class="verdicts">{lines}{more}</ul></div>{"".join(parts.values())}'

    def check(name: str) -> tuple[dict[str, Values], dict[str, dict[str, Curve]]]:
        maps, found, curves = _checked(studio, scene, name)
        verdicts.extend(found)
        return maps, curves

    own = check("first")[0]["map"]
    if not own.any():
        yield page(False)
        return
    others, _ = check("class")
    parts["class"] = _tiles(
        say("Does it know the class?"),
        [
            _of_class(scene, own, scene.asked[0]),
            *(_of_class(scene, map, int(index)) for index, map in others.items()),
        ],
    )
    yield page(True)
    _, curves = check("curves")
    drawn = "".join(
        curves_svg(found, {line: say(told) for line, told in LINES.items()}, say(TITLES[name]), say(AXES[name]))
        for name, found in curves.items()
    )
    parts["curves"] = (
        f"<h4>{escape(say('Does the class hang on what it marks?'))}</h4><div class='plots'>{drawn}</div>"
    )
    parts["curves"] += f"<p>{escape(say(CAUTION))}</p>"
    yield page(True)
    if "occlusion" in scene.model.explainer.methods:
        hidden = check("hiding")[0]["map"]
        parts["hiding"] = _tiles(
            say("Does it agree with hiding parts of the photo?"),
            [
                (_map(scene, own), say("the map"), ""),
                (_map(scene, hidden, signed=True), say("what hiding each part costs"), ""),
            ],
        )
    if "constants" not in scene.model.explainer.manifest:
        yield page(False)
        return
    if not weights:
        asked = choice({"weights": True}, escape(say("Shuffle the network's weights")))
        parts["weights"] = f"<h4>{escape(say('Does it show what was learnt?'))}</h4>{asked}"
        yield page(False)
        return
    shuffled = check("weights")[0]["map"]
    pictures = [
        (_map(scene, own), say("the network as it is"), ""),
        (_map(scene, shuffled), say("its weights shuffled"), ""),
    ]
    parts["weights"] = _tiles(say("Does it show what was learnt?"), pictures, "shuffles")
    yield page(False)


def _checked(
    studio: Studio, scene: Scene, name: str
) -> tuple[dict[str, Values], list[Verdict], dict[str, dict[str, Curve]]]:
    """The maps, the verdicts and the curves of a check."""
    question = scene.question
    given = name, question.method, scene.layer if scene.layers else -1, question.target or 0, question.contrast
    verdicts, curves, names, *maps = studio.ask(
        scene, passes.believed, *given, values=scene.attribution(scene.layer), chances=scene.probabilities,
        arrived=scene.arrived(scene.layer), options=options_of(question.method),
    )  # fmt: skip
    return dict(zip(names, maps, strict=True)), verdicts, curves


def _map(scene: Scene, values: Values, signed: bool | None = None) -> Picture:
    """A map on the photo, in the page's colours."""
    row = METHODS[scene.question.method]
    if signed is None:
        signed = row.signed and (scene.shown(scene.layer).ndim == 2 or row.name in PARTS)
    shown, window = fitted(scene.photo, scene.model, SIDE)
    return picture(shown, window, values, drawn_as(scene.question.look), scene.at_image, signed)


def _of_class(scene: Scene, values: Values, index: int) -> tuple[Picture, str, str]:
    """The map of a class, and how probable the network finds it."""
    label, chance = scene.model.labels[index], share(float(scene.probabilities[index]))
    return _map(scene, values), f"{label} · {chance}", f"{_named(label)} · {chance}"


def _tiles(title: str, pictures: list[tuple[Picture, str, str]], kind: str = "") -> str:
    """pictures: each with its alt text, and its caption as HTML or nothing."""
    drawn = "".join(figure(*one) for one in pictures)
    return f'<h4>{escape(title)}</h4><div class="tiles few {kind}">{drawn}</div>'


def _named(label: str) -> str:
    """The name of a class as HTML: it is in English, whatever the page is in."""
    return f'<span lang="en">{escape(label)}</span>'


def _line(verdict: Verdict) -> str:
    fields = dict[str, str]()
    for name, value in verdict.fields.items():
        if isinstance(value, str):
            fields[name] = escape(say(LINES[value])) if name == "control" else _named(value)
        else:
            fields[name] = escape(share(value) if name == "share" else alike(value))
    kind = {True: "good", False: "bad", None: "plain"}[verdict.good]
    told = say(SENTENCES[verdict.name], **fields)
    return f'<li class="{kind}"><b aria-hidden="true">{MARKS[verdict.good]}</b><span>{told}</span></li>'


TRUST = Panel(
    "trust",
    "Can it be believed?",
    "What this very map is worth: beside maps that know nothing, maps of other classes, and that of a network "
    "that has learnt nothing.",
    draw,
    applies=lambda scene: len(scene.model.labels) - len(scene.asked) >= 2,  # a map is held against two others'
    layered=True,
)
