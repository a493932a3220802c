"""PNG of 16 bits whose samples stand in the lower 12, or however many an instrument has."""

import struct
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .samples import eight_bits


def widen(image: Image.Image, file: IO[bytes]) -> Image.Image:
    """Return a loaded PNG with its samples brought to 8 bits by their own depth, where the file's says less.

    The chunk sBIT tells how many bits of a sample are significant. By the PNG specification they are the upper
    ones: samples are scaled to the whole range, white is always 65535, and sBIT changes nothing that one sees.
    Some instruments write their 12 bits into the lower 12 instead. Of such a file the values themselves are the
    proof: none is above 4095, and some are none that scaling 12 bits to 16 could have made. Any other picture is
    returned as it is, a dark one included.
    """
    bits = significant_bits(file)
    if not 0 < bits < 16:
        return image
    file.seek(0)
    # Pillow hands out the upper 8 bits of colours. It has read the whole file by now, so OpenCV meets no damage.
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != (image.height, image.width):
        return image
    colours = values[:, :, :3] if values.ndim == 3 else values
    if not _unscaled(colours, bits):
        return image
    seen = eight_bits(colours, 0, 2**bits - 1)
    if values.ndim == 3:
        seen = seen[:, :, ::-1]  # OpenCV has blue first
    if values.shape[2:] == (4,):
        alpha = values[:, :, 3:]
        seen = np.concatenate([seen, eight_bits(alpha, 0, 65535 if alpha.max() >> bits else 2**bits - 1)], axis=2)
    widened = Image.fromarray(np.ascontiguousarray(seen))
    widened.info = {key: image.info[key] for key in ("exif",) if key in image.info}
    return widened


def significant_bits(file: IO[bytes]) -> int:
    """Return the most bits that a PNG of 16 bits calls significant in any colour; 0 where it says nothing."""
    file.seek(8)
    deep = False
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IHDR":
            deep = file.read(length)[8:9] == b"\x10"
        elif name == b"sBIT" and deep and 1 <= length <= 4:
            bits = file.read(length)
            return max(bits if length % 2 else bits[:-1])  # the last of two or four is alpha's
        elif name in (b"PLTE", b"IDAT") or not deep:
            return 0
        else:
            file.seek(length, 1)
        file.seek(4, 1)
    return 0


def _unscaled(values: NDArray[Any], bits: int) -> bool:
    """Tell whether some sample of 16 bits is none that scaling from `bits` gives, in any way that writers have."""
    most = (1 << bits) - 1
    if values.max(initial=0) > most:
        return False
    every = np.arange(most + 1)
    scaled = np.zeros(1 << 16, np.bool_)
    scaled[every << (16 - bits)] = True  # and by repeating the upper bits, which of samples as dark are zeros
    scaled[np.rint(every * (65535 / most)).astype(np.int64)] = True
    return not bool(scaled[values].all())
