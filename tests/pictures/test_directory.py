import io
import struct

import numpy as np
import pytest

from engine.pictures.directory import Pages, Tag, is_tiff
from tests.pictures.written import ASCII, DOUBLE, SHORT, page, tiff

SMALL = page(np.zeros((2, 3, 3), np.uint16), 2, tags={42113: (ASCII, b"-9999\0"), 341: (DOUBLE, [2.5])})


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tags_are_read_in_either_order(order, big):
    content = tiff(SMALL, order=order, big=big)
    assert is_tiff(content)
    pages = Pages(io.BytesIO(content))
    told = pages.directory(pages.first)
    assert (told.first(Tag.WIDTH, 0), told.first(Tag.HEIGHT, 0)) == (3, 2)
    assert told.tags[Tag.BITS] == (16, 16, 16)
    assert told.tags[Tag.NO_DATA] == (b"-9999\0",)
    assert told.tags[Tag.SIGNED_MOST] == (2.5,)
    assert told.first(Tag.ORIENTATION, 1) == 1
    assert told.common(Tag.BITS, 1) == 16


def test_samples_that_differ_have_nothing_in_common():
    pages = Pages(io.BytesIO(tiff(page(np.zeros((1, 1)), tags={258: (SHORT, [5, 6, 5])}))))
    assert pages.directory(pages.first).common(Tag.BITS, 1) == -1


@pytest.mark.parametrize("big", [False, True])
def test_pages_end_where_the_chain_does_or_comes_back(big):
    content = bytearray(tiff(SMALL, SMALL, SMALL, big=big))
    pages = Pages(io.BytesIO(content))
    places = [*pages.places()]
    assert len(places) == 3
    assert all(pages.directory(place).first(Tag.WIDTH, 0) == 3 for place in places)
    count, entry, word = (8, 20, "Q") if big else (2, 12, "I")
    (entries,) = struct.unpack_from("<Q" if big else "<H", content, places[2])
    struct.pack_into(f"<{word}", content, places[2] + count + entries * entry, places[0])
    assert [*Pages(io.BytesIO(content)).places()] == places
    assert [*Pages(io.BytesIO(content[: places[2] + 3])).places()] == places


def test_what_the_file_does_not_hold_is_no_tag():
    """Above all no depth: one bit, the standard's own, would be taken for it."""
    content = tiff(SMALL)
    for end in (20, 8 + 2 + 2 * 12, len(content) - 1):  # within an entry, behind one, within the last value
        pages = Pages(io.BytesIO(content[:end]))
        with pytest.raises(struct.error):
            pages.directory(pages.first)
