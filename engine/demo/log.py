"""One line for each question, for whoever hosts the page: without photos, paths or names of visitors.

    2026-11-28T19:40:09Z explain model=resnet50 method=hires_cam layers=17 ms=212 ok

The name of the question, what was asked where it was something that the page knows, how long the answer took since
its turn came, and "ok" or the kind of refusal: one of KINDS, or the name of an error that nobody foresaw, with the
file and line that raised it.
"""

import functools
import logging
import logging.handlers
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import gradio as gr

LOGGER = logging.getLogger("convlens.questions")
FORMAT = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
FORMAT.converter = time.gmtime
KINDS = {"RefusalError": "refused", "PhotoError": "photo", "WeightsError": "weights"}
FACTS = ("model", "method", "layers")

_told: ContextVar[dict[str, object] | None] = ContextVar("told", default=None)


def write_to(place: str) -> None:
    """Write the lines to a file, or to standard output for "-". Raises OSError where that can't be.

    A file that was moved away meanwhile, as log rotation does, is begun anew.
    """
    handler: logging.Handler
    if place == "-":
        handler = logging.StreamHandler(sys.stdout)
    else:
        handler = logging.handlers.WatchedFileHandler(Path(place).expanduser(), encoding="utf-8")
    handler.setFormatter(FORMAT)
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)


def tell(**facts: object) -> None:
    """Say what is asked, by the names of FACTS: only what was checked, for visitors may write anything."""
    told = _told.get()
    if told is not None:
        told.update(facts)


def watch(demo: gr.Blocks) -> None:
    """Write a line for each question that is put to `demo`: by its handlers explain_…, and by programs."""
    for made in demo.fns.values():
        name = getattr(made.fn, "__name__", "")  # the same on each language's page
        if made.fn is not None and (name.startswith("explain") or made.api_visibility == "public"):
            made.fn = logged(name, made.fn)


def logged(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, which writes a line whenever it has answered or refused."""

    @functools.wraps(handler)
    def answer(*given: Any, **named: Any) -> Any:
        facts: dict[str, object] = {}
        before, began, outcome = _told.set(facts), time.monotonic(), "ok"
        try:
            return handler(*given, **named)
        except BaseException as error:
            outcome = kind_of(error)
            vars(error)["written"] = True
            raise
        finally:
            _told.reset(before)
            LOGGER.info("%s", line(name, facts, time.monotonic() - began, outcome))

    return answer


def failed(name: str, error: BaseException) -> None:
    """Write the line of a question that failed before a handler had it, or behind one; once for each error."""
    if not vars(error).get("written"):
        LOGGER.info("%s", line(_word(name), {}, 0.0, kind_of(error)))


def kind_of(error: BaseException) -> str:
    """One of KINDS, or the error's type and where it was raised; never what it says, which may be what a visitor
    wrote. What became a toast is told by what it was before."""
    cause = error.__context__ if isinstance(error, gr.Error) and error.__context__ else error
    name = type(cause).__name__
    if name in KINDS:
        return KINDS[name]
    frames = traceback.extract_tb(cause.__traceback__)
    return f"{name}@{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else name


def line(name: str, facts: dict[str, object], seconds: float, outcome: str) -> str:
    """What is written of a question, but for the time; a fact that is not known is "-"."""
    known = " ".join(f"{fact}={_word(facts.get(fact, '-'))}" for fact in FACTS)
    return f"{name} {known} ms={seconds * 1000:.0f} {outcome}"


def _word(fact: object) -> str:
    """One word: names of files may have blanks in them, and a line has one meaning only."""
    return re.sub(r"[\s=]+", "_", str(fact)) or "-"
