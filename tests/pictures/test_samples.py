from fractions import Fraction

import numpy as np
import pytest

from engine.errors import PhotoError
from engine.pictures.samples import MAX_PIXELS, black_and_white, check_size, eight_bits, on_white


def level(value, black, white):
    """The nearest level in whole numbers; of two as near, the even one."""
    return min(max(round(Fraction(value - black) / Fraction(white - black) * 255), 0), 255)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("black", "white"), [(0, 100), (3, 101), (90, 20)])
def test_levels_are_the_nearest(kind, black, white):
    values = np.arange(128).astype(kind).reshape(4, 32)
    wanted = [[level(int(value), black, white) for value in row] for row in values]
    assert eight_bits(values, black, white).tolist() == wanted


def test_many_values_are_scaled_as_few_are():
    values = np.random.default_rng(0).normal(size=(3, 700_001)).astype(np.float32)
    whole = eight_bits(values, -1, 2)
    for start in (0, 349_999, 699_000):
        assert np.array_equal(whole[:, start : start + 99], eight_bits(values[:, start : start + 99], -1, 2))


def test_extremes_neither_overflow_nor_divide_by_nothing():
    most = np.finfo(np.float64).max
    assert eight_bits(np.array([-most, 0, most]), -most, most).tolist() == [0, 128, 255]
    assert eight_bits(np.array([np.nan, np.inf, -np.inf, 5.0]), 0, 5).tolist() == [0, 0, 0, 255]
    assert eight_bits(np.array([np.nan, 0.0, 5.0]), 5, 0).tolist() == [0, 255, 0]
    assert eight_bits(np.full((2, 2), 7.0), 7, 7).tolist() == [[0, 0], [0, 0]]


def test_holes_are_painted_black():
    values, holes = np.array([9, 0, 9], np.uint16), np.array([True, False, False])
    assert eight_bits(values, 0, 9, holes).tolist() == [0, 0, 255]
    assert eight_bits(values, 9, 0, holes).tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (np.array([3, 9], np.uint8), (0, 255)),
        (np.array([3, 9], np.uint16), (0, 65535)),
        (np.array([0, 1000], np.int16), (0, 1023)),
        (np.array([0, 4095], np.int32), (0, 4095)),
        (np.array([0, 20000], np.int16), (0, 32767)),
        (np.array([0, 100], np.int8), (0, 127)),
        (np.array([5, 65535], np.uint32), (0, 65535)),
        (np.array([5, 65536], np.uint32), (5, 65536)),
        (np.array([-5, 7], np.int16), (-5, 7)),
        (np.array([0.2, 0.7]), (0, 1)),
        (np.array([0.2, 1.5]), (0, 255)),
        (np.array([-0.2, 0.7]), (-0.2, 0.7)),
        (np.array([np.nan, np.inf, -np.inf, 0.5]), (0, 1)),
        (np.array([np.nan]), (0, 1)),
    ],
)
def test_what_is_black_and_white_where_the_values_tell(values, limits):
    assert black_and_white(values) == limits


def test_holes_have_no_say():
    values = np.array([-9999, 3, 300], np.int16)
    assert black_and_white(values, values == -9999) == (0, 1023)
    assert black_and_white(values, values < 1000) == (0, 1)


@pytest.mark.parametrize("multiplied", [False, True])
def test_alpha_lies_on_white(multiplied):
    colour, alpha = (plane.astype(np.uint8) for plane in np.mgrid[:256, :256])
    if multiplied:
        colour = np.minimum(colour, alpha)
    seen = on_white(colour[:, :, None], alpha, multiplied)[:, :, 0]
    share = alpha / 255.0
    assert abs(seen - (colour * (1 if multiplied else share) + 255 * (1 - share))).max() <= 0.5 + 1e-9


def test_a_colour_above_its_own_alpha_is_white_at_most():
    assert on_white(np.array([[[200]]], np.uint8), np.array([[10]], np.uint8), True).item() == 255


def test_sizes():
    check_size(MAX_PIXELS, 1)
    with pytest.raises(PhotoError, match="megapixels"):
        check_size(MAX_PIXELS + 1, 1)
    for size in ((0, 5), (5, 0)):
        with pytest.raises(PhotoError, match="no pixels"):
            check_size(*size)
