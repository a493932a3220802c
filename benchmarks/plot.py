"""The plot: what each tool takes for each task, in forward passes of the same network."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.reading import Result, cells_of, ratio
from benchmarks.tools import BOTH, OURS, TASKS

COLOURS = {  # in the order of the bars
    OURS: "#4f46e5",
    "captum": "#94a3b8",
    "torchcam": "#8ecbc6",
    BOTH: "#4f9c9f",
    "grad-cam": "#d3d9e3",
}
INK, PALE, LINE = "#1f2937", "#6b7280", "#e5e7eb"
BAR = 0.2  # of the height of a network, four of which and a gap fill it


def draw(result: Result, path: Path) -> None:
    """Write a PNG: a panel for each task, networks below each other, batch 1."""
    names = [name for name in result["networks"] if cells_of(result, name)]
    if not names:
        raise ValueError("nothing was measured at batch 1: there is nothing to draw")
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK}):
        figure = Figure(figsize=(11, 1.1 + 1.0 * len(names)), facecolor="white", dpi=160)
        axes = figure.subplots(1, len(TASKS), sharey=True)
        for panel, task in zip(axes, TASKS, strict=True):
            _panel(panel, result, names, task)
        axes[0].set_yticks(range(len(names)), [result["networks"][name]["file"]["title"] for name in names])
        axes[0].invert_yaxis()
        handles = [matplotlib.patches.Patch(color=colour, label=tool) for tool, colour in COLOURS.items()]
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, handlelength=1.1)
        figure.subplots_adjust(left=0.115, right=0.985, top=1 - 0.42 / figure.get_figheight(), wspace=0.07)
        figure.subplots_adjust(bottom=0.72 / figure.get_figheight())
        figure.savefig(path)


def _panel(panel: Axes, result: Result, names: list[str], task: str) -> None:
    found = {name: _bars(result, name, task) for name in names}
    # What was only estimated is many times as long as the rest: it is cut, and says how long it is.
    limit = 1.16 * max(passes for bars in found.values() for passes, estimated in bars.values() if not estimated)
    for row, bars in enumerate(found.values()):
        for place, (tool, (passes, _)) in enumerate(bars.items()):
            y = row + (place - (len(bars) - 1) / 2) * BAR
            panel.barh(y, min(passes, limit), 0.84 * BAR, color=COLOURS[tool], linewidth=0)
            style: dict[str, Any] = {"va": "center_baseline", "fontsize": 7.5}
            if passes > limit:
                panel.text(limit * 0.985, y, f"{passes:.0f} →", ha="right", color="white", **style)
            else:
                bold = {"weight": "bold", "color": INK} if tool == OURS else {"color": PALE}
                # On white: the line of one forward pass would run through a number beside it.
                clear = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
                panel.text(passes + limit * 0.014, y, f"{passes:.2f}", ha="left", bbox=clear, **style | bold)
    panel.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    panel.set_xlim(0, limit)
    panel.set_title(TASKS[task], fontsize=10, weight="bold", loc="left")
    panel.set_xlabel("forward passes", color=PALE, fontsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.tick_params(length=0, colors=PALE, labelsize=8)
    panel.tick_params(axis="y", colors=INK, labelsize=9.5)
    panel.spines[:].set_visible(False)
    panel.grid(axis="x", color=LINE, linewidth=0.7)
    panel.set_axisbelow(True)


def _bars(result: Result, name: str, task: str) -> dict[str, tuple[float, bool]]:
    """The tools' ratios to F in the order of the bars, and whether they are estimates."""
    cells = cells_of(result, name)
    return {
        tool: (passes, "estimated" in cells[task][tool])
        for tool in COLOURS
        if (passes := ratio(cells, task, tool)) is not None
    }
