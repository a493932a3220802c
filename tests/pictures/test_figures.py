"""How attributions are drawn: signs, and one scale for several layers."""

from dataclasses import replace

import numpy as np
import pytest

from engine.pictures.colours import colors_of
from engine.pictures.figures import Look, empty_line, picture, scale_of, scale_over
from engine.pictures.geometry import Window

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
WINDOW = Window(4.0, 10.0, 32.0, 32.0)
BOX = np.s_[4:36, 10:42]


def halves(left: float, right: float) -> np.ndarray:
    return np.repeat(np.array([[left, right]], np.float32), 2, axis=0)


def test_what_speaks_against_the_class_is_drawn_where_it_means_something() -> None:
    drawn = picture(PHOTO, WINDOW, halves(-2, 2), Look(strength=1.0), False, signed=True)
    assert np.array_equal(drawn[20, [10, 41]], colors_of("coolwarm")[[1, 255]])
    cut = picture(PHOTO, WINDOW, halves(-2, 2), Look(strength=1.0), False)
    assert np.array_equal(cut[20, 10], PHOTO[20, 10])
    assert np.array_equal(cut[20, 41], colors_of("viridis")[255])


def test_maps_with_signs_keep_their_colours() -> None:
    given = PHOTO, WINDOW, halves(-2, 1)
    assert np.array_equal(
        picture(*given, Look(colormap="turbo"), False, signed=True), picture(*given, Look(), False, signed=True)
    )
    assert not np.array_equal(picture(*given, Look(colormap="turbo"), False), picture(*given, Look(), False))


@pytest.mark.parametrize("signed", [False, True])
def test_a_map_of_nothing_is_the_photo(signed: bool) -> None:
    drawn = picture(PHOTO, WINDOW, np.zeros((7, 7), np.float32), Look(strength=1.0), False, signed)
    assert np.array_equal(drawn[BOX], PHOTO[BOX])


@pytest.mark.parametrize("signed", [False, True])
def test_one_scale_makes_a_weak_layer_weak(signed: bool) -> None:
    """As a tenth of the largest value is drawn in a map that holds that too."""
    look = Look(scale="common", alone=True)
    strong, weak = halves(-3, 3), halves(0, 0.3)
    scale = scale_over([strong, weak], look, signed)
    assert scale == 3.0 == scale_of(strong, look, False, signed)
    drawn = picture(PHOTO, WINDOW, weak, look, False, signed, scale)
    together = picture(PHOTO, WINDOW, halves(3, 0.3), look, False, signed)
    assert np.array_equal(drawn[20, 41], together[20, 41])
    assert not np.array_equal(drawn[20, 41], picture(PHOTO, WINDOW, weak, look, False, signed)[20, 41])
    assert scale_over([strong, weak], replace(look, scale="own")) is None


def test_attributions_of_channels_have_one_scale_too() -> None:
    layers = [np.full((3, 4, 4), value, np.float32) for value in (-4.0, 1.0)]
    scale = scale_over(layers, Look(scale="common"))
    assert scale == 4.0
    weak = picture(PHOTO, WINDOW, layers[1], Look(scale="common"), False, True, scale)
    assert (weak == 160).all()  # a quarter of 127 above the mid-gray
    assert (picture(PHOTO, WINDOW, layers[1], Look(), False, True) == 255).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 0.0])
def test_what_is_no_evidence_has_no_scale(value: float) -> None:
    assert scale_of(np.full((3, 3), value, np.float32), Look(), False) == 0


def test_empty_layers_are_told() -> None:
    assert empty_line(halves(0, 1e-30), False) == ""
    assert empty_line(halves(0, 0), False) == "\nmax 0: nothing for the class"
    assert empty_line(halves(0, 0), True) == empty_line(np.zeros((3, 2, 2)), False) == "\nall 0: no effect"
