import numpy as np
import pytest

from engine.errors import PhotoError
from engine.pictures.photo import MAX_PIXELS, load_photo
from tests.pictures.written import ASCII, DOUBLE, LONG, SHORT, packed_page, page, tiff

RNG = np.random.default_rng(0)
TWELVE = np.array([[0, 1, 100, 2047, 2048, 4094, 4095]], np.uint16)
SIGNED = 8


def gray(content, **options):
    photo = load_photo(content, **options)
    assert np.array_equal(photo[:, :, 0], photo[:, :, 1]) and np.array_equal(photo[:, :, 0], photo[:, :, 2])
    return photo[:, :, 0]


def nearest(photo, values, black, white):
    """Each level is the nearest to its value's share of the way from black to white."""
    exact = [[255 * (float(value) - black) / (white - black) for value in row] for row in values]
    assert photo.shape == np.shape(exact)
    assert abs(photo - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("bits", [10, 12, 14, 15])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_largest_sample_value_is_white(bits, order):
    white = 2**bits - 1
    values = np.linspace(0, white, 60).astype(np.uint16).reshape(4, 15)
    nearest(gray(tiff(page(values, tags={281: (SHORT, [white])}), order=order)), values, 0, white)
    nearest(gray(tiff(page(values), order=order)), values, 0, 65535)


def test_the_least_sample_value_is_black():
    tags = {280: (SHORT, [100]), 281: (SHORT, [4095])}
    nearest(gray(tiff(page(TWELVE, tags=tags))), TWELVE, 100, 4095)
    colours = np.stack([TWELVE, TWELVE[:, ::-1], TWELVE // 2], axis=2)
    photo = load_photo(tiff(page(colours, 2, tags={281: (SHORT, [4095, 4095, 4095])})))
    for place in range(3):
        nearest(photo[:, :, place], colours[:, :, place], 0, 4095)


def test_limits_of_the_bands_that_are_shown():
    cube = np.stack([TWELVE, TWELVE // 4, TWELVE], axis=2)
    tags = {280: (SHORT, [0, 100, 0]), 281: (SHORT, [9999, 1023, 4095])}
    nearest(gray(tiff(page(cube, tags=tags)), bands=(2,)), TWELVE // 4, 100, 1023)
    nearest(load_photo(tiff(page(cube, tags=tags)), bands=(3, 3, 2))[:, :, 0], TWELVE, 0, 4095)


def test_signed_limits_of_any_type():
    values = np.array([[-2000, -1000, 0, 500, 1000, 3000]], np.int16)
    tags = {340: (SIGNED, [-1000]), 341: (SIGNED, [1000])}
    nearest(gray(tiff(page(values, tags=tags))), values, -1000, 1000)
    floats = np.array([[-1, 0, 2.5, 10, 20]], np.float32)
    nearest(gray(tiff(page(floats, tags={340: (DOUBLE, [0]), 341: (DOUBLE, [10])}))), floats, 0, 10)
    nearest(gray(tiff(page(floats, tags={341: (DOUBLE, [10])}))), floats, -1, 10)


def test_of_eight_bits_a_statistic_changes_nothing():
    values = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert np.array_equal(gray(tiff(page(values, tags={280: (SHORT, [3]), 281: (SHORT, [199])}))), values)
    four = values % 16
    assert np.array_equal(gray(tiff(page(four, tags={281: (SHORT, [15])}))), four * 17)


def test_limits_that_make_no_range_are_none():
    for tags in ({281: (SHORT, [0])}, {280: (SHORT, [9]), 281: (SHORT, [9])}):
        nearest(gray(tiff(page(TWELVE, tags=tags))), TWELVE, 0, 65535)


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero(order):
    """Of any depth: what Pillow inverts by itself (1 and 8 bits) and what it does not."""
    values = RNG.integers(0, 65536, (9, 16)).astype(np.uint16)
    nearest(255.0 - gray(tiff(page(values, 0), order=order)), values, 0, 65535)
    eight = (values >> 8).astype(np.uint8)
    assert np.array_equal(gray(tiff(page(eight, 0), order=order)), 255 - eight)
    lines = [bytes(row) for row in np.packbits(values > 30000, axis=1)]
    for photometric, ink in ((0, 255), (1, 0)):
        one = gray(tiff(packed_page(lines, 16, 1, photometric), order=order))
        assert np.array_equal(one, np.where(values > 30000, 255 - ink, ink))
    floats = np.array([[0, 0.25, 1]], np.float32)
    assert gray(tiff(page(floats, 0), order=order)).tolist() == [[255, 191, 0]]
    tags = {281: (SHORT, [4095])}
    nearest(255.0 - gray(tiff(page(TWELVE, 0, tags=tags), order=order)), TWELVE, 0, 4095)


def test_twelve_bits_that_share_bytes_in_either_order_of_bits():
    lines = [bytes.fromhex("000 800 fff 7ff".replace(" ", ""))]
    swapped = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in line) for line in lines]
    expected = [[0, 128, 255, 127]]
    assert gray(tiff(packed_page(lines, 4, 12))).tolist() == expected
    assert gray(tiff(packed_page(swapped, 4, 12, tags={266: (SHORT, [2])}))).tolist() == expected


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64])
def test_values_below_zero_go_from_the_least_to_the_largest(kind):
    values = np.array([[-100, -3, 0, 50, 120]], kind)
    nearest(gray(tiff(page(values))), values, -100, 120)


def test_samples_of_no_stated_type_are_unsigned():
    assert gray(tiff(page(np.array([[0, 40000, 65535]], np.uint16), tags={339: (SHORT, [4])}))).tolist() == [
        [0, 156, 255]
    ]


def test_unsigned_integers_of_32_bits_do_not_wrap_around():
    values = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert gray(tiff(page(values))).tolist() == [[0, 128, 255]]


def test_nothing_that_is_not_finite_decides_the_range():
    values = np.array([[np.nan, np.inf, -np.inf, 2e6, 1e6, 3e6]], np.float32)
    assert gray(tiff(page(values))).tolist() == [[0, 0, 0, 128, 0, 255]]
    assert gray(tiff(page(values, 0))).tolist() == [[0, 0, 0, 128, 255, 0]]
    assert gray(tiff(page(np.full((1, 3), np.nan, np.float32)))).tolist() == [[0, 0, 0]]


def test_pixels_that_were_not_measured_do_not_either():
    values = np.array([[-9999, 0, 100, 400, 800]], np.int16)
    nearest(gray(tiff(page(values, tags={42113: (ASCII, b"-9999\0")}))), np.maximum(values, 0), 0, 1023)
    floats = np.array([[-9999, 5, -5]], np.float32)
    assert gray(tiff(page(floats, tags={42113: (ASCII, b"-9999\0")}))).tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("count", [2, 3, 4, 6, 12])
def test_bands_that_no_one_has_named_are_to_be_chosen(count):
    cube = RNG.integers(0, 256, (5, 6, count)).astype(np.uint8)
    with pytest.raises(PhotoError, match=rf"has {count} bands .* counted from 1.*--bands .*bands="):
        load_photo(tiff(page(cube)))
    assert np.array_equal(load_photo(tiff(page(cube)), bands=(2, 1, 2)), cube[:, :, [1, 0, 1]])
    assert np.array_equal(gray(tiff(page(cube)), bands=[count]), cube[:, :, -1])
    for wrong in ((1, 2, count + 1), (0, 1, 2)):
        with pytest.raises(PhotoError, match=rf"no band {max(wrong) if min(wrong) else 0}: .*{count} bands"):
            load_photo(tiff(page(cube)), bands=wrong)


def test_more_bands_behind_red_green_and_blue():
    cube = RNG.integers(0, 65536, (5, 6, 5)).astype(np.uint16)
    for count in (4, 5):
        photo = load_photo(tiff(page(cube[:, :, :count], 2, tags={338: (SHORT, [0] * (count - 3))})))
        for place in range(3):
            nearest(photo[:, :, place], cube[:, :, place], 0, 65535)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("multiplied", [False, True])
def test_alpha_lies_on_white(kind, colours, multiplied):
    most = 1.0 if kind is np.float32 else float(np.iinfo(kind).max)
    share = RNG.random((6, 7, colours + 1))
    share[0, 0, :], share[0, 1, -1] = 1, 0
    if multiplied:
        share[:, :, :-1] *= share[:, :, -1:]
    samples = (share * most).astype(kind)
    made = page(samples, 2 if colours == 3 else 1, tags={338: (SHORT, [1 if multiplied else 2])})
    colour, alpha = samples[:, :, :-1] / most, samples[:, :, -1:] / most
    expected = (colour if multiplied else colour * alpha) + 1 - alpha
    assert abs(load_photo(tiff(made)) - 255 * expected).max() <= 1.6


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
def test_gray_with_alpha_in_every_order(planar, photometric):
    samples = np.array([[[100, 255], [100, 0], [255, 255]]], np.uint8)
    content = tiff(page(samples, photometric, planar=planar, tags={338: (SHORT, [2])}))
    assert gray(content).tolist() == [[155, 255, 0] if photometric == 0 else [100, 255, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_samples_stand_upright(orientation):
    """Where tag 274 says that the stored first row and first column belong."""
    values = np.array([[0, 1000, 20000], [30000, 50000, 65535]], np.uint16)
    photo = gray(tiff(page(values, tags={274: (SHORT, [orientation])})))
    first = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert photo.shape == ((2, 3) if orientation < 5 else (3, 2))
    assert photo[first[orientation]] == 0
    along = photo[first[orientation][0], :] if orientation < 5 else photo[:, first[orientation][1]]
    assert {*along.tolist()} == {0, 4, 78}


def test_pages_are_counted_from_one():
    pages = [page(np.full((2, 3), 257 * level, np.uint16)) for level in (10, 20, 30)]
    for content in (tiff(*pages), tiff(*pages, order=">", big=True)):
        assert [int(gray(content, page=number).max()) for number in (None, 1, 2, 3)] == [10, 10, 20, 30]
        for wrong in (0, 4, -1):
            with pytest.raises(PhotoError, match=f"no page {wrong}: the file has 3 pages, counted from 1"):
                load_photo(content, page=wrong)
    with pytest.raises(PhotoError, match="no page 2: the file has one page alone"):
        load_photo(tiff(pages[0]), page=2)


def test_what_a_sensor_saw_is_no_photo():
    thumbnail = np.zeros((2, 3, 3), np.uint8)
    for made in (
        page(thumbnail, 2, tags={254: (LONG, [1]), 330: (LONG, [8])}),
        page(thumbnail, 2, tags={50706: (SHORT, [1])}),
        page(TWELVE, 32803),
        page(TWELVE, 34892),
    ):
        with pytest.raises(PhotoError, match=r"RAW.*Develop it"):
            load_photo(tiff(made))


def test_kinds_that_are_not_read_are_refused_with_a_way_out():
    mixed = page(TWELVE.astype(np.uint8), tags={258: (SHORT, [5, 6, 5]), 277: (SHORT, [3])})
    complex_ = page(TWELVE.astype(np.uint32), tags={339: (SHORT, [6])})
    lerc = page(TWELVE, tags={259: (SHORT, [34887])})
    for made in (mixed, complex_, lerc):
        with pytest.raises(PhotoError, match=r"TIFF is of a kind that is not read.*Save it as"):
            load_photo(tiff(made))


def test_size_is_checked_before_anything_is_unpacked():
    cube = np.zeros((1, 1, 3), np.uint16)
    for tags in ({256: (LONG, [MAX_PIXELS + 1])}, {256: (LONG, [2**31]), 257: (LONG, [2**31])}):
        with pytest.raises(PhotoError, match="megapixels are read"):
            load_photo(tiff(page(cube, 2, compression=8, tags=tags)))
    tiles = {256: (LONG, [9]), 257: (LONG, [9]), 322: (LONG, [2**20]), 323: (LONG, [2**20])}
    with pytest.raises(PhotoError, match="too big"):
        load_photo(tiff(page(cube, 2, compression=8, tile=(1, 1), tags=tiles)))
    for tags in ({257: (LONG, [0])}, {256: (LONG, [0])}):
        with pytest.raises(PhotoError, match="no pixels"):
            load_photo(tiff(page(cube, 2, tags=tags)))


@pytest.mark.parametrize("planar", [False, True])
def test_fewer_samples_than_colours_are_damage(planar):
    for count in (1, 2):
        with pytest.raises(PhotoError, match="damaged"):
            load_photo(tiff(page(np.zeros((4, 4, count), np.uint16), 2, planar=planar)))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_cut_short(compression, part):
    content = tiff(page(RNG.integers(0, 65536, (40, 50, 3)).astype(np.uint16), 2, compression=compression))
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(content[: int(part * len(content))])


def test_damage_gives_a_photo_or_a_photo_error():
    cube = RNG.integers(0, 65536, (12, 13, 3)).astype(np.uint16)
    for made in (page(cube, 2), page(cube, 2, compression=8, tile=(16, 16)), page(cube, planar=True)):
        content = np.frombuffer(tiff(made, made), np.uint8)
        for number in range(200):
            broken = content.copy()
            broken[RNG.integers(300 if number % 2 else len(content), size=4)] = RNG.integers(256, size=4)
            try:
                assert load_photo(broken.tobytes(), page=1 + number % 2).shape[2] == 3
            except PhotoError as error:
                assert str(error).endswith(".")  # noqa: PT017 - either outcome is right.
