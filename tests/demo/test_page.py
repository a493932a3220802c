import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.demo.hands import (
    PHONE,
    OpenPage,
    changed,
    choose_class,
    choose_method,
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


def test_any_class_is_found_by_its_name_and_compared(open_page: OpenPage) -> None:
    page = open_page()
    for word, typed, heading in (
        ("target", "lynx", "Why lynx?"),
        ("contrast", "tabby", "Why lynx rather than tabby?"),
        ("contrast", "no other", "Why lynx?"),
    ):
        before = picture(page)
        choose_class(page, word, typed)
        changed(page, before)
        expect(page.locator("#heading h2")).to_have_text(heading)


def test_methods_and_their_looks(open_page: OpenPage) -> None:
    page = open_page()
    layer, values, strength = (
        page.locator("#layer"),
        page.get_by_text("Values", exact=True),
        page.get_by_text("Strength"),
    )
    before = picture(page)
    choose_method(page, "guided_backprop")
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
    choose_method(page, "grad_cam")
    before = changed(page, before)
    expect(layer).to_be_visible()
    expect(strength).to_be_visible()
    expect(values).to_be_hidden()
    page.get_by_text("alone", exact=True).click()
    changed(page, before)


def test_no_control_is_dead(site: str) -> None:
    """What can be set on the page is listened to."""
    told = httpx.get(f"{site}config").json()
    heard = {target for listener in told["dependencies"] for target, _ in listener["targets"]}
    choices = [part for part in told["components"] if part["type"] in ("radio", "checkbox", "slider", "dropdown")]
    assert len(choices) == 20  # ten for each language
    assert [part["props"]["label"] for part in choices if part["id"] not in heard] == []


def test_relevance_is_read_at_the_image_or_at_every_layer(open_page: OpenPage) -> None:
    page = open_page()
    every, tiles = page.get_by_role("tab", name="Every layer"), page.locator("#frames button.thumbnail-item")
    line, layer, at = page.locator("#line"), page.locator("#layer"), page.locator("#view label")
    before = picture(page)
    choose_method(page, "lrp_epsilon_plus")
    before = changed(page, before)
    expect(line).to_have_text("at the image itself")
    expect(layer).to_be_hidden()
    expect(every).to_be_hidden()
    at.filter(has_text="every layer").click()
    before = changed(page, before)
    expect(line).to_have_text(re.compile("73 of 73"))
    expect(layer).to_be_visible()
    every.click()
    expect(tiles).to_have_count(73)
    page.reload()
    expect(page.get_by_role("radio", name="every layer")).to_be_checked()
    expect(line).to_have_text(re.compile("73 of 73"))
    every.click()
    expect(tiles).to_have_count(73)
    at.filter(has_text="the image").click()
    expect(line).to_have_text("at the image itself")
    expect(page.locator("#picture img")).to_be_visible()
    expect(every).to_be_hidden()


def test_every_layer_at_once_and_a_click_on_one(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("tab", name="Every layer").click()
    tiles = page.locator("#frames button.thumbnail-item")
    expect(tiles).to_have_count(73)
    tiles.nth(19).click()
    expect(page.locator("#line")).to_have_text(re.compile("20 of 73"))
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"hires-cam-20-"))


def test_downloads_take_one_click(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Every layer").click()
    with page.expect_download() as sheet:
        page.get_by_text("Download the contact sheet").click()
    assert sheet.value.suggested_filename == "tiger-cat-hires-cam-efficientnet-lite0-every-layer.jpg"
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


def test_the_photo_is_drawn_over_the_map(open_page: OpenPage) -> None:
    page = open_page()
    asked: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    handle = page.get_by_label("How much of the photo lies over the map")
    handle.focus()
    page.keyboard.press("End")
    before = page.locator("#before")
    expect(before).to_be_visible()
    assert before.evaluate("image => getComputedStyle(image).clipPath") in (
        "inset(0px)",
        "inset(0px 0%)",
        "inset(0px 0% 0px 0px)",
    )
    assert before.get_attribute("src") == page.locator("#photo img").get_attribute("src")
    choose_method(page, "gradient")  # the square that the network sees
    expect(page.locator("#picture img").first).to_have_js_property("naturalWidth", 224)
    handle.focus()
    page.keyboard.press("ArrowLeft")
    expect(before).to_be_hidden()
    assert [url for url in asked if "coffee" in url] == []


def test_a_link_is_copied(open_page: OpenPage) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    before = picture(page)
    choose_class(page, "target", "lynx")
    changed(page, before)
    expect(page).to_have_url(re.compile("why=lynx"))
    page.get_by_role("button", name="Copy a link to this").click()
    expect(page.locator("#link [role=status]")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_the_words_of_the_sentence_by_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    word = page.locator("#heading .word").first
    word.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#words li[aria-selected=true]")).to_have_text(re.compile("tiger cat"))
    page.keyboard.press("Escape")
    expect(page.locator("#words")).to_have_count(0)
    expect(word).to_be_focused()
    before = picture(page)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading h2")).to_have_text("Why Egyptian cat?")


def test_what_takes_many_passes_says_so_and_is_answered(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#method summary").click()
    expect(page.locator("#method section [data-method=occlusion]")).to_contain_text("49 passes")
    assert [title.inner_text() for title in page.locator("#method h4").all()] == [
        "Where did it look?", "Which pixels count?", "What if they were hidden?",
    ]  # fmt: skip
    before = picture(page)
    choose_method(page, "occlusion")
    changed(page, before)
    expect(page.locator("#heading p")).to_contain_text("Occlusion")
    expect(page.locator("#legend")).to_have_text(re.compile("speaks against the class.*speaks for it"))


def test_grad_cam_below_the_last_layer_is_warned_of(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#trust")).to_contain_text("33 of 33 activations gated")
    expect(page.locator("#trust strong")).to_have_count(0)
    page.goto(page.url + "?method=grad_cam&layer=blocks.4.2")
    warning = page.locator("#trust strong")
    expect(warning).to_contain_text("Not class-specific here")
    expect(warning).to_be_visible()
    slider = page.locator("#layer input[type=range]")
    slider.focus()
    page.keyboard.press("End")  # there it is CAM's own layer
    expect(warning).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    expect(warning).to_be_visible()


def test_the_first_screen_says_what_where_and_how_far_to_believe_it(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1366, "height": 768})
    for part in (
        "#heading h2",
        "#picture img",
        "#classes button",
        "#line",
        "#legend span",
        "#range",
        "#trust span",
    ):
        expect(page.locator(part).first).to_be_in_viewport(ratio=1)


def test_the_formula_of_a_method_is_shown(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE)
    formula = page.locator("#about .formula")
    expect(formula.locator("math").first).to_be_hidden()
    formula.locator("summary").click()
    expect(formula.locator("math").first).to_be_visible()
    assert "\\" not in formula.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
