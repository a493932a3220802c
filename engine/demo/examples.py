"""The photos that the page offers: scikit-image's, and pairs of them, with one object in each half."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from .. import load_photo
from ..pictures.render import Picture, png

# Whose the photos are, by the names of their files; the page opens with the first one explained.
CREDIT = {
    "chelsea.png": "Chelsea by Stéfan van der Walt (CC0)",
    "coffee.png": "coffee by Rachel Michetti (CC0)",
    "camera.png": "camera by Lav Varshney (CC0)",
    "rocket.jpg": "rocket by SpaceX (public domain)",
}
# Left and right. The default model finds what is in either half about as probable.
PAIRS = {
    "coffee-and-chelsea.png": ("coffee.png", "chelsea.png"),
    "camera-and-chelsea.png": ("camera.png", "chelsea.png"),
}
HALF = 480, 320  # pixels, height and width, of each photo in a pair
SMALL = 144  # pixels, each side of what is shown among others


def write_examples(folder: Path) -> list[Path]:
    """Put the photos where visitors may fetch them. scikit-image's own loader takes a third of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [Path(shutil.copyfile(Path(skimage.data.data_dir, name), folder / name)) for name in CREDIT]
    for name, pair in PAIRS.items():
        halves = [filled(load_photo(folder / half), *HALF) for half in pair]
        written.append(folder / name)
        written[-1].write_bytes(png(np.concatenate(halves, 1)))
    for path in written:
        small(path).parent.mkdir(exist_ok=True)
        Image.fromarray(filled(load_photo(path), SMALL, SMALL)).save(small(path), quality=85)
    return written


def small(path: Path) -> Path:
    """The small square that is shown in the place of an example among the others: the photos weigh megabytes."""
    return path.parent / "small" / f"{path.stem}.jpg"


def filled(photo: Picture, height: int, width: int) -> Picture:
    """The middle of a photo [H, W, 3], as large as fits, at a size of its own."""
    scale = max(height / photo.shape[0], width / photo.shape[1])
    size = max(width, round(photo.shape[1] * scale)), max(height, round(photo.shape[0] * scale))
    whole = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    return np.asarray(whole[top : top + height, left : left + width], np.uint8)


def credit_of(name: str) -> str:
    """Whose an example is, by the name of its file; empty for any other."""
    names = PAIRS.get(name, (name,) if name in CREDIT else ())
    return f"scikit-image: {', '.join(CREDIT[one] for one in names)}" if names else ""
