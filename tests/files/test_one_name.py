"""A file's program is the same bytes whatever the package is called where it was made."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ENGINE = Path(__file__).parents[2] / "engine"
PACKAGES = ("engine", "convlens")
MAKE = """
import sys, torch
from torch import nn
import PACKAGE
torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
)
explainer = PACKAGE.compile_model(net.eval(), torch.zeros(1, 3, 16, 16))
PACKAGE.save(explainer, sys.argv[1])
PACKAGE.write_triton(explainer, sys.argv[2], name="tiny")
"""
ASK = """
import sys, torch, PACKAGE
from PACKAGE.__main__ import main
x = torch.linspace(-1, 1, 768).view(1, 3, 16, 16)
for file in sys.argv[1:]:
    explainer = PACKAGE.load(file)
    for method in explainer.one_pass_methods:
        print(method, explainer.explain(x, explainer.one_hot(1), method).double().sum().item())
    assert main(["check", file]) == main(["info", file]) == 0
    print("next")
"""


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package lies under both names, and the files that both wrote."""
    folder = tmp_path_factory.mktemp("packages")
    for package in PACKAGES:
        shutil.copytree(ENGINE, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        run(folder, "-c", MAKE.replace("PACKAGE", package), f"{package}.pt", f"{package}_triton")
    return folder


def manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("convlens/extra/manifest.json"))


def test_both_packages_write_the_same_program(folder: Path) -> None:
    for name in ("{}.pt", "{}_triton/tiny/1/model.pt"):
        one, other = (folder / name.format(package) for package in PACKAGES)
        assert manifest(one)["program"] == manifest(other)["program"]
        with zipfile.ZipFile(one) as archive:
            rooms = [entry.split("/")[3] for entry in archive.namelist() if "/code/" in entry]
        assert {*rooms} == {"convlens", "torch"}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_loads_and_checks_what_the_other_wrote(folder: Path, package: str) -> None:
    files = [f"{writer}.pt" for writer in PACKAGES]
    first, second, end = run(folder, "-c", ASK.replace("PACKAGE", package), *files).split("next\n")
    assert not end
    assert "grad_cam" in first and "\nkept\n" in first
    assert manifest(folder / files[0])["program"] in first
    assert [line for line in first.splitlines() if not line.startswith("made")] == [
        line for line in second.splitlines() if not line.startswith("made")
    ]
