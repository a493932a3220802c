"""What the page says, in the visitor's language: English in the code, others in texts/, by the English."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import urlsplit

from ..errors import Told

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "zh-CN": "简体中文"}
TEXTS = Path(__file__).with_name("texts")
_spoken: ContextVar[str] = ContextVar("language", default=ENGLISH)


def say(text: str, /, **fields: Any) -> str:
    """A sentence in the language of this question. text: the English, with names in braces for `fields`.

    What has no translation stays English, as class names do.
    """
    told = texts(_spoken.get()).get(text, text)
    return told.format(**fields) if fields else told


def retold(finished: str, *patterns: str) -> str:
    """A sentence that came finished, as those in a model's file, in the language of this question.

    patterns: English, as `say` takes it; the first one that the sentence fits is said. One that fits none stays.
    """
    for pattern in patterns:
        if found := _shape(pattern).fullmatch(finished):
            return say(pattern, **found.groupdict())
    return finished


def retold_error(error: Told) -> str:
    """What the engine refuses, in the language of this question; so are the parts that are texts of its own."""
    return say(error.text, **{name: _retold_part(part) for name, part in error.fields.items()})


def _retold_part(part: object) -> object:
    if isinstance(part, Told):
        return retold_error(part)
    return say(part) if isinstance(part, str) else part


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    """What fits a text with names in braces, each a group of that name."""
    parts = Formatter().parse(pattern)
    return re.compile("".join(re.escape(text) + (f"(?P<{name}>.+)" if name else "") for text, name, *_ in parts))


@cache
def texts(language: str) -> dict[str, str]:
    """English -> what stands for it in a language."""
    path = TEXTS / f"{language}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def language() -> str:
    """The language that is spoken now, as HTML's `lang` has it."""
    return _spoken.get()


def language_at(address: str) -> str:
    """The language of the page at an address."""
    name = urlsplit(address).path.rstrip("/").rpartition("/")[2]
    return name if name in LANGUAGES else ENGLISH


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it `say` speaks a language of LANGUAGES."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def spoken_in(language: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of the page that speaks a language. One that yields speaks it at each step: gradio may take every
    step in a context of its own."""
    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def steps(*given: Any) -> Iterator[Any]:
            answers = handler(*given)
            while True:
                with speaking(language):
                    try:
                        answer = next(answers)
                    except StopIteration:
                        return
                yield answer

        return steps

    @wraps(handler)
    def whole(*given: Any) -> Any:
        with speaking(language):
            return handler(*given)

    return whole
