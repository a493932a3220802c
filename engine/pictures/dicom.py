"""DICOM, as hospitals' scanners write it, where pydicom is installed: the picture as its window shows it."""

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from .choice import page_index
from .samples import check_size, eight_bits


def is_dicom(head: bytes) -> bool:
    """Tell whether a file that begins so is a DICOM file."""
    return head[128:132] == b"DICM"


def read_dicom(file: IO[bytes], page: int | None) -> NDArray[np.uint8]:
    """Read one frame, counted from 1: gray [H, W, 1] or RGB [H, W, 3].

    Gray goes through the file's rescaling and its first window; without one its least value is black and its
    largest white, padding apart. MONOCHROME1 is inverted. Raises PhotoError without pydicom, for a file without a
    picture, and for one that pydicom can't unpack.
    """
    try:
        import pydicom
        from pydicom import pixels
    except ImportError as missing:
        raise PhotoError(
            "This is a DICOM file, as hospitals' scanners write. Save its picture as PNG, "
            "or `pip install pydicom`."
        ) from missing
    data = pydicom.dcmread(file)
    if "PixelData" not in data:
        raise PhotoError(
            "This DICOM file holds no picture but a report or a plan, or it is incomplete. Choose another one."
        )
    check_size(int(data.Columns), int(data.Rows))
    index = page_index(page, int(data.get("NumberOfFrames") or 1))
    try:
        stored = np.asarray(pixels.pixel_array(data, index=index))
    except (ImportError, NotImplementedError, RuntimeError) as error:
        raise PhotoError(
            "This DICOM picture is packed in a way that pydicom does not unpack by itself. Save it as PNG, or "
            "`pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`."
        ) from error
    if data.PhotometricInterpretation == "PALETTE COLOR":
        stored = np.asarray(pixels.apply_color_lut(stored, data))
        return eight_bits(stored, 0, np.iinfo(stored.dtype).max)
    if stored.ndim == 3:
        return eight_bits(stored, 0, 2 ** int(data.BitsStored) - 1)
    return _gray(data, pixels, stored)[:, :, None]


def _gray(data: Any, pixels: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Return stored values [H, W] as they are shown: rescaled, windowed, inverted where black is the largest."""
    holes = None
    if (padding := data.get("PixelPaddingValue")) is not None:
        other = data.get("PixelPaddingRangeLimit", padding)
        holes = (stored >= min(padding, other)) & (stored <= max(padding, other))
    if "ModalityLUTSequence" in data:
        values = np.asarray(pixels.apply_modality_lut(stored, data))
    else:
        values = stored * float(data.get("RescaleSlope") or 1) + float(data.get("RescaleIntercept") or 0)
    width, centre = _first(data.get("WindowWidth")), _first(data.get("WindowCenter"))
    if width is not None and centre is not None and width > 0:
        values, black, white = _windowed(values, centre, width, data.get("VOILUTFunction") or "LINEAR")
    elif "VOILUTSequence" in data:
        values = np.asarray(pixels.apply_voi_lut(values.astype(stored.dtype), data))
        black, white = 0.0, float(2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        shown = values if holes is None or holes.all() else values[~holes]
        black, white = float(shown.min()), float(shown.max())
    if data.PhotometricInterpretation == "MONOCHROME1":
        black, white = white, black
    return eight_bits(values, black, white, holes)


def _windowed(
    values: NDArray[Any], centre: float, width: float, function: str
) -> tuple[NDArray[Any], float, float]:
    """Return values, black and white of a window, by DICOM's part 3, C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))), 0.0, 1.0
    if function == "LINEAR_EXACT":
        return values, centre - width / 2, centre + width / 2
    return values, centre - width / 2, centre + width / 2 - 1  # of whole numbers: the width counts both ends


def _first(value: Any) -> float | None:
    """Return a number, or the first of several, as a file with several windows has."""
    if value is None or value == "":
        return None
    return float(value[0]) if hasattr(value, "__len__") and not isinstance(value, str) else float(value)
