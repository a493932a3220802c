"""What the first page weighs, whether it jumps while it comes, and what is seen of a question that takes long."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.demo.hands import DESKTOP, PHONE, SECONDS, OpenPage, changed, choose_method, picture

# How much of what viridis has as yellow lies in the left half of the picture.
LEFT = """async () => {
    const image = document.querySelector("#picture img");
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), {width: 96, height: 72});
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 96, 72);
    const {data} = context.getImageData(0, 0, 96, 72);
    const halves = [0, 0];
    for (let at = 0; at < 96 * 72; at++) {
        const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
        halves[at % 96 < 48 ? 0 : 1] += Math.max(0, Math.min(red, green) - blue);
    }
    return halves[0] / (halves[0] + halves[1]);
}"""
MOST = 1_500_000  # bytes over the wire
# After eight seconds the page is shown as far as it is: its clock goes slower, so that a busy machine gets there.
PATIENT = "const now = performance.now.bind(performance); performance.now = () => now() / 10;"
SHIFTS = """
window.jumped = 0;
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.jumped += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.mark.parametrize(
    "viewport", [DESKTOP, PHONE, {"width": 820, "height": 1180}], ids=["wide", "phone", "tablet"]
)
@pytest.mark.parametrize("language", ["", "zh-CN"])
def test_the_first_page_is_light_and_does_not_jump(
    browser: Browser, site: str, viewport: dict[str, int], language: str
) -> None:
    context = browser.new_context(viewport=viewport)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    loaded: list[float] = []
    wire.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.add_init_script(SHIFTS)
    page.add_init_script(PATIENT)
    page.goto(site + language)
    expect(page.locator("html.whole")).to_have_count(1, timeout=60 * SECONDS)
    page.wait_for_timeout(2 * SECONDS)  # what comes late weighs too
    assert len(loaded) > 50 and sum(loaded) < MOST
    assert page.evaluate("window.jumped") < 0.1
    context.close()


def test_frames_come_when_a_hand_comes_near(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    frames: list[str] = []
    page.on("request", lambda request: frames.append(request.url) if "/views/" in request.url else None)
    page.goto(site)
    expect(page.locator("html.whole")).to_have_count(1, timeout=60 * SECONDS)
    page.wait_for_timeout(SECONDS)
    assert len(frames) == 1  # the picture
    page.locator("#layer").hover()
    page.wait_for_function("window.convlens?.length > 1 && window.convlens.every(frame => frame.complete)")
    assert len(set(frames)) == 74
    before = picture(page)
    page.locator("#layer input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    changed(page, before)
    context.close()


def test_a_long_question_tells_how_far_it_is_and_is_stopped(open_page: OpenPage) -> None:
    page = open_page()
    choose_method(page, "integrated_gradients")
    tells = page.locator("#picture .progress-text")
    expect(tells).to_have_text(re.compile(r"\d+/\d+ passes"), timeout=60 * SECONDS)
    before = picture(page)
    page.locator("#stop").click()
    expect(page.locator(".toast-body")).to_contain_text("Stopped. What is shown stays.")
    assert picture(page) == before
    expect(page.locator("#heading")).to_contain_text("HiResCAM")
    expect(page.locator("#method [data-method=hires_cam]").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#stop")).to_be_hidden()


def test_another_class_is_in_another_place(open_page: OpenPage) -> None:
    """The pair of cup and cat: the map of one class lies in the left half, that of the other in the right one."""
    page = open_page()
    before = picture(page)
    page.get_by_label("alone").check(force=True)
    before = changed(page, before)
    page.locator("#examples button").nth(4).click()
    changed(page, before)
    expect(page.locator("#heading h2")).to_contain_text("espresso")
    page.wait_for_function(f"async () => await ({LEFT})() > 0.6")
    before = picture(page)
    page.locator("#classes button", has_text="cat").first.click()
    changed(page, before)
    page.wait_for_function(f"async () => await ({LEFT})() < 0.4")
