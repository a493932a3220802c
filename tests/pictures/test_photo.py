import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageColor
from skimage import data

from engine.errors import PhotoError
from engine.pictures.photo import MAX_PIXELS, load_photo
from tests.pictures.written import page, tiff

CAT = data.chelsea()[:120, :200]


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    """A PNG that promises a huge picture and holds next to nothing."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(autouse=True)
def _photos_are_rgb_and_no_global_changes():
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    yield
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


def load(source, **options):
    photo = load_photo(source, **options)
    assert photo.dtype == np.uint8
    assert photo.shape[2:] == (3,)
    assert photo.flags.c_contiguous
    assert photo.flags.writeable  # torch.from_numpy warns otherwise.
    return photo


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG", "JPEG2000", "AVIF"])
def test_formats(kind):
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}
    photo = load(encode(Image.fromarray(CAT), kind, **lossless.get(kind, {})))
    assert photo.shape == CAT.shape
    assert abs(photo.astype(int) - CAT).mean() < (4 if kind in ("GIF", "JPEG", "AVIF") else 0.01)


def test_sources(tmp_path):
    content = encode(Image.fromarray(CAT))
    (tmp_path / "cat.jpg").write_bytes(content)  # the name's ending does not matter
    for source in (content, tmp_path / "cat.jpg", str(tmp_path / "cat.jpg")):
        assert np.array_equal(load(source), CAT)


def test_16_bit_gray_is_scaled():
    deep = np.linspace(0, 65535, 100 * 50).reshape(100, 50).astype(np.uint16)
    expected = np.rint(deep / 65535 * 255)
    for kind in ("PNG", "TIFF", "PPM"):
        photo = load(encode(Image.fromarray(deep), kind))
        assert abs(photo - expected[:, :, None]).max() <= 1, kind
        dark = load(encode(Image.fromarray(deep // 300), kind))
        assert 0 < dark.max() <= 1, kind  # a dark photo stays dark


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(0, 1, 12), np.linspace(0, 255, 12)),
        (np.linspace(0, 255, 12), np.linspace(0, 255, 12)),
        (np.linspace(0, 65535, 12), np.linspace(0, 255, 12)),
        (np.linspace(-3, 5, 12), np.linspace(0, 255, 12)),
        (np.linspace(0, 1e6, 12), np.linspace(0, 255, 12)),
        (np.array([np.nan, np.inf, 0.5, 1.0]), np.array([0, 0, 127.5, 255])),
        (np.zeros(4), np.zeros(4)),
    ],
)
def test_float_tiff_is_scaled_by_its_range(values, expected):
    photo = load(encode(Image.fromarray(values.astype(np.float32)[None]), "TIFF"))
    assert abs(photo - expected[None, :, None]).max() <= 1


def test_32_bit_integers():
    values = np.array([[0, 500, 1000, 2_000_000]], np.int32)
    assert load(encode(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 0, 0, 255]


def test_cmyk_looks_as_in_rgb():
    for kind in ("TIFF", "JPEG"):
        photo = load(encode(Image.fromarray(CAT).convert("CMYK"), kind))
        assert abs(photo.astype(int) - CAT).mean() < 4


@pytest.mark.parametrize("mode", ["1", "L", "RGBX"])
def test_other_colour_modes(mode):
    expected = np.array(Image.fromarray(CAT).convert(mode).convert("RGB"))
    assert abs(load(encode(Image.fromarray(CAT).convert(mode), "TIFF")).astype(int) - expected).max() <= 1


def test_palette():
    palette = Image.fromarray(CAT).quantize(64)
    assert np.array_equal(load(encode(palette)), np.array(palette.convert("RGB")))


def test_alpha_lies_on_white():
    alpha = np.linspace(0, 255, 200).astype(np.uint8)[None, :, None].repeat(120, axis=0)
    expected = np.rint(CAT * (alpha / 255.0) + 255 * (1 - alpha / 255.0))
    for kind in ("PNG", "TIFF"):
        photo = load(encode(Image.fromarray(np.concatenate([CAT, alpha], axis=2)), kind))
        assert abs(photo - expected).max() <= 1
    gray = np.concatenate([CAT[:, :, :1], alpha], axis=2)
    assert abs(load(encode(Image.fromarray(gray, "LA"))) - expected[:, :, :1]).max() <= 1


def test_transparent_palette_entry_and_transparent_colour_are_white():
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    for options in ({"transparency": 1}, {"transparency": bytes([255, 0, 255])}):
        assert load(encode(palette, **options)).tolist() == [[[200, 0, 0], [255, 255, 255], [0, 0, 200]]]
    keyed = Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8))
    assert load(encode(keyed, transparency=(1, 2, 3))).tolist() == [[[9, 9, 9], [255, 255, 255]]]


# The EXIF standard says where row 0 and column 0 of the stored pixels belong; this brings them there.
UPRIGHT = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda a: a.swapaxes(0, 1)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = load(encode(Image.fromarray(CAT), kind, exif=exif.tobytes(), quality=95))
    expected = UPRIGHT[orientation](CAT)
    assert photo.shape == expected.shape
    assert abs(photo.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0no such thing", b"Exif\0\0II*\0"])
def test_broken_exif_does_not_cost_the_photo(kind, exif):
    assert load(encode(Image.fromarray(CAT), kind, exif=exif)).shape == CAT.shape


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    photo = load(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert abs(photo.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_pages_are_counted_from_one(kind):
    colours = ("red", "lime", "blue")
    frames = [Image.new("RGB", (16, 16), colour) for colour in colours]
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    for number, colour in enumerate(colours, start=1):
        photo = load(content, page=number)
        assert abs(photo.astype(int) - ImageColor.getrgb(colour)).max() <= 3
    for wrong in (0, 4, -1):
        with pytest.raises(PhotoError, match=f"no page {wrong}: the file has 3 pages, counted from 1"):
            load_photo(content, page=wrong)
    with pytest.raises(PhotoError, match="no page 2: the file has one page alone"):
        load_photo(encode(frames[0]), page=2)


def test_bands_of_ordinary_photos():
    for kind in ("PNG", "TIFF", "PPM"):
        content = encode(Image.fromarray(CAT), kind)
        assert np.array_equal(load(content, bands=(3, 2, 1)), CAT[:, :, ::-1])
        assert np.array_equal(load(content, bands=(2,)), CAT[:, :, [1, 1, 1]])
        with pytest.raises(PhotoError, match="no band 4: the photo has 3 bands"):
            load_photo(content, bands=(4, 3, 2))
    hidden = np.dstack([CAT, np.zeros_like(CAT[:, :, :1])])
    assert np.array_equal(load(encode(Image.fromarray(hidden)), bands=(1, 2, 3)), CAT)  # what lies below alpha
    palette = Image.fromarray(CAT).quantize(64)
    assert np.array_equal(load(encode(palette), bands=(1, 2, 3)), np.array(palette.convert("RGB")))
    deep = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert load(encode(deep), bands=(1,))[0, :, 0].tolist() == [0, 255]
    with pytest.raises(PhotoError, match="one band alone"):
        load_photo(encode(deep), bands=(1, 2, 3))


@pytest.mark.parametrize("maxval", [31, 255, 1023, 4095, 65535])
def test_netpbm_says_what_white_is(maxval):
    values = np.linspace(0, maxval, 24).astype(np.uint16).reshape(4, 6)
    exact = values / maxval * 255
    stored = values.astype(">u2" if maxval > 255 else np.uint8).tobytes()
    plain = " ".join(map(str, values.reshape(-1).tolist())).encode()
    gray = [b"P5\n6 4\n%d\n" % maxval + stored, b"P2\n6 4\n%d\n" % maxval + plain]
    colour = b"P6\n2 4\n%d\n" % maxval + stored
    for content in gray:
        assert abs(load(content) - exact[:, :, None]).max() <= 0.51
    assert abs(load(colour) - exact.reshape(4, 2, 3)).max() <= 0.51


def test_lab_is_seen_in_its_colours():
    """CIE's formulas of 1976, Bradford's way from D50 to D65, and sRGB's curve (IEC 61966-2-1)."""
    lab = np.array([[100, 0, 0], [0, 0, 0], [50, 0, 0], [60, 20, -30], [40, -20, 15], [80, 5, 60]], np.float64)
    stored = np.stack([np.rint(lab[:, 0] * 2.55), lab[:, 1] % 256, lab[:, 2] % 256], axis=1).astype(np.uint8)
    f = (np.rint(lab[:, 0] * 2.55) / 2.55 + 16) / 116
    f = np.stack([f + lab[:, 1] / 500, f, f - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    to_red, to_green, to_blue = (
        (3.13386, -1.61687, -0.49061),
        (-0.97877, 1.91614, 0.03345),
        (0.07195, -0.22899, 1.40524),
    )
    linear = xyz @ np.array([to_red, to_green, to_blue]).T
    linear = np.clip(linear, 0, 1)
    exact = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert abs(load(tiff(page(stored[None], 8)))[0] - exact).max() <= 2
    deep = np.stack([stored[:, 0] * 257.0, lab[:, 1] * 256 % 65536, lab[:, 2] * 256 % 65536], axis=1).astype(
        np.uint16
    )
    for order in "<>":
        assert abs(load(tiff(page(deep[None], 8), order=order))[0] - exact).max() <= 2


@pytest.mark.parametrize("sharing", [1, 2])
def test_ycbcr_that_is_not_compressed(sharing):
    """JPEG's own formulas, from ITU-R BT.601, where each pixel has its colour, and where four share one."""
    luma = np.random.default_rng(0).integers(60, 190, (12, 20))
    blue, red = np.random.default_rng(1).integers(100, 150, (2, 12 // sharing, 20 // sharing))
    cb, cr = (np.kron(plane, np.ones((sharing, sharing))) - 128 for plane in (blue, red))
    exact = np.stack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], axis=2)
    blocks = luma.reshape(12 // sharing, sharing, 20 // sharing, sharing).swapaxes(1, 2).reshape(*blue.shape, -1)
    units = np.concatenate([blocks, blue[:, :, None], red[:, :, None]], axis=2).astype(np.uint8)
    tags = {
        256: (3, [20]),
        257: (3, [12]),
        258: (3, [8, 8, 8]),
        277: (3, [3]),
        278: (3, [12]),
        530: (3, [sharing] * 2),
    }
    assert abs(load(tiff(page(units, 6, tags=tags))) - exact).max() <= 1.5
    lying = tags | {274: (3, [6])}
    assert abs(load(tiff(page(units, 6, tags=lying))) - UPRIGHT[6](exact)).max() <= 1.5


@pytest.mark.parametrize("size", [(1, 1), (2, 5000), (5000, 2)])
def test_extreme_shapes(size):
    picture = Image.new("RGB", size, (10, 20, 30))
    photo = load(encode(picture))
    assert photo.shape == (size[1], size[0], 3)
    assert (photo == [10, 20, 30]).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_truncated(kind, part):
    content = encode(Image.fromarray(CAT), kind)
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(content[: int(part * len(content))])


def test_random_damage_gives_a_photo_or_a_photo_error():
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        content = np.frombuffer(encode(Image.fromarray(CAT[:20, :30]), kind), np.uint8)
        for _ in range(60):
            broken = content.copy()
            broken[rng.integers(len(broken), size=5)] = rng.integers(256, size=5)
            try:
                load(broken.tobytes())
            except PhotoError as error:
                assert str(error).endswith(".")  # noqa: PT017 - either outcome is right.


def test_empty_text_and_programs_are_refused():
    with pytest.raises(PhotoError, match="empty"):
        load_photo(b"")
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    postscript = encode(Image.fromarray(CAT), "EPS")  # Pillow would start Ghostscript.
    for content in (b"Dear cat,\n", b"\0", drawing, postscript):
        with pytest.raises(PhotoError, match="not a photo"):
            load_photo(content)


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (MAX_PIXELS + 1, 1),
        (10_000, 10_000),  # Pillow warns
        (60_000, 60_000),  # Pillow raises
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # no error in a user's process
def test_bomb_is_refused_by_its_header(width, height):
    with pytest.raises(PhotoError, match="megapixels are read"):
        load_photo(png_header(width, height))


def test_bomb_is_refused_where_warnings_are_errors():
    with pytest.raises(PhotoError, match="too big"):
        load_photo(png_header(10_000, 10_000))


def test_largest_photo_is_read():
    photo = load(encode(Image.new("1", (5000, MAX_PIXELS // 5000), 1)))
    assert photo.size == 3 * MAX_PIXELS
    assert photo.min() == 255


def test_missing_file_is_named_without_its_folder(tmp_path):
    for source in (tmp_path / "dog.jpg", str(tmp_path / "dog.jpg")):
        with pytest.raises(PhotoError, match=r"dog\.jpg") as caught:
            load_photo(source)
        assert str(tmp_path) not in str(caught.value)
    for source in (tmp_path, "x" * 5000, "nul\0byte"):
        with pytest.raises(PhotoError):
            load_photo(source)
