"""What the colours mean, and the raw values beside them: for each method, view and layer as it is drawn."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine.demo import words
from engine.demo.look import CSS
from engine.demo.question import Look
from engine.demo.scene import Photo, Scene
from engine.pictures.colours import colors_of
from engine.pictures.geometry import Geometry
from engine.pictures.render import gradient_picture
from tests.demo.hands import (
    OpenPage,
    asks,
    changed,
    choose_method,
    picture,
)

RAMP = "getComputedStyle(document.querySelectorAll('#legend i')[{}]).backgroundImage"


def choose(page: Page, name: str) -> None:
    before = picture(page)
    page.get_by_text(name, exact=True).click()
    changed(page, before)


def ends(page: Page, number: int = 0) -> tuple[list[int], list[int]]:
    """The first and the last colour of a ramp of the legend."""
    colours = re.findall(r"rgb\((\d+), (\d+), (\d+)\)", str(page.evaluate(RAMP.format(number))))
    first, *_, last = [[int(part) for part in colour] for colour in colours]
    return first, last


def drawn(red: float, view: str) -> list[int]:
    """The colour that the page draws where red alone has so much of the largest value."""
    attribution = np.zeros((3, 1, 2))
    attribution[0, 0] = red, 1
    return [int(part) for part in gradient_picture(attribution, view, False, 1.0)[0, 0]]  # type: ignore[arg-type]


def test_the_map_of_a_layer_speaks_for_the_class(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#legend")).to_have_text(re.compile("nothing.*speaks for the class"))
    expect(page.locator("#range")).to_have_text(
        re.compile(r"Range \S+ to \d[\d.e-]*; colours are scaled to this layer's largest\.")
    )


def test_saliency_is_told_as_what_it_is(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose_method(page, "saliency")
    changed(page, before)
    expect(page.locator("#legend")).to_contain_text("changes the score most, up or down")
    expect(page.locator("#legend")).not_to_contain_text("for the class")
    expect(page.locator("#range")).to_have_text(re.compile(r"Range \S+ to \S+; .* its largest"))


def test_signed_maps_have_the_colours_that_they_are_drawn_in(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose_method(page, "guided_backprop")
    changed(page, before)
    legend = page.locator("#legend")
    expect(legend).to_have_text(re.compile("lowers the score.*raises it"))
    expect(legend.locator("i")).to_have_count(3)
    assert ends(page, 0) == (drawn(-1, "all"), drawn(1, "all"))
    expect(page.locator("#range")).to_have_text(re.compile(r"Range \u2212\S+ to \S+; colours"))
    choose(page, "positive")
    expect(legend).to_have_text(re.compile("no effect.*raises the score"))
    assert ends(page, 0) == (drawn(0, "positive"), drawn(1, "positive"))
    choose(page, "negative")
    expect(legend).to_have_text(re.compile("no effect.*lowers the score"))
    choose(page, "Gray")
    expect(legend.locator("i")).to_have_count(1)
    assert ends(page) == ([0, 0, 0], [255, 255, 255])


def test_the_range_follows_the_slider_and_an_empty_map_says_so(open_page: OpenPage) -> None:
    """Grad-CAM of the cat is zero at some layers before the last, and was painted like all others."""
    page = open_page()
    with page.expect_response(re.compile(r"-grad-cam-1-")):  # the frames come last
        choose_method(page, "grad_cam")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    told = page.locator("#range")
    page.locator("#layer input[type=range]").focus()
    seen = {told.inner_text()}
    for number in (71, 70, 69, 68, 66, 65, 63):  # pads and norms are passed over
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#line")).to_have_text(re.compile(f"{number} of 73"))
        seen.add(told.inner_text())
    assert "Nothing here speaks for the class (max 0)." in seen
    assert len(seen) >= 3
    page.keyboard.press("End")
    expect(told).to_have_text(re.compile(r"Range \S+ to"))
    assert asked == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((0.0, 0.0213456, False, 73), "Range 0 to 0.0213; colours are scaled to this layer's largest."),
        ((-3.1e-7, 2.0, True, 0), "Range \u22123.1e\u221207 to 2; colours are scaled to its largest."),
        ((0.0, 0.0, True, 0), "Every value is 0: no pixel changes the score."),
        ((0.0, 0.0, False, 1), "Nothing here speaks for the class (max 0)."),
        ((0.0, 2.0, False, 73, True), "Range 0 to 2; colours are scaled to the largest of all layers."),
    ],
)
def test_ranges_in_words(given: tuple[Any, ...], told: str) -> None:
    assert words.range_told(*given) == told


@pytest.mark.parametrize(
    ("method", "look", "ramp", "told"),
    [
        ("hires_cam", Look(), "viridis", "speaks for the class"),
        ("hires_cam", Look(colormap="turbo"), "turbo", "speaks for the class"),
        ("saliency", Look(colormap="inferno"), "inferno", "changes the score most, up or down"),
        ("occlusion", Look(colormap="turbo"), "coolwarm", "speaks against the class"),
        ("eigen_cam", Look(), "coolwarm", "what most maps share"),
    ],
)
def test_the_ramp_is_made_of_the_colours_that_are_drawn(method: str, look: Look, ramp: str, told: str) -> None:
    legend = words.legend(method, False, look)
    assert f'<i class="{ramp}">' in legend and told in legend
    (stops,) = re.findall(rf"i\.{ramp} {{ background: linear-gradient\(90deg, (.*?)\); }}", CSS)
    found = [[int(part) for part in stop] for stop in re.findall(r"rgb\((\d+) (\d+) (\d+)\)", stops)]
    assert np.array_equal(found, colors_of(ramp)[::15])


def test_the_page_tells_what_the_network_sees(scene: Scene) -> None:
    def told(height: int, width: int, method: str = "hires_cam") -> str:
        photo = Photo("", np.zeros((height, width, 3), np.uint8))
        return words.unseen(*replace(asks(scene, method=method), photo=photo).part)

    assert "only this square of the photo; the rest is dimmed." in told(300, 451)
    assert "only this square of the photo.<" in told(300, 451, "gradient")
    assert "only this square" in told(256, 256)  # the crop leaves a margin all around
    assert words.unseen("", False) == ""
    everything = Geometry((224, 224), (224, 224), "bicubic", (0.0,) * 3, (1.0,) * 3)
    squashed = SimpleNamespace(explainer=SimpleNamespace(geometry=everything), labels=[])
    assert replace(scene, model=squashed).part == ("", False)  # type: ignore[arg-type]
