"""A result as Markdown: docs/performance.md, and what the command prints."""

from pathlib import Path
from typing import Any

from benchmarks import bounds, demo, further_table, machine, the_file
from benchmarks.bfloat16 import METHODS, PHOTOS
from benchmarks.growth import PEER
from benchmarks.networks import FORWARD
from benchmarks.reading import Cells, Result, cells_of, fastest_forward, fastest_other, gain, ratio
from benchmarks.tools import OURS, TASKS

NOTES = Path(__file__).parent / "notes.md"
UNITS = {"layers": "layers", "side": "side of the image", "batch": "batch"}


def page(result: Result, picture: str = "", main: bool = True) -> str:
    """The whole page. picture: the plot's address, where there is one. main: with what was tried; other pages say
    where that is."""
    parts = [f"# How fast\n\n{HEAD.format(machine=machine.text(result['machine']))}"]
    if result["networks"]:
        parts.append(in_short(result))
    if picture:
        parts.append(f"![What each tool takes, in forward passes of the same network]({picture})")
    if result["machine"]["device"] == "cpu":
        parts.append(f"## The bounds\n\n{BOUNDS}\n\n{bounds.table(result)}")
    if result["networks"]:
        parts.append(f"## Each call\n\n{CALLS}")
    parts += [
        f"### {network['file']['title']}, batch {batch}\n\n{calls(result, name, int(batch))}"
        for name, network in result["networks"].items()
        for batch in network["batches"]
    ]
    if result.get("further"):
        parts.append(further_table.section(result["further"]))
    if result.get("bfloat16"):
        parts.append(f"## bfloat16\n\n{BFLOAT16}\n\n{bfloat16(result['bfloat16'])}")
    if not main:
        parts.append(ELSEWHERE)
    elif result["networks"] and NOTES.is_file():
        parts.append(NOTES.read_text().strip())
    for name, series in result.get("growth", {}).items():
        parts.append(
            f"## As it grows: {result['networks'][name]['file']['title']}\n\n{GROWTH}\n\n{growth(series)}"
        )
    if result.get("files"):
        parts.append(f"## The file\n\n{FILE}\n\n{the_file.table(result['files'])}")
    if result.get("demo"):
        parts.append(f"## The demo\n\n{demo.table(result['demo'])}")
    return "\n\n".join(parts) + "\n"


def in_short(result: Result) -> str:
    """This project in forward passes, and over the fastest other tool, for each network, task and batch."""
    lines = [f"| network | batch | F | {' | '.join(TASKS.values())} |", "|---|---|---|" + "---|" * len(TASKS)]
    for network in result["networks"].values():
        for batch, cells in network["batches"].items():
            row = [network["file"]["title"], batch, f"{fastest_forward(cells)[1]:.1f} ms"]
            for task in TASKS:
                passes, faster, other = ratio(cells, task), gain(cells, task), fastest_other(cells, task)
                beside = f", {faster:.2f} times as fast as {other[0]}" if faster and other else ""
                row.append(f"**{passes:.2f} F**{beside}" if passes is not None else "")
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def calls(result: Result, name: str, batch: int) -> str:
    """All calls of one network at one batch size."""
    cells, network = cells_of(result, name, batch), result["networks"][name]
    memory = network.get("memory", {}) if batch == 1 else {}
    lines = [
        "| task | tool | median, ms | minimum, ms | spread | calls | F | fastest other | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        _call(cells, memory, task, tool)
        for task in (FORWARD, *TASKS)
        for tool in sorted(cells.get(task, {}), key=lambda tool: cells[task][tool]["median"])
    ]
    facts = network["file"]
    below = (
        f"{len(facts['layers'])} trunk layers, {facts['modules']} of them modules, which other tools can be asked "
        f"for; the activations of an image are {facts['activations'] / 1e6:.0f} MB in all."
    )
    return "\n".join([*lines, "", below])


def _call(cells: Cells, memory: dict[str, Any], task: str, tool: str) -> str:
    times, (fastest, forward) = cells[task][tool], fastest_forward(cells)
    other = fastest_other(cells, task) if task in TASKS else None
    peak = memory.get(task, {}).get(tool)
    first = task == FORWARD and tool == fastest
    title = f"**{tool}**" if tool == OURS or first else tool
    title += f", {times['layout'].replace('_', ' ')}" if "layout" in times else ""
    numbers = [
        f"{'≈ ' if times.get('estimated') else ''}{times['median']:.1f}",
        f"{times['minimum']:.1f}",
        f"{times['spread']:.0%}",
        str(times["calls"]),
        f"{times['median'] / forward:.2f}",
        f"{times['median'] / other[1]:.2f}" if other else "",
        f"{peak['peak'] / 1e6:.0f}, of it {peak['rise'] / 1e6:.0f}" if peak else "",
    ]
    return f"| {TASKS.get(task, 'forward pass')} | {title} | {' | '.join(numbers)} |"


def bfloat16(found: dict[str, Any]) -> str:
    """Times of guided backprop in both precisions, and cosines."""
    lines = []
    if found["times"]:
        lines += ["| guided backprop | float32, ms | bfloat16, ms | ratio |", "|---|---|---|---|"]
    for name, times in found["times"].items():
        exact, rounded = (times[precision]["median"] for precision in ("float32", "bfloat16"))
        lines.append(f"| {name} | {exact:.1f} | {rounded:.1f} | {rounded / exact:.2f} |")
    if found.get("cosines"):
        lines += ["", f"| cosine with float32 | {' | '.join(PHOTOS)} |", "|---|" + "---|" * len(PHOTOS)]
        for method in METHODS:
            values = " | ".join(f"{found['cosines'][method][photo]:.4f}" for photo in PHOTOS)
            lines.append(f"| {method} | {values} |")
    return "\n".join(lines)


def growth(series: dict[str, list[dict[str, Any]]]) -> str:
    """A table for each of layers, side and batch: medians in ms."""
    tables = []
    for kind, points in series.items():
        columns = [(task, tool) for task in TASKS if task in points[0] for tool in points[0][task]]
        head = " | ".join(f"{TASKS[task]}{'' if tool == OURS else f', {PEER[task]}'}" for task, tool in columns)
        lines = [f"| {UNITS[kind]} | F | {head} |", "|---|---|" + "---|" * len(columns)]
        for point in points:
            numbers = (f"{point[task][tool]:.1f}" for task, tool in columns)
            lines.append(f"| {point['at']} | {point[FORWARD]:.1f} | {' | '.join(numbers)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


HEAD = """Made by `python -m benchmarks --docs`.

{machine}

F is the fastest forward pass of the same network in the same run: eager, frozen (`torch.jit.freeze`) or
`torch.jit.optimize_for_inference`, contiguous or channels last. Weights are random, which does not matter to
time. *Every layer*: Grad-CAM, guided backprop and Guided Grad-CAM for each layer of the trunk, in one call."""

BOUNDS = """What the project has set itself, for two cores with AVX-512, float32 and batch 1. Other processors
are held against the same."""

ELSEWHERE = "What was tried, and what stands in the way of what is missed, is in [performance.md](performance.md)."

CALLS = """All calls of a network ran in one process, interleaved, each round in an order of its own, after a
warm-up. A call that takes long runs in fewer rounds. *Spread*: the distance between the quartiles over the
median. *F* and *fastest other*: the median over that of the fastest forward pass, and over that of the fastest
other tool. *Peak memory*: that of a process that did only this, and how much of it came after one forward pass.

Each tool has weights that ask for no gradient, which spares grad-cam more than half of its time, the layout
that is faster for it, and an allocator that keeps what is freed, in large pages, as all others have
(`benchmarks/allocator.py`); memory is told in small pages.
No other tool does *every layer* in one call. Shown is what their users can do: torchcam's Grad-CAM of all layers
from one pass, captum's guided backprop from another, and their product; the same from grad-cam alone, whose
average over layers is left out; captum alone, with a forward and a backward pass for each layer, estimated from
three (≈, without resizing and product). The handbook loop (a new Grad-CAM and a new guided pass for each of the
30 layers of `features`, with hooks) ran once. Other tools can be asked for modules only, so they answer for
fewer layers. grad-cam's guided backprop answers for one image a call, and is left out for batches."""

BFLOAT16 = """Guided backprop at batch 1, medians of interleaved rounds. Cosines are those of EfficientNet-Lite0
with its ImageNet weights on scikit-image's photos, for the class that float32 puts first; Grad-CAM at the last
layer."""

GROWTH = """Medians in ms at batch 1 and side 224, where they are not what grows; for comparison the other tool
that is fastest, as its users would ask it."""

FILE = """Specialised files hold one method at one layer. The calls, in ms, are Grad-CAM at the last layer,
asked of the whole file in a fresh process with torch only, with the allocator as glibc sets it: ten calls with
one image, then ten with two. TorchScript profiles its first calls unless it is told not to."""
