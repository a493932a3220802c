"""Runs the notebook of this folder in place: python examples/execute.py

It needs nbclient and ipykernel, and `convlens` installed, in this environment.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

NOTEBOOK = Path(__file__).parent / "handbook.ipynb"


def execute(notebook: Any) -> Any:
    """Run all cells in a folder of their own, and keep of each picture its JPEG alone: a fifth of the bytes."""
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
        for output in cell.get("outputs", []):
            if "image/jpeg" in output.get("data", {}):
                output["data"].pop("image/png", None)
    return notebook


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    nbformat.write(execute(nbformat.read(NOTEBOOK, 4)), NOTEBOOK)
