"""The bounds that the project has set itself, and whether a result keeps them. They are not to be loosened.

For two cores with AVX-512, float32, batch 1, medians; F is the fastest forward pass of the same network.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.further_tools import FURTHER, GRADIENTS, GUIDED, PASSES
from benchmarks.networks import HANDBOOK
from benchmarks.reading import Result, cells_of, every_cell, further_cells, gain, in_calls, ratio
from benchmarks.tools import OURS, TASKS
from engine import MODELS

VECTORS = "AVX512"  # as torch calls them
FORWARD_PASSES = {  # at most so many F
    "vgg16": {"grad_cam": 1.08, "guided_backprop": 2.06, "every_layer": 3.15},
    "resnet50": {"grad_cam": 1.10, "guided_backprop": 2.2, "every_layer": 3.5},
    "efficientnet_lite0": {"grad_cam": 1.15, "guided_backprop": 2.1, "every_layer": 3.5},
}
FASTER = 1.0  # than the fastest other tool, in every cell
FASTER_GUIDED = {"resnet50": 1.3, "efficientnet_lite0": 1.3}
FASTER_THAN_THE_LOOP = {"vgg16": 80.0}  # all layers, at least
BFLOAT16 = {"vgg16": 0.6, "resnet50": 0.6}  # guided backprop, of the time in float32
COSINE = {"grad_cam": 0.999, "guided_backprop": 0.97}  # with float32, on the embedded model's photos, at least
GUIDED_MEMORY = 1.0  # of captum's
ALL_LAYERS_MEMORY = 2.0  # of the sum of the activations
HIRES_CAM = 1.1  # at all layers: of Grad-CAM's time there
GRADIENT_PASSES = 1.05  # a path: of the time of as many gradient passes, with as many images at once
FASTER_ABLATION = 10.0  # than grad-cam's, at least
UNIT = 1.0  # guided backprop of a unit: of that of a class

Measured = tuple[float, str] | None  # a figure and where it was found


@dataclass(frozen=True)
class Bound:
    """A figure that is to be at most or at least `limit`, and how a result tells it."""

    what: str
    limit: float
    measure: Callable[[Result], Measured]
    at_most: bool = True
    unit: str = ""

    def kept(self, result: Result) -> bool | None:
        """Whether the result keeps it; None where it was not measured."""
        found = self.measure(result)
        if found is None:
            return None
        return found[0] <= self.limit if self.at_most else found[0] >= self.limit


def bounds() -> list[Bound]:
    """All bounds, in the order of the table."""
    found = [
        Bound(f"{TASKS[task]}, {MODELS[name].title}", limit, _forward_passes(name, task), unit=" F")
        for name, limits in FORWARD_PASSES.items()
        for task, limit in limits.items()
    ]
    found.append(Bound("every cell: over the fastest other tool", FASTER, _least_gain, False, " times"))
    for name, limit in FASTER_GUIDED.items():
        what = f"guided backprop, {MODELS[name].title}: over the fastest other tool"
        found.append(Bound(what, limit, _gain(name, "guided_backprop"), False, " times"))
    for name, limit in FASTER_THAN_THE_LOOP.items():
        found.append(
            Bound(
                f"every layer, {MODELS[name].title}: over the handbook loop", limit, _loop(name), False, " times"
            )
        )
    for name, limit in BFLOAT16.items():
        found.append(
            Bound(
                f"guided backprop in bfloat16, {MODELS[name].title}: of the float32 time", limit, _bfloat16(name)
            )
        )
    for method, limit in COSINE.items():
        found.append(
            Bound(f"{TASKS[method]}, in bfloat16: cosine with float32, least", limit, _cosine(method), False)
        )
    found.append(Bound("peak memory of guided backprop: of captum's, most", GUIDED_MEMORY, _guided_memory))
    what = "peak memory of every layer: of the sum of the activations, most"
    return [*found, Bound(what, ALL_LAYERS_MEMORY, _all_layers_memory), *_further()]


def _further() -> list[Bound]:
    """Those of the further questions, each for the worst of the networks."""
    of_grad_cam = _most_calls("hires_cam_layers", "grad_cam_layers")
    return [
        Bound(f"{FURTHER['hires_cam_layers']}: of Grad-CAM there, most", HIRES_CAM, of_grad_cam),
        *(
            Bound(f"{FURTHER[task]}: of {passes} gradient passes, most", GRADIENT_PASSES, _most_passes(task))
            for task, passes in PASSES.items()
        ),
        Bound(
            f"{FURTHER['ablation_cam']}: over grad-cam, least", FASTER_ABLATION, _least_ablation, False, " times"
        ),
        Bound(f"{FURTHER['unit_guided']}: of guided backprop, most", UNIT, _most_calls("unit_guided", GUIDED)),
    ]


def table(result: Result) -> str:
    """The bounds as Markdown: bound, limit, measured, kept."""
    lines = ["| bound | limit | measured | kept |", "|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: "not measured"}
    for bound in bounds():
        found = bound.measure(result)
        measured = ""
        if found:
            digits = 4 if "cosine" in bound.what else 2
            place = f" ({found[1]})" if found[1] else ""
            measured = f"{found[0]:.{digits}f}{bound.unit}{place}"
        limit = f"{'at most' if bound.at_most else 'at least'} {bound.limit:g}{bound.unit}"
        lines.append(f"| {bound.what} | {limit} | {measured} | {words[bound.kept(result)]} |")
    return "\n".join(lines)


def _forward_passes(name: str, task: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        cells = cells_of(result, name)
        found = ratio(cells, task) if cells else None
        return None if found is None else (found, "")

    return measure


def _gain(name: str, task: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        found = gain(cells_of(result, name), task)
        return None if found is None else (found, "")

    return measure


def _least_gain(result: Result) -> Measured:
    found = [
        (faster, f"{TASKS[task]}, {MODELS[name].title}, batch {batch}")
        for name, batch, task, cells in every_cell(result)
        if (faster := gain(cells, task)) is not None
    ]
    found += [
        (faster, f"{FURTHER[task]}, {MODELS[name].title}")
        for name, task, cells in further_cells(result)
        if (faster := gain(cells, task)) is not None
    ]
    return min(found, default=None)


def _most_calls(task: str, other: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        return _most(
            (found, MODELS[name].title)
            for name, cells in result.get("further", {}).items()
            if (found := in_calls(cells, task, other)) is not None
        )

    return measure


def _most_passes(task: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        return _most(
            (found * cells[GRADIENTS][OURS]["batch"] / PASSES[task], MODELS[name].title)
            for name, cells in result.get("further", {}).items()
            if (found := in_calls(cells, task, GRADIENTS)) is not None
        )

    return measure


def _least_ablation(result: Result) -> Measured:
    found = [
        (faster, MODELS[name].title)
        for name, task, cells in further_cells(result)
        if task == "ablation_cam" and (faster := gain(cells, task)) is not None
    ]
    return min(found, default=None)


def _loop(name: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        tools = cells_of(result, name).get("every_layer", {})
        return (tools[HANDBOOK]["median"] / tools[OURS]["median"], "") if HANDBOOK in tools else None

    return measure


def _bfloat16(name: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        times = result.get("bfloat16", {}).get("times", {}).get(name)
        if not times or not result["machine"]["bfloat16"]:
            return None
        return times["bfloat16"]["median"] / times["float32"]["median"], ""

    return measure


def _cosine(method: str) -> Callable[[Result], Measured]:
    def measure(result: Result) -> Measured:
        photos = result.get("bfloat16", {}).get("cosines", {}).get(method, {})
        return min(((value, photo) for photo, value in photos.items()), default=None)

    return measure


def _guided_memory(result: Result) -> Measured:
    return _most(
        (memory["guided_backprop"][OURS]["peak"] / memory["guided_backprop"]["captum"]["peak"], MODELS[name].title)
        for name, memory in _memories(result)
        if "captum" in memory["guided_backprop"]
    )


def _all_layers_memory(result: Result) -> Measured:
    return _most(
        (memory["every_layer"][OURS]["rise"] / result["networks"][name]["file"]["activations"], MODELS[name].title)
        for name, memory in _memories(result)
    )


def _memories(result: Result) -> Iterable[tuple[str, dict[str, dict[str, dict[str, int]]]]]:
    return ((name, found["memory"]) for name, found in result["networks"].items() if found.get("memory"))


def _most(found: Iterable[tuple[float, str]]) -> Measured:
    return max(found, default=None)
