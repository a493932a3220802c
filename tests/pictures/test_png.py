import io

import numpy as np
import pytest

from engine.pictures.photo import load_photo
from engine.pictures.png import significant_bits
from tests.pictures.written import png

RAMP = np.array([[0, 1, 300, 1000, 2047, 2048, 4000, 4095]], np.uint16)
COLOURS = np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=2)
GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6


def seen(values, white):
    values = values if values.ndim == 3 else values[:, :, None]
    return np.broadcast_to(values / white * 255, (*values.shape[:2], 3))


@pytest.mark.parametrize(("samples", "colour", "bits"), [(RAMP, GRAY, [12]), (COLOURS, RGB, [12, 12, 12])])
def test_samples_in_the_lower_bits_are_seen(samples, colour, bits):
    assert abs(load_photo(png(samples, colour, bits)) - seen(samples, 4095)).max() <= 0.5


@pytest.mark.parametrize(("samples", "colour", "bits"), [(RAMP, GRAY, [12]), (COLOURS, RGB, [12, 12, 12])])
def test_samples_that_are_scaled_as_the_specification_says_stay(samples, colour, bits):
    """By shifting, by repeating the upper bits, or linearly."""
    linear = np.rint(samples.astype(np.float64) * 65535 / 4095).astype(np.uint16)
    for scaled in (samples << 4, samples << 4 | samples >> 8, linear):
        photo = load_photo(png(scaled, colour, bits))
        assert np.array_equal(photo, load_photo(png(scaled, colour)))
        assert abs(photo - seen(scaled, 65535)).max() < 1


@pytest.mark.parametrize(
    "scale", [lambda v: v << 4, lambda v: v << 4 | v >> 8, lambda v: (v * 65535 + 2047) // 4095]
)
def test_a_dark_photo_stays_dark(scale):
    dark = scale(np.arange(256, dtype=np.uint32)).astype(np.uint16)[None]
    assert dark.max() <= 4095
    assert load_photo(png(dark, GRAY, [12])).max() <= 16
    assert load_photo(png(RAMP, GRAY)).max() <= 16  # nothing is said of its bits
    assert load_photo(png(RAMP, GRAY, [16])).max() <= 16


@pytest.mark.parametrize("white", [4095, 65535])
def test_alpha_may_have_a_scale_of_its_own(white):
    alpha = np.linspace(0, white, RAMP.size).astype(np.uint16)[None, :, None]
    share = alpha / white
    for samples, colour, bits in ((COLOURS, RGBA, [12] * 4), (RAMP[:, :, None], GRAY_ALPHA, [12, 12])):
        photo = load_photo(png(np.concatenate([samples, alpha], axis=2), colour, bits))
        assert abs(photo - (seen(samples, 4095) * share + 255 * (1 - share))).max() <= 1.5


def test_what_the_chunk_says():
    for bits, told in (([12], 12), ([9, 10, 11], 11), ([7, 16], 7), ([5, 6, 5, 16], 6)):
        assert significant_bits(io.BytesIO(png(RAMP, GRAY, bits))) == told
    assert significant_bits(io.BytesIO(png(RAMP, GRAY))) == 0
    assert significant_bits(io.BytesIO(png(RAMP, GRAY, [12])[:30])) == 0


def test_colours_of_16_bits_are_read():
    deep = np.random.default_rng(0).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    assert abs(load_photo(png(deep, RGB)) - deep / 257).max() < 1
