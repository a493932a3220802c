"""What every layer costs, in forward passes: python benchmarks/every_layer.py [MODEL ...]

Times the forward pass, compiled and eager, and the explanations in one interleaved run, and prints medians as
multiples of the fastest forward pass measured. Random weights: the values do not matter to the time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine import build, load_model

ROUNDS = 9


def main(names: list[str]) -> None:
    """Print one table per model."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {ROUNDS} interleaved rounds")
    for name in names:
        measure(name)


def measure(name: str) -> None:
    """Time one model at batch 1 and print its table."""
    module = load_model(name, "random").module
    explainer = build(name, "random")
    x = load_model(name, "random").example[:1]
    seed = explainer.one_hot(0)
    every = ["grad_cam", "guided_backprop", "guided_grad_cam"]
    calls: dict[str, Callable[[], object]] = {
        "forward, eager": lambda: module(x),
        "forward, compiled": lambda: explainer.forward(x),
        "Grad-CAM, last layer": lambda: explainer.explain(x, seed, "grad_cam", -1),
        "guided backprop": lambda: explainer.explain(x, seed, "guided_backprop"),
        "Guided Grad-CAM, every layer": lambda: explainer.sweep(x, seed, "guided_grad_cam"),
        "the same with Grad-CAM and guided": lambda: explainer.survey(x, seed, every),
    }
    times: dict[str, list[float]] = {call: [] for call in calls}
    with torch.no_grad():
        for turn in range(ROUNDS + 3):  # the first three warm up: TorchScript profiles in two
            for label, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= 3:
                    times[label].append((time.perf_counter() - start) * 1e3)
    medians = {label: statistics.median(values) for label, values in times.items()}
    forward = min(medians["forward, eager"], medians["forward, compiled"])
    print(f"\n{name}: {len(explainer.layers)} layers")
    for label, median in medians.items():
        print(f"  {label:36} {median:8.1f} ms  {median / forward:5.2f} F")


if __name__ == "__main__":
    main(sys.argv[1:] or ["vgg16"])
