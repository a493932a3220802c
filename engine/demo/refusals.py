"""The last word to a visitor: whatever goes wrong, a sentence."""

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from starlette.responses import JSONResponse

from . import log
from .language import ENGLISH, language_at, say, speaking

UNREADABLE = "The page could not read that question, or failed at it. Reload the page and ask again."


def in_sentences(demo: gr.Blocks) -> None:
    """Answer what nobody foresaw with a sentence too.

    gradio itself answers {"error": null} to what it can't read, with a traceback in the host's terminal for each:
    for a stranger, a way to fill a disk. The kind of the error and its place stand in the log, as one line.
    """
    ask = demo.process_api

    async def process_api(*given: Any, **named: Any) -> Any:
        try:
            return await ask(*given, **named)
        except gr.Error:
            raise
        except Exception as error:
            asked = named.get("block_fn")
            log.failed(getattr(getattr(asked, "fn", None), "__name__", "-"), error)
            with speaking(getattr(asked, "page", "") or ENGLISH):
                raise gr.Error(say(UNREADABLE), print_exception=False) from None

    vars(demo)["process_api"] = process_api


class Sentences:
    """Middleware around all routes: what gradio's own fail at is answered with a sentence, and a line of the log.

    They answer "Internal Server Error" to numbers of handlers that there are not, and write a traceback for each.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Pass a request on, and answer it where nobody else could."""
        begun = False

        async def told(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, told)
        except Exception as error:
            if scope["type"] != "http":
                raise
            log.failed("route", error)
            if begun:  # what has been said can't be taken back, and the server ends it
                return
            with speaking(language_at(dict(scope["headers"]).get(b"referer", b"").decode("latin-1"))):
                answer = JSONResponse({"detail": say(UNREADABLE)}, 400)
            await answer(scope, receive, send)
