"""A photo of one's own, brought in every way that a page knows, from the page as it opens."""

import base64
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.demo.hands import (
    PHONE,
    OpenPage,
    changed,
    choose_method,
    no_toast,
    picture,
)

HEADINGS = {"coffee.png": "Why espresso", "rocket.jpg": "Why missile", "chelsea.png": "Why tiger cat"}


def choose(page: Page, *photos: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#own-photo").click()
    chooser.value.set_files(photos[0])


def drag(page: Page, onto: Locator, files: list[Path], kind: str) -> None:
    """What the browser is told when something is dragged in from another window: `kind` is dragOver or drop."""
    box = onto.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    if not files:
        text = {"mimeType": "text/plain", "data": "https://example.org/", "title": "", "baseURL": ""}
        data = {"items": [text], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(box["height"], 400) / 2, "data": data}
    for event in ("dragEnter", "dragOver", *([kind] if kind == "drop" else [])):
        session.send("Input.dispatchDragEvent", {"type": event} | place)
    session.detach()


def paste_photo(page: Page, photo: Path) -> None:
    """Copy a photo, as a picture viewer does, and press Ctrl+V."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async data => {
            const blob = await (await fetch("data:image/png;base64," + data)).blob();
            await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }""",
        base64.b64encode(photo.read_bytes()).decode(),
    )
    page.keyboard.press("Control+V")


def explained(page: Page, before: str, name: str) -> str:
    """Wait until a photo is explained, with nothing gone wrong on the way."""
    expect(page.locator("#heading")).to_have_text(re.compile(HEADINGS[name]))
    after = changed(page, before)
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile(r"/file="))
    no_toast(page)
    return after


def test_the_chooser_and_a_second_photo_right_after_the_first(open_page: OpenPage, chelsea: Path) -> None:
    page = open_page()
    before = picture(page)
    choose(page, chelsea.with_name("coffee.png"))
    before = explained(page, before, "coffee.png")
    choose(page, chelsea.with_name("rocket.jpg"))
    explained(page, before, "rocket.jpg")
    choose(page, chelsea.with_name("coffee.png"))
    choose(page, chelsea.with_name("rocket.jpg"))  # while the other one is on its way
    page.wait_for_load_state("networkidle")
    expect(page.locator("#heading")).to_have_text(re.compile("Why missile"))
    no_toast(page)


def test_the_same_file_twice(open_page: OpenPage, chelsea: Path) -> None:
    page = open_page()
    before = picture(page)
    choose(page, chelsea.with_name("coffee.png"))
    before = explained(page, before, "coffee.png")
    page.locator("#examples button").nth(3).click()
    before = explained(page, before, "rocket.jpg")
    choose(page, chelsea.with_name("coffee.png"))
    explained(page, before, "coffee.png")


def test_the_chooser_opens_by_keyboard(open_page: OpenPage, chelsea: Path) -> None:
    page = open_page()
    before = picture(page)
    page.on("filechooser", lambda chooser: chooser.set_files(chelsea.with_name("coffee.png")))
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "own-photo":
            break
    expect(page.locator("#own-photo")).to_be_focused()
    page.keyboard.press("Enter")
    explained(page, before, "coffee.png")


def test_a_click_on_the_photo_opens_the_chooser_too(open_page: OpenPage, chelsea: Path) -> None:
    page = open_page(PHONE)
    before = picture(page)
    with page.expect_file_chooser() as chooser:
        page.locator("#photo").click()
    chooser.value.set_files(chelsea.with_name("coffee.png"))
    explained(page, before, "coffee.png")


@pytest.mark.parametrize("place", ["#stage", "#picture", "#photo", "#lead"])
def test_a_photo_is_dropped(open_page: OpenPage, chelsea: Path, place: str) -> None:
    page = open_page()
    before, window = picture(page), page.locator("html")
    drag(page, page.locator(place), [chelsea.with_name("coffee.png")], "dragOver")
    expect(window).to_have_class(re.compile(r"\breceives\b"))
    drag(page, page.locator(place), [chelsea.with_name(name) for name in ("coffee.png", "camera.png")], "drop")
    expect(window).not_to_have_class(re.compile(r"\breceives\b"))
    before = explained(page, before, "coffee.png")
    drag(page, page.locator(place), [chelsea.with_name("rocket.jpg")], "drop")
    explained(page, before, "rocket.jpg")


def test_what_is_no_file_does_nothing_when_dropped(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    before, asked = picture(page), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    drag(page, page.locator("#stage"), [], "drop")
    (tmp_path / "folder").mkdir()
    drag(page, page.locator("#stage"), [tmp_path / "folder"], "drop")
    # The picture itself, picked up and let go a little further: the browser makes a file of it.
    page.locator("#picture img").drag_to(page.locator("#heading"))
    page.wait_for_timeout(500)
    assert picture(page) == before
    assert asked == []
    expect(page.locator("html")).not_to_have_class(re.compile(r"\breceives\b"))
    no_toast(page)


def test_a_photo_is_pasted_and_text_stays_text(open_page: OpenPage, chelsea: Path) -> None:
    page = open_page()
    before = picture(page)
    paste_photo(page, chelsea.with_name("coffee.png"))
    before = explained(page, before, "coffee.png")
    word, field = page.locator("#heading .word").first, page.locator("#words input")
    page.evaluate("navigator.clipboard.writeText('lynx')")
    word.click()
    page.keyboard.press("Control+V")
    expect(field).to_have_value("lynx")
    page.keyboard.press("Enter")
    before = changed(page, before)
    expect(page.locator("#heading h2")).to_have_text("Why lynx?")
    word.click()
    expect(field).to_be_focused()
    paste_photo(page, chelsea)  # a photo is one in a text field too
    explained(page, before, "chelsea.png")
    expect(field).to_have_count(0)


def test_a_photo_is_taken_with_the_camera(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.locator("#own-camera").click()
    page.get_by_role("button", name="Take the photo").click()
    expect(page.locator("#camera")).to_have_count(0)
    before = changed(page, before)
    assert page.locator("#photo img").evaluate("image => image.naturalWidth") >= 320
    no_toast(page)
    page.locator("#own-camera").press("Enter")
    expect(page.get_by_role("button", name="Take the photo")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#camera")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "own-camera"
    assert picture(page) == before


def test_without_a_camera_a_sentence_says_so(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error()); }")
    page.locator("#own-camera").click()
    expect(page.locator("#camera")).to_contain_text("The camera can't be used here")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#camera")).to_have_count(0)


def test_a_file_that_is_no_photo_changes_nothing(open_page: OpenPage, chelsea: Path, tmp_path: Path) -> None:
    page = open_page()
    before, photo = picture(page), page.locator("#photo img").get_attribute("src")
    (tmp_path / "notes.png").write_text("not a photo")
    (tmp_path / "notes.txt").write_text("not a photo either")
    toast = page.get_by_test_id("toast-body")
    choose(page, tmp_path / "notes.png")
    expect(toast).to_have_count(1)
    expect(toast).to_contain_text("This is not a photo that can be read")
    page.get_by_test_id("toast-close").click()
    drag(page, page.locator("#stage"), [tmp_path / "notes.txt"], "drop")
    expect(toast).to_contain_text("This is not a photo that can be read")
    expect(toast).to_have_count(1)
    assert (picture(page), page.locator("#photo img").get_attribute("src")) == (before, photo)
    expect(page.locator("#heading")).to_have_text(re.compile("Why tiger cat"))
    page.get_by_test_id("toast-close").click()
    choose(page, chelsea.with_name("coffee.png"))
    before = explained(page, before, "coffee.png")
    choose_method(page, "saliency")  # what follows asks about the new photo
    changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile("Why espresso.*Saliency"))


def test_an_example(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.locator("#examples button").nth(1).click()
    explained(page, before, "coffee.png")
