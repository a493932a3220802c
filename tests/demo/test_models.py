"""Another model: how far it is, told in words; what a failure leaves; and how probable each class is."""

import hashlib
import http.server
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from playwright.sync_api import Page, expect
from torchvision.models import squeezenet1_1

from tests.demo.hands import (
    SECONDS,
    OpenPage,
    changed,
    choose_class,
    picture,
    served,
)

# The demo, whose SqueezeNet is published under the address of the third argument.
ELSEWHERE = """
import dataclasses, sys
from pathlib import Path
from engine.demo.app import build, launch
from engine.models.zoo import MODELS
MODELS["squeezenet1_1"] = dataclasses.replace(MODELS["squeezenet1_1"], url={url!r})
launch(build(artifacts=Path(sys.argv[1])), server_port=int(sys.argv[2]), quiet=True)
"""


def choose(page: Page, title: str) -> None:
    page.get_by_label("Model", exact=True).click()
    page.keyboard.type(title)
    page.keyboard.press("Enter")


@contextmanager
def slow_server(content: bytes, go_on: threading.Event) -> Iterator[str]:
    """Sends half of a file, and the rest when it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            go_on.wait(60)
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_download_tells_how_far_it_is(open_at: Callable[..., Page], artifacts: Path, tmp_path: Path) -> None:
    buffer, go_on = io.BytesIO(), threading.Event()
    torch.save(squeezenet1_1().state_dict(), buffer)
    content = buffer.getvalue()
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with slow_server(content, go_on) as base:
        script = ELSEWHERE.format(url=f"{base}/{name}")
        with served(artifacts, tmp_path, script, cut_off=False, no_proxy="127.0.0.1") as site:
            page = open_at(site)
            choose(page, "SqueezeNet 1.1")
            told = page.locator("#opening").get_by_role("status")
            expect(told).to_have_text(re.compile(r"Downloading 5 MB and compiling SqueezeNet 1\.1: [45]\d%"))
            expect(told).to_be_visible()
            # What is asked meanwhile is about the model that is shown.
            page.locator("#classes button").nth(1).click()
            expect(page.locator("#heading")).to_contain_text("Egyptian cat")
            expect(page.locator("#heading")).to_contain_text("EfficientNet-Lite0")
            go_on.set()
            expect(page.locator("#heading")).to_contain_text("SqueezeNet 1.1", timeout=60 * SECONDS)
            expect(told).to_have_text("")
            page.close()  # before its server ends
    (artifacts / "squeezenet1_1.pt").unlink()


def test_after_a_failure_the_page_is_as_before(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose(page, "SqueezeNet 1.1")
    expect(page.get_by_test_id("toast-body")).to_contain_text("could not be fetched")
    assert picture(page) == before
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("EfficientNet-Lite0"))
    expect(page.locator("#opening").get_by_role("status")).to_have_text("")
    # gradio writes "Error" over whatever a failed handler would have set.
    expect(page.locator("#opening").get_by_text("Error", exact=True)).to_be_hidden()
    page.locator("#classes button").nth(1).click()
    changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile("Why Egyptian cat.*EfficientNet-Lite0"))
    expect(page.get_by_test_id("toast-body")).to_have_count(1)  # the one of the failure, and no other


def test_random_weights_need_no_download(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.get_by_label("Random weights").click()
    before = changed(page, before)
    choose(page, "SqueezeNet 1.1")
    changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile(r"HiResCAM · SqueezeNet 1\.1, random weights"))
    expect(page.locator("#about")).to_contain_text("No CAM here")
    expect(page.locator("#method [data-method=cam]")).to_have_count(0)


def test_every_class_that_is_asked_for_has_its_probability_and_rank(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#heading p")).to_contain_text("tiger cat 39.4 %, rank 1 of 1000")
    before = picture(page)
    for word, typed in (("target", "goldfish"), ("contrast", "lynx")):
        choose_class(page, word, typed)
        before = changed(page, before)
    expect(page.locator("#heading h2")).to_have_text("Why goldfish rather than lynx?")
    told = page.locator("#heading p").inner_text()
    found = re.match(r"goldfish below 0\.1 %, rank (\d+) of 1000 · lynx 1\.4 %, rank 4 of 1000 · ", told)
    assert found and 5 < int(found[1]) <= 1000, told
