"""Invented figures, in the shape of those that are measured."""

from typing import Any

from benchmarks import bfloat16, further_tools, growth, machine, the_file, tools
from tests.benchmarks.small import GUIDED


def times(median: float, **more: Any) -> dict[str, Any]:
    return {"median": median, "minimum": median * 0.9, "spread": 0.05, "calls": 9, **more}


def result(**ours: float) -> dict[str, Any]:
    """An invented result: F is 100 ms, and `ours` are this project's forward passes for the tasks."""
    passes = {"grad_cam": 1.05, GUIDED: 2.0, "every_layer": 3.0} | ours
    cells = {
        "forward": {"eager, contiguous": times(130.0), "frozen, channels last": times(100.0)},
        "grad_cam": {tools.OURS: times(100 * passes["grad_cam"]), "captum": times(150.0, layout="contiguous")},
        GUIDED: {tools.OURS: times(100 * passes[GUIDED]), "captum": times(300.0, layout="channels_last")},
        "every_layer": {
            tools.OURS: times(100 * passes["every_layer"]),
            tools.BOTH: times(600.0, layout="channels_last"),
            "captum": times(9000.0, estimated=True, layout="contiguous"),
        },
    }
    both = {tools.OURS: {"peak": 900, "rise": 100}, "captum": {"peak": 950, "rise": 125}}
    sizes = {"compile": 9.0, "weights": 500, "file": 510}
    facts = {"title": "VGG16", "layers": ["features.0"] * 32, "modules": 30, "activations": 60, **sizes}
    point = {task: {tools.OURS: 10.0, growth.PEER[task]: 15.0} for task in tools.TASKS} | {"forward": 5.0, "at": 4}
    further = {task: {tools.OURS: times(50.0)} for task in further_tools.BESIDE | further_tools.FURTHER}
    further["gradients"][tools.OURS]["batch"] = 8
    for task, peers in (further_tools.BATCHED_PEERS | further_tools.FURTHER_PEERS).items():
        further[task] |= {tool: times(75.0, layout="contiguous", batch=4, agreement=0.9999) for tool in peers}
    further["integrated_gradients"][tools.OURS] = times(210.0)
    further["integrated_gradients"]["captum"] = times(300.0, layout="contiguous", batch=4, agreement=None)
    further["ablation_cam"]["grad-cam"] = times(450.0, layout="contiguous", batch=4, agreement=0.9999)
    network = {"file": facts, "batches": {"1": cells, "8": cells}, "memory": dict.fromkeys(tools.TASKS, both)}
    return {
        "machine": machine.facts() | {"bfloat16": True, "cpu": "a CPU"},
        "networks": {"vgg16": network},
        "further": {"vgg16": further},
        "bfloat16": {
            "times": {"vgg16": {"float32": times(100.0), "bfloat16": times(61.0)}},
            "cosines": {method: dict.fromkeys(bfloat16.PHOTOS, 0.98) for method in bfloat16.METHODS},
        },
        "growth": {"vgg16": {kind: [point] for kind in ("layers", "side", "batch")}},
        "files": {"vgg16": sizes | {"special": 505, "calls": {"profiled": dict.fromkeys(the_file.STEPS, 3.0)}}},
    }
