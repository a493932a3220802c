"""What a file costs: compiling, its size over that of the weights, loading, and the first calls.

    python -m benchmarks.the_file [MODEL ...]

Random weights: values do not matter to size and time. Load and calls are those of the whole file in a fresh
process with torch only, with the allocator as glibc sets it.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.networks import compiled
from benchmarks.process import fresh
from engine import build, save

MODELS = ("vgg16", "resnet50", "efficientnet_lite0")
MODES = ("optimized_execution(False)", "profiled")
CALLS = """
import sys, time, torch
start = time.perf_counter()
net = torch.jit.load(sys.argv[1])
times = [time.perf_counter() - start]
shape = 3, *net.size
with torch.inference_mode(), torch.jit.optimized_execution(sys.argv[2] == "profiled"):
    for batch in [1] * 10 + [2] * 10:
        x, seed = torch.zeros(batch, *shape), net.one_hot(0).expand(batch, -1)
        start = time.perf_counter()
        net.explain(x, seed, "grad_cam", -1)
        times.append(time.perf_counter() - start)
print(*(times[i] * 1e3 for i in (0, 1, 2, 10, 11, 12, 20)))
"""
STEPS = ("load", "first", "second", "tenth", "first of two", "second of two", "tenth of two")


def specialised(name: str, layer: str, path: str) -> int:
    """Compile Grad-CAM at one layer alone into `path`: its bytes."""
    save(build(name, "random", [layer], ["grad_cam"]), path)
    return Path(path).stat().st_size


def of(name: str, folder: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Sizes, seconds to compile, and ms of the first calls, {"calls": {mode: {step: ms}}}, of FOLDER/NAME.pt.

    facts: what `compiled` gave of that file.
    """
    special = fresh(specialised, name, facts["layers"][-1], f"{folder}/{name}-grad_cam.pt")
    calls = {}
    for mode in MODES:
        command = [sys.executable, "-W", "ignore", "-c", CALLS, f"{folder}/{name}.pt", mode]
        numbers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        calls[mode] = dict(zip(STEPS, map(float, numbers), strict=True))
    return {"special": special, "calls": calls} | {key: facts[key] for key in ("weights", "file", "compile")}


def table(found: dict[str, dict[str, Any]]) -> str:
    """Two tables: sizes and compile time, and the first calls."""
    lines = [
        "| network | weights | every method and layer | Grad-CAM, last layer | compile, every method and layer |",
        "|---|---|---|---|---|",
    ]
    for name, row in found.items():
        sizes = [row["file"] / row["weights"], row["special"] / row["weights"]]
        lines.append(
            f"| {name} | {row['weights'] / 1e6:.1f} MB | {sizes[0]:.3f} times | {sizes[1]:.3f} times "
            f"| {row['compile']:.1f} s |"
        )
    lines += ["", f"| network | TorchScript | {' | '.join(STEPS)} |", "|---|---|" + "---|" * len(STEPS)]
    for name, row in found.items():
        for mode, steps in row["calls"].items():
            lines.append(f"| {name} | {mode} | {' | '.join(f'{steps[step]:.0f}' for step in STEPS)} |")
    return "\n".join(lines)


def main(names: Iterable[str]) -> None:
    """Measure and print."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; calls: Grad-CAM, last layer, in ms\n")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: of(name, folder, fresh(compiled, name, folder)) for name in names}
    print(table(found))


if __name__ == "__main__":
    main(sys.argv[1:] or MODELS)
