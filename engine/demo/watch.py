"""What takes long, while a visitor waits: how far it is, and how it is stopped."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

import gradio as gr
from gradio.context import LocalContext

from .language import say

Tell = Callable[[int, int], None]  # passes done, passes in all


class StoppedError(Exception):
    """A visitor has stopped what was being computed."""


class Watch:
    """The questions that are being computed, by who asked them."""

    def __init__(self) -> None:
        self._stops: dict[str, set[threading.Event]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[Tell]:
        """Gives what to call, from any thread, with how far a question is: the page shows it, and it raises
        StoppedError once whoever asked has stopped it. Within a handler of gradio's."""
        asker, stop = self._asker(), threading.Event()
        show, place = gr.Progress(), copy_context()  # which knows the event that is being handled
        unit = say("passes")  # a worker's thread speaks English

        def tell(done: int, total: int) -> None:
            if stop.is_set():
                raise StoppedError
            place.copy().run(show, (done, total), unit=unit)

        with self._lock:
            self._stops.setdefault(asker, set()).add(stop)
        try:
            yield tell
        finally:
            with self._lock:
                self._stops[asker].discard(stop)
                if not self._stops[asker]:
                    del self._stops[asker]

    def stop(self) -> None:
        """Stop all questions of whoever asks now."""
        with self._lock:
            for stop in self._stops.get(self._asker(), ()):
                stop.set()

    def _asker(self) -> str:
        request = LocalContext.request.get(None)
        return str(getattr(request, "session_hash", ""))
