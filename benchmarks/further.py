"""Further questions to one network: what each tool takes, in one interleaved run, once all have answered alike."""

from collections.abc import Iterable
from functools import partial
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.further_tools import (
    BATCHED_PEERS,
    BESIDE,
    FEW_PASSES,
    FURTHER,
    FURTHER_PEERS,
    GRADIENTS,
    GUIDED,
    ONCE,
    PASSES,
    UNITS,
    further,
)
from benchmarks.questions import LAYOUTS, Question, question
from benchmarks.timing import Call, interleave, shares, summary, timed, warm_up
from benchmarks.tools import OURS
from engine import load
from engine.run.starting import UnitAnswer

TASKS_OF = {"efficientnet_lite0": FURTHER, "resnet50": FURTHER, "vgg16": FEW_PASSES}  # network -> tasks
AT_ONCE = (1, 2, 4, 8, 16, 32)  # inputs that another tool may send through the network at once
WITH_A_WAY_BACK = 16  # at most, for which all of a pass is kept
FEWEST = 3  # times of each call, but for those that run once
ALIKE = 0.99  # correlation of two answers to one question, at least


class Effort(TypedDict):
    """How long to measure."""

    seconds: float  # of the rounds of one network, about; the warm-up comes on top
    rounds: int  # at most


FULL = Effort(seconds=30.0, rounds=15)
QUICK = Effort(seconds=1.0, rounds=3)


class Setting(TypedDict):
    """What suits a tool."""

    layout: str  # one of LAYOUTS
    batch: int  # inputs at once, of those that may say so


def measured(name: str, path: str, device: str, effort: Effort) -> dict[str, Any]:
    """All calls of one network at batch 1: {task: {tool: times}}.

    Raises ValueError where a tool answers another question than this project does.
    """
    explainer = load(path, device)
    asked, tasks = question(name, 1, explainer.layers, device), TASKS_OF[name]
    beside = BESIDE if any(task in PASSES for task in tasks) else {GUIDED}
    own = {task: call for task, call in further(explainer, asked).items() if task in (*tasks, *beside)}
    calls: dict[tuple[str, str], Call] = {(task, OURS): call for task, call in own.items()}
    estimates = {key: warm_up(call, 2, device) for key, call in calls.items()}
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    if GRADIENTS in own:
        facts[GRADIENTS, OURS] = {"batch": int(explainer.module.room)}
    cells: dict[str, dict[str, Any]] = {}
    for (task, tool), (call, setting) in peers(asked, tasks, device).items():
        ms, answer = timed(call, device)
        facts[task, tool] = {**setting, "agreement": compared(asked, task, tool, answer, own[task]())}
        if (task, tool) in ONCE:
            cells[task] = {tool: summary([ms])}
        else:
            calls[task, tool], estimates[task, tool] = call, ms
    labels = {" / ".join(key): key for key in calls}
    counts = shares(
        {label: estimates[key] for label, key in labels.items()}, effort["seconds"], FEWEST, effort["rounds"]
    )
    times_of = interleave({label: calls[key] for label, key in labels.items()}, counts, device)
    for label, (task, tool) in labels.items():
        cells.setdefault(task, {})[tool] = summary(times_of[label])
    for (task, tool), more in facts.items():
        cells[task][tool] |= more
    return cells


def peers(asked: Question, tasks: Iterable[str], device: str) -> dict[tuple[str, str], tuple[Call, Setting]]:
    """The other tools' calls, each with what suits it: modules of their own, on shared weights."""
    forms = {layout: asked.laid_out(layout) for layout in LAYOUTS}
    made: dict[tuple[str, str], tuple[Call, Setting]] = {}
    settings: dict[bool, Setting] = {}
    for task in tasks:
        for tool, batched in BATCHED_PEERS.get(task, {}).items():
            back = task in PASSES
            setting = settings[back] = settings.get(back) or fastest_setting(asked, back, device)
            made[task, tool] = batched(forms[setting["layout"]].own(), setting["batch"]), setting
        for tool, make in FURTHER_PEERS.get(task, {}).items():
            kinds = {layout: make(form.own()) for layout, form in forms.items()}
            took = {layout: warm_up(call, 1, device) for layout, call in kinds.items()}
            layout = min(took, key=took.__getitem__)
            made[task, tool] = kinds[layout], Setting(layout=layout, batch=1)
    return made


def fastest_setting(asked: Question, back: bool, device: str) -> Setting:
    """The layout and the number of images at once with which a plain pass takes least time for each image.

    back: of forward and backward pass; else of the forward pass alone.
    """
    times: list[tuple[float, Setting]] = []
    for layout, form in LAYOUTS.items():
        module = asked.laid_out(layout).module
        for batch in (batch for batch in AT_ONCE if not back or batch <= WITH_A_WAY_BACK):
            x = asked.x.expand(batch, *asked.x.shape[1:]).contiguous(memory_format=form)
            ms = warm_up(partial(_plain_pass, module, x, back), 2, device)
            times.append((ms / batch, Setting(layout=layout, batch=batch)))
    return min(times, key=lambda pair: pair[0])[1]


def _plain_pass(module: nn.Module, x: Tensor, back: bool) -> Tensor:
    with torch.set_grad_enabled(back):
        x = x.detach().requires_grad_(back)
        logits: Tensor = module(x)
        return torch.autograd.grad(logits[:, 0].sum(), x)[0] if back else logits


def compared(asked: Question, task: str, tool: str, answer: Any, wanted: Any) -> float | None:
    """The correlation of another tool's answer with ours; None where the definitions are not the same, or where
    a map is empty.

    Noise is each tool's own. captum gates modules that are nn.ReLU and passes others, as ReLU6, without a gate.
    Of all layers the last one is looked at: where an activation in place follows, others have lost the value.
    Raises ValueError where a tool does not answer the question.
    """
    activations = {type(part) for part in asked.module.modules() if isinstance(part, nn.ReLU6 | nn.SiLU | nn.GELU)}
    if task == "smooth_grad" or (task in UNITS and activations):
        return None
    found = correlation(as_map(answer, task, asked), as_map(wanted, task, asked))
    if found is not None and found < ALIKE:
        raise ValueError(f"{tool} answers another question than {task}: its map's correlation is {found:.3f}")
    return found


def as_map(answer: Any, task: str, asked: Question) -> Tensor:
    """An answer at the image's size, of all layers the last one's: [N, S, S] or [N, C, S, S]."""
    map = torch.as_tensor(answer[0] if isinstance(answer, list | UnitAnswer) else answer).detach()
    map = map[:, -1] if task.endswith("_layers") else map
    if tuple(map.shape[-2:]) == asked.size:
        return map
    return F.interpolate(map[:, None], asked.size, mode="bilinear")[:, 0]


def correlation(found: Tensor, wanted: Tensor) -> float | None:
    """The least of an image's maps: some tools shift and scale them. None where both are the same everywhere."""
    if found.shape != wanted.shape:
        raise ValueError(f"an answer is {list(found.shape)}, where {list(wanted.shape)} is asked for")
    if not found.flatten(1).std(1).any() and not wanted.flatten(1).std(1).any():
        return None
    pairs = zip(found.cpu().double(), wanted.cpu().double(), strict=True)
    return min(float(np.corrcoef(a.flatten(), b.flatten())[0, 1]) for a, b in pairs)
