"""Boxes around what the map marks, in the photo's own pixels."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from ...pictures.boxes import Box, boxes_on_photo, draw_boxes, placed
from ...pictures.geometry import Window
from ..language import say
from ..scene import Scene
from ..studio import Studio
from .panel import Panel, Wish, choice, choices, figure, picked, to_copy, whole

SIDE = 560  # longest side of a picture here, in pixels
MOST = 30  # boxes that are drawn and listed: more, and nobody finds one
LEAST, LARGEST, FIRST = 5, 95, 20  # threshold, in percent of the maximum; the first is Zhou et al. 2016
KNOWN = (
    (15, "15 %: Grad-CAM's authors"),
    (20, "20 %: Zhou et al. 2016"),
    (50, "50 %: the strongest half"),
)
PARTS = ("largest", "all")


def draw(studio: Studio, scene: Scene, wish: Wish) -> str:
    """The boxes on the photo and on the map, and their numbers."""
    threshold, parts = whole(wish, "threshold", LEAST, LARGEST, FIRST), picked(wish, "parts", PARTS)
    found = boxes(scene, threshold / 100, parts == "all")
    shown, left = found[:MOST], len(found) - MOST
    tools = _threshold(threshold, parts) + choices(
        say("Parts"),
        (
            choice({"threshold": threshold, "parts": "largest"}, escape(say("The largest")), parts == "largest"),
            choice({"threshold": threshold, "parts": "all"}, escape(say("All")), parts == "all"),
        ),
    )
    if not found:
        told = say(
            "No box: nothing in the map speaks for {class_name}.", class_name=scene.model.labels[scene.asked[0]]
        )
        return f'<div class="tools">{tools}</div><p role="status">{escape(told)}</p>'
    lines = [told_box(number, box) for number, box in enumerate(shown, 1)]
    rest = f"<p>{escape(say('{count} smaller boxes are left out.', count=left))}</p>" if left > 0 else ""
    pictures = [
        (scene.photo.fit(SIDE), say("Boxes on the photo")),
        (scene.draw(scene.layer, SIDE), say("Boxes on the map")),
    ]
    drawn = "".join(
        figure(draw_boxes(picture, on_picture(shown, scene, picture.shape)), f"{alt}: {lines[0]}", escape(alt))
        for picture, alt in pictures
    )
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    note = say(
        "A map knows no edges: how good a box is hangs on its threshold more than on the method "
        "(Choe et al. 2020). Choose it once, on other photos."
    )
    return (
        f'<div class="tools">{tools}</div><div class="tiles wide">{drawn}</div>'
        f'<ol class="listed">{listed}</ol>{rest}<p>{escape(note)}</p>'
        + to_copy("boxes-json", as_json(scene, found, threshold / 100), say("the numbers as JSON"))
        + to_copy("boxes-text", "\n".join(as_text(found)), say("the corners as text"))
    )


def boxes(scene: Scene, threshold: float, several: bool) -> list[Box]:
    """The boxes around what the map of the layer that is shown marks, in pixels of the photo. threshold: a share
    of its maximum; several: of each part of it, not of the largest alone."""
    size = scene.photo.pixels.shape[:2]
    window = scene.model.explainer.geometry.window(*size)
    return boxes_on_photo(scene.shown(scene.layer), window, (size[0], size[1]), threshold, several, _asked(scene))


def on_picture(found: Sequence[Box], scene: Scene, shape: Sequence[int]) -> list[Box]:
    """Boxes of the photo in the pixels of a smaller picture [H, W, 3] of it."""
    size, whole_picture = scene.photo.pixels.shape[:2], Window(0.0, 0.0, float(shape[0]), float(shape[1]))
    return [placed(box, whole_picture, size, (shape[0], shape[1])) for box in found]


def told_box(number: int, box: Box) -> str:
    """A box in words."""
    return say(
        "Box {number}: {left}, {top} to {right}, {bottom}; {share} of the map lies in it.",
        number=number,
        left=f"{box.left:.1f}",
        top=f"{box.top:.1f}",
        right=f"{box.right:.1f}",
        bottom=f"{box.bottom:.1f}",
        share=f"{box.score:.0%}".replace("%", " %"),
    )


def as_text(found: Sequence[Box]) -> list[str]:
    """A line for each box: left, top, right, bottom in pixels of the photo."""
    return [f"{box.left:.1f} {box.top:.1f} {box.right:.1f} {box.bottom:.1f}" for box in found]


def as_json(scene: Scene, found: Sequence[Box], threshold: float) -> str:
    """The boxes with what they are of, as a program reads them."""
    height, width = scene.photo.pixels.shape[:2]
    told: dict[str, Any] = {
        "photo": [height, width],
        "model": scene.question.model,
        "method": scene.question.method,
        "layer": scene.layer_name if scene.layers else None,
        "threshold": threshold,
    }
    rows = [json.dumps(_rounded(box.as_dict()), ensure_ascii=False) for box in found]
    head = json.dumps(told, ensure_ascii=False)[:-1]
    return head + ', "boxes": [\n' + ",\n".join(rows) + "\n]}"


def _rounded(told: dict[str, Any]) -> dict[str, Any]:
    """The fields of a box to a thousandth of a pixel, as its score; the peak is a raw value and stays."""
    fields = {
        name: round(value, 3) if isinstance(value, float) and name != "peak" else value
        for name, value in told.items()
    }
    return fields | {"coco": [round(length, 3) for length in told["coco"]]}


def _asked(scene: Scene) -> str:
    """The class that is explained, and what it is compared with, as `Explainer.boxes` has it."""
    return " rather than ".join(scene.model.labels[index] for index in scene.asked)


def _threshold(percent: int, parts: str) -> str:
    """The threshold as a slider, and the values that papers take as buttons."""
    label = escape(say("Threshold, of the map's maximum"))
    slider = (
        f'<label class="slider"><span>{label}</span><input type="range" data-field="threshold" min="{LEAST}" '
        f'max="{LARGEST}" step="1" value="{percent}"><output>{percent} %</output></label>'
    )
    return slider + choices(
        say("Thresholds of papers"),
        (
            choice({"threshold": value, "parts": parts}, escape(say(text)), value == percent)
            for value, text in KNOWN
        ),
    )


LOCALISE = Panel(
    "localise",
    "Localise",
    "Boxes around the places where the map reaches a share of its maximum, in pixels of the photo.",
    draw,
    applies=lambda scene: not scene.signed,
    layered=True,
    keeps=True,
)
