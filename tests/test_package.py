"""What people install: the same files under the name convlens, and nothing that only a checkout has."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import skimage.data

import engine

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def requirements(path: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / path).read_text().splitlines())
    return {line for line in lines if line and not line.startswith("-r")}


def test_the_two_lists_of_requirements_are_one() -> None:
    """Spaces and the README's first command install requirements.txt, pip installs what pyproject.toml says."""
    extras = PROJECT["project"]["optional-dependencies"]
    assert requirements("requirements.txt") == {*PROJECT["project"]["dependencies"], *extras["demo"]}
    assert {*extras["dev"]} == requirements("tests/requirements.txt")


@pytest.mark.parametrize("path", ["requirements.txt", "tests/requirements.txt", "benchmarks/requirements.txt"])
def test_every_requirement_has_an_upper_bound(path: str) -> None:
    for line in requirements(path):
        assert re.search(r"==|<\d", line), f"{path}: {line}"


def test_every_package_is_installed() -> None:
    folders = {path.parent.relative_to(ROOT / "engine") for path in (ROOT / "engine").rglob("__init__.py")}
    wanted = {".".join(("convlens", *folder.parts)) for folder in folders}
    assert {*PROJECT["tool"]["setuptools"]["packages"]} == wanted


def test_the_version_stands_in_one_place() -> None:
    stated = re.compile(rf"""["']{re.escape(engine.__version__)}["']""")
    found = [path.name for path in (ROOT / "engine").rglob("*.py") if stated.search(path.read_text())]
    assert found == ["__init__.py"]
    assert (ROOT / "CHANGELOG.md").read_text().count(f"\n## {engine.__version__} ") == 1


def test_the_face_names_each_room_once() -> None:
    source = (ROOT / "engine" / "__init__.py").read_text()
    typed = {
        name.strip(): room
        for room, names in re.findall(r"^    from \.([\w.]+) import ([\w, ]+)$", source, re.MULTILINE)
        for name in names.split(",")
    }
    assert typed == engine._ROOMS
    assert {*engine.__all__} == {*typed}
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        engine.nothing  # noqa: B018 - asked for its error


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel lies installed, beside the packages that it takes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    source = (
        folder / "source"
    )  # a copy: setuptools leaves a folder behind, and takes what lies there the next time
    shutil.copytree(ROOT / "engine", source / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(source)]
    subprocess.run([*build, "--wheel-dir", str(folder)], check=True, cwd=folder, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python outside of the checkout, where only the wheel can be found."""
    folder = tmp_path_factory.mktemp("outside")
    settings = {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-W", "ignore", *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if key != "CONVLENS_HOME"} | settings
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=300
        )

    return run


def test_a_wheel_holds_the_engine_and_nothing_else(installed: Path) -> None:
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"convlens"}
    own = {path.relative_to(ROOT / "engine") for path in (ROOT / "engine").rglob("*") if path.is_file()}
    own = {path for path in own if "__pycache__" not in path.parts}
    assert {path.relative_to(installed / "convlens") for path in (installed / "convlens").rglob("*.*")} == own


def test_a_wheel_explains_a_photo_and_keeps_its_model_in_the_cache(run: Run) -> None:
    photo = Path(skimage.data.data_dir, "chelsea.png")
    told = run("-m", "convlens", "explain", photo, "-o", "out.png").stdout
    assert "tiger cat" in told
    assert "-> out.png" in told
    where = run("-c", "import convlens; print(*convlens.EXPORTED_MODELS.iterdir())").stdout
    assert re.search(r"cache/convlens/efficientnet_lite0\.pt$", where.strip())


def test_a_wheel_reads_what_the_checkout_wrote_and_both_write_the_same(run: Run, tmp_path: Path) -> None:
    written = tmp_path / "checkout.pt"
    arguments = ("squeezenet1_1", "--weights", "random", "--methods", "grad_cam", "-o")
    command = [sys.executable, "-W", "ignore", "-m", "engine", "export", *arguments, str(written)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert "kept" in run("-m", "convlens", "check", written).stdout
    run("-m", "convlens", "export", *arguments, tmp_path / "wheel.pt")
    ask = "import sys, convlens; print(*(convlens.load(path).manifest['program'] for path in sys.argv[1:]))"
    here, there = run("-c", ask, written, tmp_path / "wheel.pt").stdout.split()
    assert here == there


def test_a_wheel_speaks_of_its_own_command(run: Run) -> None:
    assert "usage: convlens" in run("-m", "convlens", "--help").stdout
    ask = "import convlens\ntry: convlens.load('none.pt')\nexcept convlens.ArtifactError as error: print(error)"
    assert "convlens export MODEL -o none.pt makes one" in run("-c", ask).stdout
