"""Several answers side by side: one row of COMPARISONS for each thing that may differ between them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ... import METHODS
from ...pictures.figures import scale_of
from ..language import say
from ..scene import Scene, drawn_as
from ..studio import Studio
from . import sides
from .panel import Panel, Wish, always, choice, choices, figure, picked
from .sides import Side

SIDE = 320  # longest side of a picture here, in pixels
SCALES = {"own": "Each its own", "common": "One for all"}


@dataclass(frozen=True)
class Comparison:
    """Answers that differ in one thing.

    title, why: English, as `say` takes them. sides: (studio, scene, wish) -> the answers. why: what there is to
    know of the scale of the colours where the values can't be held against each other; empty where they can, and
    the visitor chooses. applies: is it offered beside a scene? tools: what is to be chosen beside that, as HTML;
    the function that it is given makes a wish of this comparison.
    """

    title: str
    sides: Callable[[Studio, Scene, Wish], Iterator[Side]]
    why: str = ""
    applies: Callable[[Scene], bool] = always
    tools: Callable[[Studio, Scene, Wish, Callable[..., Wish]], str] = lambda studio, scene, wish, wished: ""


COMPARISONS: dict[str, Comparison] = {
    "methods": Comparison(
        "Methods", sides.methods, "Each picture has its own scale: the methods' values have different units."
    ),
    "gates": Comparison(
        "ReLU gates", sides.gates, "Each picture has its own scale: gradients and relevance have different units.",
        lambda scene: len(sides.gates_of(scene)) > 1,
    ),
    "values": Comparison(
        "Values and colours", sides.views, "One map, drawn in six ways by one scale.", sides.has_channels
    ),
    "classes": Comparison("Two classes", sides.classes),
    "models": Comparison(
        "Models", sides.models, "Each picture has its own scale: the networks' scores have different ranges.",
        tools=sides.choose_model,
    ),
    "photos": Comparison("Photos", sides.photos, tools=sides.choose_class),
}  # fmt: skip


def draw(studio: Studio, scene: Scene, wish: Wish) -> Iterator[str]:
    """The comparison that was chosen, a picture more at each step."""
    offered = [name for name, comparison in COMPARISONS.items() if comparison.applies(scene)]
    by = picked(wish, "by", offered)
    comparison = COMPARISONS[by]
    common = not comparison.why and picked(wish, "scale", list(SCALES)) == "common"

    def wished(**changed: Any) -> Wish:
        kept = {name: wish[name] for name in ("scale", "model", "why") if name in wish}
        return {"by": by} | kept | changed

    head = choices(
        say("Compare"),
        (choice({"by": name}, escape(say(COMPARISONS[name].title)), name == by) for name in offered),
    )
    head += comparison.tools(studio, scene, wish, wished)
    if not comparison.why:
        rows = (
            choice(wished(scale=name), escape(say(title)), common is (name == "common"))
            for name, title in SCALES.items()
        )
        head += choices(say("Scale of the colours"), rows)
    told = f"<p>{escape(say(comparison.why))}</p>" if comparison.why else ""
    found, scale = comparison.sides(studio, scene, wish), None
    if common:
        several = list(found)
        found, scale = iter(several), max(scale_of_side(side) for side in several)
    tiles, kind = "", "tiles" if by == "methods" else "tiles few"
    for side in found:
        tiles += _tile(side, scene, scale)
        yield f'<div class="tools">{head}</div>{told}<div class="{kind}">{tiles}</div>'


def scale_of_side(side: Side) -> float:
    """The raw value that has the last colour where an answer is drawn by itself."""
    scene, row = side.scene, METHODS[side.scene.question.method]
    return scale_of(scene.shown(scene.layer), drawn_as(scene.question.look), scene.at_image, row.signed)


def _tile(side: Side, shown: Scene, scale: float | None) -> str:
    """A picture with its caption; a click shows another method on the page."""
    scene = side.scene
    method = scene.question.method
    alt = say("{method} for {label}", method=scene.title, label=scene.model.labels[scene.asked[0]])
    other = method if side.click and method != shown.question.method else ""
    return figure(scene.draw(scene.layer, SIDE, scale), alt, side.caption, other)


COMPARE = Panel(
    "compare",
    "Compare",
    "The answer that is shown beside others, which differ from it in one thing.",
    draw,
    layered=True,
    keeps=True,
)
