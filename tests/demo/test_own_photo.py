import re
from pathlib import Path

from playwright.sync_api import expect

from tests.demo.hands import (
    OpenPage,
    changed,
    picture,
)


def test_an_example_and_an_upload(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    before = picture(page)
    page.locator("#examples button").nth(1).click()
    before = changed(page, before)
    expect(page.locator("#heading")).to_have_text(re.compile("Why espresso"))
    (tmp_path / "notes.png").write_text("not a photo")
    page.locator("#photo").get_by_label("Remove Image").click()
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.get_by_test_id("toast-body")).to_contain_text("This is not a photo that can be read")
    assert picture(page) == before
