"""The programs of examples/ that use this project, run as their first lines say."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import skimage.data

from engine import load

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOS = Path(skimage.data.data_dir)
Run = Callable[..., str]


@pytest.fixture
def run(as_convlens: Path, artifacts: Path, tmp_path: Path) -> Run:
    """Runs an example as its reader does, with convlens installed; returns what it printed."""
    environment = os.environ | {"PYTHONPATH": str(as_convlens), "CONVLENS_HOME": str(artifacts)}

    def run(name: str, *arguments: str | Path) -> str:
        command = [sys.executable, "-W", "ignore", EXAMPLES / name, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("name", ["own_network.py", "own_method.py", "folder.py", "execute.py"])
def test_an_example_tells_how_it_is_used(name: str, as_convlens: Path) -> None:
    """Asked with too many words, it prints its first lines, which name it."""
    environment = os.environ | {"PYTHONPATH": str(as_convlens)}
    command = [sys.executable, "-W", "ignore", EXAMPLES / name, *"abcde"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"python examples/{name}" in done.stderr


def test_a_network_of_ones_own(run: Run, tmp_path: Path) -> None:
    told = run("own_network.py", PHOTOS / "chelsea.png", "own.pt", "own.png")
    assert "2 of 2 activations gated, 1 of them smooth (silu)" in told
    explainer = load(tmp_path / "own.pt")
    assert explainer.labels == ["cat", "dog", "neither"]
    assert {"stem.0", "block", "add"} <= {*explainer.layers}
    assert explainer.manifest["model"]["title"] == "My network"
    assert cv2.imread(str(tmp_path / "own.png")).shape == (300, 451, 3)


def test_a_method_of_ones_own(run: Run) -> None:
    told = run("own_method.py", PHOTOS / "chelsea.png", "own.pt")
    deviation = re.search(r"deviation from autograd: (\S+)", told)
    assert deviation and 0 < float(deviation[1]) < 1e-5
    # At the last layer, behind which there is only an average and a linear layer, the two are one by algebra.
    cosines = [float(found) for found in re.findall(r"cosine with Grad-CAM (\S+)", told)]
    assert cosines[-1] == 1.0 and max(cosines[:-1]) < 0.95
    assert "own.pt: grad_cam, my_hires_cam" in told


def test_a_folder_of_photos(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png"):
        (tmp_path / "photos" / name).write_bytes((PHOTOS / name).read_bytes())
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    run("folder.py", "photos", "out")
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert (rows["chelsea.png"]["class"], rows["coffee.png"]["class"]) == ("tiger cat", "espresso")
    assert "not a photo" in rows["notes.txt"]["error"]
    heat = cv2.imread(str(tmp_path / "out" / "coffee.jpg"))
    assert heat.shape == skimage.data.coffee().shape
    assert heat.std() > 10
