"""What axe finds on the page: nothing serious or critical, in both themes, at two widths, in every tab and panel,
with each dialog and a toast open."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.demo.hands import DESKTOP, PHONE, SECONDS, OpenPage, unveiled

GRAVE = ("serious", "critical")


def check(page: Page, where: str) -> None:
    unveiled(page)
    found = [
        (one["id"], [(node["target"], node["failureSummary"][:200]) for node in one["nodes"]][:3])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in GRAVE
    ]
    assert found == [], where


@pytest.mark.parametrize(
    ("viewport", "dark"),
    [
        pytest.param(DESKTOP, True, id="wide-dark"),
        pytest.param(PHONE, False, id="phone-light"),
        pytest.param(DESKTOP, False, id="wide-light", marks=pytest.mark.sweep),
        pytest.param(PHONE, True, id="phone-dark", marks=pytest.mark.sweep),
    ],
)
def test_nothing_serious_is_found(open_page: OpenPage, viewport: dict[str, int], dark: bool) -> None:
    page = open_page(viewport=viewport, dark=dark)
    check(page, "as it opens")
    page.locator("#method summary").click()
    check(page, "with all methods")
    page.get_by_role("tab", name="Every layer").click()
    check(page, "every layer")
    page.get_by_role("tab", name="One layer").click()
    for button in page.locator("#panels [data-panel]").all():
        button.click()
        expect(page.locator("#answer .prose > *").first).to_be_visible(timeout=60 * SECONDS)
        check(page, f"with the panel {button.get_attribute('data-panel')}")
    page.locator("#stories [data-story]").first.click()
    expect(page.locator("#story")).to_be_visible()
    check(page, "with a story")
    page.keyboard.press("Escape")
    page.locator("#heading .word").first.click()
    check(page, "with the list of classes")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="About this picture").click()
    page.evaluate("convlensPage.ask({label: 'no such class'})")
    expect(page.locator(".toast-body")).to_be_visible(timeout=60 * SECONDS)
    check(page, "with a toast and the small print")
