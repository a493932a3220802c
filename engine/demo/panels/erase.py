"""Erase a part of the photo and watch the probabilities move: the honesty test of a map, in the visitor's hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from ...pictures.render import Picture, overlay
from ..language import say
from ..passes import Values
from ..scene import Scene
from ..studio import Studio
from ..words import share
from .erasing import (
    FILLS,
    LONGEST,
    Mask,
    elsewhere,
    erased,
    filling,
    grid,
    packed,
    seen_cells,
    strongest,
    unpacked,
)
from .panel import Panel, Wish, choices, image, picked, whole

SIDE, SMALL = 640, 180  # longest side of the photo to draw on, and of the pictures of the test, in pixels
TOPS = (5, 10, 20)  # percent of what the network sees
CLASSES = 5  # in the list, beside those that are asked for and what the network says now
DRAWS = 999  # places that a visitor may ask for
CELL = LONGEST // 12  # cells that a key moves by, and erases at once, along each side
BRUSHES = ((2, "Small"), (5, "Medium"), (10, "Large"))  # radius in cells
GRAYS = {"mean": "Gray", "blur": "Blur", "black": "Black"}


@dataclass(frozen=True)
class Erasing:
    """What a wish asks for. top: of which share, in percent, the map says what is erased; 0 where a hand does."""

    mask: Mask
    fill: str
    top: int
    draw: int
    turn: int


def read(scene: Scene, wish: Wish) -> Erasing:
    """A wish, checked. One about another photo erases nothing. Raises RefusalError."""
    fill, top, draw = (
        picked(wish, "fill", FILLS),
        picked(wish, "top", (0, *TOPS)),
        whole(wish, "draw", 0, DRAWS, 0),
    )
    turn, size = whole(wish, "turn", 0, 2**31, 0), grid(scene.photo)
    mask = np.zeros(size, bool)
    if wish.get("photo") == scene.photo.key and "mask" in wish:
        mask = unpacked(wish["mask"], size)
    if top:
        mask = strongest(scene, top / 100)
    elif picked(wish, "elsewhere", (False, True)):
        mask = elsewhere(mask, seen_cells(scene), draw)
    return Erasing(mask, fill, top, draw, turn)


def draw(studio: Studio, scene: Scene, wish: Wish) -> Iterator[str]:
    """The photo to draw on, what the network says of it, and of parts that the map chooses the test."""
    asked = read(scene, wish)
    board = _board(scene, asked)
    told = _told(scene, asked, chances(studio, scene, asked.mask, asked.fill))
    yield f'<div class="erase">{board}<div>{told}{_test_buttons(asked)}</div></div>'
    if not asked.top:
        return
    rows, left = "", list[tuple[float, float]]()
    for percent in TOPS:
        row, found = _test_row(studio, scene, asked, percent)
        rows, left = rows + row, [*left, found]
        test = _test_table(rows) + (_verdict(scene, left) if percent == TOPS[-1] else "")
        yield f'<div class="erase">{board}<div>{told}{_test_buttons(asked)}{test}</div></div>'


def chances(studio: Studio, scene: Scene, mask: Mask, fill: str) -> Values:
    """The probabilities [K] of the photo without the cells of a mask."""
    if not mask.any():
        return scene.probabilities
    question = scene.question
    return studio.classify(question.model, question.weights, erased(scene, mask, fill))


def _board(scene: Scene, asked: Erasing) -> str:
    """The photo, with what lies below a brush, and the tools."""
    rows, columns = grid(scene.photo)
    shown = scene.photo.fit(SIDE)
    pictures = (
        image(_dimmed(shown, scene), say("The photo to erase parts of"), **{"class": "under"}),
        image(_dimmed(filling(scene, shown, asked.fill), scene), "", **{"class": "fill", "hidden": ""}),
    )
    texts = {
        "erased-cell": say("Row {row} of {rows}, column {column} of {columns}: erased"),
        "kept-cell": say("Row {row} of {rows}, column {column} of {columns}: not erased"),
    }
    numbers = {"turn": asked.turn, "draw": asked.draw, "top": asked.top, "cell": CELL}
    data = {"photo": scene.photo.key, "mask": packed(asked.mask), "fill": asked.fill} | texts
    data |= {name: str(number) for name, number in numbers.items()}
    told = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    label = escape(say("Erase parts of the photo: draw, or move with the arrow keys and press space"))
    canvas = (
        f'<canvas width="{columns}" height="{rows}" tabindex="0" role="application" aria-label="{label}"></canvas>'
    )
    sizes = (
        _tool(f'data-brush="{radius}" aria-pressed="{str(radius == BRUSHES[1][0]).lower()}"', say(title))
        for radius, title in BRUSHES
    )
    fills = (
        _tool(f'data-fill="{fill}" aria-pressed="{str(fill == asked.fill).lower()}"', say(title))
        for fill, title in GRAYS.items()
    )
    steps = _tool('data-step="undo"', say("Undo")) + _tool('data-step="clear"', say("Clear"))
    return (
        f'<div class="board"{told}><div class="stack">{"".join(pictures)}{canvas}</div><p role="status"></p>'
        f"{choices(say('Brush'), sizes)}{choices(say('Fill'), fills)}"
        f'<div class="choices">{steps}</div></div>'
    )


def _dimmed(picture: Picture, scene: Scene) -> Picture:
    """A picture of the photo, darker and gray where the network does not see it."""
    cells = seen_cells(scene).astype(np.uint8)
    seen = np.asarray(cv2.resize(cells, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)) > 0
    return overlay(picture, np.zeros(seen.shape, np.float32), seen, 0.0)


def _told(scene: Scene, asked: Erasing, after: Values) -> str:
    """The classes before and after, and what that means for the one that is explained."""
    before, target = scene.probabilities, scene.asked[0]
    top = [int(index) for index in before.argsort()[::-1][:CLASSES]]
    listed = dict.fromkeys([*top, *scene.asked, int(after.argmax())])
    rows = "".join(_row(scene, index, float(before[index]), float(after[index])) for index in listed)
    heads = _heads(say("Class"), say("Before"), say("After"))
    sentences = " ".join(_sentences(scene, asked.mask, float(before[target]), after))
    return (
        f'<p role="status" class="finding">{escape(sentences)}</p>'
        f'<table class="bars"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(scene: Scene, index: int, before: float, after: float) -> str:
    name = escape(scene.model.labels[index])
    bars = "".join(
        f'<td><i style="width:{100 * chance:.1f}%"></i><span>{share(chance)}</span></td>'
        for chance in (before, after)
    )
    chosen = ' class="asked"' if index in scene.asked else ""
    return f'<tr{chosen}><th scope="row">{name}</th>{bars}</tr>'


def _sentences(scene: Scene, mask: Mask, before: float, after: Values) -> Iterator[str]:
    """What has become of the class that is explained, and of the network's answer."""
    if not mask.any():
        yield say("Nothing is erased yet. Draw on the photo, or let the map choose what goes.")
        return
    now, name = float(after[scene.asked[0]]), scene.model.labels[scene.asked[0]]
    fields = {"class_name": name, "before": share(before), "after": share(now), "area": _area(scene, mask)}
    if fields["before"] == fields["after"]:
        yield say("{class_name} stays at {before} with {area} of what the network sees erased.", **fields)
    elif now < before:
        yield say(
            "{class_name} falls from {before} to {after} with {area} of what the network sees erased.", **fields
        )
    else:
        yield say(
            "{class_name} rises from {before} to {after} with {area} of what the network sees erased.", **fields
        )
    first = int(after.argmax())
    if first != int(scene.probabilities.argmax()):
        label = scene.model.labels[first]
        yield say(
            "The network now says {class_name}, {share}.", class_name=label, share=share(float(after[first]))
        )


def _area(scene: Scene, mask: Mask) -> str:
    """How much of what the network sees a mask covers, as people read it."""
    seen = seen_cells(scene)
    return share(float((mask & seen).sum()) / max(1, int(seen.sum())))


def _test_buttons(asked: Erasing) -> str:
    """What the map chooses, and as much elsewhere."""
    tops = (
        _tool(
            f'data-top="{percent}" aria-pressed="{str(percent == asked.top).lower()}"',
            say("Top {percent} %", percent=percent),
        )
        for percent in TOPS
    )
    moved = _tool("data-elsewhere", say("Erase as much elsewhere")) if asked.mask.any() else ""
    again = _tool("data-again", say("Draw other places for the test")) if asked.top else ""
    return (
        f"<h4>{escape(say('Is the map honest?'))}</h4>"
        + choices(say("Erase what the map calls important"), tops)
        + (f'<div class="choices">{moved}{again}</div>' if moved or again else "")
    )


def _test_row(studio: Studio, scene: Scene, asked: Erasing, percent: int) -> tuple[str, tuple[float, float]]:
    """One size of the test as HTML, and what is left of the class: by the map's choice, and by chance."""
    mask = strongest(scene, percent / 100)
    other = elsewhere(mask, seen_cells(scene), asked.draw)
    cells, left = "", list[float]()
    for name, part in ((say("the map's choice"), mask), (say("as much elsewhere"), other)):
        left.append(float(chances(studio, scene, part, asked.fill)[scene.asked[0]]))
        shown = image(pictured(scene, part, asked.fill), name)
        cells += f"<td>{shown}<span>{escape(name)}: <b>{share(left[-1])}</b></span></td>"
    return f'<tr><th scope="row">{_area(scene, mask)}</th>{cells}</tr>', (left[0], left[1])


def pictured(scene: Scene, mask: Mask, fill: str) -> Picture:
    """A small picture of the photo without the cells of a mask."""
    shown = scene.photo.fit(SMALL)
    covered = np.asarray(cv2.resize(mask.astype(np.uint8), shown.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    return np.where(covered[:, :, None] > 0, filling(scene, shown, fill), shown)


def _test_table(rows: str) -> str:
    heads = _heads(say("Erased"), say("What the map calls important"), say("The same shape at another place"))
    return f'<table class="test"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _heads(*titles: str) -> str:
    """What stands above the columns of a table."""
    return "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)


def _verdict(scene: Scene, left: list[tuple[float, float]]) -> str:
    """What the test says, and how far that goes. left: of the class, without the map's choice and without another
    place, at each size."""
    won, name = sum(ours < other for ours, other in left), scene.model.labels[scene.asked[0]]
    fields = {"won": won, "sizes": len(left), "class_name": name}
    if won == len(left):
        finding = say(
            "At {won} of {sizes} sizes less is left of {class_name} without the map's choice than without another "
            "place.",
            **fields,
        )
    else:
        finding = say(
            "At only {won} of {sizes} sizes is less left of {class_name} without the map's choice than without "
            "another place: here the map does not tell well what the network needs.",
            **fields,
        )
    note = say(
        "One other place is one sample: draw others. Erased photos are unlike those that the network has learnt "
        "from, so its answers to them are a hint and no proof."
    )
    return f'<p class="finding">{escape(finding)}</p><p>{escape(note)}</p>'


def _tool(kind: str, text: str) -> str:
    """A button that erase.js listens to."""
    return f'<button type="button" class="choice" {kind}>{escape(text)}</button>'


ERASE = Panel(
    "erase",
    "Erase",
    "Erase a part of the photo and see what the network says without it.",
    draw,
    layered=True,
    keeps=True,
)
