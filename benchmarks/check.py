"""The guard against regressions: ratios to F against a baseline. Times would tell of machines and of bad days."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.reading import Cells, ratio
from benchmarks.tools import OURS, TASKS

BASELINE = Path(__file__).parent / "baseline.json"
MODELS = ("vgg16", "resnet50", "efficientnet_lite0")
MARGIN = 0.15

Ratios = dict[str, float]  # task -> forward passes


def ratios(cells: Cells) -> Ratios:
    """This project's tasks in forward passes."""
    return {task: found for task in TASKS if (found := ratio(cells, task, OURS)) is not None}


def slower(before: Ratios, now: Ratios) -> list[str]:
    """The tasks whose ratio grew by more than the margin. A task that is new has nothing to be slower than."""
    return [task for task in now if task in before and now[task] > before[task] * (1 + MARGIN)]


def check(baseline: dict[str, Ratios], measure: Callable[[str], Ratios], names: Iterable[str]) -> tuple[str, bool]:
    """Measure each network, once more where something seems slower, and compare with the baseline.

    Returns a table, with a verdict below it, and whether all is well. A suspect task counts with the better of its
    two ratios: noise makes slower, never faster. Raises ValueError for a network that the baseline does not have.
    """
    lines = ["| network | task | baseline | now | |", "|---|---|---|---|---|"]
    complaints = []
    for name in names:
        if name not in baseline:
            raise ValueError(
                f"{BASELINE.name} has no {name}, only {', '.join(baseline)}: "
                f"python -m benchmarks --check --update --models {name}"
            )
        now = measure(name)
        if slower(baseline[name], now):
            again = measure(name)
            now = {task: min(now[task], again[task]) for task in now}
        bad = slower(baseline[name], now)
        for task, found in now.items():
            before = baseline[name].get(task)
            change = f"{found / before - 1:+.0%}{', worse' if task in bad else ''}" if before else "new"
            lines.append(
                f"| {name} | {TASKS[task]} | {f'{before:.2f} F' if before else ''} | {found:.2f} F | {change} |"
            )
            if before and task in bad:
                complaints.append(
                    f"{name}, {TASKS[task]}: {found:.2f} F, {found / before - 1:.0%} more than {before:.2f} F"
                )
    if complaints:
        verdict = f"Worse by more than {MARGIN:.0%}, in two measurements:\n" + "\n".join(complaints)
    else:
        verdict = f"All is well: nothing is worse than the baseline by more than {MARGIN:.0%}."
    return "\n".join(lines) + f"\n\n{verdict}", not complaints


def read(path: Path = BASELINE) -> tuple[str, dict[str, Ratios]]:
    """The machine that the baseline was made on, and its ratios. Raises ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"there is no {path.name} to compare with: python -m benchmarks --check --update")
    found = json.loads(path.read_text())
    return found["machine"], found["forward passes"]


def write(machine: str, found: dict[str, Ratios], path: Path = BASELINE) -> None:
    """Keep ratios as the baseline; networks that were not measured now keep theirs if the machine is the same."""
    kept = {}
    if path.is_file() and (before := read(path))[0] == machine:
        kept = before[1]
    rounded = {name: {task: round(value, 3) for task, value in row.items()} for name, row in found.items()}
    content = {"machine": machine, "forward passes": kept | rounded}
    path.write_text(json.dumps(content, indent=1) + "\n")
