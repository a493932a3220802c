import re

from playwright.sync_api import Page, expect

from benchmarks.slider import LAYERS, times_of
from tests.demo.hands import (
    SECONDS,
    OpenPage,
    changed,
    choose_method,
    picture,
    pixels,
)


def test_the_slider_asks_nothing_of_the_server(open_page: OpenPage) -> None:
    page = open_page()
    asked: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    seen = {pixels(page)}
    page.locator("#layer input[type=range]").focus()
    for key, number in (("ArrowLeft", 71), ("Home", 2), ("ArrowRight", 4), ("PageUp", 12), ("End", 73)):
        page.keyboard.press(key)
        expect(page.locator("#line")).to_have_text(re.compile(f"{number} of 73"))
        expect(page.locator("#picture img")).to_have_attribute("src", re.compile(f"hires-cam-{number}-"))
        seen.add(pixels(page))
    assert len(seen) >= 5  # the neighbours of the last layer look much alike
    assert asked == []


def test_frames_of_a_new_view_follow_the_slider(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose_method(page, "guided_grad_cam")
    slider = page.locator("#layer input[type=range]")
    slider.focus()
    page.keyboard.press("Home")  # while the old frames are still there
    changed(page, before)
    # The slider's frame, or the picture itself where the question was sent only after the slider had moved.
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"guided-grad-cam-2-"))
    expect(page.locator("#line")).to_have_text(re.compile(" 2 of 73"))


def shows(page: Page, number: int, of: int = 73) -> None:
    """The box, the track, the line and the picture agree on a layer."""
    expect(page.locator("#layer input[type=number]")).to_have_value(str(number))
    expect(page.locator("#layer input[type=range]")).to_have_value(str(number))
    expect(page.locator("#line")).to_have_text(re.compile(f"{number} of {of}"))
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(f"-{number}-"))


def test_the_number_and_the_reset_move_the_picture(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    box = page.locator("#layer input[type=number]")
    box.click()
    box.press("Control+a")
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    shows(page, 20)
    page.keyboard.press("ArrowUp")
    shows(page, 21)
    page.locator("#layer .reset-button").click()
    shows(page, 73)
    assert asked == []


def test_a_click_on_the_track_moves_the_picture(open_page: OpenPage) -> None:
    page = open_page()
    track = page.locator("#layer input[type=range]")
    size = track.bounding_box()
    assert size is not None
    track.click(position={"x": size["width"] / 2, "y": size["height"] / 2})
    number = int(track.input_value())
    assert 30 < number < 44
    shows(page, number)


def test_wrong_numbers_are_corrected_in_sight(open_page: OpenPage) -> None:
    page = open_page()
    box = page.locator("#layer input[type=number]")
    for typed, number in (("12", 12), ("999", 73), ("8", 8), ("", 8), ("0", 8), ("-3", 8), ("5.4", 5)):
        box.click()
        box.press("Control+a")
        page.keyboard.type(typed) if typed else page.keyboard.press("Delete")
        page.locator("#lead h1").click()  # the box is left
        shows(page, number)


def test_a_number_that_is_too_large_is_corrected_while_it_is_typed(open_page: OpenPage) -> None:
    page = open_page()
    box = page.locator("#layer input[type=number]")
    box.click()
    box.press("Control+a")
    page.keyboard.type("999")
    shows(page, 73)  # and the box has the focus still
    assert page.evaluate("document.activeElement.matches('#layer input[type=number]')")


# Every address that the big picture has had.
WATCH = """() => {
    window.seen = [];
    const note = () => window.seen.push(document.querySelector("#picture img")?.src ?? "");
    new MutationObserver(note).observe(document.querySelector("#picture"),
        {subtree: true, childList: true, attributes: true, attributeFilter: ["src"]});
}"""


def test_the_reset_of_another_model_is_its_own_last_layer(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.get_by_label("Random weights").click()
    before = changed(page, before)
    page.evaluate(WATCH)
    page.get_by_label("Model", exact=True).click()
    page.keyboard.type("SqueezeNet 1.1")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading")).to_contain_text("SqueezeNet 1.1, random weights", timeout=60 * SECONDS)
    page.wait_for_load_state("networkidle")
    last = int(page.locator("#layer input[type=range]").get_attribute("max") or 0)
    assert 5 < last < 73
    # The answer sets the slider, whose frames are those of the model before until its own have come.
    seen = [address for address in page.evaluate("window.seen") if f"-{last}-" in address]
    assert not any("efficientnet_lite0" in address for address in seen), seen
    page.locator("#layer input[type=range]").focus()
    page.keyboard.press("Home")
    shows(page, 1, last)
    page.locator("#layer .reset-button").click()
    shows(page, last, last)


def test_pads_and_norms_are_folded_away_until_they_are_asked_for(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_load_state("networkidle")
    slider, fold = page.locator("#layer input[type=range]"), page.locator("#stages .fold")
    expect(fold).to_have_text("all 73")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    shows(page, 71)  # the norm before the last layer is passed over
    page.keyboard.press("ArrowRight")
    shows(page, 73)
    fold.click()
    expect(fold).to_have_attribute("aria-pressed", "true")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    shows(page, 72)
    page.get_by_role("tab", name="Every layer").click()
    tiles = page.locator("#frames .grid-container > *")
    assert sum(tile.is_visible() for tile in tiles.all()) == 73
    fold.click()
    names = [tile.inner_text() for tile in tiles.all() if tile.is_visible()]
    assert len(names) == 53 and not any("pad" in name or "batch_norm" in name for name in names)


def test_the_network_drawn_small_leads_to_its_layers(open_page: OpenPage) -> None:
    page = open_page()
    bars = page.locator("#stages .network i")
    assert bars.count() == 73
    sizes = [bar.bounding_box() for bar in (bars.first, bars.last)]
    assert sizes[0] and sizes[1] and sizes[0]["height"] > 2 * sizes[1]["height"]  # 112 pixels wide, and 7
    bars.nth(19).click()
    shows(page, 20)
    expect(bars.nth(19)).to_have_attribute("aria-current", "true")
    expect(page.locator("#stages .network [aria-current=true]")).to_have_count(1)


def test_stages_lie_along_the_slider(open_page: OpenPage) -> None:
    page = open_page()
    parts = page.locator("#stages .stages [data-layer]")
    assert parts.all_inner_texts() == ["stem", *(f"stage {number}" for number in range(1, 6)), "head"]
    expect(parts.last).to_have_attribute("aria-current", "true")
    parts.first.click()
    number = int(parts.first.get_attribute("data-layer") or 0)
    shows(page, number)
    expect(parts.first).to_have_attribute("aria-current", "true")
    choose_method(page, "saliency")  # of the image itself
    expect(page.locator("#stages .stages")).to_be_hidden()


def test_the_layers_are_played(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Play the layers").click()  # from the last one: it begins anew
    expect(page.locator("#line")).to_have_text(re.compile(r" [4-9] of 73"))
    page.get_by_role("button", name="Stop").click()
    line = page.locator("#line").inner_text()
    page.wait_for_timeout(500)
    assert page.locator("#line").inner_text() == line
    assert asked == []


def test_the_benchmark_moves_it_through_the_layers(open_page: OpenPage) -> None:
    assert len(times_of(open_page())) == len(LAYERS)  # a layer that is not shown is an error there
