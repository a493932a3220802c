"""The guided stories: every step is an address that the page answers, and a visitor walks through them."""

import json
import re

import pytest
from playwright.sync_api import Request, expect

from engine.demo.address import fields_of, posted_for
from engine.demo.controls import CONTROLS
from engine.demo.examples import write_examples
from engine.demo.question import read_question
from engine.demo.stories import STORIES, Step, address
from engine.demo.studio import Studio
from tests.demo.hands import PHONE, SECONDS, OpenPage, changed, picture

STEPS = [(f"{story.name} {number + 1}", step) for story in STORIES for number, step in enumerate(story.steps)]


@pytest.mark.parametrize("step", [step for _, step in STEPS], ids=[name for name, _ in STEPS])
def test_every_step_is_answered(step: Step, studio: Studio) -> None:
    uploads = studio.folder.parent / "uploads"
    examples = write_examples(uploads)
    told = fields_of(address(step), examples)
    model = studio.open("efficientnet_lite0", "default")
    names = [name for name, control in CONTROLS.items() if control.address and control.address in told]
    fields = posted_for(told, model, names) | {"photo": {"path": told["photo"]}}
    scene = studio.scene(read_question(fields, uploads, studio.offer))
    assert scene.question.method == told["method"]
    assert scene.model.labels[scene.question.target or 0] == told["why"]


def test_stories_have_three_to_five_steps() -> None:
    assert len(STORIES) >= 3 and all(3 <= len(story.steps) <= 5 for story in STORIES)


@pytest.mark.parametrize("narrow", [False, True], ids=["mouse", "phone"])
def test_a_story_is_walked_through(open_page: OpenPage, narrow: bool) -> None:
    page = open_page(viewport=PHONE) if narrow else open_page()
    before = picture(page)
    page.locator("#stories [data-story=class]").click()
    card = page.locator("#story")
    expect(card.locator("span")).to_have_text("1 / 5")
    expect(card.locator(".back")).to_be_disabled()
    card.locator(".next").click()
    changed(page, before)
    expect(page.locator("#heading h2")).to_have_text(re.compile("Why tiger cat.*rather than.*Egyptian cat"))
    card.locator(".next").click()
    expect(page.locator("#heading h2")).to_contain_text("goldfish")
    card.locator(".next").click()
    expect(page.locator("#heading h2")).to_contain_text("espresso")
    expect(page).to_have_url(re.compile("photo=coffee-and-chelsea"))
    card.locator(".back").click()
    expect(page.locator("#heading h2")).to_contain_text("goldfish")
    card.locator(".leave").click()
    expect(card).to_have_count(0)
    expect(page.locator("#stories [data-story=class]")).to_be_focused()


def test_a_story_by_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#stories [data-story=trust]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#heading p")).to_contain_text("Grad-CAM")
    expect(page.locator("#trust strong")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#heading p")).to_contain_text("HiResCAM")
    expect(page.locator("#layer input[type=number]")).to_have_value("40")
    page.keyboard.press("Escape")
    expect(page.locator("#story")).to_have_count(0)


def test_a_story_opens_the_panel_that_it_speaks_of(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#stories [data-story=trust]").click()
    card = page.locator("#story")
    for number in range(2, 5):
        card.locator(".next").click()
        expect(card.locator("span")).to_have_text(f"{number} / 5")
    expect(page.locator("#panels [data-panel=trust]")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#answer .verdicts .bad").first).to_contain_text(
        "It does not know the class", timeout=60 * SECONDS
    )
    expect(page.locator("#heading h2")).to_have_text("Why espresso?")
    assert "panel=trust" in page.url


def test_the_last_of_several_quick_clicks_is_what_is_shown(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            for (const name of ["grad_cam", "guided_grad_cam", "grad_cam", "guided_grad_cam"])
                document.querySelector(`#method [data-method=${name}]`).click();
        }"""
    )
    expect(page.locator("#heading p")).to_contain_text("Guided Grad-CAM", timeout=60 * SECONDS)
    page.wait_for_timeout(SECONDS)
    expect(page.locator("#heading p")).to_contain_text("Guided Grad-CAM")


def test_what_is_asked_in_one_moment_is_asked_at_once(open_page: OpenPage) -> None:
    page = open_page()
    sent: list[str] = []

    def note(request: Request) -> None:
        if "/queue/join" in request.url:
            sent.extend(one for one in request.post_data_json["data"] if isinstance(one, str) and "method" in one)

    page.on("request", note)
    page.evaluate(
        """() => {
            convlensPage.ask({method: "saliency"});
            convlensPage.ask({method: "guided_backprop"});
            convlensPage.ask({label: "lynx"});
        }"""
    )
    expect(page.locator("#heading p")).to_contain_text("Guided backprop", timeout=60 * SECONDS)
    expect(page.locator("#heading h2")).to_have_text("Why lynx?")
    assert [json.loads(one) for one in sent] == [
        {"method": "saliency"},
        {"method": "guided_backprop", "label": "lynx"},
    ]
