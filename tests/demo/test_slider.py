import re

from playwright.sync_api import expect

from tests.demo.hands import (
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
        expect(page.locator("#picture img")).to_have_attribute("src", re.compile(f"grad_cam-{number}\\.jpg"))
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
