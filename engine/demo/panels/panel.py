"""A panel below the picture: a question of its own about the photo, model and class that the page shows."""

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2

from ...pictures.render import Picture
from ..controls import RefusalError, short
from ..language import say
from ..scene import Scene
from ..studio import Studio

Wish = Mapping[str, Any]  # what a visitor did in a panel, as the browser posted it: to be checked
WEBP = [cv2.IMWRITE_WEBP_QUALITY, 82]
Choice = TypeVar("Choice")


def buttons(panels: Iterable["Panel"]) -> str:
    """The panels to open below the picture, as HTML; empty where there is none."""
    row = "".join(
        f'<button type="button" data-panel="{panel.name}" aria-expanded="false" aria-controls="answer"'
        f"{' data-layered' if panel.layered else ''}{' data-keeps' if panel.keeps else ''}>"
        f"{html.escape(say(panel.title))}</button>"
        for panel in panels
    )
    return f"<h3>{html.escape(say('Ask more'))}</h3>{row}" if row else ""


def always(scene: Scene) -> bool:
    """For a panel that stands beside every answer."""
    return True


@dataclass(frozen=True, eq=False)
class Panel:
    """A panel of the page.

    name: in the page's address. title, says: English, as `say` takes them: what stands on its button, and the
    sentence above its answer. draw: (studio, scene, wish) -> HTML, whole at once or more complete at each step;
    made when it is open, and anew when what the page shows has changed. Raises RefusalError for a wish that can't
    be granted. applies: is it offered beside a scene? layered: does it depend on the layer that the slider shows?
    keeps: does what was done in it stand when the page shows something else?

    What a visitor does in it is said by the HTML itself: a click on an element with `data-wish='{"channel": 3}'`
    draws the panel anew with that wish, and so do a `form` and `convlensPanels.wish({...})` in a script of its
    own. A field with `data-field="threshold"` adds its number to the wish that stands; a click on
    `data-method="grad_cam"` makes that the page's method; and one on `data-copy="ID"` copies the text of that
    element. Each wish has the path of the last photo of the visitor's own, where there is one, as `own`.

    A script hears "convlens:open" when another panel is opened, "convlens:answer" after each answer,
    "convlens:layer" with the number of the layer as its detail when the slider has moved, and "convlens:anew" when
    the page shows something else.
    """

    name: str
    title: str
    says: str
    draw: Callable[[Studio, Scene, Wish], str | Iterator[str]]
    applies: Callable[[Scene], bool] = always
    layered: bool = False
    keeps: bool = False

    def steps(self, studio: Studio, scene: Scene, wish: Wish) -> Iterator[str]:
        """Its answer, the last step being whole."""
        if not self.applies(scene):
            yield f"<p>{html.escape(say('This does not apply to what is shown.'))}</p>"
            return
        answer = self.draw(studio, scene, wish)
        yield from [answer] if isinstance(answer, str) else answer


def image(picture: Picture, alt: str, **attributes: str) -> str:
    """A picture, uint8 [H, W, 3], as HTML with its content inside: a panel's small pictures need no files."""
    content = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), WEBP)[1].tobytes()
    told = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
    height, width = picture.shape[:2]
    source = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}"{told}>'


def figure(picture: Picture, alt: str, caption: str = "", method: str = "") -> str:
    """A picture with a line below it, as HTML. caption: HTML; without one it is the alt text. method: a click
    makes it the page's."""
    shown = image(picture, alt)
    if method:
        shown = f'<button type="button" class="shown" data-method="{html.escape(method)}">{shown}</button>'
    return f"<figure>{shown}<figcaption>{caption or html.escape(alt)}</figcaption></figure>"


def choice(wish: Wish, inside: str, chosen: bool = False, title: str = "") -> str:
    """A button that draws the panel anew with a wish. inside: HTML."""
    posted = html.escape(json.dumps(wish), quote=True)
    told = f' title="{html.escape(title)}"' if title else ""
    return (
        f'<button type="button" class="choice" aria-pressed="{str(chosen).lower()}" '
        f'data-wish="{posted}"{told}>{inside}</button>'
    )


def choices(called: str, buttons: Iterable[str]) -> str:
    """Buttons that belong together, as HTML. called: what they choose, in words."""
    told = html.escape(called)
    return f'<div class="choices" role="group" aria-label="{told}"><span>{told}</span>{"".join(buttons)}</div>'


def picked(wish: Wish, name: str, offered: Sequence[Choice]) -> Choice:
    """What a wish says of one thing; the first that is offered where it says nothing. Raises RefusalError for what
    isn't offered."""
    asked = wish.get(name, offered[0])
    # 1, 1.0 and True are equal, and are not the same wish.
    for one in offered:
        if type(one) is type(asked) and one == asked:
            return one
    told = ", ".join(map(str, offered))
    raise RefusalError(say("“{name}” is one of {offered}; got {got}.", name=name, offered=told, got=short(asked)))


def whole(wish: Wish, name: str, least: int, most: int, first: int) -> int:
    """A whole number of a wish, least..most; `first` where it says nothing. Raises RefusalError for another."""
    asked = wish.get(name, first)
    number = isinstance(asked, int | float) and not isinstance(asked, bool)
    if number and least <= asked <= most and asked == int(asked):
        return int(asked)
    fields = {"name": name, "least": least, "most": most, "got": short(asked)}
    raise RefusalError(say("“{name}” is a whole number from {least} to {most}; got {got}.", **fields))


def to_copy(name: str, text: str, label: str) -> str:
    """A text to take along with a button that copies it, as HTML. name: an id of its own on the page. label: what
    the text is, in words."""
    told = {"copy": name, "copied": say("Copied."), "failed": say("Select the text and copy it by hand.")}
    data = "".join(f' data-{key}="{html.escape(value)}"' for key, value in told.items())
    button = html.escape(say("Copy {what}", what=label))
    return (
        f'<div class="to-copy"><pre id="{name}" tabindex="0">{html.escape(text)}</pre>'
        f'<button type="button" class="choice"{data}>{button}</button><span role="status"></span></div>'
    )


def form(wish: Wish, inside: str) -> str:
    """A form that draws the panel anew with a wish, and with the numbers in its fields. inside: HTML."""
    return f'<form data-form="{html.escape(json.dumps(wish), quote=True)}">{inside}</form>'
