"""Draw the pictures of the page that README.md opens with: python -m benchmarks.screenshots [-o docs/page]

The demo in a process of its own, and chromium before it. The photos in them are scikit-image's.
"""

import argparse
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.process import ROOT
from benchmarks.visitors import HOST, Server
from engine import EXPORTED_MODELS

FOLDER = ROOT / "docs" / "page"
WIDE, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
INNER = "?photo=chelsea&why=tiger+cat&layer=blocks.5.3"
PAIR = "?photo=coffee-and-chelsea&why="


@dataclass(frozen=True)
class Shot:
    """A picture: the page's address, the window, what is clicked there, and of what it is taken, all if empty."""

    name: str
    address: str
    viewport: dict[str, int]
    dark: bool = False
    clicks: tuple[str, ...] = ()
    of: str = ""


SHOTS = (
    Shot("opening", "", WIDE),
    Shot("dark", f"{PAIR}tiger+cat&rather=espresso", WIDE, dark=True),
    Shot("phone", f"{PAIR}espresso", PHONE),
    Shot("pixels", "?photo=chelsea&method=guided_grad_cam&why=tiger+cat", WIDE, dark=True, of="#stage"),
    Shot("story", "", WIDE, clicks=("#stories [data-story=trust]",)),
    Shot("chinese", "zh-CN", WIDE),
)


def shots(page: Any) -> Iterator[Shot]:
    """All pictures: SHOTS, and one of each panel that the page offers."""
    yield from SHOTS
    for button in page.locator("#panels [data-panel]").all():
        name = button.get_attribute("data-panel")
        yield Shot(f"panel-{name}", INNER, WIDE, clicks=(f"[data-panel={name}]",), of="#answer")


def settle(page: Any) -> None:
    """Wait until the page is whole and nothing is on its way."""
    page.wait_for_selector("html.whole", timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.wait_for_function("!document.querySelector('.progress-text, .waits')", timeout=120_000)
    page.wait_for_timeout(500)


def take(browser: Any, url: str, shot: Shot) -> bytes:
    """A picture as PNG."""
    scheme = "dark" if shot.dark else "light"
    context = browser.new_context(viewport=shot.viewport, color_scheme=scheme, device_scale_factor=1.5)
    page = context.new_page()
    page.goto(url + shot.address)
    settle(page)
    for selector in shot.clicks:
        page.locator(selector).first.click()
        settle(page)
    content: bytes = page.locator(shot.of).screenshot() if shot.of else page.screenshot()
    context.close()
    return content


def film(browser: Any, url: str) -> bytes:
    """The page's own animation of the layers."""
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{url}{PAIR}tiger+cat")
    settle(page)
    with page.expect_download(timeout=120_000) as coming:
        page.get_by_role("button", name="Animation").click()
    content = Path(coming.value.path()).read_bytes()
    page.close()
    return content


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder (default: docs/page)")
    folder = parser.parse_args().output
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.exit(1, "no chromium is installed (Debian: apt-get install chromium)\n")
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        for file in EXPORTED_MODELS.glob("efficientnet_lite0.pt"):
            shutil.copy(file, name)  # else it is compiled
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with Server(Path(name)) as server:
            url = f"http://{HOST}:{server.port}/"
            first = browser.new_page()
            first.goto(url)
            settle(first)
            for shot in list(shots(first)):
                with Image.open(io.BytesIO(take(browser, url, shot))) as picture:
                    picture.convert("RGB").save(folder / f"{shot.name}.webp", quality=72, method=6)
                print(folder / f"{shot.name}.webp")
            (folder / "layers.webp").write_bytes(film(browser, url))
        browser.close()


if __name__ == "__main__":
    main()
