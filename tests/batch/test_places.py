"""Photos and rows at an address are what they are in a folder. The address is one of fsspec's own, in memory."""

import io
import tarfile
from pathlib import Path

import fsspec
import pytest

from engine import Explainer
from engine.batch.exports import write_coco, write_overlays
from engine.batch.places import place_of
from engine.batch.questions import Questions
from engine.batch.reading import read_maps
from engine.batch.run import explain_folder
from engine.batch.sources import photos_of
from engine.batch.store import metadata, parts, rows_of
from tests.batch.test_batch import explainer, folder_of  # noqa: F401 - a fixture among them

QUESTIONS = Questions(("hires_cam", "lrp_epsilon_plus"))


@pytest.fixture
def memory(tmp_path: Path) -> str:
    """The address of six photos, one of them broken, and things that are none."""
    files, folder = fsspec.filesystem("memory"), folder_of(tmp_path / "photos", 5, ("bad.png",))
    files.rm("/", recursive=True)
    for photo in folder.iterdir():
        files.pipe(f"/bucket/photos/{'in/' if photo.name > '002' else ''}{photo.name}", photo.read_bytes())
    files.pipe("/bucket/photos/.hidden/000.png", b"")
    files.pipe("/bucket/photos/notes.txt", b"")
    return "memory://bucket"


def test_rows_at_an_address_are_those_of_a_folder(explainer: Explainer, memory: str, tmp_path: Path) -> None:  # noqa: F811
    out = f"{memory}/rows"
    state = explain_folder(f"{memory}/photos", out, explainer, QUESTIONS, batch=4)
    assert (state.done, state.total, state.errors) == (6, 6, 1)
    explain_folder(tmp_path / "photos", tmp_path / "rows", explainer, QUESTIONS, batch=4)
    plain = {row["path"]: row for row in rows_of(tmp_path / "rows")}
    found = {
        row["path"].removeprefix("in/"): row | {"path": row["path"].removeprefix("in/")} for row in rows_of(out)
    }
    assert len(found) == 6 and found == plain
    maps = list(read_maps(out))
    assert len(maps) == 10 and maps[0].overlay().shape == (40, 36, 3)  # the photo is read where it lies
    told = metadata(out)
    assert told is not None and told["source"] == f"{memory}/photos"
    assert write_coco(out, tmp_path / "boxes.json") == sum(len(map.boxes) for map in maps)


def test_a_run_goes_on_at_an_address(explainer: Explainer, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("engine.batch.run.PART", 2)

    def ended(state: object) -> None:
        raise KeyboardInterrupt

    out = f"{memory}/rows"
    with pytest.raises(KeyboardInterrupt):
        explain_folder(f"{memory}/photos", out, explainer, QUESTIONS, batch=2, progress=ended)
    assert len(list(rows_of(out))) == 2
    explain_folder(f"{memory}/photos", out, explainer, QUESTIONS, batch=2)
    names = [row["path"] for row in rows_of(out)]
    assert len(names) == len({*names}) == 6 and len(parts(out)) == 3
    (_, broken), *_ = [(row["path"], row["error"]) for row in rows_of(out) if row["error"]]
    fsspec.filesystem("memory").pipe(
        "/bucket/photos/in/bad.png", place_of(f"{memory}/photos/000.png").read_bytes()
    )
    assert broken and explain_folder(f"{memory}/photos", out, explainer, QUESTIONS, retry_errors=True).errors == 0
    assert all(row["error"] is None for row in rows_of(out)) and len(list(rows_of(out))) == 6
    with pytest.raises(ValueError, match="holds rows of another run, with other asked"):
        explain_folder(f"{memory}/photos", out, explainer, Questions(("saliency",)))


def test_lists_and_archives_at_an_address(memory: str, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    lines = "path,label\n000.png,red\nmemory://bucket/photos/in/003.png,blue\n"
    files.pipe("/bucket/photos/list.csv", lines.encode())
    photos = photos_of(f"{memory}/photos/list.csv")
    assert [(photo.path, photo.label) for photo in photos] == [
        ("000.png", "red"),
        ("memory://bucket/photos/in/003.png", "blue"),
    ]
    assert [photo.read() for photo in photos] == [
        (tmp_path / "photos" / name).read_bytes() for name in ("000.png", "003.png")
    ]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.add(tmp_path / "photos" / "001.png", "001.png")
    files.pipe("/bucket/photos.tar", whole.getvalue())
    (photo,) = photos_of(f"{memory}/photos.tar")
    assert photo.path == "001.png" and photo.read() == (tmp_path / "photos" / "001.png").read_bytes()


def test_a_photo_that_an_address_does_not_give_is_a_row(explainer: Explainer, memory: str) -> None:  # noqa: F811
    fsspec.filesystem("memory").pipe("/bucket/list.csv", b"path\nphotos/000.png\nmemory://bucket/gone.png\n")
    explain_folder(f"{memory}/list.csv", f"{memory}/rows", explainer, QUESTIONS)
    errors = {row["path"]: row["error"] for row in rows_of(f"{memory}/rows")}
    assert errors["photos/000.png"] is None and "can't be opened" in errors["memory://bucket/gone.png"]


@pytest.mark.parametrize(
    ("address", "told"),
    [("s3://bucket/photos", "read by a package that is not installed"), ("nope://photos", "nobody here knows")],
)
def test_an_address_that_nothing_reads_is_refused(address: str, told: str) -> None:
    if address.startswith("s3") and "s3fs" in {*map(str, fsspec.available_protocols())}:
        pytest.skip("s3fs is installed")
    with pytest.raises(ValueError, match=told):
        photos_of(address)


def test_pictures_are_written_here_alone(explainer: Explainer, memory: str) -> None:  # noqa: F811
    explain_folder(f"{memory}/photos", f"{memory}/rows", explainer, QUESTIONS)
    with pytest.raises(
        ValueError, match="overlays are written on this machine, and memory://bucket/x is an address"
    ):
        write_overlays(f"{memory}/rows", f"{memory}/x")
    assert place_of("file:///tmp") == Path("/tmp")
