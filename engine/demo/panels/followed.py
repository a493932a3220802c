"""A unit brought back to the pixels: Zeiler and Fergus's figure, what made it fire beside what stands there."""

from dataclasses import dataclass, replace
from html import escape

from ... import METHODS
from ...files.fields import field_of
from ...pictures.boxes import Box, cut, draw_boxes, in_window, placed
from ...pictures.figures import Look, picture, robust_scale
from ...pictures.geometry import Window
from ..language import say
from ..passes import Values
from ..scene import Scene, fitted
from ..studio import LARGE
from ..words import number
from .panel import figure
from .places import field_told

SIDE = 320  # longest side of a picture, in pixels
MARK = 8  # of a place's mark, at least


@dataclass(frozen=True)
class Unit:
    """A unit that was followed back: its channel, its place (row, column) in the layer, its value there, whether
    the place was chosen or is the channel's strongest, and the map by a method, [C, S, S] or [S, S]."""

    channel: int
    place: tuple[int, int]
    value: float
    chosen: bool
    method: str
    map: Values


def draw_unit(scene: Scene, unit: Unit, terms: Values, about: str) -> str:
    """The unit in words and pictures, as HTML. terms: what each place of the channel adds to the score, [h, w], of
    what is asked `about`."""
    if unit.chosen:
        head = say(
            "Channel {channel} at the chosen place: {value}", channel=unit.channel, value=number(unit.value)
        )
    else:
        head = say(
            "Channel {channel} where it is strongest: {value}", channel=unit.channel, value=number(unit.value)
        )
    adds = say(
        "It adds {here} to the score of {about} at this place, and {whole} over all of its places.",
        here=number(float(terms[unit.place])), whole=number(float(terms.sum())), about=about,
    )  # fmt: skip
    lines = [adds, field_told(scene, unit.place)]
    if not unit.map.any():
        lines.append(say("Every value is 0: by this method, no pixel changes the unit."))
    told = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<h4>{escape(head)}</h4>{told}<div class="figures">{_figures(scene, unit)}</div>'


def _figures(scene: Scene, unit: Unit) -> str:
    """The place on the photo; its field cut out of the photo and of the map; and the map as a whole."""
    explainer, row = scene.model.explainer, METHODS[unit.method]
    map = row.at.per_pixel(unit.map)
    entry, crop = explainer.manifest["layers"][scene.layer], explainer.geometry.crop
    field = field_of(entry, *unit.place, crop)
    large, window = fitted(scene.photo, scene.model, LARGE)
    small, place = fitted(scene.photo, scene.model, SIDE)
    size = small.shape[0], small.shape[1]
    marked = draw_boxes(small, [placed(field, place, crop, size), _mark(scene, unit, place, size)], numbers=False)
    drawn = [figure(marked, say("The place, and what it sees"))]
    # By its own scale: where the field is small, nearly all of the map is zero.
    top, left, bottom, right = (int(side) for side in (field.top, field.left, field.bottom, field.right))
    scale = robust_scale(map[..., top:bottom, left:right]) if field.area else 0.0
    whole = picture(large, window, map, Look(), True, row.signed, scale)
    if field.area:
        here = field if map.ndim == 3 else in_window(field, window, crop)
        drawn += [
            figure(cut(large, in_window(field, window, crop), _size(field)), say("The photo there")),
            figure(cut(whole, here, _size(field), smooth=False), say("{method}, there", method=say(row.title))),
        ]
    if field.area < crop[0] * crop[1]:
        drawn.append(figure(whole, say("{method}, all of it", method=say(row.title))))
    return "".join(drawn)


def _mark(scene: Scene, unit: Unit, window: Window, size: tuple[int, int]) -> Box:
    """The unit's own cell, on a picture of the photo; larger where it could not be seen."""
    rows, columns = scene.model.explainer.manifest["layers"][scene.layer]["shape"][1:]
    row, column = unit.place
    cell = placed(Box(column, row, column + 1, row + 1), window, (rows, columns), size)
    y, x = (cell.top + cell.bottom) / 2, (cell.left + cell.right) / 2
    tall, wide = max(MARK, cell.bottom - cell.top) / 2, max(MARK, cell.right - cell.left) / 2
    return replace(cell, left=x - wide, top=y - tall, right=x + wide, bottom=y + tall)


def _size(field: Box) -> tuple[int, int]:
    """(H, W) of a picture of a field, its longer side SIDE pixels."""
    tall, wide = field.bottom - field.top, field.right - field.left
    return max(1, round(SIDE * tall / max(tall, wide))), max(1, round(SIDE * wide / max(tall, wide)))
