import io

import numpy as np
import pytest

from engine.pictures.photo import load_photo
from engine.pictures.strips import Packing, unpack
from tests.pictures.written import page, tiff

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (37, 53, 3)).astype(np.uint16)


def seen(values, black, white):
    """What levels the values are nearest to, of whole numbers alone."""
    return (510 * (values.astype(object) - black) // (white - black) + 1) // 2


def loads_as(content, values, black=0, white=65535, **options):
    photo = load_photo(content, **options)
    values = values if values.ndim == 3 else values[:, :, None].repeat(3, axis=2)
    assert photo.dtype == np.uint8
    assert photo.flags.c_contiguous and photo.flags.writeable
    assert np.array_equal(photo, np.asarray(seen(values, black, white), np.uint8))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"rows": 5}, {"tile": (16, 32)}, {"planar": True, "rows": 5}])
@pytest.mark.parametrize(("compression", "predictor"), [(1, 1), (8, 1), (8, 2), (5, 1), (5, 2), (32773, 1)])
def test_every_packing_unpacks(order, layout, compression, predictor):
    for samples, photometric in ((DEEP, 2), (DEEP[:, :, 0], 1)):
        made = page(samples, photometric, compression=compression, predictor=predictor, **layout)
        loads_as(tiff(made, order=order), samples)
        loads_as(tiff(made, order=order, big=True), samples)


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"planar": True}])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_predictor_of_floats(kind, layout):
    levels = RNG.integers(0, 256, (37, 53, 3))
    values = (levels / 255).astype(kind)
    values[0, 0], levels[0, 0] = 1, 255
    for order in "<>":
        for compression in (5, 8):
            made = page(values, 2, compression=compression, predictor=3, **layout)
            assert np.array_equal(load_photo(tiff(made, order=order)), levels)


def test_bands_are_taken_from_where_they_lie():
    cube = RNG.integers(0, 65536, (20, 30, 7)).astype(np.uint16)
    for layout in ({}, {"planar": True}, {"planar": True, "tile": (16, 16)}, {"rows": 3}):
        content = tiff(page(cube, compression=8, predictor=2, **layout))
        loads_as(content, cube[:, :, [3, 2, 1]], bands=(4, 3, 2))
        loads_as(content, cube[:, :, [6, 0, 6]], bands=(7, 1, 7))
        loads_as(content, cube[:, :, 4], bands=(5,))


@pytest.mark.parametrize("bits", [3, 5, 10, 12, 14])
def test_samples_that_share_bytes(bits):
    numbers = RNG.integers(0, 2**bits, (4, 7))
    texts = ["".join(f"{number:0{bits}b}" for number in row) for row in numbers]
    lines = [int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8)) for text in texts]
    packing = Packing(
        shape=(4, 7, 1), bits=bits, kind="u", order="<", compression=1, predictor=1, planar=False,
        reversed_bits=False, piece=(4, 7), padded=False, places=(0,), lengths=(),
    )  # fmt: skip
    assert np.array_equal(unpack(io.BytesIO(b"".join(lines)), packing, [0])[:, :, 0], numbers)
