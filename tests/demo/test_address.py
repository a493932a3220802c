"""The address of an answer: what it says, and that links, reloads and the back button keep it."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from engine.demo.address import LONGEST, OF_THE_MODEL, address_of, fields_of, posted_for
from engine.demo.controls import CONTROLS, DEFAULTS, RefusalError, visibility
from engine.demo.question import Look, read_question
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from tests.demo.hands import (
    EGYPTIAN_CAT,
    LITE,
    TIGER_CAT,
    OpenPage,
    asks,
    changed,
    choose_class,
    choose_method,
    picture,
)

COFFEE = "?photo=coffee&method=grad_cam&layer=blocks.4.2&why=espresso&rather=cup"


def fields(address: str, scene: Scene, photo: Path) -> dict[str, Any]:
    told = fields_of(address, [photo])
    return posted_for(told, None, OF_THE_MODEL) | posted_for(
        told,
        scene.model,
        [name for name, control in CONTROLS.items() if control.address and name not in OF_THE_MODEL],
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "guided_backprop", "look": Look("negative", True, False, 0.5)},
        {"layer": 49, "target": EGYPTIAN_CAT, "contrast": TIGER_CAT},
        {"layer": 3, "look": Look("all", False, True, 0.25)},
        {"look": Look(colormap="turbo", scale="common")},
    ],
)
def test_what_an_address_says_is_the_scene_again(
    scene: Scene, studio: Studio, chelsea: Path, changes: dict[str, Any]
) -> None:
    asked = asks(scene, **changes)
    address = address_of(asked, [chelsea])
    found = read_question(fields(address, scene, chelsea) | {"photo": {"path": str(chelsea)}}, chelsea.parent)
    again = studio.scene(found)
    assert again.key == studio.scene(asked.question).key and again.layer == asked.layer
    assert "photo=chelsea" in address and len(address) < LONGEST / 2


def test_a_photo_of_ones_own_has_no_address(scene: Scene) -> None:
    assert "photo" not in address_of(scene, [])


def test_every_control_has_a_place_in_the_address_or_none(scene: Scene) -> None:
    """One that is added is met here: it is either told, or left out on purpose."""
    assert [name for name, control in CONTROLS.items() if not control.address] == ["photo"]
    assert set(DEFAULTS) == set(CONTROLS) and set(visibility(scene)) <= set(CONTROLS)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("?photo=secret", "no example photo 'secret' here"),
        ("?why=unicorn", "no class 'unicorn'"),
        ("?why=" + "x" * 2000, "too long"),
        ("?layer=conv99", "no layer 'conv99'"),
        ("?strength=much", "between 0 and 1"),
        ("?strength=7", "between 0 and 1"),
        ("?values=inverted", "all, positive, negative"),
        ("?model=resnet-fifty", "no model 'resnet-fifty'"),
    ],
)
def test_an_address_that_no_page_has_made(scene: Scene, chelsea: Path, address: str, complaint: str) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)):
        read_question(fields(address, scene, chelsea) | {"photo": {"path": str(chelsea)}}, chelsea.parent)


def test_what_other_pages_add_is_left_out(chelsea: Path) -> None:
    assert fields_of("?utm_source=post&__theme=dark&why=lynx", [chelsea]) == {"why": "lynx"}


def opened(page: Page, heading: str) -> None:
    expect(page.locator("#heading h2")).to_have_text(heading)
    page.wait_for_load_state("networkidle")


def test_a_link_opens_what_it_says(open_page: OpenPage, site: str) -> None:
    page = open_page()
    page.goto(site + COFFEE)
    opened(page, "Why espresso rather than cup?")
    expect(page.locator("#line")).to_have_text(re.compile(r"blocks\.4\.2 · .* · 50 of 73"))
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("coffee"))
    expect(page.locator("#method .pills [aria-pressed=true]")).to_have_text("Grad-CAM")
    assert page.url.endswith("&layer=blocks.4.2&why=espresso&rather=cup")
    page.locator("#layer input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("layer=blocks.4.1&"))
    page.reload()
    opened(page, "Why espresso rather than cup?")
    expect(page.locator("#line")).to_have_text(re.compile(r"49 of 73"))


def test_the_back_button_goes_back(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose_class(page, "target", "lynx")
    before = changed(page, before)
    choose_method(page, "saliency")
    changed(page, before)
    expect(page).to_have_url(re.compile("method=saliency&why=lynx"))
    page.go_back()
    expect(page.locator("#heading p")).to_contain_text("HiResCAM")
    opened(page, "Why lynx?")
    page.go_back()
    opened(page, "Why tiger cat?")
    page.go_forward()
    opened(page, "Why lynx?")


def test_an_address_that_is_wrong_leaves_the_page_as_it_opens(open_page: OpenPage, site: str) -> None:
    page = open_page()
    page.goto(f"{site}?why=unicorn")
    expect(page.get_by_test_id("toast-body")).to_contain_text("This model has no class 'unicorn'")
    opened(page, "Why tiger cat?")
    assert LITE in page.content()
