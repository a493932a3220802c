import pytest

from engine.errors import PhotoError
from engine.pictures.choice import band_indices, page_index, unchosen


def test_pages_are_counted_from_one():
    assert [page_index(page, 3) for page in (None, 1, 2, 3)] == [0, 0, 1, 2]
    for page in (0, 4, -1):
        with pytest.raises(PhotoError, match=f"no page {page}: the file has 3 pages, counted from 1"):
            page_index(page, 3)
    with pytest.raises(PhotoError, match="one page alone"):
        page_index(2, 1)


def test_bands_are_counted_from_one():
    assert band_indices((4, 3, 2), 6) == [3, 2, 1]
    assert band_indices([5], 6) == [4, 4, 4]
    for bands, said in (((7, 1, 1), "no band 7"), ((1, 0, 1), "no band 0"), ((1, 2), "not 2"), ((), "not 0")):
        with pytest.raises(PhotoError, match=said):
            band_indices(bands, 6)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_the_refusal_can_be_followed(count):
    """Its own example is a choice that the photo has."""
    said = str(unchosen(count))
    assert f"has {count} bands" in said
    example = [int(band) for band in said.partition("--bands ")[2].partition("`")[0].split(",")]
    assert len(band_indices(example, count)) == 3
