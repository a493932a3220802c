"""The panel "What fires here" by mouse, finger and keyboard: channels, places, and the frame of what one sees."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from engine import Explainer, load, load_photo
from engine.files.fields import field_of
from tests.demo.hands import LITE, PHONE, SECONDS, TIGER_CAT, OpenPage, changed, choose_method, picture

HEIGHT, WIDTH = 300, 451  # of the cat's photo
# It becomes 256 x 384 pixels, of which the network sees 224 x 224 in the middle: in pixels of the photo,
TALL, WIDE = HEIGHT * 224 / 256, WIDTH * 224 / 384
TOP, LEFT = (HEIGHT - TALL) / 2, (WIDTH - WIDE) / 2


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """An answer takes a pass of the network, and others may wait for theirs."""
    expect.set_options(timeout=60 * SECONDS)
    yield
    expect.set_options(timeout=5 * SECONDS)


@pytest.fixture(scope="module")
def explainer(site: str, artifacts: Path) -> Explainer:
    return load(artifacts / f"{LITE}.pt")


@pytest.fixture(scope="module")
def terms(explainer: Explainer, chelsea: Path) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    """The values of a layer, and those times their gradient, from what `probe` hands out."""
    x = explainer.preprocess(torch.from_numpy(load_photo(chelsea)))
    _, primals, cotangents, _ = explainer.probe(x, explainer.one_hot(TIGER_CAT), "gradient")

    def terms(layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        index = explainer.layer_index(layer)
        return primals[index][0], (primals[index] * cotangents[index])[0]

    return terms


def open_panel(page: Page) -> Locator:
    """Opens the panel by its button, and waits for its answer."""
    button = page.get_by_role("button", name="What fires here")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#answer .tiles .choice").first).to_be_visible()
    return page.locator("#answer")


def channels(answer: Locator) -> list[int]:
    names = answer.locator(".tiles b").all_inner_texts()
    return [int(name.removeprefix("Channel ")) for name in names]


def spot(page: Page, row: float, column: float) -> dict[str, float]:
    """Where a pixel of the cat's photo is on the picture, from its corner: the photo lies in the middle of it."""
    box = page.locator("#picture img").first.bounding_box()
    assert box is not None
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left, top = (box["width"] - scale * WIDTH) / 2, (box["height"] - scale * HEIGHT) / 2
    return {"x": left + scale * column, "y": top + scale * row}


def asked(answer: Locator, row: float, column: float, by: float = 1) -> tuple[int, int]:
    """The pixel that was asked about, once it is there: the clicked one, as near as the screen has pixels."""
    fields = [answer.get_by_label(name) for name in ("Row", "Column")]
    expect(fields[0]).not_to_have_value("")
    found = [int(field.input_value()) for field in fields]
    assert np.abs(np.subtract(found, (row, column))).max() <= by
    return found[0], found[1]


def frame(page: Page) -> list[float]:
    """The frame on the picture, in pixels of the photo: left, top, right, bottom."""
    names = ("x", "y", "width", "height")
    rect = page.locator("#field rect.over")
    x, y, width, height = (float(rect.get_attribute(name) or "nan") for name in names)
    return [x, y, x + width, y + height]


def framed(explainer: Explainer, layer: str, row: float, column: float) -> list[float]:
    """The same as it should be: the field of the unit there, in the square that the network sees."""
    entry = explainer.manifest["layers"][explainer.layer_index(layer)]
    cells = entry["shape"][1]
    place = int((row + 0.5 - TOP) / TALL * cells), int((column + 0.5 - LEFT) / WIDE * cells)
    field = field_of(entry, *place, (224, 224))
    return [
        LEFT + WIDE * field.left / 224,
        TOP + TALL * field.top / 224,
        LEFT + WIDE * field.right / 224,
        TOP + TALL * field.bottom / 224,
    ]


def go_to_layer(page: Page, explainer: Explainer, layer: str) -> None:
    box = page.locator("#layer input[type=number]")
    box.click()
    box.press("Control+a")
    page.keyboard.type(str(explainer.layer_index(layer) + 1))
    page.keyboard.press("Enter")
    expect(page.locator("#answer .layer")).to_have_text(re.compile(f"^{re.escape(layer)} "))


def test_channels_of_the_layer_and_one_of_them_followed_back(
    open_page: OpenPage, explainer: Explainer, terms: Callable[..., Any]
) -> None:
    page = open_page()
    answer = open_panel(page)
    values, adds = terms("bn2.act")
    order = adds.sum((1, 2)).argsort(descending=True).tolist()
    assert channels(answer) == order[:12]
    expect(answer.locator(".layer")).to_have_text("bn2.act · 1280 × 7 × 7 · 73 of 73")
    expect(page.locator("#field rect.over")).to_be_hidden()
    answer.get_by_role("button", name="More channels").click()
    expect(answer.locator(".tiles .choice")).to_have_count(24)
    assert channels(answer) == order[:24]
    answer.locator(".tiles .choice").nth(1).click()
    followed = answer.locator(".followed")
    expect(followed.locator("h4")).to_have_text(
        re.compile(rf"^Channel {order[1]} where it is strongest: {float(values[order[1]].max()):.2g}"[:-1])
    )
    expect(followed.locator("figure")).to_have_count(3)  # what the place sees is all that the network does
    expect(answer.locator(".tiles .choice[aria-pressed=true] b")).to_have_text(f"Channel {order[1]}")
    place = divmod(int(values[order[1]].argmax()), 7)
    expect(page.locator("#place p")).to_have_text(re.compile(f"^Place {place[0]}, {place[1]} of 7 × 7 sees"))
    expect(page.locator("#place")).to_contain_text("the frame is cut off there")
    before = followed.locator("img").nth(2).get_attribute("src")
    way = followed.get_by_role("button", name="Guided backprop")
    way.click()
    expect(way).to_have_attribute("aria-pressed", "true")
    assert followed.locator("img").nth(2).get_attribute("src") != before
    followed.get_by_role("button", name="Close").click()
    expect(followed).to_have_count(0)
    page.get_by_role("button", name="What fires here").click()
    expect(page.locator("#field")).to_have_count(0)
    expect(page.locator("#place p")).to_be_empty()


def test_a_click_on_the_picture_asks_what_fires_there(
    open_page: OpenPage, explainer: Explainer, terms: Callable[..., Any]
) -> None:
    page = open_page()
    answer = open_panel(page)
    go_to_layer(page, explainer, "blocks.4.2")
    page.locator("#field").click(position=spot(page, 120.5, 200.5))
    row, column = asked(answer, 120, 200)
    values, _ = terms("blocks.4.2")
    place = int((row + 0.5 - TOP) / TALL * 14), int((column + 0.5 - LEFT) / WIDE * 14)
    expect(answer.locator("h4")).to_have_text(f"The channels that fire most at place {place[0]}, {place[1]}")
    assert channels(answer) == values[:, *place].argsort(descending=True).tolist()[:12]
    assert frame(page) == pytest.approx(framed(explainer, "blocks.4.2", row, column), abs=0.1)
    first = channels(answer)[0]
    answer.locator(".tiles .choice").first.click()
    expect(answer.locator(".followed h4")).to_have_text(re.compile(f"^Channel {first} at the chosen place"))
    answer.get_by_role("button", name="The whole layer").click()
    expect(answer.locator("h4").last).to_have_text("The channels that add most to tiger cat")
    expect(answer.locator(".followed")).to_have_count(0)
    expect(page.locator("#place p")).to_be_empty()


def test_the_frame_follows_the_slider_without_a_question(open_page: OpenPage, explainer: Explainer) -> None:
    page = open_page()
    open_panel(page)
    page.locator("#field").click(position=spot(page, 150.5, 225.5))
    row, column = asked(page.locator("#answer"), 150, 225)
    seen = []
    for layer in ("bn1.act", "blocks.2.1", "blocks.4.2", "bn2.act"):
        number = explainer.layer_index(layer) + 1
        # Read before the panel asks for the layer on which the slider comes to rest.
        requests = page.evaluate(
            """async (number) => {
                const box = document.querySelector("#layer input[type=number]");
                const before = performance.getEntriesByType("resource").length;
                const rect = document.querySelector("#field rect.over");
                const watch = (done) => new MutationObserver(done).observe(rect, {attributes: true});
                const changed = new Promise(watch);
                box.value = number;
                box.dispatchEvent(new Event("input", {bubbles: true}));
                if (document.querySelector("#line").textContent.indexOf(` ${number} of`) < 0) await changed;
                return performance.getEntriesByType("resource").length - before;
            }""",
            number,
        )
        expect(page.locator("#line")).to_contain_text(f"{layer} · ")
        assert frame(page) == pytest.approx(framed(explainer, layer, row, column), abs=0.1)
        seen.append((requests, page.locator("#place").inner_text()))
        expect(page.locator("#answer .layer")).to_have_text(re.compile(f"^{re.escape(layer)} "))  # and the panel
        asked(page.locator("#answer"), row, column, 0)
    assert [requests for requests, _ in seen] == [0] * 4
    assert len({told for _, told in seen}) == 4


def test_what_lies_outside_has_a_sentence(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page)
    page.locator("#field").click(position=spot(page, 150, 20))
    for told in (page.locator("#place"), answer):
        expect(told).to_contain_text("The network does not see this place")
    expect(page.locator("#field rect.over")).to_be_hidden()
    expect(answer.locator(".tiles")).to_have_count(0)
    answer.get_by_role("button", name="The whole layer").click()
    expect(answer.locator(".tiles .choice")).to_have_count(12)


def test_places_by_keyboard(open_page: OpenPage, explainer: Explainer) -> None:
    page = open_page()
    button = page.get_by_role("button", name="What fires here")
    button.focus()
    page.keyboard.press("Enter")
    answer = page.locator("#answer")
    expect(answer.locator(".tiles .choice")).to_have_count(12)
    row = answer.get_by_label("Row")
    row.focus()
    page.keyboard.type("150")
    page.keyboard.press("Tab")
    page.keyboard.type("225")
    page.keyboard.press("Enter")
    expect(answer.locator("h4")).to_have_text("The channels that fire most at place 3, 3")
    expect(answer.get_by_label("Column")).to_be_focused()
    mark = page.get_by_role("application", name="The place on the picture. Arrow keys move it.")
    mark.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#place p")).to_have_text(re.compile("^Place 2, 4 of 7 × 7"))
    expect(answer.locator("h4")).to_have_text("The channels that fire most at place 2, 4")
    expect(mark).to_be_focused()
    middle = TOP + TALL * 2.5 / 7, LEFT + WIDE * 4.5 / 7
    assert [int(answer.get_by_label(name).input_value()) for name in ("Row", "Column")] == [*map(int, middle)]
    tile = answer.locator(".tiles .choice").nth(2)
    tile.focus()
    page.keyboard.press("Enter")
    expect(answer.locator(".followed")).to_be_visible()
    expect(answer.locator(".tiles .choice").nth(2)).to_be_focused()


def test_a_finger_on_a_phone(open_page: OpenPage) -> None:
    page = open_page(PHONE, touch=True)
    answer = open_panel(page)
    page.locator("#field").tap(position=spot(page, 150.5, 225.5))
    asked(answer, 150, 225, 2)  # which are less than a pixel of the screen each
    answer.locator(".tiles .choice").first.tap()
    expect(answer.locator(".followed figure").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_places_on_the_networks_own_input(open_page: OpenPage, explainer: Explainer) -> None:
    page = open_page()
    answer = open_panel(page)
    before = picture(page)
    choose_method(page, "guided_grad_cam")  # whose picture is the square that the network sees
    page.wait_for_function("old => document.querySelector('#picture img')?.src !== old", arg=before)
    expect(page.locator("#picture img").first).to_have_js_property("naturalWidth", 224)
    expect(page.locator("#field")).to_have_attribute("viewBox", "0 0 224 224")
    box = page.locator("#field").bounding_box()
    assert box is not None
    side = min(box["width"], box["height"])
    corner = {"x": (box["width"] - side) / 2 + 0.99 * side, "y": (box["height"] - side) / 2 + 0.99 * side}
    page.locator("#field").click(position=corner)
    asked(answer, TOP + 0.99 * TALL, LEFT + 0.99 * WIDE, 1.5)
    expect(page.locator("#place p")).to_have_text(re.compile("^Place 6, 6 of 7 × 7"))


def test_another_picture_forgets_the_place(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page)
    page.locator("#field").click(position=spot(page, 150.5, 225.5))
    asked(answer, 150, 225)
    before = picture(page)
    page.locator("#classes button").nth(1).click()
    changed(page, before)
    expect(answer.locator("h4")).to_have_text("The channels that add most to Egyptian cat", timeout=60 * SECONDS)
    expect(answer.get_by_label("Row")).to_have_value("")
    expect(page.locator("#place p")).to_be_empty()
    expect(page).to_have_url(re.compile("panel=units"))
    choose_method(page, "saliency")  # of the image itself, which has no layers
    expect(page.locator("#field")).to_have_count(0)
    expect(answer).to_contain_text("This does not apply to what is shown.")
