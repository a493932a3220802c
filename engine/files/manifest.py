"""What a file tells of itself: manifest.json, its extra file."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..errors import ArtifactError
from ..pictures.geometry import Geometry
from ..text import COMMAND
from .archive import DAMAGE, EXTRA, describe_file, digest, manifest_text
from .fields import field_entry

ENGINE = Path(__file__).parents[1]


def source_digest(engine: Path = ENGINE) -> str:
    """SHA-256 of all source that a file may depend on: every room of the engine, but for those that only ask."""
    rooms = [
        room
        for room in engine.rglob("*.py")
        if room.relative_to(engine).parts[0] not in ("commands", "demo", "serve")
    ]
    return sha256(b"".join(room.read_bytes() for room in sorted(rooms))).hexdigest()


COMPILER = source_digest()  # a file of another compiler is made anew, whatever its version says

if TYPE_CHECKING:
    from ..compiler.passes import Compiled  # whoever only asks files never loads the compiler

FORMAT = 7  # of the manifest (docs/manifest.md) and the questions; a file of another format is refused
MANIFEST = EXTRA.removeprefix("extra/")
UNTOLD = {"weights": "given by the caller", "sha256": None, "licence": "unknown: given by the caller"}


def describe(
    compiled: "Compiled", geometry: Geometry, source: dict[str, Any], outputs: str = "choice"
) -> dict[str, Any]:
    """The manifest of a compiled network, without its certificate; docs/manifest.md tells what each key means."""
    coverage = compiled.coverage
    return {
        "format": FORMAT,
        "convlens": __version__,
        "compiler": COMPILER,
        "torch": torch.__version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {"title": source["name"]} | UNTOLD | source,
        "geometry": geometry.as_dict(),
        "head": compiled.program.head,
        "heads": compiled.program.heads,
        "ending": compiled.program.ending.name if compiled.program.ending else "",
        "below_softmax": compiled.program.below,
        "outputs": outputs,
        "output": [int(length) for length in compiled.program.logits.meta["val"].shape[1:]],
        "classes": int(compiled.program.logits.meta["val"].shape[1]),
        "layers": [
            {"name": layer.name, "aliases": list(layer.aliases), "shape": list(layer.shape)}
            | cells(layer.shape, geometry.crop)
            | {"field": field_entry(field)}
            for layer, field in zip(compiled.program.layers, compiled.fields, strict=True)
        ],
        "methods": [
            {
                "name": m.name,
                "title": m.title,
                "policy": m.policy,
                "at": m.at.value,
                "times": m.times,
                "cite": m.cite,
            }
            | {"signed": m.signed, "passes": m.passes(geometry.crop)}
            | ({"of": m.of, "path": m.path, "options": dict(m.options)} if m.path else {})
            for m in compiled.methods
        ],
        "absent": compiled.absent,
        "pooled": compiled.pooled,
        "coverage": {
            "text": str(coverage),
            "detached": list(coverage.detached),
            "policies": {
                name: {"text": str(found), "replaced": found.replaced, "kept": found.kept}
                for name, found in compiled.coverages.items()
            },
        },
        "folded": compiled.folded,
        "constants": [
            {"parameter": name, "constants": held}
            for name, held in compiled.program.origins.groups(compiled.program.constants).items()
        ],
    }


def cells(shape: Sequence[int], size: Sequence[int]) -> dict[str, list[float]]:
    """How the cells of a layer [C, h, w] lie on the input [H, W], as resizing with align_corners=False has it.

    The centre of cell (i, j) is at offset + stride * (i, j), in pixels; pixel (y, x) covers y..y + 1, x..x + 1.
    """
    stride = [pixels / count for pixels, count in zip(size, shape[1:], strict=True)]
    return {"stride": stride, "offset": [step / 2 for step in stride]}


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a file, without running anything of it. Raises ArtifactError as `load` does."""
    with open_artifact(path) as file:
        return manifest_in(file)


def open_artifact(path: str | Path) -> BufferedReader:
    """Open a file. Raises ArtifactError where there is none."""
    path = Path(path)
    if not path.is_file():
        make = f"{COMMAND} export MODEL -o {path.name}"
        raise ArtifactError(f"there is no file {path.name}; {make} makes one")
    return path.open("rb")


def manifest_in(file: BufferedReader) -> dict[str, Any]:
    """The manifest of an open file. Raises ArtifactError, saying what the file is, where it has none like it."""
    manifest, name = None, Path(file.name).name
    try:
        if text := manifest_text(file):
            manifest = json.loads(text)
    except DAMAGE:
        pass  # what is left of the file tells more than the error
    if not isinstance(manifest, dict) or not {"format", "model"} <= set(manifest):
        found = describe_file(file)
        weights = f" --weights {name}" if "checkpoint" in found else ""
        raise ArtifactError(f"{name} is {found}: {COMMAND} export MODEL{weights} -o FILE.pt makes an artifact")
    if isinstance(manifest["format"], str):
        raise ArtifactError(
            f"{name} is for {manifest['format']} and answers {_asked(manifest)}: it is {_origin(manifest)}. "
            f"{COMMAND} export MODEL -o FILE.pt makes an artifact"
        )
    if manifest["format"] != FORMAT:
        raise ArtifactError(
            f"{name} has format {manifest['format']}, this version reads {FORMAT}: it is {_origin(manifest)}. "
            f"{_again(manifest, name)}"
        )
    return manifest


def check_program(file: BufferedReader, manifest: dict[str, Any]) -> None:
    """Raise ArtifactError unless every byte of an open file is as it was written."""
    name = Path(file.name).name
    try:
        found = digest(file)
    except DAMAGE as error:
        raise ArtifactError(f"{name} is damaged: {_again(manifest, name)}") from error
    if found != manifest.get("program"):
        raise ArtifactError(
            f"{name} was changed after it was made, its program is not the one that its manifest tells of: don't "
            f"run it; {_again(manifest, name)}"
        )


def disagreements(manifest: dict[str, Any], module: Any) -> list[str]:
    """What the manifest tells otherwise than the module beside it, in words; empty for a file as it was made."""
    x = torch.zeros(1, len(module.mean), *module.size).to(module.like)
    # Without TorchScript's profiling, which makes a first call several times as slow.
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        primals = module.primals(x)[1]
    shapes = [list(primal.shape[1:]) for primal in primals]
    told = {
        "layers": [layer["name"] for layer in manifest["layers"]],
        "methods": [(m["name"], m["policy"], m["at"], m["times"]) for m in manifest["methods"]],
        "shapes": [layer["shape"] for layer in manifest["layers"]],
        "cells": [{key: layer[key] for key in ("stride", "offset")} for layer in manifest["layers"]],
        "policies": sorted(manifest["certificate"]["policies"]),
        "classes": manifest["classes"],
        "labels": manifest["classes"],
        "pooled": manifest["pooled"],
        "dtype": manifest["certificate"]["dtype"],
        **manifest["geometry"],
    }
    held = {
        "layers": list(module.layers),
        "methods": [
            (name, module.policy_of[name], module.at_of[name], module.times_of.get(name, ""))
            for name in module.methods
        ],
        "shapes": shapes,
        "cells": [cells(shape, module.size) for shape in shapes],
        "policies": sorted(module.policies_at_image),
        "classes": module.classes,
        "labels": len(module.labels),
        "pooled": module.pooled,
        "dtype": str(module.like.dtype).removeprefix("torch."),
        "resize": _resize_of(module),
        "crop": list(module.size),
        "interpolation": module.interpolation,
        "mean": list(module.mean),
        "std": list(module.std),
    }
    return [
        f"{key}: the manifest tells {told[key]}, the program has {held[key]}"
        for key in told
        if told[key] != held[key]
    ]


def told(manifest: dict[str, Any]) -> str:
    """A manifest as people read it: one fact on each line, then the layers."""
    model, certificate = manifest["model"], manifest["certificate"]
    bound = "no bound" if certificate["bound"] is None else f"bound {certificate['bound']:.0e}"
    facts = {
        "model": model["title"],
        "weights": model["weights"],
        "sha256": model["sha256"] or "none",
        "licence": model["licence"],
        "input": str(Geometry.from_dict(manifest["geometry"])),
        "classes": manifest["classes"],
        "gates": manifest["coverage"]["text"],
        "made": f"{manifest['made']} by ConvLens {manifest['convlens']} with torch {manifest['torch']}",
        "program": manifest["program"],
        "measured": f"deviation from autograd in {certificate['dtype']}, {bound}; {certificate['inputs']}",
    }
    lines = [f"{key:9} {fact}" for key, fact in facts.items()]
    lines[4:4] = [f"note      {note}" for note in model.get("notes", [])]
    for method in manifest["methods"]:
        lines.append(f"  {method['name']:18} {certificate['methods'][method['name']]:.1e}  {method['cite']}")
    lines += [f"  {name:18} absent: {reason}" for name, reason in manifest["absent"].items()]
    lines.append(f"layers    {len(manifest['layers'])}, with the pixels of the input that a cell takes")
    for index, layer in enumerate(manifest["layers"]):
        aliases = f"  = {', '.join(layer['aliases'])}" if layer["aliases"] else ""
        shape, stride = _times(layer["shape"]), _times(layer["stride"])
        lines.append(f"{index:4} {layer['name']:40} {shape:18} {stride:14}{aliases}".rstrip())
    return "\n".join(lines)


def _resize_of(module: Any) -> int | list[int]:
    """As the manifest has it: a number, or a pair to squash to. Files of before knew only the number."""
    sides = [module.resize] if isinstance(module.resize, int) else list(module.resize)
    return sides[0] if len(sides) == 1 else sides


def _times(sides: Sequence[float]) -> str:
    return " × ".join(f"{side:g}" for side in sides)


def _asked(manifest: dict[str, Any]) -> str:
    """What a file for another runtime answers."""
    return "one question only" if "method" in manifest else "there what it is asked"


def _origin(manifest: dict[str, Any]) -> str:
    """Which model, made when and by what; older formats told that too."""
    told = [manifest["model"].get("name"), manifest.get("made"), manifest.get("convlens"), manifest.get("torch")]
    name, made, version, torch_version = ("unknown" if fact is None else fact for fact in told)
    return f"{name}, made {made} by ConvLens {version} with torch {torch_version}"


def _again(manifest: dict[str, Any], name: str) -> str:
    return f"{COMMAND} export {manifest['model'].get('name', 'MODEL')} -o {name} makes it anew"
