"""Places on the page's picture, as the browser knows them: what it shows, and what the units of each layer see."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ...files.fields import field_of
from ...pictures.boxes import clipped
from ..language import say
from ..scene import Scene
from .panel import Wish


def sentences() -> dict[str, str]:
    """What is said of a place, with names in braces for its numbers: here and in the browser, which follows the
    slider without a question."""
    return {
        "field": say(
            "Place {row}, {column} of {rows} × {columns} sees {height} × {width} pixels of the network's input."
        ),
        "cut": say(
            "Place {row}, {column} of {rows} × {columns} sees {height} × {width} pixels, of which {tall} × {wide} "
            "lie in the network's input: the frame is cut off there, and the rest is padding."
        ),
        "padding": say("Place {row}, {column} of {rows} × {columns} sees no pixel, but padding alone."),
        "global": say("By a mean, attention or a gate it depends on all other pixels too."),
        "outside": say(
            "The network does not see this place: that part of the photo is cut off before it looks. Choose one "
            "that it sees."
        ),
    }


def field_told(scene: Scene, place: tuple[int, int]) -> str:
    """What a place (row, column) of the layer that is shown sees, in words."""
    entry, crop = scene.model.explainer.manifest["layers"][scene.layer], scene.model.explainer.geometry.crop
    box = field_of(entry, *place, None)
    inside = clipped(box, crop)
    kind = "padding" if not inside.area else "field" if inside == box else "cut"
    numbers = {"row": place[0], "column": place[1], "rows": entry["shape"][1], "columns": entry["shape"][2]}
    numbers |= {"height": int(box.bottom - box.top), "width": int(box.right - box.left)}
    numbers |= {"tall": int(inside.bottom - inside.top), "wide": int(inside.right - inside.left)}
    told = sentences()[kind].format(**numbers)
    return f"{told} {sentences()['global']}" if entry["field"]["global"] else told


def stage(scene: Scene, point: Sequence[float] | None, wish: Wish) -> str:
    """What the browser has to know to frame a place on the picture and to ask about another, as HTML that shows
    nothing. point: the place, (y, x) in pixels of the photo. wish: what a chosen pixel's row and column join."""
    explainer = scene.model.explainer
    height, width = scene.photo.pixels.shape[:2]
    window = explainer.geometry.window(height, width)
    shown = list(window) if scene.signed else [0, 0, height, width]
    known = {
        "photo": [height, width],
        "window": list(window),  # what of the photo the network sees: top, left, height, width
        "shown": shown,  # and what the picture shows
        "picture": list(explainer.geometry.crop) if scene.signed else [height, width],  # in pixels of so many
        "crop": list(explainer.geometry.crop),
        "layers": [_turns(layer) for layer in explainer.manifest["layers"]],
        "layer": scene.layer,
        "point": point,
        "wish": wish,
        "says": sentences()
        | {"name": say("The place on the picture. Arrow keys move it."), "go": say("What fires there")},
    }
    return f'<div id="places" hidden data-places="{escape(json.dumps(known, separators=(",", ":")))}"></div>'


def _turns(layer: Mapping[str, Any]) -> list[Any]:
    """A layer's height and width, and its field along rows and columns: first, end and step of each."""
    field = layer["field"]
    along = [[field[axis][name] for name in ("first", "end", "step")] for axis in ("rows", "columns")]
    return [layer["shape"][1:], *along, field["global"]]
