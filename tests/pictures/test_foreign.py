import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from engine.errors import PhotoError
from engine.pictures.foreign import is_heif, refusal
from engine.pictures.photo import load_photo

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def ftyp(*brands):
    return (8 + 4 * (len(brands) + 1)).to_bytes(4) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7\n%", "a PDF document.*Export"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing.*Export"),
        (b"8BPS\0\1", "a Photoshop document.*Export"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL.*Save it as JPEG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL.*Save it as JPEG"),
        (b"v/1\1\2\0\0\0", "OpenEXR.*Save it as TIFF"),
        (b"#?RADIANCE\n", "Radiance HDR.*Save it as TIFF"),
        (b"II*\0\x10\0\0\0CR\2\0", "Canon RAW .CR2.*Develop"),
        (ftyp(b"crx ", b"crx ", b"isom"), "Canon RAW .CR3.*Develop"),
        (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAW.*Develop"),
        (b"IIRO\x08\0\0\0", "Olympus RAW.*Develop"),
        (b"IIU\0\x18\0\0\0", "Panasonic RAW.*Develop"),
        (ftyp(b"isom", b"isom", b"mp42"), "a video .MP4.*frame"),
        (ftyp(b"qt  "), "a video .MP4.*frame"),
        (b"RIFF\0\0\1\0AVI LIST", "a video .AVI.*frame"),
        (b"\x1aE\xdf\xa3\x93B\x82\x88matroska", "a video .Matroska.*frame"),
        (b"SIMPLE  =                    T", "a FITS file.*save the picture as TIFF"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file.*save the picture as TIFF"),
        (bytes(344) + b"n+1\0", "a NIfTI volume.*save the picture as TIFF"),
        (b"\x93NUMPY\1\0", r"a NumPy array.*fromarray"),
        (b"PK\3\4\x14\0", "an archive.*Unpack"),
        (b"<?xml version='1.0'?><!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing.*PNG"),
        (b"\xef\xbb\xbf\n <SVG width='3'>", "an SVG drawing.*PNG"),
        (b"<!DOCTYPE html><html><img></html>", "a web page.*by itself"),
    ],
)
def test_what_is_no_photo_is_named_with_the_way_out(content, said):
    with pytest.raises(PhotoError, match=rf"This is .*{said}.*\.$") as caught:
        load_photo(content + bytes(600))
    assert "not a photo that can be read" in str(caught.value)


def test_what_nobody_knows_has_no_name():
    assert refusal(b"Dear cat,\n") is None
    with pytest.raises(PhotoError, match=r"not a photo that can be read, or it is damaged\. Use one of JPEG"):
        load_photo(b"Dear cat,\n")


def test_an_avif_that_is_not_read_is_called_so():
    assert "AVIF" in str(refusal(ftyp(b"avif", b"mif1", b"miaf")))
    assert not is_heif(ftyp(b"mif1", b"avif", b"miaf"))
    with pytest.raises(PhotoError):
        load_photo(ftyp(b"avif", b"mif1") + bytes(99))


def test_heic_names_its_plug_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    for brands in ((b"heic", b"mif1"), (b"mif1", b"heix"), (b"hevc",)):
        assert is_heif(ftyp(*brands))
        with pytest.raises(PhotoError, match=r"HEIC photo, as iPhones take\. Save it as JPEG, or `pip install"):
            load_photo(ftyp(*brands) + bytes(99))


def test_heic_is_read_by_its_plug_in(monkeypatch):
    """By a stand-in, which opens what it is given as the plug-in does: a picture of Pillow's with pages."""
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime")]
    file = io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    opened = []

    def stand_in(content):
        opened.append(content.read(12))
        return Image.open(file)

    module = types.ModuleType("pillow_heif")
    module.HeifImageFile = stand_in
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    assert np.array_equal(load_photo(HEIC), np.full((3, 4, 3), [255, 0, 0]))
    assert opened == [HEIC[:12]]
    assert np.array_equal(load_photo(HEIC, page=2), np.full((3, 4, 3), [0, 255, 0]))
    with pytest.raises(PhotoError, match="no page 3: the file has 2 pages"):
        load_photo(HEIC, page=3)


def test_heic_for_real():
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    made = heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50)))
    made.add_from_pillow(Image.new("RGB", (64, 48), (0, 100, 50)))
    made.save(file, quality=95)
    assert abs(load_photo(file.getvalue()).astype(int) - [200, 100, 50]).max() <= 3
    assert abs(load_photo(file.getvalue(), page=2).astype(int) - [0, 100, 50]).max() <= 3
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(file.getvalue()[: len(file.getvalue()) // 2])
