"""How long the demo's slider takes from a finger to the painted frame, measured in the page itself."""

import shutil
import statistics

LAYERS = [5, 60, 12, 33, 71, 2, 40, 25, 66]
MOVE = """
async layer => {
    const slider = document.querySelector("#layer input[type=range]");
    const begin = performance.now();
    slider.value = layer;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    const there = () => document.querySelector("#picture img").src.endsWith(`-${layer}.jpg`);
    while (!there()) await new Promise(requestAnimationFrame);
    await document.querySelector("#picture img").decode();
    return performance.now() - begin;
}
"""


def frame_ms(url: str) -> float | None:
    """Median ms until another layer's frame is painted; None without playwright or a chromium to drive."""
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
        page.wait_for_function("window.convlens?.length > 1 && window.convlens.every(frame => frame.complete)")
        times = [float(page.evaluate(MOVE, layer)) for layer in LAYERS]
        browser.close()
    return statistics.median(times)
