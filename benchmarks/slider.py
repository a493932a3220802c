"""How long the demo's slider takes from a finger to the painted frame, measured in the page itself."""

import shutil
import statistics
from typing import Any

LAYERS = [1 + 31 * step % 73 for step in range(60)]  # far jumps, none of them twice
MOVE = """
async layer => {
    const slider = document.querySelector("#layer input[type=range]");
    const begin = performance.now();
    slider.value = layer;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    const there = () => document.querySelector("#picture img").src.includes(`-cam-${layer}-`);
    while (!there()) {
        if (performance.now() - begin > 5000) throw new Error(`layer ${layer} is not shown`);
        await new Promise(requestAnimationFrame);
    }
    await document.querySelector("#picture img").decode();
    return performance.now() - begin;
}
"""


def times_of(page: Any) -> list[float]:
    """The ms of each move, in a page that is open."""
    page.locator("#layer").hover()  # a hand near the slider loads its frames
    page.wait_for_function("window.convlens?.length > 1 && window.convlens.every(frame => frame.complete)")
    page.locator("#stages .fold").click()  # or it passes over pads and norms
    return [float(page.evaluate(MOVE, layer)) for layer in LAYERS]


def frame_ms(url: str) -> dict[str, float] | None:
    """Median and 95th percentile of the ms until another layer's frame is painted; None without playwright or a
    chromium to drive."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(url)
        times = times_of(page)
        browser.close()
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20)[-1]}
