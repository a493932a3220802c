"""Figures read from a result: the fastest forward pass, ratios to it, and the fastest other tool."""

from typing import Any

from benchmarks.further_tools import FURTHER
from benchmarks.networks import FORWARD, HANDBOOK
from benchmarks.tools import OURS, TASKS

Result = dict[str, Any]  # what the command measures, as its JSON file has it
Cells = dict[str, dict[str, Any]]  # of one network at one batch size: {task: {tool: times}}


def cells_of(result: Result, name: str, batch: int = 1) -> Cells:
    """The times of one network at one batch size; empty where they were not measured."""
    found: Cells = result["networks"].get(name, {}).get("batches", {}).get(str(batch), {})
    return found


def fastest_forward(cells: Cells) -> tuple[str, float]:
    """F: the way of the fastest forward pass, and its median in ms."""
    return min(((way, times["median"]) for way, times in cells[FORWARD].items()), key=lambda pair: pair[1])


def ratio(cells: Cells, task: str, tool: str = OURS) -> float | None:
    """A median in forward passes; None where it was not measured."""
    times = cells.get(task, {}).get(tool)
    return float(times["median"]) / fastest_forward(cells)[1] if times else None


def fastest_other(cells: Cells, task: str) -> tuple[str, float] | None:
    """The fastest other tool for a task and its median in ms; None where none was asked."""
    others = [
        (tool, float(times["median"]))
        for tool, times in cells.get(task, {}).items()
        if tool not in (OURS, HANDBOOK)
    ]
    return min(others, key=lambda pair: pair[1], default=None)


def gain(cells: Cells, task: str) -> float | None:
    """How many times faster than the fastest other tool; None where none was asked."""
    other = fastest_other(cells, task)
    return other[1] / float(cells[task][OURS]["median"]) if other else None


def every_cell(result: Result) -> list[tuple[str, int, str, Cells]]:
    """All (network, batch, task) that were measured, with the times of that network and batch."""
    return [
        (name, int(batch), task, cells)
        for name, network in result["networks"].items()
        for batch, cells in network["batches"].items()
        for task in TASKS
        if task in cells
    ]


def further_cells(result: Result) -> list[tuple[str, str, Cells]]:
    """All (network, task) of the further questions that were measured, with the times of that network."""
    return [
        (name, task, cells)
        for name, cells in result.get("further", {}).items()
        for task in FURTHER
        if task in cells
    ]


def in_calls(cells: Cells, task: str, other: str) -> float | None:
    """A median of this project's in medians of another question to it; None where one was not measured."""
    if task not in cells or other not in cells:
        return None
    return float(cells[task][OURS]["median"]) / float(cells[other][OURS]["median"])
