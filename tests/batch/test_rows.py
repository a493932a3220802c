"""What rows owe to no other photo: labels that are whole, controls of their own, photos where they were."""

import sys
import tarfile
from pathlib import Path

import pytest

from engine import Explainer
from engine.batch.exports import write_overlays
from engine.batch.questions import Questions
from engine.batch.reading import read_maps
from engine.batch.report import write_report
from engine.batch.run import explain_folder
from engine.batch.store import rows_of
from engine.errors import PhotoError
from engine.pictures.folder import class_of
from tests.batch.test_batch import explainer, folder_of  # noqa: F401 - a fixture among them


def test_numbers_of_trust_are_a_photos_own(explainer: Explainer, tmp_path: Path) -> None:  # noqa: F811
    photos, questions = folder_of(tmp_path / "photos", 4), Questions(trust=("gini", "hiding"))
    for size in (1, 3):
        explain_folder(photos, tmp_path / str(size), explainer, questions, batch=size)
    alone, together = (
        [(row["path"], [(one["map"], one["column"]) for one in row["trust"]]) for row in rows_of(tmp_path / size)]
        for size in ("1", "3")
    )
    assert alone == together
    for row, other in zip(rows_of(tmp_path / "1"), rows_of(tmp_path / "3"), strict=True):
        values = [one["value"] for one in other["trust"]]
        assert [one["value"] for one in row["trust"]] == pytest.approx(values, abs=1e-4)
    drawn = {one["value"] for row in rows_of(tmp_path / "1") for one in row["trust"] if one["map"] == "random"}
    assert len(drawn) == 8, "each photo has another random map"


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("Tiger_Cat", 1),
        ("tiger cat", 1),
        ("cat", None),
        ("0", 0),
        (2, 2),
        (3, None),
        ("tiger", None),
        ("-1", None),
    ],
)
def test_a_label_is_a_whole_name_or_a_number(told: int | str, wanted: int | None) -> None:
    assert class_of(told, ["catamaran", "tiger cat", "lynx"]) == wanted


def test_photos_are_found_again_in_an_archive(explainer: Explainer, tmp_path: Path) -> None:  # noqa: F811
    folder, archive, out = folder_of(tmp_path / "photos", 3), tmp_path / "shard.tar", tmp_path / "out"
    with tarfile.open(archive, "w") as file:
        file.add(folder, "a")
    explain_folder(archive, out, explainer)
    assert write_overlays(out, tmp_path / "drawn") == 3
    write_report(out, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/jpeg") >= 3
    archive.rename(tmp_path / "elsewhere.tar")
    with pytest.raises(PhotoError, match=r"“a/000.png” is not where the run found it"):
        next(read_maps(out)).overlay()
    with pytest.raises(PhotoError, match="is not where the run found it"):
        write_overlays(out, tmp_path / "none")
    write_report(out, tmp_path / "report.html")
    assert "a/000.png" in (tmp_path / "report.html").read_text()


def test_what_is_not_installed_is_told(
    explainer: Explainer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = folder_of(tmp_path / "photos", 1)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'rows are Parquet: pip install "convlens\[batch\]"'):
        explain_folder(photos, tmp_path / "out", explainer)
