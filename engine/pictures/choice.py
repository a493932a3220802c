"""What is asked of a file with more than one picture: which page, and which bands are red, green and blue."""

from collections.abc import Sequence

from ..errors import PhotoError


def page_index(page: int | None, count: int) -> int:
    """Return the place, from 0, of `page`, which people count from 1; the first where none is asked for.

    Raises PhotoError where the file, which has `count` pages, has no such page.
    """
    if page is None:
        return 0
    if not 1 <= page <= count:
        has = "one page alone" if count == 1 else f"{count} pages, counted from 1"
        raise PhotoError(f"There is no page {page}: the file has {has}.")
    return page - 1


def band_indices(bands: Sequence[int], count: int) -> list[int]:
    """Return three places, from 0, of the bands that are to be red, green and blue.

    Bands are counted from 1, as remote sensing and its programs do; a single one is shown as gray. Raises
    PhotoError where the file, which has `count` bands, lacks one of them.
    """
    if len(bands) not in (1, 3):
        raise PhotoError(f"Choose three bands, for red, green and blue, or one for gray, not {len(bands)}.")
    for band in bands:
        if not 1 <= band <= count:
            has = "one band alone" if count == 1 else f"{count} bands, counted from 1"
            raise PhotoError(f"There is no band {band}: the photo has {has}.")
    return [band - 1 for band in (bands if len(bands) == 3 else [*bands] * 3)]


def unchosen(count: int) -> PhotoError:
    """Return the refusal of a photo whose `count` bands are no known colours."""
    some = (3, 2, 1) if count > 2 else (1,)
    return PhotoError(
        "The photo has {count} bands and does not say which are red, green and blue. Choose three, counted from "
        "1, or one for gray: `--bands {option}`, in Python load_photo(path, bands={bands}); or save them as an "
        "RGB photo.",
        count=count, option=",".join(map(str, some)), bands=some,
    )  # fmt: skip
