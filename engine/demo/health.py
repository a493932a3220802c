"""`/healthz`: is the page well? For whoever keeps it running, a container's health check above all."""

import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from anyio.to_thread import run_sync

from .studio import Studio

PATH = "/healthz"
stopping = threading.Event()  # set once the page has been told to end


def health(demo: gr.Blocks, studio: Studio) -> tuple[int, dict[str, Any]]:
    """A status of HTTP and what is told: 200 where questions are answered, else 503.

    status: "ok", "stopping" or "no answer" of the engine; models: how many are open; waiting: questions whose turn
    has not come.
    """
    status = "stopping" if stopping.is_set() else "ok" if studio.cores.answers() else "no answer"
    return 200 if status == "ok" else 503, {
        "status": status,
        "models": studio.opened,
        "waiting": len(demo._queue),
    }


class Health:
    """Middleware before gradio's routes, none of which it takes: GET (or HEAD) of PATH."""

    def __init__(self, app: Any, demo: gr.Blocks, studio: Studio) -> None:
        self.app, self.demo, self.studio = app, demo, studio

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) != PATH:
            await self.app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            status, told = 405, {"status": "ask by GET"}
        else:
            status, told = await run_sync(health, self.demo, self.studio)
        text = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})
