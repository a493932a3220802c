"""The page by other eyes and hands: enlarged, with large fingers, read aloud, without motion."""

import re

import pytest
from playwright.sync_api import expect

from tests.demo.hands import DESKTOP, PHONE, OpenPage, picture

TWICE = {"width": 683, "height": 384}  # 1366 x 768 at 200 % zoom, in pixels of the page
LEAST = 24  # pixels of a target, WCAG 2.5.8; links within a sentence are excepted
TARGETS = """() => [...document.querySelectorAll(
        ".gradio-container :is(button, summary, a[href], input, [role=tab])")]
    .filter(one => one.checkVisibility({opacityProperty: true, visibilityProperty: true}))
    .filter(one => !one.closest("p, small, footer, .prose > a, #about, label") && one.type !== "file"
        && !one.closest("[aria-hidden=true], .visually-hidden"))
    .map(one => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
    .map(([told, {width, height}]) => [told, Math.round(width * 10) / 10, Math.round(height * 10) / 10])
    .filter(([, width, height]) => width > 0 && height > 0)"""


@pytest.mark.parametrize("path", ["", "zh-CN/"])
def test_twice_as_large_nothing_is_cut_off(open_page: OpenPage, path: str) -> None:
    page = open_page(TWICE)
    if path:
        page.goto(page.url + path)
        expect(page.locator("#heading h2")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= TWICE["width"]
    for part in ("#picture", "#classes", "#layer", "#method .pills", "#panels", "#bring"):
        box = page.locator(part).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= TWICE["width"], part


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["wide", "phone"])
def test_targets_are_large_enough_for_a_finger(open_page: OpenPage, viewport: dict[str, int]) -> None:
    page = open_page(viewport)
    page.locator("#method summary").click()
    found = page.evaluate(TARGETS)
    assert len(found) > 40
    assert [one for one in found if min(one[1:]) < LEAST] == []


def test_the_slider_is_read_as_the_layers_name(open_page: OpenPage) -> None:
    page = open_page()
    track = page.locator("#layer input[type=range]")
    expect(track).to_have_attribute("aria-valuetext", "bn2.act, layer 73 of 73")
    track.focus()
    page.keyboard.press("ArrowLeft")
    expect(track).to_have_attribute("aria-valuetext", re.compile(r"^conv_head, layer 71 of 73$"))
    page.goto(page.url.split("?")[0] + "zh-CN/")
    expect(page.locator("#layer input[type=range]")).to_have_attribute(
        "aria-valuetext", "bn2.act，第 73 层，共 73 层"
    )


def test_whoever_wants_no_motion_has_none(open_page: OpenPage) -> None:
    page = open_page()
    page.emulate_media(reduced_motion="reduce")
    before = picture(page)
    page.get_by_role("button", name="Play the layers").click()
    page.wait_for_timeout(1500)  # layers change once a second, in the place of seven times
    number = int(re.findall(r"(\d+) of 73", page.locator("#line").inner_text())[0])
    assert number <= 6
    assert picture(page) != before
    moving = page.evaluate(
        """() => document.getAnimations().filter(one => one.playState === "running"
            && one.effect.getComputedTiming().duration > 10)
            .map(one => one.effect.target.outerHTML.slice(0, 90))"""
    )
    assert moving == []
