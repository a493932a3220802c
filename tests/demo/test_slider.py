import re

from playwright.sync_api import Page, expect

from tests.demo.hands import (
    SECONDS,
    OpenPage,
    changed,
    picture,
    pixels,
)


def test_the_slider_asks_nothing_of_the_server(open_page: OpenPage) -> None:
    page = open_page()
    asked: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    seen = {pixels(page)}
    page.locator("#layer input[type=range]").focus()
    for key, number in (("ArrowLeft", 72), ("Home", 1), ("ArrowRight", 2), ("PageUp", 9), ("End", 73)):
        page.keyboard.press(key)
        expect(page.locator("#line")).to_have_text(re.compile(f"{number} of 73"))
        expect(page.locator("#picture img")).to_have_attribute("src", re.compile(f"hires_cam-{number}\\.jpg"))
        seen.add(pixels(page))
    assert len(seen) >= 5  # the neighbours of the last layer look much alike
    assert asked == []


def test_frames_of_a_new_view_follow_the_slider(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.get_by_text("Guided Grad-CAM", exact=True).click()
    slider = page.locator("#layer input[type=range]")
    slider.focus()
    page.keyboard.press("Home")  # while the old frames are still there
    changed(page, before)
    # The slider's frame, or the picture itself where the question was sent only after the slider had moved.
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"guided_grad_cam-1(-large)?\.jpg"))
    expect(page.locator("#line")).to_have_text(re.compile("1 of 73"))


def shows(page: Page, number: int, of: int = 73) -> None:
    """The box, the track, the line and the picture agree on a layer."""
    expect(page.locator("#layer input[type=number]")).to_have_value(str(number))
    expect(page.locator("#layer input[type=range]")).to_have_value(str(number))
    expect(page.locator("#line")).to_have_text(re.compile(f"{number} of {of}"))
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(rf"-{number}(-large)?\.jpg"))


def test_the_number_and_the_reset_move_the_picture(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    box = page.locator("#layer input[type=number]")
    box.click()
    box.press("Control+a")
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    shows(page, 20)
    page.keyboard.press("ArrowUp")
    shows(page, 21)
    page.locator("#layer .reset-button").click()
    shows(page, 73)
    assert asked == []


def test_a_click_on_the_track_moves_the_picture(open_page: OpenPage) -> None:
    page = open_page()
    track = page.locator("#layer input[type=range]")
    size = track.bounding_box()
    assert size is not None
    track.click(position={"x": size["width"] / 2, "y": size["height"] / 2})
    number = int(track.input_value())
    assert 30 < number < 44
    shows(page, number)


def test_wrong_numbers_are_corrected_in_sight(open_page: OpenPage) -> None:
    page = open_page()
    box = page.locator("#layer input[type=number]")
    for typed, number in (("12", 12), ("999", 73), ("8", 8), ("", 8), ("0", 8), ("-3", 8), ("5.4", 5)):
        box.click()
        box.press("Control+a")
        page.keyboard.type(typed) if typed else page.keyboard.press("Delete")
        page.locator("#lead h1").click()  # the box is left
        shows(page, number)


def test_a_number_that_is_too_large_is_corrected_while_it_is_typed(open_page: OpenPage) -> None:
    page = open_page()
    box = page.locator("#layer input[type=number]")
    box.click()
    box.press("Control+a")
    page.keyboard.type("999")
    shows(page, 73)  # and the box has the focus still
    assert page.evaluate("document.activeElement.matches('#layer input[type=number]')")


# Every address that the big picture has had.
WATCH = """() => {
    window.seen = [];
    const note = () => window.seen.push(document.querySelector("#picture img")?.src ?? "");
    new MutationObserver(note).observe(document.querySelector("#picture"),
        {subtree: true, childList: true, attributes: true, attributeFilter: ["src"]});
}"""


def test_the_reset_of_another_model_is_its_own_last_layer(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.get_by_label("Random weights").click()
    before = changed(page, before)
    page.evaluate(WATCH)
    page.get_by_label("Model", exact=True).click()
    page.keyboard.type("SqueezeNet 1.1")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading")).to_contain_text("SqueezeNet 1.1, random weights", timeout=60 * SECONDS)
    page.wait_for_load_state("networkidle")
    last = int(page.locator("#layer input[type=range]").get_attribute("max") or 0)
    assert 5 < last < 73
    # The answer sets the slider, whose frames are those of the model before until its own have come.
    seen = [address for address in page.evaluate("window.seen") if f"-{last}.jpg" in address]
    assert not any("efficientnet_lite0" in address for address in seen), seen
    page.locator("#layer input[type=range]").focus()
    page.keyboard.press("Home")
    shows(page, 1, last)
    page.locator("#layer .reset-button").click()
    shows(page, last, last)
