"""One network: its file, and what each tool takes for each task in one interleaved run."""

import time
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import handbook
from benchmarks.questions import LAYOUTS, Question, question
from benchmarks.timing import Call, interleave, once, shares, summary, warm_up
from benchmarks.tools import ONE_IMAGE, OURS, PEERS, SAMPLES, captum_some_layers, forwards, ours
from engine import MODELS, build, load, load_model, save

FORWARD = "forward"
HANDBOOK = "handbook loop"
SOME = "some layers"
FEWEST = 5  # times of each call, however long it takes


def compiled(name: str, folder: str, methods: list[str] | None = None) -> dict[str, Any]:
    """Compile a model with random weights into FOLDER/NAME.pt: seconds, layers, bytes. methods: all if None."""
    start = time.perf_counter()
    explainer = build(name, "random", methods=methods)
    seconds = time.perf_counter() - start
    path = Path(folder) / f"{name}.pt"
    save(explainer, path)
    model = load_model(name, "random")
    parts = dict(model.module.named_modules())
    return {
        "title": MODELS[name].title,
        "compile": seconds,
        "layers": explainer.layers,
        "modules": sum(layer in parts for layer in explainer.layers),
        "weights": sum(value.nbytes for value in model.module.state_dict().values()),
        "file": path.stat().st_size,
        "activations": activations(Question(model.module, model.example[:1], torch.zeros(1, 1), [])),
    }


class Effort(TypedDict):
    """How long to measure, and whom."""

    seconds: float  # of the rounds of one network, about; the warm-up comes on top
    rounds: int  # at most
    peers: bool  # the other tools as well
    loop: bool  # and the handbook's loop, once


def measured(
    name: str, batch: int, path: str, device: str, effort: Effort, known: dict[str, Any] | None
) -> dict[str, Any]:
    """All calls of one network at one batch size: {"forward": {way: times}, task: {tool: times}}.

    known: what this gave at another batch size, for the layouts that suit the other tools.
    """
    explainer = load(path, device)
    asked = question(name, batch, explainer.layers, device)
    calls: dict[tuple[str, str], Call] = {(FORWARD, way): call for way, call in forwards(asked).items()}
    calls |= {(task, OURS): call for task, call in ours(explainer, asked.x, asked.seed).items()}
    # TorchScript profiles the first call and optimises in the second.
    estimates = {key: warm_up(call, 3 if key[0] == FORWARD else 2, device) for key, call in calls.items()}
    layouts = {}
    for task, tools in (PEERS | {SOME: {"captum": captum_some_layers}}).items() if effort["peers"] else ():
        for tool, make in tools.items():
            if batch > 1 and ((task, tool) in ONE_IMAGE or task == SOME):
                continue
            likely = [known[task][tool]["layout"]] if known else LAYOUTS
            kinds = {layout: make(asked.laid_out(layout).own()) for layout in likely}
            times = {layout: warm_up(call, 1, device) for layout, call in kinds.items()}
            best = layouts[task, tool] = min(times, key=times.__getitem__)
            calls[task, tool], estimates[task, tool] = kinds[best], times[best]
    labels = {" / ".join(key): key for key in calls}
    counts = shares(
        {label: estimates[key] for label, key in labels.items()}, effort["seconds"], FEWEST, effort["rounds"]
    )
    times_of = interleave({label: calls[key] for label, key in labels.items()}, counts, device)
    cells: dict[str, dict[str, Any]] = {}
    for label, (task, tool) in labels.items():
        cells.setdefault(task, {})[tool] = summary(times_of[label])
        if (task, tool) in layouts:
            cells[task][tool]["layout"] = layouts[task, tool]
    if SOME in cells:
        cells["every_layer"]["captum"] = estimated(cells, len(asked.layers))
    if effort["loop"]:
        plain, target = asked.own(), asked.targets[0]
        plain.module.requires_grad_()
        took = once(lambda: handbook.every_layer(plain.module, plain.x, target, range(handbook.LAYERS)))
        cells["every_layer"][HANDBOOK] = summary([took])
    return cells


def estimated(cells: dict[str, dict[str, Any]], layers: int) -> dict[str, Any]:
    """What captum takes for all layers: its guided backprop, and LayerGradCam as often as there are layers."""
    some, guided = cells.pop(SOME)["captum"], cells["guided_backprop"]["captum"]
    numbers = {key: guided[key] + some[key] * layers / SAMPLES for key in ("median", "minimum")}
    return numbers | {
        "spread": some["spread"],
        "calls": some["calls"],
        "layout": some["layout"],
        "estimated": True,
    }


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every value that an operation gives; views and places in a pool do not count."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            values = out if isinstance(out, tuple | list) else (out,)
            numbers = (value for value in values if isinstance(value, Tensor) and value.is_floating_point())
            self.total += sum(value.nbytes for value in numbers)
        return out


@torch.no_grad()
def activations(asked: Question) -> int:
    """The sum of the activations in bytes: of all values of an eager forward pass, those written in place too."""
    with _Bytes() as counted:  # type: ignore[no-untyped-call]
        asked.module(asked.x)
    return int(counted.total)
