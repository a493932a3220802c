"""What the page offers, and how much of the machine its visitors may take."""

import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import MODELS
from .language import language_at, say, speaking

MB, GB = 1_000_000, 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds of one page; sizes in bytes.

    largest: of the weights of a model that is offered. random: whether weights are drawn anew on demand; those
    that were drawn before stay on offer. memory: compiled models that are kept open. uploads: photos of visitors
    that lie on the disk. pictures: those that were drawn for them. artifacts: compiled models on the disk, beyond
    which none is added. passes: of the network, for one question of a program.
    """

    largest: float = float("inf")
    random: bool = True
    memory: float = 2 * GB
    uploads: float = 4 * GB
    pictures: float = 4 * GB
    artifacts: float = float("inf")
    passes: float = float("inf")

    def offers(self, name: str) -> bool:
        """Is a model small enough to be offered here?"""
        return MODELS[name].megabytes * 2**20 <= self.largest


OWN = Limits()  # on one's own machine
PUBLIC = Limits(
    largest=120 * MB, random=False, memory=1 * GB, uploads=0.5 * GB, pictures=1 * GB, artifacts=4 * GB, passes=600
)  # fmt: skip


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(os.path.join(place, file)).st_size  # noqa: PTH116, PTH118 - ten times as quick
            except OSError:
                continue  # deleted meanwhile
    return total


class Uploads:
    """Middleware before gradio's route for uploads: visitors' photos take no more than a bound of the disk.

    gradio takes any number of files, whoever sends them and whether they are asked about or not. What does not fit
    is refused with a sentence before it is read; those that lie there for a day are deleted by gradio itself.
    """

    def __init__(self, app: Any, folder: Path, bound: float) -> None:
        self.app, self.folder, self.bound = app, folder, bound
        self._lock, self._coming = threading.Lock(), 0

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Pass a request on, but for an upload that has no room, or does not tell its length."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        told = headers.get(b"content-length", b"")
        length = int(told) if told.isdigit() else -1
        with self._lock:
            room = length >= 0 and self._taken() + self._coming + length <= self.bound
            self._coming += length if room else 0
        if not room:
            with speaking(language_at(headers.get(b"referer", b"").decode("latin-1"))):
                await _refuse(send, 411 if length < 0 else 507)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            with self._lock:
                self._coming -= length

    def _taken(self) -> int:
        """Uploads lie in folders that are called by their hash; the page's own have other names."""
        own = ("views", "examples")
        return sum(size_of(place) for place in self.folder.iterdir() if place.is_dir() and place.name not in own)


async def _refuse(send: Any, status: int) -> None:
    text = say("The disk of this page is full of photos at the moment. Try again in some hours.").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
