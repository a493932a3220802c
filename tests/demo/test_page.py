import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.demo.hands import (
    PHONE,
    OpenPage,
    changed,
    picture,
    pixels,
)


def test_the_page_opens_with_the_cat_explained(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#heading")).to_have_text(re.compile("Why tiger cat.*HiResCAM · EfficientNet-Lite0"))
    rows = page.locator("#classes button dt")
    assert rows.all_inner_texts()[:3] == ["tiger cat", "Egyptian cat", "tabby"]
    expect(page.locator("#classes.chosen-1")).to_have_count(1)
    expect(page.locator("#line")).to_have_text("bn2.act · 1280 × 7 × 7 · 73 of 73")
    assert page.locator("#picture img").evaluate("image => image.naturalWidth") == 451


def test_a_click_on_a_class_explains_it(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.locator("#classes button").nth(1).click()
    changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile("Why Egyptian cat"))
    expect(page.locator("#classes.chosen-2")).to_have_count(1)
    expect(page.get_by_label("Explain", exact=True)).to_have_value("Egyptian cat")


def test_any_class_is_found_by_its_name_and_compared(open_page: OpenPage) -> None:
    page = open_page()
    for label, typed, heading in (
        ("Explain", "lynx", "Why lynx?"),
        ("Rather than", "tabby", "Why lynx rather than tabby?"),
    ):
        before = picture(page)
        page.get_by_label(label, exact=True).click()
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        changed(page, before)
        expect(page.locator("#heading h2")).to_have_text(heading)


def test_methods_and_their_looks(open_page: OpenPage) -> None:
    page = open_page()
    layer, values, strength = page.locator("#layer"), page.get_by_text("Values"), page.get_by_text("Strength")
    before = picture(page)
    page.get_by_text("Guided backprop", exact=True).click()
    before = changed(page, before)
    expect(layer).to_be_hidden()
    expect(strength).to_be_hidden()
    expect(values).to_be_visible()
    assert page.locator("#picture img").evaluate("image => image.naturalWidth") == 224
    for look in ("positive", "negative", "Gray"):
        drawn = pixels(page)
        page.get_by_text(look, exact=True).click()
        before = changed(page, before)
        assert pixels(page) != drawn
    page.get_by_text("Grad-CAM", exact=True).click()
    before = changed(page, before)
    expect(layer).to_be_visible()
    expect(strength).to_be_visible()
    expect(values).to_be_hidden()
    page.get_by_text("alone", exact=True).click()
    changed(page, before)


def test_every_layer_at_once_and_a_click_on_one(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("tab", name="Every layer").click()
    tiles = page.locator("#frames button.thumbnail-item")
    expect(tiles).to_have_count(73)
    tiles.nth(19).click()
    expect(page.locator("#line")).to_have_text(re.compile("20 of 73"))
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"hires_cam-20\.jpg"))


def test_downloads_take_one_click(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Every layer").click()
    with page.expect_download() as sheet:
        page.get_by_text("Download the contact sheet").click()
    assert sheet.value.suggested_filename == "efficientnet_lite0-hires_cam-every-layer.jpg"
    page.get_by_text("About this picture").click()
    with page.expect_download() as file:
        page.get_by_text("Download the model").click()
    file.value.save_as(tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size > 15e6
    assert file.value.suggested_filename == "efficientnet_lite0.pt"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(open_page: OpenPage, dark: bool) -> None:
    page = open_page(PHONE, dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = page.locator("#picture").bounding_box()
    assert box is not None and box["y"] + box["height"] < PHONE["height"]
    assert page.evaluate("document.body.classList.contains('dark')") is dark
