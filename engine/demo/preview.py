"""What a link to the page shows where it is passed on: a title, a sentence, and the card of the answer."""

import re
import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from anyio.to_thread import run_sync

from .. import METHODS, WeightsError
from . import words
from .address import fields_of
from .arrival import arrival
from .controls import RefusalError
from .language import ENGLISH, LANGUAGES, say, speaking
from .names import file_name, spoken
from .studio import Studio
from .take import card
from .words import why_line

PATH = "card.png"
# gradio's own, which call every page "Gradio" and show no picture.
TAGS = re.compile(rb'<meta (?:property="og:|name="twitter:)[^>]*>\s*')


class Preview:
    """The tags of a page's head that link previews read, and the card that they point to.

    home: the model that the page opens with. A card is drawn for what the page offers without a download and in
    one pass; one at a time, since nobody waits in a queue for it.
    """

    def __init__(self, studio: Studio, examples: Sequence[Path], uploads: Path, home: str) -> None:
        self.studio, self.examples, self.uploads, self.home = studio, examples, uploads, home
        self._turn = threading.Semaphore(1)

    def tags(self, scope: Any, language: str) -> bytes:
        """The tags for a request of the page in a language, as HTML."""
        query = scope.get("query_string", b"").decode("latin-1")
        with speaking(language):
            title, about = self._title(query), say(words.LEAD)
        image = f"{address_of(scope)}/{PATH}?language={language}" + (f"&{query}" if query else "")
        told = [("og:type", "website"), ("og:title", title), ("og:description", about), ("og:image", image)]
        names = [("twitter:card", "summary_large_image"), ("twitter:title", title), ("twitter:image", image)]
        rows = [f'<meta property="{name}" content="{escape(text)}">' for name, text in told]
        rows += [f'<meta name="{name}" content="{escape(text)}">' for name, text in names]
        return "".join(rows).encode()

    def _title(self, query: str) -> str:
        """The sentence of an address, where its classes are some of the page's: a title says nothing else that a
        link may hold."""
        told = {name: texts[0] for name, texts in parse_qs(query).items()}
        labels = self.studio.open(self.home, "default").labels
        why, rather = told.get("why"), told.get("rather")
        if why not in labels or not (rather is None or rather in labels):
            return words.TITLE
        return f"{why_line(str(why), rather)} · {words.TITLE}"

    async def answer(self, scope: Any, send: Any) -> None:
        """Send the card of an address, PNG; 404 with a sentence where there is none, 503 while one is drawn."""
        status, kind, content = await run_sync(self._drawn, scope.get("query_string", b"").decode("latin-1"))
        headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        headers.append((b"cache-control", b"public, max-age=86400" if status == 200 else b"no-store"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    def _drawn(self, query: str) -> tuple[int, bytes, bytes]:
        text = b"text/plain; charset=utf-8"
        if not self._turn.acquire(blocking=False):
            return 503, text, b"Another card is being drawn. Try again in some seconds."
        try:
            language = parse_qs(query).get("language", [ENGLISH])[0]
            with speaking(language if language in LANGUAGES else ENGLISH):
                return 200, b"image/png", self.card(query)
        except (ValueError, WeightsError) as error:  # whatever of it is not the page's own
            return 404, text, str(error).encode()
        finally:
            self._turn.release()

    def card(self, query: str) -> bytes:
        """The card of an address. Raises RefusalError where that takes a download or many passes."""
        told = fields_of(f"?{query}", self.examples)
        weights = "random" if told.get("weights") == "random" else "default"
        if not self.studio.offer.prepared(told.get("model", self.home), weights):
            raise RefusalError(say("There is no card of a model that is not there yet. Open the page first."))
        came = arrival(f"?{query}", self.examples, self.home, self.uploads, self.studio)
        if METHODS[came.question.method].path:
            raise RefusalError(say("There is no card of a method of many passes. Open the page instead."))
        scene = self.studio.scene(came.question)
        name = file_name(scene, spoken("-card.png"), scene.layer if scene.layers else None)
        return self.studio.keep(scene.key, name, lambda: card(scene)).read_bytes()


def address_of(scope: Any) -> str:
    """Where the page is, as whoever asked sees it, without a slash at the end: behind a proxy, as that says."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", [])}
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http")).partition(",")[0].strip()
    host = headers.get("x-forwarded-host", headers.get("host", "")).partition(",")[0].strip()
    return f"{scheme}://{host}{scope.get('root_path', '')}"
