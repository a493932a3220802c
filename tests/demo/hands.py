"""What a visitor's hands and eyes do, and a process of its own that serves the demo to them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import httpx
from playwright.sync_api import Page, expect

from engine.demo.scene import Scene

ROOT = Path(__file__).parent.parent.parent
TIGER_CAT, EGYPTIAN_CAT = 282, 285
LITE = "efficientnet_lite0"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SECONDS = 1000
OpenPage = Callable[..., Page]

SERVE = """
import sys, app
from pathlib import Path
app.launch(app.build(artifacts=Path(sys.argv[1])), server_port=int(sys.argv[2]), quiet=True)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(
    artifacts: Path, folder: Path, script: str = SERVE, cut_off: bool = True, **environment: str
) -> Iterator[str]:
    """The demo's address, ending in a slash. It is a process of its own, where no test turns warnings into errors.

    `folder` takes its uploads, weights and log. Its downloads go nowhere: there is no proxy at port 9.
    """
    port = free_port()
    own = {"TORCH_HOME": str(folder), "GRADIO_TEMP_DIR": str(folder)}
    own |= {"https_proxy": "http://127.0.0.1:9"} if cut_off else {}
    command = [sys.executable, "-c", script, str(artifacts), str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | own | environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        while not answers(url):
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


def answers(url: str) -> bool:
    try:
        urlopen(url).close()
    except URLError:
        return False
    return True


def post(site: str, handler: str, values: list[Any]) -> str:
    """Post to a handler of the page as a browser does, and return the events that come back."""
    config = httpx.get(f"{site}config").json()
    index = next(entry["id"] for entry in config["dependencies"] if entry["api_name"] == handler)
    body = {"data": values, "fn_index": index, "session_hash": (session := uuid4().hex)}
    assert httpx.post(f"{site}gradio_api/queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{site}gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream.iter_lines():
            if "process_completed" in line or "unexpected_error" in line:
                return line
    return ""


def posted_event(site: str, handler: str, values: list[Any]) -> dict[str, Any]:
    """What `post` brings back, read."""
    event: dict[str, Any] = json.loads(post(site, handler, values).removeprefix("data: "))
    return event


def asks(scene: Scene, **changed: Any) -> Scene:
    return replace(scene, question=replace(scene.question, **changed))


def picture(page: Page) -> str:
    return page.locator("#picture img").get_attribute("src") or ""


def unveiled(page: Page) -> None:
    """Nothing is being drawn any more, which gradio veils, and nothing comes or goes slowly."""
    page.wait_for_function("!document.querySelector('.pending, .progress-text, .waits')", timeout=60 * SECONDS)
    page.wait_for_timeout(300)
    page.evaluate(
        """Promise.all(document.getAnimations()
            .filter(one => one.effect.getComputedTiming().endTime < 2000)
            .map(one => one.finished.catch(() => null)))"""
    )


def pixels(page: Page) -> str:
    """What is painted, coarsely: the picture as a small data URL."""
    return str(
        page.evaluate(
            """async () => {
                const image = document.querySelector("#picture img");
                await image.decode();
                const canvas = Object.assign(document.createElement("canvas"), {width: 60, height: 40});
                canvas.getContext("2d").drawImage(image, 0, 0, 60, 40);
                return canvas.toDataURL();
            }"""
        )
    )


def changed(page: Page, before: str) -> str:
    """Wait for another picture, with all of its frames: where its model is compiled for it, that takes a while."""
    other = "old => document.querySelector('#picture img')?.src !== old"
    page.wait_for_function(other, arg=before, timeout=180 * SECONDS)
    page.wait_for_load_state("networkidle")
    return picture(page)


def choose_method(page: Page, method: str) -> None:
    """Choose a method by its name, among the first ones or behind "More methods"."""
    pill = page.locator(f"#method .pills [data-method={method}]")
    if pill.count():
        pill.click()
        return
    more = page.locator("#method details")
    if more.get_attribute("open") is None:
        more.locator("summary").click()
    more.locator(f"[data-method={method}]").click()


def choose_class(page: Page, word: str, typed: str) -> None:
    """Choose the class to explain ("target"), or to compare with ("contrast"), by a word of the sentence."""
    page.locator(f"#heading .word[data-word={word}]").click()
    page.keyboard.type(typed)
    page.keyboard.press("Enter")


def no_toast(page: Page) -> None:
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
