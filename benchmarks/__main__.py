"""python -m benchmarks: this project and the tools of the field, side by side in one run.

Prints tables, and writes them as JSON, as a plot and as a page. Needs benchmarks/requirements.txt, --check does
not.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import bfloat16, demo, further, growth, machine, memory, networks, the_file
from benchmarks.bounds import FASTER_THAN_THE_LOOP, VECTORS
from benchmarks.check import MODELS as CHECKED
from benchmarks.check import Ratios, check, ratios, read, write
from benchmarks.further_tools import NEEDED
from benchmarks.process import ROOT, fresh
from benchmarks.reading import Result
from benchmarks.tools import EVERY

MODELS = ("vgg16", "resnet50", "densenet121", "efficientnet_lite0", "mobilenet_v2")
BATCHES = (1, 8)
FULL = networks.Effort(seconds=9.0, rounds=15, peers=True, loop=False)
QUICK = networks.Effort(seconds=5.0, rounds=7, peers=True, loop=False)
PAGE = ROOT / "docs" / "performance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 where `--check` found something worse."""
    options = _options(arguments)
    try:
        if options.check:
            return _check(options)
        result = json.loads(options.read.read_text()) if options.read else None
        if options.only:
            result = only_further(options, result)
        elif result is None:
            result = everything(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # The page and the plot need the requirements of the benchmarks.
    from benchmarks import plot, report

    _keep(result, options)
    if options.plot:
        plot.draw(result, options.plot)
    if options.docs:
        path = _page(result)
        plot.draw(result, path.with_suffix(".png"))
        path.write_text(report.page(result, f"{path.stem}.png", path == PAGE))
    print(report.page(result))
    return 0


def everything(options: argparse.Namespace) -> Result:
    """Measure; one process at a time, and nothing beside it."""
    result = _nothing(options)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            result["networks"][name] = _network(name, folder, options)
            _keep(result, options)
        if options.quick:
            return result
        _further(result, folder, options)
        result["bfloat16"] = {"times": {}, "cosines": {}}
        timed = result["machine"]["bfloat16"] or options.device != "cpu"  # else a pass takes minutes
        for name in _chosen(options, bfloat16.MODELS) if timed else ():
            _say(f"{name}, bfloat16")
            last = result["networks"][name]["file"]["layers"][-1]
            result["bfloat16"]["times"][name] = fresh(bfloat16.times, name, last, folder, options.device)
        if bfloat16.EMBEDDED in options.models:
            result["bfloat16"]["cosines"] = fresh(bfloat16.cosines)
        _keep(result, options)
        result["growth"] = {}
        for name in _chosen(options, growth.MODELS):
            _say(f"{name}, growth")
            result["growth"][name] = fresh(growth.of, name, f"{folder}/{name}.pt", options.device)
        result["files"] = {}
        for name in _chosen(options, the_file.MODELS):
            _say(f"{name}, file")
            result["files"][name] = the_file.of(name, folder, result["networks"][name]["file"])
    if options.device == "cpu":
        _say("the demo")
        result["demo"] = fresh(demo.measure)
    return result


def only_further(options: argparse.Namespace, known: Result | None) -> Result:
    """Measure the further questions alone, and put them beside what is known from before.

    Raises ValueError where that is of another machine.
    """
    result = _nothing(options)
    if known:
        here, there = machine.name(result["machine"]), machine.name(known["machine"])
        if here != there:
            raise ValueError(f"{options.read.name} is of another machine, {there}, and this is {here}")
        result = known
    with tempfile.TemporaryDirectory() as folder:
        _further(result, folder, options)
    return result


def _nothing(options: argparse.Namespace) -> Result:
    return {"machine": machine.facts(options.device), "quick": options.quick, "networks": {}}


def _further(result: Result, folder: str, options: argparse.Namespace) -> None:
    effort = further.QUICK if options.quick else further.FULL
    result.setdefault("further", {})
    for name in _chosen(options, list(further.TASKS_OF)):
        path = Path(folder) / f"{name}.pt"
        if not path.is_file():
            _say(f"{name}, compiling")
            fresh(networks.compiled, name, folder, NEEDED)
        _say(f"{name}, further questions")
        result["further"][name] = fresh(further.measured, name, str(path), options.device, effort)
        _keep(result, options)


def _keep(result: Result, options: argparse.Namespace) -> None:
    """Write what there is: a run that is cut short is not lost."""
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _network(name: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    _say(f"{name}, compiling")
    found: dict[str, Any] = {"file": fresh(networks.compiled, name, folder), "batches": {}}
    path = f"{folder}/{name}.pt"
    for batch in BATCHES[:1] if options.quick else BATCHES:
        _say(f"{name}, batch {batch}")
        effort = QUICK.copy() if options.quick else FULL.copy()
        effort["loop"] = (
            name in FASTER_THAN_THE_LOOP and batch == 1 and not options.quick and options.device == "cpu"
        )
        arguments = name, batch, path, options.device, effort, found["batches"].get("1")
        found["batches"][str(batch)] = fresh(networks.measured, *arguments)
    if not options.quick:
        _say(f"{name}, memory")
        found["memory"] = fresh(
            memory.all_of, name, path, options.device, found["file"]["layers"], found["batches"]["1"]
        )
    return found


def _page(result: Result) -> Path:
    """That of processors as the bounds are set for; others have pages of their own."""
    found = result["machine"]
    kind = str(found["vectors"] if found["device"] == "cpu" else found["device"]).lower().replace(" ", "-")
    return PAGE if kind == VECTORS.lower() else PAGE.with_stem(f"{PAGE.stem}-{kind}")


def _check(options: argparse.Namespace) -> int:
    here = machine.facts(options.device)
    print(machine.text(here) + "\n", flush=True)
    effort = (QUICK if options.quick else FULL) | {"peers": False}
    with tempfile.TemporaryDirectory() as folder:

        def measure(name: str) -> Ratios:
            path = Path(folder) / f"{name}.pt"
            if not path.is_file():
                _say(f"{name}, compiling")
                fresh(networks.compiled, name, folder, EVERY)
            _say(name)
            return ratios(fresh(networks.measured, name, 1, str(path), options.device, effort, None))

        if options.update:
            write(machine.name(here), {name: measure(name) for name in options.models})
            print("The baseline is written.")
            return 0
        other, baseline = read()
        text, well = check(baseline, measure, options.models)
    print(text)
    if other != machine.name(here):
        print(f"The baseline is of another machine, {other}: its ratios may differ from this one's.")
    return 0 if well else 1


def _chosen(options: argparse.Namespace, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in options.models]


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", type=lambda text: text.split(","), metavar="NAME,…", help="names of the zoo")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, batch 1, times alone")
    parser.add_argument("--only", choices=["further"], help="measure this alone; --read FILE adds it to the rest")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: take what --json wrote")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the plot, as PNG")
    parser.add_argument(
        "--docs", action="store_true", help=f"write docs/{PAGE.name}, or this machine's own page, and its plot"
    )
    parser.add_argument("--check", action="store_true", help="compare this project's ratios with the baseline")
    parser.add_argument("--update", action="store_true", help="with --check: make these ratios the baseline")
    options = parser.parse_args(arguments)
    options.models = options.models or list(CHECKED if options.check else MODELS)
    if options.update and not options.check:
        parser.error("--update belongs to --check")
    if options.only and options.check:
        parser.error("--check compares what the baseline has: leave --only out")
    if options.only and not options.read and (options.docs or options.plot):
        parser.error("page and plot are of everything: say by --read what the rest is taken from")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA device here: leave --device out")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
