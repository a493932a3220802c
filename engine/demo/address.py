"""The address of an answer, behind that of the page, so that a link, a reload and the back button keep it.

    ?photo=coffee&model=resnet18&method=grad_cam&layer=layer4&why=espresso&rather=cup

What is left out stands as at first. A visitor's own photo has no address: it is nobody else's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .controls import CONTROLS, RefusalError, short
from .language import say
from .scene import Model, Scene

PHOTO = "photo"
OF_THE_MODEL = ("model", "untrained")  # what has to be known before the rest can be read
LONGEST = 1000  # characters; the page itself makes none of 400


def address_of(scene: Scene, examples: Sequence[Path]) -> str:
    """The address of a scene, from the "?" on."""
    photo = scene.question.photo.resolve()
    pairs = [(PHOTO, path.stem) for path in examples if path.resolve() == photo]
    for control in CONTROLS.values():
        text = control.tell(scene) if control.address else None
        if text is not None and not (control.quiet and text == str(control.default)):
            pairs.append((control.address, text))
    return f"?{urlencode(pairs)}" if pairs else "?"


def fields_of(address: str, examples: Sequence[Path]) -> dict[str, str]:
    """What an address says: address of a control -> text, the photo as the path of an example among them.

    Raises RefusalError for an address that no page has made. What other pages put into addresses is left out.
    """
    if len(address) > LONGEST:
        raise RefusalError(say("That address is too long. Ask anew."))
    known = {control.address for control in CONTROLS.values() if control.address} | {PHOTO}
    told = {name: text for name, text in parse_qsl(address.removeprefix("?")) if name in known}
    if PHOTO in told:
        found = next((path for path in examples if path.stem == told[PHOTO]), None)
        if found is None:
            name = short(told[PHOTO])
            raise RefusalError(
                say("There is no example photo {name} here. Choose one, or bring your own.", name=name)
            )
        told[PHOTO] = str(found)
    return told


def posted_for(told: dict[str, str], model: Model | None, names: Sequence[str]) -> dict[str, Any]:
    """The values that controls would have posted. model: None for those that don't depend on it."""
    return {
        name: CONTROLS[name].hear(told[CONTROLS[name].address], model)  # type: ignore[arg-type]
        for name in names
        if CONTROLS[name].address in told
    }
