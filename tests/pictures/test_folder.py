"""Which files are photos, and which folders are classes."""

from pathlib import Path

import pytest

from engine.pictures.folder import classes_of, photos_in

LABELS = ["tench", "tiger cat", "Egyptian cat"]


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_photos_are_found_at_any_depth_in_one_order(tmp_path: Path) -> None:
    made(
        tmp_path,
        "b/2.png",
        "b/10.JPG",
        "a.webp",
        "notes.txt",
        ".hidden.png",
        ".cache/x.png",
        "b/c/scan.dcm",
        "x.pdf",
    )
    found = [photo.relative_to(tmp_path).as_posix() for photo in photos_in(tmp_path)]
    assert found == ["a.webp", "b/10.JPG", "b/2.png", "b/c/scan.dcm"]
    with pytest.raises(ValueError, match="there is no folder 'none'"):
        photos_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no photo in 'empty'"):
        photos_in(tmp_path / "empty")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["tiger_cat/1.png", "Tench/1.png"], [0, 1]),
        (["2/1.png", "0/1.png"], [0, 2]),
        (["n01/1.png", "n02/1.png", "n03/1.png"], [0, 1, 2]),  # as many as classes, by name
        (["tiger/1.png", "tench/1.png"], [None, None]),  # the beginning of a name is no class
        (["tench/1.png", "loose.png"], [None, None]),
        (["a.png", "b.png"], [None, None]),
        (["2019/1.png", "2020/1.png"], [None, None]),
        (["Egyptian cat/deep/1.png", "Egyptian cat/2.png"], [2, 2]),
    ],
)
def test_folders_are_classes_where_all_of_them_are(
    tmp_path: Path, names: list[str], wanted: list[int | None]
) -> None:
    photos = photos_in(made(tmp_path, *names))
    assert classes_of(photos, tmp_path, LABELS) == wanted
