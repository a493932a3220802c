"""The methods as the page lists them, and what it tells of the one that is chosen."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape

from latex2mathml.converter import convert

from .. import METHODS
from ..methods import ASKS
from ..methods.formulas import PART
from .language import say

FIRST = ("hires_cam", "lrp_epsilon_plus", "guided_grad_cam")  # those that need no search
SYMBOLS = (
    "y is the score that is asked for, x the photo, A the values of the layer, c a channel, p a place, R what is "
    "carried back."
)


def method_choice(chosen: str, offered: Sequence[str], passes: Callable[[str], int]) -> str:
    """The methods to choose from, as HTML: the first ones as buttons, all others under "more" by what they answer,
    each with a sentence and what it costs. passes: of one picture by a method."""
    first = [name for name in FIRST if name in offered]
    shown = [*first, *([] if chosen in first else [chosen])]
    pills = "".join(_method(name, name == chosen) for name in shown)
    groups = []
    for kind, question in ASKS.items():
        rows = [name for name in offered if METHODS[name].asks == kind]
        entries = "".join(_method(name, name == chosen, passes(name)) for name in rows)
        groups.append(f"<section><h4>{say(question)}</h4>{entries}</section>" if rows else "")
    more = f"<summary>{say('More methods')}</summary>"
    return (
        f'<div class="pills" role="group" aria-label="{say("Method")}">{pills}</div>'
        f'<details class="more">{more}<div class="groups">{"".join(groups)}</div></details>'
    )


def _method(name: str, chosen: bool, passes: int = 0) -> str:
    """One method; with its sentence and its cost where passes are told."""
    row = METHODS[name]
    cost = f"<em>{say('{passes} passes', passes=passes)}</em>" if passes > 1 else ""
    about = f"<span>{escape(say(row.says))}{cost}</span>" if passes else ""
    pressed = str(chosen).lower()
    kind = f'type="button" class="method" data-method="{name}" aria-pressed="{pressed}"'
    return f"<button {kind}><b>{escape(say(row.title))}</b>{about}</button>"


def method_line(method: str, absent: Mapping[str, str]) -> str:
    """What a method shows, its paper, and why others are not offered, as HTML."""
    row = METHODS[method]
    link = say(row.cite)
    for kind, address in ((", arXiv:", "https://arxiv.org/abs/"), (", doi:", "https://doi.org/")):
        paper, found, number = row.cite.partition(kind)
        if found:
            link = f'<a href="{address}{number}" target="_blank" rel="noopener">{escape(paper)}</a>'
    notes = [
        say("No {method} here: {reason}.", method=say(METHODS[name].title), reason=escape(say(why)))
        for name, why in absent.items()
        if name in METHODS
    ]
    if row.inner:
        notes.insert(0, say("At all layers but the last: {warning}", warning=escape(say(row.inner))))
    formula = f"<summary>{say('Formula')}</summary>{mathml(row.formula)}<p>{say(SYMBOLS)}</p>"
    shown = f'<details class="formula">{formula}</details>' if row.formula else ""
    return f"{say(row.says)} {link}{shown}" + (f"<small>{' '.join(notes)}</small>" if notes else "")


@cache
def mathml(formula: str) -> str:
    """A formula as browsers and screen readers have it, its parts on lines of their own."""
    return "".join(convert(part, display="block") for part in formula.split(PART))
