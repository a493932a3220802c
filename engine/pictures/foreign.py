"""What people bring that is no photo, or none that is read: named by its first bytes, with the way out."""

from typing import IO

from PIL import Image

from ..errors import PhotoError

HEAD = 4096  # bytes of a file that tell what it is; an SVG may begin with a long comment

_RAW = "Develop it with the camera's or any RAW program and save it as JPEG or TIFF."
_SCIENCE = "Open it with the program that it comes from and save the picture as TIFF or PNG."
_EXPORT = "Export it as PNG or JPEG."
_VIDEO = "Save one of its frames as a picture."

# Where the bytes stand, the bytes, what has them, and the way out.
_SIGNATURES = (
    (0, b"%PDF", "a PDF document", "Export the page, or the picture on it, as PNG or JPEG."),
    (0, b"%!PS", "a PostScript drawing", _EXPORT),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS drawing", _EXPORT),
    (0, b"8BPS", "a Photoshop document", _EXPORT),
    (0, b"gimp xcf", "a GIMP document", _EXPORT),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture", "Save it as JPEG or PNG."),
    (0, b"\xff\x0a", "a JPEG XL picture", "Save it as JPEG or PNG."),
    (0, b"II\xbc", "a JPEG XR picture", "Save it as JPEG or PNG."),
    (0, b"\x00\x00\x01\x00", "an icon", "Save it as PNG."),
    (0, b"DDS ", "a texture (DDS)", "Save it as PNG."),
    (0, b"v/1\x01", "an OpenEXR picture", "Save it as TIFF (float is read) or PNG."),
    (0, b"#?R", "a Radiance HDR picture", "Save it as TIFF (float is read) or PNG."),
    (0, b"P7\n", "a PAM picture", "Save it as PPM or PNG."),
    (0, b"PF\n", "a PFM picture in colour", "Save it as TIFF (float is read) or PNG."),
    (8, b"CR\x02\x00", "a Canon RAW (CR2)", _RAW),
    (6, b"HEAPCCDR", "a Canon RAW (CRW)", _RAW),
    (0, b"FUJIFILMCCD-RAW", "a Fujifilm RAW (RAF)", _RAW),
    (0, b"IIRO", "an Olympus RAW (ORF)", _RAW),
    (0, b"IIRS", "an Olympus RAW (ORF)", _RAW),
    (0, b"MMOR", "an Olympus RAW (ORF)", _RAW),
    (0, b"IIU\x00", "a Panasonic RAW (RW2)", _RAW),
    (0, b"FOVb", "a Sigma RAW (X3F)", _RAW),
    (0, b"\x00MRM", "a Minolta RAW (MRW)", _RAW),
    (8, b"AVI ", "a video (AVI)", _VIDEO),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", _VIDEO),
    (0, b"FLV\x01", "a video (Flash)", _VIDEO),
    (0, b"OggS", "a video (Ogg)", _VIDEO),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)", _VIDEO),
    (0, b"\x00\x00\x01\xb3", "a video (MPEG)", _VIDEO),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a video (Windows Media)", _VIDEO),
    (4, b"moov", "a video (QuickTime)", _VIDEO),
    (4, b"mdat", "a video (QuickTime)", _VIDEO),
    (0, b"SIMPLE  =", "a FITS file", _SCIENCE),
    (0, b"\x89HDF\r\n", "an HDF5 file", _SCIENCE),
    (0, b"\x93NUMPY", "a NumPy array", "Save it as a picture: PIL.Image.fromarray(array).save(\"photo.png\")."),
    (0, b"ZISRAWFILE", "a Zeiss microscope's file (CZI)", _SCIENCE),
    (0, b"\xda\xce\xbe\x0a", "a Nikon microscope's file (ND2)", _SCIENCE),
    (344, b"n+1\x00", "a NIfTI volume", _SCIENCE),
    (0, b"MATLAB 5", "a MATLAB file", _SCIENCE),
    (0, b"AT&TFORM", "a DjVu document", _EXPORT),
    (0, b"PK\x03\x04", "an archive or an office document (ZIP)", "Unpack it, or export its picture as PNG."),
    (0, b"\x1f\x8b", "a packed file (gzip)", "Unpack it first."),
)  # fmt: skip

_HEIF = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}


def is_canon_raw(head: bytes) -> bool:
    """Tell whether a file that begins so is a CR2, which is a TIFF, too, whose first page is a preview."""
    return head[8:12] == b"CR\x02\x00"


def is_heif(head: bytes) -> bool:
    """Tell whether a file that begins so is a HEIC photo, or of another kind of HEIF that Pillow does not read."""
    brands = _brands(head)
    return bool(brands & _HEIF) and not brands & _AVIF


def open_heif(file: IO[bytes]) -> Image.Image:
    """Open a HEIC photo by pillow-heif, where that is installed; its main picture comes first, upright."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as missing:
        raise PhotoError(
            "This is a HEIC photo, as iPhones take. Save it as JPEG, or `pip install pillow-heif`."
        ) from missing
    image: Image.Image = HeifImageFile(file)
    return image


def refusal(head: bytes) -> PhotoError | None:
    """Say what a file that begins so is, and what to do with it; None where nothing is known of it."""
    brands = _brands(head)
    if brands & _AVIF:
        return PhotoError(
            "This is an AVIF picture, which this Pillow reads not or which is damaged. Save it as JPEG or PNG."
        )
    if b"crx " in brands:
        return _foreign("a Canon RAW (CR3)", _RAW)
    if brands and not brands & _HEIF:
        return _foreign("a video (MP4 or QuickTime)", _VIDEO)
    for place, signature, what, way_out in _SIGNATURES:
        if head.startswith(signature, place):
            return _foreign(what, way_out)
    if head.startswith((b"II", b"MM")) and 42 in head[2:4]:
        return PhotoError(
            "This TIFF is of a kind that is not read, or it is damaged. Save it as gray or RGB, or as PNG."
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<") and b"<svg" in text:
        return _foreign("an SVG drawing", _EXPORT)
    if text.startswith((b"<!doctype html", b"<html")):
        return _foreign("a web page", "Save the picture on it by itself.")
    return None


def _foreign(what: str, way_out: str) -> PhotoError:
    return PhotoError("This is {what}, not a photo that can be read. {way_out}", what=what, way_out=way_out)


def _brands(head: bytes) -> set[bytes]:
    """Return the brands that an ISO media file begins with: its own, and those that it is compatible with."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[8 : int.from_bytes(head[:4])]
    return {box[:4], *(box[place : place + 4] for place in range(8, len(box), 4))}
