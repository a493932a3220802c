"""The panels below the picture, by mouse, finger and keyboard, from the page as it opens."""

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.demo.hands import PHONE, OpenPage, changed, choose_method, picture

NOTHING = re.compile("Nothing is erased yet")
MOVED = re.compile(r"tiger cat (falls|rises|stays) .* of what the network sees erased\.")


def open_panel(page: Page, title: str) -> Locator:
    page.locator("#panels").get_by_role("button", name=title, exact=True).click()
    answer = page.locator("#answer")
    expect(answer.locator("button, pre").first).to_be_visible()
    return answer


def stroke(page: Page, canvas: Locator, *path: tuple[float, float]) -> None:
    """Draw along points, each a share of the canvas."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in path]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def painted(canvas: Locator) -> float:
    """The share of a canvas that is not transparent."""
    return float(
        canvas.evaluate(
            """canvas => {
                const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let index = 3; index < data.length; index += 4) count += data[index] > 0;
                return count / (canvas.width * canvas.height);
            }"""
        )
    )


def bars(answer: Locator) -> list[float]:
    """The first class's probabilities, before and after, in percent."""
    texts = answer.locator(".bars tr.asked td").all_inner_texts()
    return [float(text.replace(" %", "")) for text in texts]


def test_a_brush_moves_the_bars(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Erase")
    finding, canvas = answer.locator(".finding").first, answer.locator("canvas")
    expect(finding).to_have_text(NOTHING)
    before, same = bars(answer)
    assert before == same > 30
    stroke(page, canvas, (0.3, 0.2), (0.7, 0.3), (0.3, 0.5), (0.7, 0.7))
    expect(finding).to_have_text(MOVED)
    assert bars(answer)[0] == before and bars(answer)[1] != before
    first = painted(canvas)
    assert 0.02 < first < 0.5
    answer.get_by_role("button", name="Large", exact=True).click()
    stroke(page, canvas, (0.2, 0.8), (0.8, 0.8))
    expect(answer.get_by_role("button", name="Large", exact=True)).to_have_attribute("aria-pressed", "true")
    assert painted(canvas) > first + 0.05
    answer.get_by_role("button", name="Undo", exact=True).click()
    assert painted(canvas) == first
    answer.get_by_role("button", name="Undo", exact=True).click()
    expect(finding).to_have_text(NOTHING)
    assert painted(canvas) == 0 and bars(answer) == [before, before]


def test_what_lies_below_the_brush_is_chosen(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Erase")
    finding, canvas = answer.locator(".finding").first, answer.locator("canvas")
    stroke(page, canvas, (0.3, 0.3), (0.6, 0.3), (0.6, 0.6))
    expect(finding).to_have_text(MOVED)
    gray, share = bars(answer)[1], painted(canvas)
    answer.get_by_role("button", name="Black", exact=True).click()
    expect(answer.get_by_role("button", name="Black", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(answer.locator(".bars tr.asked td").nth(1)).not_to_have_text(f"{gray} %")
    assert painted(canvas) == share
    color = canvas.evaluate("canvas => [...canvas.getContext('2d').getImageData(30, 20, 1, 1).data]")
    assert color == [0, 0, 0, 255]
    answer.get_by_role("button", name="Clear", exact=True).click()
    expect(finding).to_have_text(NOTHING)


def test_a_finger_erases(open_page: OpenPage) -> None:
    page = open_page(PHONE, touch=True)
    answer = open_panel(page, "Erase")
    canvas = answer.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    answer.get_by_role("button", name="Large", exact=True).tap()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(answer.locator(".finding").first).to_have_text(MOVED)
    assert painted(canvas) > 0.02
    # A finger that moves draws, and does not scroll the page away below it.
    client = page.context.new_cdp_session(page)
    top = page.evaluate("scrollY")
    points = [
        {"x": box["x"] + box["width"] * share, "y": box["y"] + box["height"] * share} for share in (0.2, 0.8)
    ]
    share = painted(canvas)
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for step in range(1, 9):
        at = {axis: points[0][axis] + (points[1][axis] - points[0][axis]) * step / 8 for axis in ("x", "y")}
        client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert painted(canvas) > share + 0.05 and page.evaluate("scrollY") == top


def test_keys_erase_cells(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Erase")
    finding, canvas, told = (
        answer.locator(".finding").first,
        answer.locator("canvas"),
        answer.locator(".board [role=status]"),
    )
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", *["ArrowRight"] * 4):
        page.keyboard.press(key)
    expect(told).to_have_text("Row 3 of 8, column 5 of 12: not erased")
    page.keyboard.press("Space")
    expect(told).to_have_text("Row 3 of 8, column 5 of 12: erased")
    expect(finding).to_have_text(MOVED)
    expect(canvas).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    two = answer.locator(".finding").first
    expect(two).to_have_text(re.compile(r"with 2\.\d %"))
    page.keyboard.press("Control+z")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")  # once more: it is there again
    expect(finding).to_have_text(NOTHING)


def test_the_map_is_put_to_the_test(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Erase")
    canvas = answer.locator("canvas")
    answer.get_by_role("button", name="Top 10 %", exact=True).click()
    expect(answer.locator(".test tbody tr")).to_have_count(3)
    expect(answer.locator(".finding").last).to_have_text(re.compile("At (only )?[0-3] of 3 sizes"))
    expect(answer.locator(".finding").first).to_have_text(
        re.compile("with 10.0 % of what the network sees erased")
    )
    share, first = painted(canvas), answer.locator(".board").get_attribute("data-mask")
    assert 0.05 < share < 0.12
    answer.get_by_role("button", name="Erase as much elsewhere", exact=True).click()
    expect(answer.locator(".test")).to_have_count(0)
    assert painted(canvas) == share
    assert answer.locator(".board").get_attribute("data-mask") != first
    stroke(page, canvas, (0.5, 0.5), (0.6, 0.5))  # one draws on from there
    expect(answer.locator(".finding").first).not_to_have_text(re.compile("with 10.0 %"))
    assert painted(canvas) > share
    answer.get_by_role("button", name="Undo", exact=True).click()
    assert painted(canvas) == share


def test_what_was_erased_goes_with_the_photo(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Erase")
    canvas = answer.locator("canvas")
    stroke(page, canvas, (0.4, 0.4), (0.6, 0.6))
    expect(answer.locator(".finding").first).to_have_text(MOVED)
    share, before = painted(canvas), picture(page)
    page.locator("#classes button").nth(1).click()  # another class: the same part is gone
    changed(page, before)
    expect(answer.locator(".finding").first).to_have_text(re.compile("^Egyptian cat .* erased"))
    assert painted(canvas) == share
    before = picture(page)
    page.locator("#examples button").nth(1).click()
    changed(page, before)
    expect(answer.locator(".finding").first).to_have_text(NOTHING)
    assert painted(answer.locator("canvas")) == 0


def test_boxes_follow_the_threshold(open_page: OpenPage) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = open_panel(page, "Localise")
    slider = answer.get_by_role("slider")
    expect(answer.locator("figure img")).to_have_count(2)
    first = answer.locator("#boxes-text").inner_text()
    slider.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    expect(answer.locator("#boxes-text")).not_to_have_text(first)
    expect(slider).to_be_focused()
    value = int(slider.input_value())
    assert value > 20
    expect(answer.locator("output")).to_have_text(f"{value} %")
    answer.get_by_role("button", name="All", exact=True).click()
    expect(answer.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "true")
    answer.get_by_role("button", name="Copy the numbers as JSON").click()
    expect(answer.locator(".to-copy [role=status]").first).to_have_text("Copied.")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["threshold"] == value / 100
    assert len(copied["boxes"]) == answer.locator("ol.listed li").count()
    # The threshold stays with the next layer, whose map is another one.
    before = answer.locator("#boxes-json").inner_text()
    page.locator("#layer input[type=number]").fill("40")
    page.keyboard.press("Enter")
    expect(answer.locator("#boxes-json")).to_have_text(re.compile(re.escape(f'"threshold": {value / 100}')))
    expect(answer.locator("#boxes-json")).not_to_have_text(before)


def test_a_method_beside_others_becomes_the_pages(open_page: OpenPage) -> None:
    page = open_page()
    answer = open_panel(page, "Compare")
    answer.get_by_role("button", name="ReLU gates", exact=True).click()
    expect(answer.locator("figure")).to_have_count(4)
    answer.locator("[data-method=guided_backprop]").click()
    expect(page.locator("#heading")).to_have_text(re.compile("Guided backprop"))
    expect(answer.locator("[data-method=guided_backprop]")).to_have_count(0)  # it is what is shown now
    expect(answer.locator("[data-method]")).to_have_count(3)
    gates = answer.get_by_role("button", name="ReLU gates", exact=True)
    expect(gates).to_have_attribute("aria-pressed", "true")
    expect(answer.get_by_role("button", name="One for all", exact=True)).to_have_count(0)  # units differ
    answer.get_by_role("button", name="Two classes", exact=True).click()
    expect(answer.locator("figure")).to_have_count(2)
    drawn = "[...document.querySelectorAll('#answer figure img')].map(image => image.src).join()"
    own = page.evaluate(drawn)
    answer.get_by_role("button", name="One for all", exact=True).click()
    page.wait_for_function(f"own => {drawn} !== own", arg=own)


@pytest.mark.parametrize(
    ("by", "count"), [("Values and colours", 6), ("Two classes", 2), ("Photos", 6), ("Models", 1)]
)
def test_other_things_to_compare(open_page: OpenPage, by: str, count: int) -> None:
    page = open_page()
    answer = open_panel(page, "Compare")
    answer.get_by_role("button", name=by, exact=True).click()
    expect(answer.get_by_role("button", name=by, exact=True)).to_have_attribute("aria-pressed", "true")
    if by == "Models":
        expect(answer.locator("figure").first).to_be_visible()
        assert answer.locator("figure").count() >= count
        return
    expect(answer.locator("figure")).to_have_count(count)


def test_the_program_of_the_layer_that_is_shown(open_page: OpenPage) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = open_panel(page, "How it was computed")
    lines = answer.locator("pre.lines")
    expect(lines).to_have_count(2)
    expect(lines.first).to_have_text(re.compile(r"^bn2_act = kernels\.conv\("))
    expect(lines.last).to_have_text(re.compile(r"ct_bn2_act = torch\.expand"))
    expect(answer).to_contain_text("On the way back: every call keeps its derivative.")
    answer.get_by_role("button", name="Copy the lines of C++").click()
    expect(answer.locator(".to-copy [role=status]").last).to_have_text("Copied.")
    assert 'net.run_method("one_hot", 282), "hires_cam", 72' in page.evaluate("navigator.clipboard.readText()")
    page.locator("#layer input[type=number]").fill("62")
    page.keyboard.press("Enter")
    expect(lines.first).to_have_text(re.compile("blocks_5_3 = kernels"))
    before = picture(page)
    choose_method(page, "guided_backprop")
    changed(page, before)
    expect(answer).to_contain_text("Backward, to the image")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("panel", ["Compare", "Erase", "Localise", "How it was computed"])
def test_a_phone_needs_no_sideways_scrolling(open_page: OpenPage, panel: str, dark: bool) -> None:
    page = open_page(PHONE, dark)
    answer = open_panel(page, panel)
    expect(answer.locator("img, pre").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for button in answer.locator("button:visible").all()[:12]:
        box = button.bounding_box()
        assert box is not None and box["height"] >= 24
