"""Read anything that people call a photo as uint8 RGB, or say in plain words why not."""

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import PhotoError
from .choice import band_indices, page_index
from .dicom import is_dicom, read_dicom
from .directory import is_tiff
from .foreign import HEAD, is_canon_raw, is_heif, open_heif, refusal
from .png import widen
from .samples import MAX_PIXELS, MOST, TOO_BIG, black_and_white, check_size, eight_bits
from .tiff import read_tiff

__all__ = ["MAX_PIXELS", "load_photo"]

# Pillow's other readers are left out: some run programs (EPS), some know no signature (TGA).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")


def load_photo(
    source: str | Path | bytes, *, page: int | None = None, bands: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """Read a photo (a path, or a file's bytes) as it is meant to be seen: RGB [H, W, 3], 0..255, writable.

    EXIF orientation is applied, transparency lies on white, palettes, CMYK and LAB are converted, and samples
    deeper than 8 bits are scaled from what is black to what is white in the file: by its tags, else by its type,
    else by its values. Of several pages (TIFF, GIF, DICOM, ...) `page` is read, counted from 1; the first if left
    out. Of a photo with more bands than colours `bands` are red, green and blue, counted from 1 as remote sensing
    does, as in (4, 3, 2); a single one is shown as gray. HEIC needs pillow-heif, DICOM pydicom.

    At most MAX_PIXELS, checked before decoding. Raises PhotoError, whatever the file holds.
    """
    if isinstance(source, bytes):
        return _read(BytesIO(source), page, bands)
    name = Path(source).name
    try:
        if not Path(source).is_file():
            raise PhotoError("There is no photo named “{name}”. Check the name and try again.", name=name)
        with Path(source).open("rb") as file:
            return _read(file, page, bands)
    except OSError as error:
        raise PhotoError(
            "The file “{name}” can't be opened. Check its name and permissions.", name=name
        ) from error


def _read(file: IO[bytes], page: int | None, bands: Sequence[int] | None) -> NDArray[np.uint8]:
    head = file.read(HEAD)
    if not head:
        raise PhotoError("The file is empty. Choose another photo.")
    file.seek(0)
    try:
        return _decode(file, head, page, bands)
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(TOO_BIG, most=MOST) from error
    except UnidentifiedImageError as error:
        raise refusal(head) or PhotoError(
            "This is not a photo that can be read, or it is damaged. Use one of {kinds}.",
            kinds=", ".join(FORMATS),
        ) from error
    except Exception as error:  # Decoders raise anything from EOFError to SyntaxError on hostile bytes.
        raise PhotoError("The photo is damaged or incomplete. Save it again and retry.") from error


def _decode(file: IO[bytes], head: bytes, page: int | None, bands: Sequence[int] | None) -> NDArray[np.uint8]:
    if is_dicom(head):
        frame = read_dicom(file, page)
        count = frame.shape[2]
        chosen = band_indices(bands if bands is not None else range(1, count + 1), count)
        return np.ascontiguousarray(frame[:, :, chosen])
    if is_canon_raw(head) and (what := refusal(head)):
        raise what
    if is_tiff(head):
        photo = read_tiff(file, page, bands)
        if photo is not None:
            return photo
    file.seek(0)
    with open_heif(file) if is_heif(head) else Image.open(file, formats=FORMATS) as image:
        _check(image)
        if page is not None:
            image.seek(page_index(page, getattr(image, "n_frames", 1)))
            _check(image)
        _unpack_inks(image)
        image.load()
        seen = widen(image, file) if image.format == "PNG" and page in (None, 1) else image
        with suppress(Exception):  # Broken EXIF data raise anything, and must not cost the picture.
            ImageOps.exif_transpose(seen, in_place=True)
        return _rgb(seen) if bands is None else _bands(seen, bands)


def _check(image: Image.Image) -> None:
    check_size(image.width, image.height)


def _unpack_inks(image: Any) -> None:
    """Have libtiff unpack a TIFF in YCbCr that is not compressed: Pillow's own reader takes its bytes for RGBX."""
    if image.format == "TIFF" and image.tag_v2.get(262) == 6 and image.info.get("compression") == "raw":
        whole = (0, 0, image.tag_v2[256], image.tag_v2[257])  # as they are stored, not as they stand upright
        image.tile = [ImageFile._Tile("libtiff", whole, 0, ("RGBX", "raw", False, image.tag_v2.offset))]
        image.use_load_libtiff = True


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return np.repeat(_gray(image)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # it would copy all pixels once more


def _bands(image: Image.Image, bands: Sequence[int]) -> NDArray[np.uint8]:
    """Return the bands [H, W, 3] as they are stored, without alpha, profiles or inks being applied."""
    if image.mode.startswith(("I", "F")):
        stored: NDArray[Any] = _gray(image)[:, :, None]
    else:
        stored = np.asarray(image.convert({"1": "L", "P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode)))
        stored = stored.reshape(image.height, image.width, -1)
    return np.ascontiguousarray(stored[:, :, band_indices(bands, stored.shape[2])])


def _gray(image: Image.Image) -> NDArray[np.uint8]:
    """Scale gray of 16 or 32 bits, or of floats, to 0..255."""
    values = np.asarray(image)
    if image.mode == "I" and image.format == "PPM":  # Pillow has brought them from the file's own white to this
        return eight_bits(values, 0, 65535)
    return eight_bits(values, *black_and_white(values))
