"""What a file costs: its size over that of the weights, and explanations over the forward pass.

    python -m benchmarks.the_file [MODEL ...]

Specialised files hold one method at one layer. Random weights: values do not matter to size and time. Ratios are
of medians in one interleaved run; the first, second and tenth call are those of a fresh process, with torch only.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine import build, load_model, save

MODELS = ("resnet50", "efficientnet_lite0", "mobilenet_v2", "vgg16")
ROUNDS = 15
CALLS = """
import sys, time, torch
net = torch.jit.load(sys.argv[1])
shape = 3, *net.size
times = []
with torch.inference_mode(), torch.jit.optimized_execution(sys.argv[2] == "profiled"):
    for batch in [1] * 10 + [2] * 10:
        x, seed = torch.zeros(batch, *shape), net.one_hot(0).expand(batch, -1)
        start = time.perf_counter()
        net.explain(x, seed, "grad_cam", -1)
        times.append(time.perf_counter() - start)
print(*(times[i] * 1e3 for i in (0, 1, 9, 10, 11, 19)))
"""


def main(names: list[str]) -> None:
    """Print two tables."""
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {ROUNDS} interleaved rounds\n"
    )
    print("| model | weights | every method and layer | Grad-CAM, last layer | that explanation |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(row(name, Path(folder)), flush=True)
        print("\nms per call of Grad-CAM at the last layer, in a fresh process with torch only\n")
        print("| model | TorchScript | first | second | tenth | first of two | second of two | tenth of two |")
        print("| --- |" + " --- |" * 7)
        for name in names:
            for mode in ("profiled", "optimized_execution(False)"):
                command = [sys.executable, "-W", "ignore", "-c", CALLS, f"{folder}/{name}.pt", mode]
                numbers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                print(f"| {name} | {mode} | {' | '.join(f'{float(ms):.0f}' for ms in numbers)} |", flush=True)


def row(name: str, folder: Path) -> str:
    """Build the whole and the specialised file, and measure both."""
    model = load_model(name, "random")
    weights = sum(t.nbytes for t in model.module.state_dict().values())
    whole = build(name, "random")
    special = build(name, "random", [whole.layers[-1]], ["grad_cam"])
    sizes = []
    for file, explainer in (("whole", whole), (name, special)):
        save(explainer, folder / f"{file}.pt")
        sizes.append((folder / f"{file}.pt").stat().st_size / weights)
    x, seed = model.example[:1], special.one_hot(0)
    calls: dict[str, Callable[[], object]] = {
        "eager": lambda: model.module(x),
        "forward": lambda: special.forward(x),
        "explain": lambda: special.explain(x, seed, "grad_cam"),
    }
    times: dict[str, list[float]] = {call: [] for call in calls}
    with torch.no_grad():
        for turn in range(ROUNDS + 2):
            for label, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= 2:
                    times[label].append(time.perf_counter() - start)
    medians = {label: statistics.median(values) for label, values in times.items()}
    ratio = medians["explain"] / min(medians["eager"], medians["forward"])
    cells = (
        name,
        f"{weights / 1e6:.1f} MB",
        *(f"{size:.3f} times" for size in sizes),
        f"{ratio:.2f} forward passes",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODELS))
