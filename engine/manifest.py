"""What a file tells of itself: manifest.json, its extra file."""

import json
import zipfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from engine.compiler import Compiled
from engine.geometry import Geometry

VERSION = "0.1.0"
# Of this package's own source: a file of another compiler is made anew, whatever its version says.
COMPILER = sha256(b"".join(room.read_bytes() for room in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
FORMAT = 2  # of the manifest and the questions; a file of another format is refused
MANIFEST = "manifest.json"


class ArtifactError(ValueError):
    """A file that is not an artifact of this project, or not of this version of it."""


def describe(compiled: Compiled, geometry: Geometry, source: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a compiled network, without its certificate."""
    coverage = compiled.coverage
    return {
        "format": FORMAT,
        "convlens": VERSION,
        "compiler": COMPILER,
        "torch": torch.__version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": source,
        "geometry": geometry.as_dict(),
        "head": compiled.program.head,
        "heads": compiled.program.heads,
        "ending": compiled.program.ending,
        "classes": int(compiled.program.logits.meta["val"].shape[1]),
        "layers": [
            {"name": layer.name, "aliases": list(layer.aliases), "shape": list(layer.shape)}
            for layer in compiled.program.layers
        ],
        "methods": [
            {"name": m.name, "title": m.title, "gate": m.gate, "at": m.at, "times": m.times, "cite": m.cite}
            for m in compiled.methods
        ],
        "absent": compiled.absent,
        "pooled": compiled.pooled,
        "coverage": {
            "text": str(coverage),
            "rectifiers": coverage.rectifiers,
            "smooth": coverage.smooth,
            "plain": coverage.plain,
        },
        "folded": compiled.folded,
    }


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a file, without running anything of it. Raises ArtifactError as `load` does."""
    name = Path(path).name
    if not Path(path).is_file():
        raise ArtifactError(f"there is no file {name}; python -m engine export MODEL -o {name} makes one")
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((n for n in archive.namelist() if n.endswith(f"/extra/{MANIFEST}")), None)
            manifest = json.loads(archive.read(entry)) if entry else None
    except (zipfile.BadZipFile, ValueError) as error:
        raise ArtifactError(f"{name} is cut short or not a TorchScript file at all: export it again") from error
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ArtifactError(
            f"{name} is not an artifact of ConvLens: python -m engine export MODEL -o {name} makes one"
        )
    if manifest["format"] != FORMAT:
        raise ArtifactError(
            f"{name} has format {manifest['format']}, this version reads {FORMAT}: export it again"
        )
    return manifest
