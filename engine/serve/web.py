"""The routes: a request in, JSON or a picture out. What goes wrong is a sentence without a word of the host."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .messages import FAILED, Answer
from .messages import Request as Asked
from .more_questions import READERS
from .question import Facts, RefusedError
from .settings import Settings

AGAIN = 1  # seconds after which a place may be free
PHOTO = "photo"  # what the part with the file is called in a form, as on the page
NO_PHOTO = f"Send the photo as the body, or as the file `{PHOTO}` of a form."


class Desk(Protocol):
    """Who answers behind the routes."""

    async def answer(self, asked: Asked) -> Answer:
        """An answer. Raises RefusedError where there is nobody to give one."""

    async def ready(self) -> int:
        """How many replicas take questions."""


class Door:
    """What the routes know between requests: who is in the house, and what was answered."""

    def __init__(self, desk: Desk, facts: Facts, settings: Settings) -> None:
        self.desk, self.facts, self.settings = desk, facts, settings
        self.inside = self.photos = self.passes = 0
        self.closing = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the house. Raises RefusedError, 503, where all are taken, or none is given any more."""
        if self.closing:
            raise RefusedError(503, "This server is ending. Ask again once it is there anew.", AGAIN)
        if self.inside >= self.settings.room:
            raise RefusedError(503, "All places are taken at the moment. Ask again in a second.", AGAIN)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def close(self) -> None:
        """Let nobody in any more, and return once all who are in the house have their answer."""
        self.closing = True
        while self.inside:
            await asyncio.sleep(0.02)

    async def answer(self, route: str, request: Request) -> Response:
        """The answer to a request at one of READERS."""
        try:
            with self.place():
                photo, fields = await self._read(request)
                question = READERS[route](fields, self.facts)
                picture = wants_picture(request.headers.get("accept", ""))
                answer = await self.desk.answer(Asked(photo, question, picture))
        except RefusedError as refused:
            if refused.status in (413, 503):
                await self._drain(request)
            raise
        self.photos += answer.status == 200
        self.passes += answer.status == 200 and answer.first
        if isinstance(answer.content, bytes):
            return Response(answer.content, answer.status, media_type="image/png")
        named = {"model": self.facts["model"], "program": self.facts["program"]}
        return JSONResponse(named | answer.content if answer.status == 200 else answer.content, answer.status)

    async def health(self) -> tuple[int, dict[str, Any]]:
        """A status of HTTP and what is told: 200 where questions are answered, else 503.

        status: "ok", "stopping" or "no answer"; replicas: how many take questions; waiting: requests in the house;
        photos: that were answered; passes: of the network, which answer several of them at once.
        """
        try:
            ready = await self.desk.ready()
        except Exception:  # whoever could tell does not: that is what is told
            ready = 0
        facts = {name: self.facts[name] for name in ("model", "program", "convlens", "torch")}
        counts = {"replicas": ready, "waiting": self.inside, "photos": self.photos, "passes": self.passes}
        status = "stopping" if self.closing else "ok" if ready else "no answer"
        return (200 if status == "ok" else 503), {"status": status} | facts | counts

    async def _read(self, request: Request) -> tuple[bytes, dict[str, str]]:
        """The photo's bytes and the fields, of the address and of a form."""
        body = await self._body(request)
        fields = dict(request.query_params)
        if not request.headers.get("content-type", "").lower().startswith("multipart/"):
            return body, fields
        try:
            async with Request(request.scope, _once(body)).form(max_files=1, max_fields=20) as form:
                photo = form.get(PHOTO)
                if not isinstance(photo, UploadFile):
                    raise RefusedError(422, NO_PHOTO)
                given = {name: str(value) for name, value in form.items() if name != PHOTO}
                return await photo.read(), fields | given
        except HTTPException as error:
            raise RefusedError(422, f"The form can't be read: {error.detail}") from None

    async def _body(self, request: Request) -> bytes:
        """What is sent. Raises RefusedError where it is too much, too slow or nothing."""
        told = request.headers.get("content-length", "")
        most, body = self.settings.bytes, bytearray()
        too_large = RefusedError(413, f"A request has {most / 1e6:g} MB at most. Make the photo smaller.")
        if told.isdecimal() and int(told) > most:
            raise too_large
        try:
            async with asyncio.timeout(self.settings.patience):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise RefusedError(408, "The photo took too long to come in. Send it again.") from None
        except ClientDisconnect:
            raise RefusedError(400, "The photo did not come in whole. Send it again.") from None
        if not body:
            raise RefusedError(422, NO_PHOTO)
        return bytes(body)

    async def _drain(self, request: Request) -> None:
        """Read, and throw away, what somebody sends who is refused: many clients read no answer before it is gone,
        and take a connection that is closed under them for an error of the network."""
        left = 2 * self.settings.bytes
        try:
            async with asyncio.timeout(self.settings.patience):
                async for chunk in request.stream():
                    left -= len(chunk)
                    if left < 0:
                        return
        except (TimeoutError, ClientDisconnect, RuntimeError):  # too slow, gone, or it has been read already
            return


def web(door: Door) -> FastAPI:
    """The routes of a door."""
    app = FastAPI(title="ConvLens", docs_url=None, redoc_url=None, openapi_url=None)

    async def healthz() -> Response:
        status, content = await door.health()
        return JSONResponse(content, status, {"cache-control": "no-store"})

    async def model() -> Response:
        return JSONResponse(dict(door.facts))

    def answered_at(route: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await door.answer(route, request)

        return answer

    app.add_api_route("/healthz", healthz, methods=["GET", "HEAD"])
    app.add_api_route("/model", model, methods=["GET", "HEAD"])
    for route in READERS:
        app.add_api_route(f"/{route}", answered_at(route), methods=["POST"], response_model=None)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    return app


def wants_picture(accept: str) -> bool:
    """Does a header ask for a picture, and not for JSON?"""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return bool(kinds & {"image/png", "image/*"}) and "application/json" not in kinds


async def _refused(request: Request, error: Any) -> Response:
    headers = None if error.again is None else {"retry-after": str(error.again)}
    return JSONResponse({"detail": str(error)}, error.status, headers)


async def _no_route(request: Request, error: Any) -> Response:
    routes = f"Ask GET /healthz or /model, or POST {', '.join(f'/{route}' for route in READERS)}."
    return JSONResponse({"detail": routes}, error.status_code, getattr(error, "headers", None))


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": FAILED}, 500)


def _once(body: bytes) -> Callable[[], Awaitable[Any]]:
    """What gives a body that has come in already."""

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
