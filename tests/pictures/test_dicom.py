import io
import math
import sys
import types

import numpy as np
import pytest

from engine.errors import PhotoError
from engine.pictures.photo import load_photo

HEAD = bytes(128) + b"DICM"
CT = np.array([[0, 24, 1024, 1064, 2024, 4095]], np.uint16)


class Data(dict):
    """What pydicom's data set is to who asks: tags by attribute, by `in`, and by `get`."""

    __getattr__ = dict.__getitem__


def file_of(monkeypatch, stored, **tags):
    """A file and a stand-in for pydicom that finds in it these frames [N, H, W] or [N, H, W, 3] and these tags."""
    known = {
        "PixelData": b"", "Rows": stored.shape[1], "Columns": stored.shape[2], "NumberOfFrames": len(stored),
        "BitsStored": 8 * stored.dtype.itemsize, "PhotometricInterpretation": "MONOCHROME2",
    }  # fmt: skip
    package, pixels = types.ModuleType("pydicom"), types.ModuleType("pydicom.pixels")
    package.dcmread = lambda file: Data(known | tags) if file.read() == HEAD else None
    pixels.pixel_array = lambda data, index: stored[index]
    package.pixels = pixels
    monkeypatch.setitem(sys.modules, "pydicom", package)
    monkeypatch.setitem(sys.modules, "pydicom.pixels", pixels)
    return HEAD


def gray(content, **options):
    photo = load_photo(content, **options)
    assert photo.dtype == np.uint8 and photo.flags.writeable and photo.flags.c_contiguous
    assert (photo == photo[:, :, :1]).all()
    return photo[0, :, 0]


def test_without_pydicom_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)  # as where it is not installed
    with pytest.raises(PhotoError, match=r"DICOM file.*PNG, or `pip install pydicom`\."):
        load_photo(HEAD + bytes(99))


def test_without_a_window_it_goes_from_the_least_to_the_largest(monkeypatch):
    exact = CT[0] / 4095 * 255
    assert abs(gray(file_of(monkeypatch, CT[None])) - exact).max() <= 0.5
    rescaled = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    assert abs(gray(file_of(monkeypatch, CT[None], **rescaled)) - exact).max() <= 0.5
    assert abs(gray(file_of(monkeypatch, CT[None].astype(np.int16) - 1024)) - exact).max() <= 0.5
    dark = {"PhotometricInterpretation": "MONOCHROME1"}
    assert abs(gray(file_of(monkeypatch, CT[None], **dark)) - (255 - exact)).max() <= 0.5


def test_padding_has_no_say(monkeypatch):
    padded = gray(file_of(monkeypatch, CT[None], PixelPaddingValue=4095))
    assert abs(padded[:-1] - CT[0, :-1] / 2024 * 255).max() <= 0.5
    assert padded[-1] == 0
    limits = {"PixelPaddingValue": 24, "PixelPaddingRangeLimit": 0}
    assert gray(file_of(monkeypatch, CT[None], **limits)).tolist()[:3] == [0, 0, 0]


@pytest.mark.parametrize("centre", [40, "40", [40, 600]])
def test_the_first_window_is_applied(monkeypatch, centre):
    """By the pseudo-code of DICOM's part 3, C.11.2.1.2.1, of rescaled values."""
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": centre, "WindowWidth": 400}

    def shown(x, c=40, w=400):
        if x <= c - 0.5 - (w - 1) / 2:
            return 0
        if x > c - 0.5 + (w - 1) / 2:
            return 255
        return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255

    exact = np.array([shown(int(value) - 1024) for value in CT[0]])
    assert abs(gray(file_of(monkeypatch, CT[None], **tags)) - exact).max() <= 0.5
    tags["PhotometricInterpretation"] = "MONOCHROME1"
    assert abs(gray(file_of(monkeypatch, CT[None], **tags)) - (255 - exact)).max() <= 0.5


def test_windows_of_other_functions(monkeypatch):
    tags = {"WindowCenter": 1000, "WindowWidth": 1500}
    sigmoid = gray(file_of(monkeypatch, CT[None], VOILUTFunction="SIGMOID", **tags))
    exact = [255 / (1 + math.exp(-4 * (int(value) - 1000) / 1500)) for value in CT[0]]
    assert abs(sigmoid - exact).max() <= 0.5
    straight = gray(file_of(monkeypatch, CT[None], VOILUTFunction="LINEAR_EXACT", **tags))
    assert abs(straight - np.clip((CT[0] - 1000.0) / 1500 + 0.5, 0, 1) * 255).max() <= 0.5
    narrow = {"WindowCenter": 1025, "WindowWidth": 1}
    assert gray(file_of(monkeypatch, CT[None], **narrow)).tolist() == [0, 0, 0, 255, 255, 255]


def test_frames_are_pages(monkeypatch):
    frames = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    content = file_of(monkeypatch, frames, WindowCenter=128, WindowWidth=256)
    for page in (None, 1, 2, 3):
        assert gray(content, page=page).tolist() == frames[(page or 1) - 1, 0].tolist()
    with pytest.raises(PhotoError, match="no page 4: the file has 3 pages, counted from 1"):
        load_photo(content, page=4)


def test_colours(monkeypatch):
    colours = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3)).astype(np.uint8)
    content = file_of(monkeypatch, colours, PhotometricInterpretation="RGB")
    assert np.array_equal(load_photo(content), colours[0])
    assert np.array_equal(load_photo(content, bands=(3, 2, 1)), colours[0, :, :, ::-1])
    twelve = file_of(monkeypatch, colours.astype(np.uint16) * 16, PhotometricInterpretation="RGB", BitsStored=12)
    assert abs(load_photo(twelve) - colours[0] * 16.0 / 4095 * 255).max() <= 0.5


def test_files_without_a_picture_and_pictures_that_are_too_big(monkeypatch):
    for tags in ({"Rows": 60000, "Columns": 60000}, {"Rows": 10**9, "Columns": 1}):
        with pytest.raises(PhotoError, match="megapixels are read"):
            load_photo(file_of(monkeypatch, CT[None], **tags))
    file_of(monkeypatch, CT[None])
    sys.modules["pydicom"].dcmread = lambda file: Data(Rows=1, Columns=1)
    with pytest.raises(PhotoError, match="holds no picture"):
        load_photo(HEAD)


def test_packings_that_pydicom_leaves_to_others(monkeypatch):
    content = file_of(monkeypatch, CT[None])

    def unpack(data, index):
        raise RuntimeError("the following packages are missing")

    sys.modules["pydicom.pixels"].pixel_array = unpack
    with pytest.raises(PhotoError, match=r"packed in a way .*pip install pylibjpeg"):
        load_photo(content)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_for_real(kind):
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    data = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.Rows, data.Columns, data.SamplesPerPixel, data.NumberOfFrames = 1, 6, 1, 2
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation, data.PhotometricInterpretation = int(kind is np.int16), "MONOCHROME1"
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.WindowCenter, data.WindowWidth = [1024, 40], [4096, 400]
    data.PixelData = np.concatenate([CT, CT[:, ::-1]]).astype(kind).tobytes()
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    exact = 255 - CT[0] / 4095 * 255
    assert abs(gray(file.getvalue()) - exact).max() <= 0.5
    assert abs(gray(file.getvalue(), page=2) - exact[::-1]).max() <= 0.5
    with pytest.raises(PhotoError, match=r"damaged|incomplete"):
        load_photo(file.getvalue()[:-5])
