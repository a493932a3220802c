"""What the tests of the demo share: a studio, the demo as visitors reach it, and a browser."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

import app
from engine.demo.question import Question
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from tests.demo.hands import DESKTOP, LITE, SECONDS, OpenPage, served

# A machine that does other things as well takes its time; what never comes is still found.
expect.set_options(timeout=30 * SECONDS)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


OPEN = ExitStack()  # the demo, its client and the browser that all tests here share


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(nextitem: pytest.Item | None) -> Iterator[None]:
    """After the last test here and its second try, if it needs one, end what they share: it holds gigabytes, which
    the other tests have a use for."""
    result = yield
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        OPEN.close()
    return result


@pytest.fixture(scope="session")
def site(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo's address, ending in a slash."""
    return OPEN.enter_context(served(artifacts, tmp_path_factory.mktemp("site")))


@pytest.fixture(scope="session")
def chelsea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return app.write_examples(tmp_path_factory.mktemp("examples"))[0]


@pytest.fixture(scope="module")
def studio(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("views"), artifacts)


@pytest.fixture(scope="module")
def scene(studio: Studio, chelsea: Path) -> Scene:
    return studio.scene(Question(chelsea, LITE))


@pytest.fixture(scope="session")
def client(site: str) -> Client:
    return OPEN.enter_context(closing(Client(site, verbose=False)))


@pytest.fixture(scope="session")
def ask(client: Client, chelsea: Path) -> Callable[..., Any]:
    def ask(**given: Any) -> Any:
        return client.predict(**({"photo": handle_file(str(chelsea))} | given), api_name="/explain")

    return ask


@pytest.fixture(scope="session")
def browser() -> Browser:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    driver = OPEN.enter_context(sync_playwright())
    return OPEN.enter_context(closing(driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)))


CUT_OFF = ("signal is aborted", "Connection errored out")  # what gradio's client says of a stream that ended


@pytest.fixture
def open_at(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a demo by its address. At the end, nothing may have gone wrong in the page, or have been asked of
    another host."""
    faults: list[str] = []
    contexts, documents = [], list[str]()

    def open_at(site: str, viewport: dict[str, int] = DESKTOP, dark: bool = False, touch: bool = False) -> Page:
        def check(request: Request) -> None:
            if request.is_navigation_request():
                documents.append(request.url)
            if not request.url.startswith((site, "data:", "blob:")):
                faults.append(f"request to {request.url}")

        scheme: Any = "dark" if dark else "light"
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=touch))
        page = contexts[-1].new_page()
        page.set_default_timeout(60 * SECONDS)
        page.on("request", check)
        page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
        page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        page.goto(site)
        page.locator("#layer").hover()  # a hand near the slider loads its frames
        page.wait_for_function("window.convlens?.length > 1 && window.convlens.every(frame => frame.complete)")
        page.evaluate("scrollTo({top: 0, behavior: 'instant'})")  # the hand may have scrolled, while parts came
        return page

    yield open_at
    # What is cut off by closing the page, or by going from it to another, is no fault of the page.
    found = [fault for fault in faults if len(documents) == 1 or not any(told in fault for told in CUT_OFF)]
    for context in contexts:
        context.close()
    assert found == []


@pytest.fixture
def open_page(site: str, open_at: Callable[..., Page]) -> OpenPage:
    """Opens the demo that the tests share."""
    return lambda *given, **options: open_at(site, *given, **options)
