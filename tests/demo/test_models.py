import re

from playwright.sync_api import expect

from tests.demo.hands import (
    OpenPage,
    changed,
    picture,
)


def test_weights_that_cannot_be_had_and_random_ones(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.get_by_label("Model", exact=True).click()
    page.keyboard.type("SqueezeNet 1.1")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("toast-body")).to_contain_text("could not be fetched")
    assert picture(page) == before
    page.get_by_label("Random weights").click()
    changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile("Grad-CAM · SqueezeNet 1.1, random weights"))
    expect(page.locator("#about")).to_contain_text("No CAM here")
    assert "CAM" not in page.locator("#method label").all_inner_texts()
