"""The routes, without Ray: what comes in how, what is refused, and what is told of it."""

import asyncio
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from engine import Explainer
from engine.serve.answers import Answers
from engine.serve.facts import facts_of
from engine.serve.messages import Answer, Request
from engine.serve.question import RefusedError
from engine.serve.settings import Settings
from engine.serve.web import Door, wants_picture, web
from tests.batch.test_batch import LABELS, drawn, explainer  # noqa: F401 - a fixture among them

ROOT = Path(__file__).parents[2]
PHOTO = cv2.imencode(".png", drawn(0))[1].tobytes()
SMALL = Settings(batch=1, queue=0, bytes=20_000, patience=0.3)


class Here:
    """Answers in this process; `open` holds them back."""

    def __init__(self, explainer: Explainer) -> None:  # noqa: F811
        self.answers, self.open, self.replicas = Answers(explainer, 600), asyncio.Event(), 1
        self.open.set()

    async def answer(self, asked: Request) -> Answer:
        await self.open.wait()
        return self.answers.of([asked])[0]

    async def ready(self) -> int:
        return self.replicas


@pytest.fixture
def desk(explainer: Explainer) -> Here:  # noqa: F811
    return Here(explainer)


@pytest.fixture
def door(desk: Here) -> Door:
    return Door(desk, facts_of(desk.answers.explainer, SMALL), SMALL)


def client(door: Door) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(web(door), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://server")


def asked(door: Door, method: str, path: str, **given: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with client(door) as session:
            return await session.request(method, path, **given)

    return asyncio.run(ask())


def test_a_photo_comes_as_a_file_of_a_form_or_as_the_body(door: Door) -> None:
    fields = {"method": "hires_cam", "target": "blue", "contrast": "red", "values": "list"}
    form = asked(door, "POST", "/explain", files={"photo": ("a.png", PHOTO, "image/png")}, data=fields)
    body = asked(door, "POST", "/explain", content=PHOTO, params=fields, headers={"content-type": "image/png"})
    mixed = asked(door, "POST", "/explain?method=saliency", files={"photo": PHOTO}, data=fields)
    assert form.status_code == 200 and form.json() == body.json() == mixed.json()
    found = form.json()
    assert found["asked"] == "blue rather than red" and found["model"] == door.facts["model"]
    assert found["program"] == door.facts["program"] and np.shape(found["values"]) == tuple(found["shape"])
    assert (door.photos, door.passes, door.inside) == (3, 3, 0)


def test_a_picture_where_one_is_asked_for(door: Door) -> None:
    found = asked(door, "POST", "/explain", content=PHOTO, headers={"accept": "image/png"})
    assert found.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(found.content, np.uint8), 1).shape == (40, 36, 3)
    assert wants_picture("text/html;q=.9, image/PNG;q=0.8") and wants_picture("image/*")
    assert not wants_picture("*/*") and not wants_picture("image/png, application/json")
    broken = asked(door, "POST", "/explain", content=b"GIF89a", headers={"accept": "image/png"})
    assert broken.status_code == 422 and broken.json()["detail"].endswith(".")


def test_a_model_tells_what_it_takes_to_ask_it(door: Door, explainer: Explainer) -> None:  # noqa: F811
    told = asked(door, "GET", "/model").json()
    assert told["classes"] == LABELS and [one["name"] for one in told["layers"]] == explainer.layers
    assert [one["name"] for one in told["methods"]] == explainer.methods
    assert told["preprocessing"] == explainer.geometry.as_dict() and told["limits"]["bytes"] == SMALL.bytes
    for layer in told["layers"]:
        found = asked(door, "POST", "/explain", content=PHOTO, params={"layer": layer["name"]}).json()
        assert found["shape"] == layer["shape"][1:] and found["stride"] == layer["stride"]


def test_health_says_whether_questions_are_answered(desk: Here, door: Door) -> None:
    well = asked(door, "GET", "/healthz")
    assert well.status_code == 200 and well.headers["cache-control"] == "no-store"
    assert well.json() | {"status": "ok", "replicas": 1, "waiting": 0, "photos": 0, "passes": 0} == well.json()
    assert {"model", "program", "convlens", "torch"} < {*well.json()}
    assert asked(door, "HEAD", "/healthz").status_code == 200
    for none in (0, None):
        if none is None:
            del desk.replicas  # whoever could tell fails
        else:
            desk.replicas = none
        ill = asked(door, "GET", "/healthz")
        assert (ill.status_code, ill.json()["status"], ill.json()["replicas"]) == (503, "no answer", 0)


async def slowly() -> AsyncIterator[bytes]:
    yield PHOTO[:100]
    await asyncio.sleep(2 * SMALL.patience)
    yield PHOTO[100:]


async def in_pieces(length: int) -> AsyncIterator[bytes]:
    for _ in range(length // 1000):
        yield bytes(1000)


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"content": bytes(20_001)}, 413, "A request has 0.02 MB at most"),
        ({"content": in_pieces(30_000)}, 413, "0.02 MB at most"),
        ({"content": in_pieces(60_000)}, 413, "0.02 MB at most"),
        ({"files": {"photo": bytes(20_001)}}, 413, "0.02 MB at most"),
        ({"content": slowly()}, 408, "took too long"),
        ({"content": b""}, 422, "Send the photo as the body, or as the file `photo` of a form"),
        ({"files": {"image": PHOTO}}, 422, "as the file `photo`"),
        ({"data": {"photo": "text"}, "files": {"a": b"b"}}, 422, "as the file `photo`"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "form can't be read"),
        ({"files": [("photo", PHOTO), ("photo", PHOTO)]}, 422, "form can't be read: Too many files"),
        ({"content": b"\x89PNG not really"}, 422, "not a photo that can be read"),
        ({"content": PHOTO, "params": {"target": "violet"}}, 422, "There is no class 'violet'"),
        ({"content": PHOTO, "params": {"method": "lime"}}, 422, "Choose saliency, grad_cam"),
        ({"content": PHOTO, "params": {"rather": "red"}}, 422, "There is no field 'rather'"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_refusals_are_sentences(door: Door, given: Any, status: int, told: str) -> None:
    found = asked(door, "POST", "/explain", **given)
    assert found.status_code == status and told in found.json()["detail"]
    assert door.inside == 0 and [*found.json()] == ["detail"]


def test_a_photo_of_too_many_pixels_is_refused_by_its_head(door: Door) -> None:
    small = cv2.imencode(".bmp", drawn(0))[1].tobytes()
    head = small[:18] + struct.pack("<ii", 30_000, 30_000) + small[26:]
    found = asked(door, "POST", "/explain", content=head)
    assert found.status_code == 422 and "at most 25 megapixels" in found.json()["detail"]


def test_routes_that_there_are_not(door: Door) -> None:
    for method, path, status in (("GET", "/docs", 404), ("GET", "/explain", 405), ("POST", "/model", 405)):
        found = asked(door, method, path)
        assert found.status_code == status and "POST /classify, /explain" in found.json()["detail"]


def test_what_nobody_foresaw_tells_nothing_of_the_host(
    desk: Here, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(asked: Request) -> Answer:
        raise RuntimeError("/home/somebody/secret.py")

    monkeypatch.setattr(desk, "answer", fails)
    found = asked(door, "POST", "/explain", content=PHOTO)
    assert found.status_code == 500 and "failed" in found.json()["detail"] and "secret" not in found.text
    assert door.inside == 0


def test_who_finds_no_place_is_told_to_come_again(desk: Here, door: Door) -> None:
    async def flood() -> tuple[list[httpx.Response], httpx.Response, list[httpx.Response]]:
        desk.open.clear()
        async with client(door) as session:
            first = [asyncio.create_task(session.post("/explain", content=PHOTO)) for _ in range(SMALL.room)]
            await asyncio.sleep(0.1)
            more = [await session.post("/explain", content=PHOTO) for _ in range(3)]
            health = await session.get("/healthz")
            desk.open.set()
            return more, health, [await one for one in first]

    more, health, first = asyncio.run(flood())
    assert SMALL.room == 2 and [one.status_code for one in first] == [200] * 2
    assert health.status_code == 200 and health.json()["waiting"] == 2
    for one in more:
        assert one.status_code == 503 and one.headers["retry-after"] == "1" and "places" in one.json()["detail"]
    assert asked(door, "POST", "/explain", content=PHOTO).status_code == 200


def test_who_is_in_the_house_is_answered_when_it_closes(desk: Here, door: Door) -> None:
    async def end() -> tuple[httpx.Response, httpx.Response, bool, httpx.Response]:
        desk.open.clear()
        async with client(door) as session:
            first = asyncio.create_task(session.post("/explain", content=PHOTO))
            await asyncio.sleep(0.1)
            closed = asyncio.create_task(door.close())
            await asyncio.sleep(0.1)
            late, health = await session.post("/explain", content=PHOTO), await session.get("/healthz")
            early = closed.done()
            desk.open.set()
            await closed
            return late, health, early, await first

    late, health, early, first = asyncio.run(end())
    assert late.status_code == 503 and "is ending" in late.json()["detail"]
    assert (health.status_code, health.json()["status"]) == (503, "stopping")
    assert not early and first.status_code == 200


def test_a_queue_that_is_full_behind_the_door_is_told_too(
    desk: Here, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(asked: Request) -> Answer:
        raise RefusedError(503, "The queue is full.", 1)

    monkeypatch.setattr(desk, "answer", full)
    found = asked(door, "POST", "/explain", content=PHOTO)
    assert (found.status_code, found.headers["retry-after"], door.photos) == (503, "1", 0)


WITHOUT_GRADIO = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("gradio", "gradio_client"):
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, Nothing())
import asyncio, httpx, engine.commands.serve
from engine.serve import web
from tests.serve.test_web import Here, PHOTO, SMALL, asked
from tests.batch.test_batch import network, LABELS
import torch
explainer = engine.compile_model(network(), torch.rand(1, 3, 32, 32), "all", ["hires_cam"], LABELS)
door = web.Door(Here(explainer), web_facts(explainer), SMALL)
print(asked(door, "POST", "/explain", content=PHOTO).status_code)
""".replace("web_facts(explainer)", "__import__('engine.serve.facts').serve.facts.facts_of(explainer, SMALL)")


def test_it_answers_where_there_is_no_gradio() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_GRADIO],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.split() == ["200"], done.stderr
