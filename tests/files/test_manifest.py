"""The manifest and its page: what a file says of itself, and what is written about it."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.files.archive import EXTRA
from engine.files.artifact import load, save
from engine.files.compiling import compile_model
from engine.files.manifest import FORMAT, cells, disagreements, read_manifest
from engine.files.precision import in_precision
from engine.files.pt2 import write_pt2
from engine.files.pt2_package import write_pt2_package
from engine.files.triton import write_triton
from tests.files.small import compiled, members, module
from tests.whole.brought import Reversed

DOCUMENT = Path(__file__).parents[2] / "docs" / "manifest.md"


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value as a path; the entries of a list share theirs."""
    yield key, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        inner = f"{key}[]" if isinstance(value, list) else f"{key}.{name}".lstrip(".")
        if isinstance(part, (dict, list)) or not isinstance(value, list):
            yield from flat(part, inner)


TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "null": lambda value: value is None,
}


class Backwards(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Reversed.apply(x) + x.detach()


def test_every_key_is_documented_and_every_documented_key_is_there(path: Path, tmp_path: Path) -> None:
    source = {"name": "small", "title": "Small", "weights": "drawn", "sha256": "0" * 64, "licence": "none"}
    source["notes"] = ["one was left out"]
    lower = in_precision(compiled(), torch.bfloat16)
    save(lower, tmp_path / "lower.pt")
    triton = write_triton(load(path), tmp_path, name="small") / "1" / "model.pt"
    write_pt2(load(path), module(), tmp_path / "small.pt2")
    write_pt2_package(load(path), module(), tmp_path / "package.pt2")
    convolution = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), Backwards())
    other = compile_model(convolution.eval(), torch.zeros(1, 3, 8, 8), source=source, strict=False)
    save(other, tmp_path / "no_cam.pt")
    files = [
        path,
        tmp_path / "lower.pt",
        tmp_path / "no_cam.pt",
        triton,
        tmp_path / "small.pt2",
        tmp_path / "package.pt2",
    ]
    manifests = [json.loads(members(file)[EXTRA]) for file in files]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    keys = {
        re.compile(re.sub(r"<\w+>", "[^.]+", re.sub(r"[.\[\]]", r"\\\g<0>", key))): types for key, types in rows
    }
    met = set()
    for manifest in manifests:
        for key, value in flat(manifest):
            patterns = [pattern for pattern in keys if pattern.fullmatch(key)]
            assert patterns or not key, f"{key} is not in docs/manifest.md"
            for pattern in patterns:
                kinds = keys[pattern].split(" or ")
                assert any(TYPES[kind.strip()](value) for kind in kinds), (key, value, kinds)
            met.update(patterns)
    assert set(keys) == met, "docs/manifest.md has keys that no manifest has"
    assert f"Format {FORMAT}" in DOCUMENT.read_text()


def test_the_cells_lie_where_resizing_puts_them() -> None:
    """A ramp of the cells' own centres, resized, gives each pixel's centre."""
    lies = cells([7, 5, 4], (20, 12))
    (down, right), (top, left) = lies["stride"], lies["offset"]
    ramp = (top + down * torch.arange(5.0))[:, None] + 1000 * (left + right * torch.arange(4.0))
    resized = nn.functional.interpolate(ramp[None, None], (20, 12), mode="bilinear", align_corners=False)[0, 0]
    pixels = (torch.arange(20.0) + 0.5)[:, None] + 1000 * (torch.arange(12.0) + 0.5)
    torch.testing.assert_close(resized[2:-2, 2:-2], pixels[2:-2, 2:-2])


def test_a_file_of_before_has_one_number_where_a_new_one_has_a_list() -> None:
    explainer = compiled()
    told = explainer.manifest["geometry"]["resize"]
    assert (told, explainer.module.resize) == (12, [12])

    class Before:
        resize = told

        def __getattr__(self, name: str) -> Any:
            return getattr(explainer.module, name)

    assert disagreements(explainer.manifest, Before()) == []
    Before.resize = 13
    assert disagreements(explainer.manifest, Before()) == ["resize: the manifest tells 12, the program has 13"]


def test_a_manifest_tells_where_weights_came_from(path: Path) -> None:
    model = read_manifest(path)["model"]
    assert model == {
        "name": "Small",
        "title": "Small",
        "weights": "given by the caller",
        "sha256": None,
        "licence": "unknown: given by the caller",
    }
