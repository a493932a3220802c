"""Words for the people who read errors and pages."""

import difflib
from collections.abc import Container, Iterable
from html import escape

# What people type, as they have it: a package that was installed brings a command, a checkout does not.
COMMAND = "convlens" if __name__.startswith("convlens.") else "python -m engine"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names what a misspelt `name` may have meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3] + known[-1:]
    return f"the nearest are {', '.join(close)}" if close else "there are none"


def sentence(told: object, kept: Container[str] = ()) -> str:
    """What the engine says of a question that does not fit, as a sentence. kept: names, which stay as they are
    where one begins with them."""
    text = str(told)
    first = text[:1] if text.partition(" ")[0] in kept else text[:1].upper()
    return first + text[1:] + ("" if text.endswith(".") else ".")


def whole_page(title: str, style: str, body: str, script: str = "") -> str:
    """An HTML page that asks nobody for anything. body: HTML, which is taken as it is."""
    script = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style>{body}'
        f"<p><small>Made by ConvLens.</small></p>{script}</html>\n"
    )
