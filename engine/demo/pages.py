"""A page for each language: English at the root, each other one at its own name, as in /zh-CN."""

import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr

from .language import ENGLISH, LANGUAGES, say, speaking, spoken_in
from .preview import PATH as CARD
from .preview import TAGS, Preview

# gradio's own labels are in the browser's language, and it calls the whole page's `lang` so. The page's text may
# be in another one, so gradio is told that the browser's is that of the text.
PREFERS = "<script>Object.defineProperty(navigator, 'language', {value: document.documentElement.lang});</script>"
# gradio draws a bar of links between pages before it has the page's style, and all below would jump.
QUIET = "<style>.nav-holder { display: none; }</style>"


def add(demo: gr.Blocks, language: str, page: Callable[[], None]) -> None:
    """Add the page that `page` lays out and wires, in a language: what its handlers answer is in it too. Programs
    ask on the English one."""
    before = {*demo.fns}
    with speaking(language), demo.route(LANGUAGES[language], language, show_in_navbar=False):
        page()
        gr.HTML(f'<a href="./?view=api">{say("For programs (in English)")}</a>', elem_id="programs")
    for number, made in demo.fns.items():
        if number not in before and made.fn is not None:
            made.fn = spoken_in(language, made.fn)


class Pages:
    """Middleware before gradio's pages: the HTML of each says which language it is in, from its first line on, and
    what a link to it shows elsewhere. It is packed, which makes a fifth of it. The cards of links are here too."""

    def __init__(self, app: Any, preview: Preview) -> None:
        self.app, self.preview = app, preview

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Pass a request on, and change the answer where it is a page."""
        path = (
            scope["path"].removeprefix(scope.get("root_path", "")).strip("/") if scope["type"] == "http" else None
        )
        if path == CARD and scope["method"] in ("GET", "HEAD"):
            await self.preview.answer(scope, send)
            return
        if path == "" or path in LANGUAGES:
            language = path or ENGLISH
            packs = b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b"")
            send = _telling(language, self.preview.tags(scope, language), packs, send)
        await self.app(scope, receive, send)


def _telling(
    language: str, tags: bytes, packs: bool, send: Callable[[Any], Awaitable[None]]
) -> Callable[[Any], Awaitable[None]]:
    """`send`, which holds an answer back until it is whole, and makes its HTML tell the language, and the tags.

    packs: does whoever asked take gzip?
    """
    head: dict[str, Any] = {}
    body = bytearray()

    async def tell(message: Any) -> None:
        if message["type"] == "http.response.start":
            head.update(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        html = bytes(body)
        if dict(head["headers"]).get(b"content-type", b"").startswith(b"text/html"):
            html = html.replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
            html = TAGS.sub(b"", html).replace(b"<head>", b"<head>" + (PREFERS + QUIET).encode() + tags, 1)
        kept = [pair for pair in head["headers"] if pair[0] != b"content-length"]
        if packs and b"content-encoding" not in dict(kept):
            html = gzip.compress(html, 6, mtime=0)
            kept += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        await send(head | {"headers": [*kept, (b"content-length", str(len(html)).encode())]})
        await send({"type": "http.response.body", "body": html})

    return tell
