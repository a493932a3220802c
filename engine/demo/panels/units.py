"""The channels of a layer: which speak for the class, which fire at a place, and what made one of them fire."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ... import METHODS
from ...pictures.figures import picture
from ...pictures.render import Picture
from .. import passes
from ..answers import middle_of, place_of, whole
from ..controls import RefusalError, short
from ..language import say
from ..passes import Values
from ..scene import Scene, drawn_as, fitted
from ..studio import Studio
from ..words import number
from .followed import Unit, draw_unit
from .panel import Panel, Wish, choice, form, image
from .places import sentences, stage

TILES, MOST = 12, 96  # channels that are shown at first, and at most
SIDE = 220  # longest side of a tile's picture, in pixels


@dataclass(frozen=True)
class Asked:
    """A wish that is checked.

    pixel: of the photo, (row, column), where one was chosen; place: the same in the layer, None where the network
    does not see it. channel: the one that is followed back. way: by which method, one of `ways`; there are none
    where nothing can be followed. shown: how many channels are.
    """

    pixel: tuple[int, int] | None
    place: tuple[int, int] | None
    channel: int | None
    ways: list[str]
    way: str
    shown: int

    def wish(self, scene: Scene, **changed: Any) -> Wish:
        """The same as a button posts it, but for what is changed; what is None is left out."""
        row, column = self.pixel or (None, None)
        kept: dict[str, Any] = {
            "row": row,
            "column": column,
            "channel": self.channel,
            "way": self.way,
            "shown": self.shown,
        }
        kept |= {"layer": scene.layer_name} | changed
        return {name: value for name, value in kept.items() if value is not None}


def read_wish(scene: Scene, wish: Wish) -> Asked:
    """What a visitor did. A channel is one of a layer, and forgotten at another one; a pixel is kept. Raises
    RefusalError for what is not there."""
    channels = scene.model.explainer.manifest["layers"][scene.layer]["shape"][0]
    pixel = place = channel = None
    if "row" in wish or "column" in wish:
        height, width = scene.photo.pixels.shape[:2]
        pixel = whole("row", wish.get("row")), whole("column", wish.get("column"))
        if pixel[0] >= height or pixel[1] >= width:
            told = say(
                "There is no pixel at {row}, {column}: the photo has {height} × {width}, counted from 0.",
                row=pixel[0], column=pixel[1], height=height, width=width,
            )  # fmt: skip
            raise RefusalError(told)
        place = place_of(scene.model, scene.photo, scene.layer, pixel)
    if "channel" in wish and wish.get("layer") == scene.layer_name:
        channel = whole("channel", wish["channel"])
        if channel >= channels:
            told = say(
                "There is no channel {channel}: this layer has {channels}, counted from 0.",
                channel=channel, channels=channels,
            )  # fmt: skip
            raise RefusalError(told)
    ways = ways_back(scene)
    way = wish.get("way") or next(iter(ways), "")
    if ways and way not in ways:
        raise RefusalError(
            say("Nothing is followed back by {way}. Choose a way below the channel.", way=short(way))
        )
    shown = min(whole("number of channels", wish.get("shown", TILES), 1), MOST)
    return Asked(pixel, place, channel if ways else None, ways, way, shown)


def ways_back(scene: Scene) -> list[str]:
    """The methods that bring a unit of the layer that is shown back to the pixels, Zeiler and Fergus's own first:
    those of one pass whose values at the image have signs. None where nothing starts at the layer."""
    if scene.layer not in scene.model.explainer.module.starts:
        return []
    rows = [METHODS[name] for name in scene.model.methods]
    names = [row.name for row in rows if row.at.at_image and row.signed and not row.path]
    return sorted(names, key=lambda name: name != "deconvnet")


def draw(studio: Studio, scene: Scene, wish: Wish) -> str:
    """The channels of the layer that is shown, and the one that is followed back."""
    asked = read_wish(scene, wish)
    question, labels = scene.question, scene.model.labels
    target, contrast = question.target or 0, question.contrast
    about = labels[target]
    if contrast is not None:
        about = say("{target} rather than {contrast}", target=about, contrast=labels[contrast])
    point = None if asked.pixel is None else [at + 0.5 for at in asked.pixel]
    unseen = asked.pixel is not None and asked.place is None
    if unseen:
        parts = [f"<p><strong>{escape(sentences()['outside'])}</strong></p>"]
    else:
        values, terms = studio.ask(scene, passes.terms, target, contrast, scene.layer)
        parts = [_channels(scene, asked, values, terms, about)]
    if asked.channel is not None and not unseen:
        given = scene.layer, asked.channel, asked.place or "strongest", asked.way
        map, place, value = studio.ask(scene, passes.unit, *given)
        unit = Unit(asked.channel, place, value, asked.place is not None, asked.way, map)
        parts.insert(0, _followed(scene, asked, draw_unit(scene, unit, terms[asked.channel], about)))
        point = middle_of(scene.model, scene.photo, scene.layer, place)
    first = [stage(scene, point, asked.wish(scene, channel=None)), _ask_for_a_place(scene, asked)]
    return "".join([*first, *parts])


def _ask_for_a_place(scene: Scene, asked: Asked) -> str:
    """The layer, and the fields for a place."""
    height, width = scene.photo.pixels.shape[:2]
    row, column = asked.pixel or ("", "")
    fields = [(say("Row"), "row", row, height - 1), (say("Column"), "column", column, width - 1)]
    inputs = "".join(
        f'<label>{escape(label)} <input type="number" name="{name}" min="0" max="{most}" value="{value}" required>'
        f"</label>"
        for label, name, value, most in fields
    )
    ask = f'<button type="submit" class="choice">{escape(say("What fires there?"))}</button>'
    back = {"row": None, "column": None, "channel": None}
    leave = choice(asked.wish(scene, **back), escape(say("The whole layer"))) if asked.pixel else ""
    told = say("Click a place on the picture, or give a pixel of the photo:")
    up = f'<button type="button" class="choice" data-go="#picture">{escape(say("To the picture"))}</button>'
    line = f'<p class="layer">{escape(scene.model.layers[scene.layer])}</p>'
    return f"{line}<p>{escape(told)} {up}</p>{form(asked.wish(scene, channel=None), inputs + ask + leave)}"


def _followed(scene: Scene, asked: Asked, drawn: str) -> str:
    """A unit that is drawn, and the ways to choose from."""
    rows = [METHODS[name] for name in asked.ways]
    ways = "".join(
        choice(asked.wish(scene, way=row.name), escape(say(row.title)), row.name == asked.way, say(row.says))
        for row in rows
    )
    close = choice(asked.wish(scene, channel=None), escape(say("Close")))
    label = escape(say("Back to the pixels by"))
    group = f'<div class="ways" role="group" aria-label="{label}">{label} {ways}{close}</div>'
    unit = f"{scene.layer} {asked.channel} {asked.place}"
    return f'<section class="followed" data-unit="{unit}">{group}{drawn}</section>'


def _channels(scene: Scene, asked: Asked, values: Values, terms: Values, about: str) -> str:
    """The channels in the order of what they add to the class, or of their values at a place, as HTML."""
    numbers: dict[str, Any] = {"channels": len(values), "about": about}
    if asked.place is None:
        adds, reach = terms.sum((1, 2)), values.max((1, 2))
        order = np.argsort(-adds, kind="stable")
        head = say("The channels that add most to {about}", about=about)
        told = say(
            "What a channel adds is the sum over its places of activation times gradient: the terms that "
            "HiResCAM adds up over the channels. All {channels} of this layer together add {total} to the score "
            "of {about}.",
            total=number(float(adds.sum())), **numbers,
        )  # fmt: skip
    else:
        adds, reach = terms[:, *asked.place], values[:, *asked.place]
        order = np.argsort(-reach, kind="stable")
        head = say(
            "The channels that fire most at place {row}, {column}", row=asked.place[0], column=asked.place[1]
        )
        told = say(
            "By their values there. What a channel adds is its value times its gradient at that place. All "
            "{channels} of this layer together add {total} there to the score of {about}: HiResCAM's value, "
            "before what is below zero is cut.",
            total=number(float(adds.sum())), **numbers,
        )  # fmt: skip
    notes = [told]
    if values[0].size > 1:
        notes.append(say("Each channel is drawn by its own largest value."))
    else:
        notes.append(
            say("This layer is no map: each of its channels has one value for all that the network sees.")
        )
    if not asked.ways:
        notes.append(say("Nothing is followed back from here: the layer lies beside other paths of the network."))
    shown, window = fitted(scene.photo, scene.model, SIDE)
    look, signed = drawn_as(scene.question.look), bool(values.min() < 0)
    tiles = ""
    for channel in order[: asked.shown].tolist():
        drawn = None
        if values[0].size > 1:
            drawn = picture(shown, window, values[channel], look, False, signed)
        tiles += _tile(scene, asked, channel, drawn, float(reach[channel]), float(adds[channel]))
    more = ""
    if asked.shown < min(MOST, len(values)):
        wish = asked.wish(scene, shown=min(asked.shown + TILES, MOST))
        more = choice(wish, escape(say("More channels")))
    lines = "".join(f"<p>{escape(line)}</p>" for line in notes)
    return f'<h4>{escape(head)}</h4>{lines}<div class="tiles">{tiles}</div>{more}'


def _tile(scene: Scene, asked: Asked, channel: int, drawn: Picture | None, value: float, adds: float) -> str:
    """A channel: its activation over the photo, its value and what it adds. A click follows it back."""
    told = {"value": number(value), "adds": number(adds)}
    if asked.place is None:
        line = say("adds {adds}, peaks at {value}", **told)
    else:
        line = say("fires {value}, adds {adds}", **told)
    name = escape(say("Channel {channel}", channel=channel))
    inside = f"{'' if drawn is None else image(drawn, '')}<b>{name}</b><span>{escape(line)}</span>"
    if not asked.ways:
        return f"<div>{inside}</div>"
    return choice(asked.wish(scene, channel=channel), inside, channel == asked.channel)


UNITS = Panel(
    "units",
    "What fires here",
    "The channels of this layer: what each adds to the class, and what made it fire.",
    draw,
    applies=lambda scene: bool(scene.layers),
    layered=True,
)
