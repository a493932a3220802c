"""Read anything that people call a photo as uint8 RGB, or say in plain words why not."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import PhotoError

MAX_PIXELS = 25_000_000

_LIMIT = f"at most {MAX_PIXELS // 1_000_000} megapixels are read. Make it smaller and try again."

# Pillow's other readers are left out: some run programs (EPS), some know no signature (TGA).
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")


def load_photo(source: str | Path | bytes) -> NDArray[np.uint8]:
    """Read a photo (a path, or a file's bytes) as it is meant to be seen: RGB [H, W, 3], 0..255, writable.

    EXIF orientation is applied, transparency lies on white, palettes and CMYK are converted, gray deeper than
    8 bits is scaled, and of an animation the first frame counts. At most MAX_PIXELS, checked before decoding.
    Raises PhotoError, whatever the file holds.
    """
    if isinstance(source, bytes):
        return _read(BytesIO(source))
    name = Path(source).name
    try:
        if not Path(source).is_file():
            raise PhotoError(f"There is no photo named “{name}”. Check the name and try again.")
        with Path(source).open("rb") as file:
            return _read(file)
    except OSError as error:
        raise PhotoError(f"The file “{name}” can't be opened. Check its name and permissions.") from error


def _read(file: IO[bytes]) -> NDArray[np.uint8]:
    if not file.read(1):
        raise PhotoError("The file is empty. Choose another photo.")
    file.seek(0)
    try:
        with Image.open(file, formats=_FORMATS) as image:
            _check_size(image)
            image.load()
            with suppress(Exception):  # Broken EXIF data raise anything, and must not cost the picture.
                ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image)
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f"The photo is too big; {_LIMIT}") from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise PhotoError(f"This is not a photo that can be read, or it is damaged. Use one of {kinds}.") from error
    except Exception as error:  # Decoders raise anything from EOFError to SyntaxError on hostile bytes.
        raise PhotoError("The photo is damaged or incomplete. Save it again and retry.") from error


def _check_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels == 0:
        raise PhotoError("The photo has no pixels. Choose another one.")
    if pixels > MAX_PIXELS:
        millions = pixels / 1e6
        raise PhotoError(f"The photo has {image.width} x {image.height} pixels, {millions:.1f} million; {_LIMIT}")


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return np.repeat(_eight_bits(image)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # it would copy all pixels once more


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Scale gray of 16 or 32 bits, or of floats, to 0..255.

    Where the file does not say what white is (int32, float), the values tell: 0..1, 0..255 and 0..65535 are
    taken as such, anything else from its smallest to its largest.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    black, white = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        black, white = 0.0, 65535.0
    elif black >= 0 and white <= 65535:
        black, white = 0.0, next(limit for limit in (1.0, 255.0, 65535.0) if white <= limit)
    return np.rint((values - black) / (white - black or 1.0) * 255).astype(np.uint8)
