import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from engine.demo.programs import ENDPOINTS
from tests.demo.hands import (
    EGYPTIAN_CAT,
    LITE,
    post,
    posted_event,
)


def test_explain(ask: Callable[..., Any]) -> None:
    picture, classes, _, facts = ask()
    assert facts["method"] == "grad_cam"  # which knows the class at the last layer
    assert list(classes)[:3] == ["tiger cat", "Egyptian cat", "tabby"]
    assert cv2.imread(picture).shape == (300, 451, 3)
    assert cv2.imread(ask(method="guided_backprop")[0]).shape == (224, 224, 3)
    first, contrast = ask(layer=1)[0], ask(contrast=EGYPTIAN_CAT)[0]
    assert len({Path(path).read_bytes() for path in (picture, first, contrast)}) == 3


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"model": "resnet-fifty"}, "no model 'resnet-fifty'"),
        ({"method": "lime"}, "no method 'lime'"),
        ({"layer": 74}, "no layer 74: this model has 73"),
        ({"layer": 0}, "no layer 0"),
        ({"target": 1000}, "no class 1000"),
        ({"target": "cat"}, "no class 'cat'"),
        ({"method": "<img src=x onerror=alert(1)>"}, "&lt;img"),
    ],
)
def test_errors_are_told_in_plain_words(ask: Callable[..., Any], given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AppError, match=re.escape(complaint)):
        ask(**given)


def huge_png(side: int) -> bytes:
    """A PNG that says it has `side` x `side` pixels, and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("notes.txt", b"not a photo at all", "not a photo"),
        ("empty.png", b"", "not a photo|empty"),
        ("cut.png", None, "damaged"),
        ("bomb.png", huge_png(30000), "too big"),
        ("large.png", huge_png(6000), "36.0 million"),
    ],
    ids=["text", "empty", "cut", "bomb", "large"],
)
def test_files_that_are_no_photos(
    ask: Callable[..., Any], chelsea: Path, tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(chelsea.read_bytes()[:20000] if content is None else content)
    with pytest.raises(AppError, match=complaint) as error:
        ask(photo=handle_file(str(path)))
    assert str(tmp_path) not in str(error.value)


def test_weights_that_cannot_be_had(ask: Callable[..., Any]) -> None:
    with pytest.raises(
        AppError, match=r"VGG16: vgg16-397923af.pth could not be fetched .* \$TORCH_HOME/hub/checkpoints"
    ):
        ask(model="vgg16")


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", __file__])
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_no_file_of_the_host_is_read(site: str, path: str, meta: dict[str, Any]) -> None:
    payload = {"path": path} | meta
    values = [payload, LITE, "grad_cam", None, None, None, 0, "mean", None]
    event = posted_event(site, "explain", values)
    assert event["success"] is False
    # gradio itself refuses what claims to be an upload.
    sentence = "The page could not read that question" if meta else "That photo was not uploaded here"
    assert event["output"]["error"].startswith(sentence)


def test_the_handlers_of_the_page_check_what_is_posted(site: str, chelsea: Path) -> None:
    config = httpx.get(f"{site}config").json()
    kinds = {entry["id"]: entry["type"] for entry in config["components"]}
    dependency = next(entry for entry in config["dependencies"] if entry["api_name"] == "explain_look")
    for photo in ({"path": "/etc/passwd"}, None):
        values = [photo if kinds[part] == "image" else LITE for part in dependency["inputs"]]
        event = json.loads(post(site, "explain_look", values).removeprefix("data: "))
        assert event["success"] is False and event["output"]["error"]


def test_only_the_table_is_in_the_public_interface(client: Client) -> None:
    assert [*client.view_api(return_format="dict")["named_endpoints"]] == [f"/{name}" for name in ENDPOINTS]


def test_the_queue_cannot_be_skipped(site: str, chelsea: Path) -> None:
    files = {"files": ("chelsea.png", chelsea.read_bytes())}
    (path,) = httpx.post(f"{site}gradio_api/upload", files=files).json()
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [photo, LITE, "grad_cam", None, None, None]}
    for route in ("run/explain", "api/explain"):
        reply = httpx.post(f"{site}gradio_api/{route}", json=body)
        assert reply.status_code == 404 and "does not accept direct HTTP POST" in reply.text, reply.text


def test_nothing_but_uploads_and_pictures_is_served(site: str, artifacts: Path) -> None:
    for path in ("/etc/passwd", app.__file__, artifacts / f"{LITE}.pt"):
        assert httpx.get(f"{site}gradio_api/file={path}").status_code == 403, path


def test_uploads_are_limited(site: str) -> None:
    files = {"files": ("big.png", b"\0" * 21_000_000)}
    assert httpx.post(f"{site}gradio_api/upload", files=files, timeout=60).status_code == 413


def test_a_wrong_model_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", "--model", "resnet-fifty"])
    with pytest.raises(SystemExit):
        app.main()
    assert "invalid choice: 'resnet-fifty'" in capsys.readouterr().err
