"""The further questions as Markdown."""

from typing import Any

from benchmarks.further_tools import BESIDE, FURTHER, GRADIENTS
from benchmarks.reading import Cells, fastest_other
from benchmarks.tools import OURS
from engine import MODELS


def section(found: dict[str, Cells]) -> str:
    """A part of the page: a table for each network."""
    parts = [f"## Many passes, other maps and units\n\n{TEXT}"]
    parts += [f"### {MODELS[name].title}, further questions\n\n{table(cells)}" for name, cells in found.items()]
    return "\n\n".join(parts)


def table(cells: Cells) -> str:
    """All further calls of one network."""
    lines = [
        "| task | tool | median, ms | minimum, ms | spread | calls | fastest other | agreement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    titles = BESIDE | FURTHER
    lines += [
        _call(cells, task, tool, titles[task])
        for task in titles
        for tool in sorted(cells.get(task, {}), key=lambda tool: cells[task][tool]["median"])
    ]
    return "\n".join(lines)


def _call(cells: Cells, task: str, tool: str, title: str) -> str:
    times, other = cells[task][tool], fastest_other(cells, task)
    numbers = [
        f"{times['median']:.1f}",
        f"{times['minimum']:.1f}",
        f"{times['spread']:.0%}" if times["calls"] > 1 else "",
        str(times["calls"]),
        f"{times['median'] / other[1]:.2f}" if other else "",
        f"{times['agreement']:.4f}" if times.get("agreement") is not None else "",
    ]
    return f"| {title} | {_told(times, task, tool)} | {' | '.join(numbers)} |"


def _told(times: dict[str, Any], task: str, tool: str) -> str:
    """The tool, its layout, and how many inputs went through at once."""
    told = f"**{tool}**" if tool == OURS else tool
    if "layout" in times:
        told += f", {times['layout'].replace('_', ' ')}"
    if times.get("batch", 1) > 1 or task == GRADIENTS:
        told += f", {times['batch']} at once"
    return told


TEXT = """One image, interleaved as above, in fewer rounds; grad-cam's Ablation-CAM, with a pass of the whole
network for each channel, ran once. Units are of the last layer: the strongest channel, where it is strongest. Of
all layers other tools answer for those that are modules, from one pass.

A tool that may send several inputs through the network at once (captum by `internal_batch_size`,
`nt_samples_batch_size` and `perturbations_per_eval`, grad-cam by `batch_size`) gets the layout and the number, up
to 32, or 16 with gradients, with which a plain pass takes least time for each image. captum's integrated gradients
have midpoints, as those here.

*Agreement*: the correlation of a tool's map with this project's, looked at before the rounds; where it is less
than 0.99 there are none. It is not told where there is none to be had: SmoothGrad's noise is each tool's own,
captum gates no activation but `nn.ReLU`, and a map may be zero everywhere."""
