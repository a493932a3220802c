"""The notebook of the handbook's figures runs as it stands, and shows what it showed when it was committed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are read by nbformat: pip install nbclient ipykernel")

EXAMPLES = Path(__file__).parents[2] / "examples"


def said(notebook: Any) -> list[str]:
    """The text that each cell printed, and how many pictures it drew."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    return [*text, f"{sum('image/jpeg' in output.get('data', {}) for output in outputs)} pictures"]


def test_the_notebook_says_what_it_said(as_convlens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(as_convlens))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    spec = importlib.util.spec_from_file_location("execute", EXAMPLES / "execute.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    committed = nbformat.read(EXAMPLES / "handbook.ipynb", 4)
    wanted = said(committed)
    assert said(program.execute(committed)) == wanted
    assert wanted[-1] == "6 pictures"
    assert any("tiger cat" in text for text in wanted)


def test_the_notebook_has_ten_cells_of_code() -> None:
    cells = nbformat.read(EXAMPLES / "handbook.ipynb", 4).cells
    assert sum(cell.cell_type == "code" for cell in cells) == 10
