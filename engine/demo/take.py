"""What visitors take away of a scene: a card to pass on, the layers as an animation, and everything as ZIP."""

import io
import json
import unicodedata
import zipfile
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from ..pictures.card import Ramp, share_card
from ..pictures.colours import colors_of
from ..pictures.render import FAINT, PAPER, Picture, png, write
from . import words
from .again import MAP, PHOTO, PICTURE, again, sentence, settings
from .controls import RefusalError
from .language import ENGLISH, say, speaking
from .scene import Scene
from .state import model_title, standings

SIDE = 1024  # longest side of a picture, in pixels
FILM_SIDE, FILM_BYTES, FILM_FRAMES = 640, 1_500_000, 120  # an animation's longest side, and at most
# How an animation is made, until it is small enough: share of FILM_SIDE and WebP's quality.
FILM_STEPS = ((1.0, 70), (1.0, 45), (0.75, 40), (0.5, 35), (0.4, 15))
FILM_LASTS, FILM_STAYS = 7000, 2500  # ms: all frames together, and the last one on top of that
STRIP = 26  # pixels below a frame, for the layer's line
EPOCH = (1980, 1, 1, 0, 0, 0)  # of the files in a ZIP: the same scene is the same bytes


def card(scene: Scene, controls: Sequence[tuple[Picture, str]] = ()) -> bytes:
    """A scene in one picture, PNG of 1200 × 630 pixels: photo and map, what was asked, and how to read it.

    controls: pictures that show what the map is to be held against, each with its caption. None of them is free:
    each takes a pass of its own.
    """
    question, look = scene.question, scene.question.look
    layer = {"name": scene.layer_name, "number": scene.layer + 1, "layers": len(scene.model.layers)}
    where = say("{name}, layer {number} of {layers}", **layer) if scene.layers else ""
    told = [words.standing(abridged(label), found) for label, found in standings(scene)]
    facts = [
        " · ".join(part for part in (scene.title, where, model_title(scene), words.TITLE) if part),
        " · ".join(told),
        scene.range_told(scene.layer),
    ]
    if scene.signed:
        colours = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    else:
        colours = colors_of(words.colormap_of(question.method, look))
    ramp = Ramp(colours, *words.ends(question.method, scene.signed, look.view))
    panels = [(scene.photo.fit(SIDE), say("photo")), (scene.draw(scene.layer, SIDE), scene.title), *controls]
    return png(share_card(panels, sentence(scene, abridged), facts, ramp))


def abridged(label: str, most: int = 44) -> str:
    """A class's name without its middle where it is longer than `most` letters, so that both names of a sentence
    can be read on a card. Chinese letters, as wide as they are high, count twice."""
    shown = label
    for length in range(len(label) - 1, -1, -1):
        if len(shown) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in shown) <= most:
            break
        shown = label[: (length + 1) // 2] + "…" + label[len(label) - length // 2 :]
    return shown


def animation(scene: Scene) -> bytes:
    """The layers one after the other from the image to the logits, as WebP of at most 1.5 MB that runs for ever.

    Of more than 120 layers, as many are shown, evenly spread. Raises RefusalError where there is a single map.
    """
    if len(scene.layers) < 2:
        raise RefusalError(say("This method has a single map; an animation is for those with one per layer."))
    count = min(len(scene.layers), FILM_FRAMES)
    chosen = [scene.layers[round(index)] for index in np.linspace(0, len(scene.layers) - 1, count)]
    frames = [captioned(scene.draw(layer, FILM_SIDE), scene.model.layers[layer]) for layer in chosen]
    each = max(40, min(300, FILM_LASTS // count))
    durations = [each] * (count - 1) + [each + FILM_STAYS]
    for share, quality in FILM_STEPS:
        content = webp([shrunk(frame, share) for frame in frames], durations, quality)
        if len(content) <= FILM_BYTES:
            break
    return content


def captioned(frame: Picture, line: str) -> Picture:
    """A picture [H, W, 3] with a line in a strip below it: [H + 26, W, 3]."""
    strip = np.full((STRIP, frame.shape[1], 3), PAPER, np.uint8)
    write(strip, line, 8, STRIP - 8, frame.shape[1] - 16, 14, 400, FAINT)
    return np.concatenate([frame, strip])


def shrunk(frame: Picture, share: float) -> Picture:
    """A picture with its sides at `share` of what they are."""
    if share == 1:
        return frame
    return np.asarray(cv2.resize(frame, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)


def webp(frames: Sequence[Picture], durations: Sequence[int], quality: int) -> bytes:
    """Pictures of one size as an animated WebP that runs for ever. durations: of each, in ms."""
    content = io.BytesIO()
    first, *rest = map(Image.fromarray, frames)
    first.save(
        content,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=list(durations),
        loop=0,
        quality=quality,
        method=2,
    )
    return content.getvalue()


def archive(scene: Scene, credit: str = "") -> bytes:
    """Everything of a scene as ZIP: map.npy, the raw values at the layer that is shown, float32 [S, S] or
    [C, S, S]; picture.png; photo.png as it was read; settings.json; and again.txt: how to make them again.

    credit: whose the photo is, where that is known.
    """
    values = io.BytesIO()
    np.save(values, np.ascontiguousarray(scene.attribution(scene.layer), np.float32))
    with speaking(ENGLISH):  # programs read it
        told = json.dumps(settings(scene, credit), indent=2, ensure_ascii=False)
    files = {
        MAP: values.getvalue(),
        PICTURE: png(scene.draw(scene.layer, SIDE)),
        PHOTO: png(scene.photo.pixels),
        "settings.json": f"{told}\n".encode(),
        "again.txt": again(scene).encode(),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, inside in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16  # else nobody may read it where Unix unpacks it
            packed.writestr(entry, inside, zipfile.ZIP_STORED if name.endswith("png") else zipfile.ZIP_DEFLATED)
    return content.getvalue()
