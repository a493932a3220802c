"""What a task costs as the layers, the side of the image and the batch grow."""

from typing import Any

from benchmarks.networks import FORWARD
from benchmarks.questions import Question, question
from benchmarks.timing import Call, interleave, shares, summary, warm_up
from benchmarks.tools import BOTH, EVERY, OURS, PEERS, TASKS, forwards, ours
from engine import Explainer, build, load

MODELS = ("resnet50", "efficientnet_lite0")
SIDES = (128, 192, 224, 320, 512)
BATCHES = (1, 2, 4, 8, 16)
PARTS = (0.0, 0.5, 1.0)  # of the layers: one, half of them, all
SECONDS, FEWEST, MOST = 1.5, 3, 9  # of the rounds at one point
PEER = {"grad_cam": "captum", "guided_backprop": "captum", "every_layer": BOTH}  # the fastest other tool


def of(name: str, path: str, device: str) -> dict[str, list[dict[str, Any]]]:
    """Three series of points, each {"at": number, task: {tool: median in ms}, "forward": ms}."""
    whole = load(path, device)
    series: dict[str, list[dict[str, Any]]] = {"layers": [], "side": [], "batch": []}
    for part in PARTS:
        chosen = spread(whole.layers, part)
        explainer = whole if len(chosen) == len(whole.layers) else build(name, "random", chosen, EVERY)
        explainer.module.to(device)
        asked = question(name, 1, explainer.layers, device)
        series["layers"].append({"at": len(chosen)} | point(explainer, asked, device, ["every_layer"]))
    side = whole.geometry.crop[0]
    for wanted in SIDES:
        explainer = whole if wanted == side else build(name, "random", methods=EVERY, size=(wanted, wanted))
        explainer.module.to(device)
        asked = question(name, 1, explainer.layers, device, (wanted, wanted))
        series["side"].append({"at": wanted} | point(explainer, asked, device, list(TASKS)))
    for batch in BATCHES:
        asked = question(name, batch, whole.layers, device)
        series["batch"].append({"at": batch} | point(whole, asked, device, list(TASKS)))
    return series


def spread(layers: list[str], part: float) -> list[str]:
    """So much of the layers, evenly spread, the last one among them."""
    count = max(1, round(part * len(layers)))
    return [layers[len(layers) - 1 - index * len(layers) // count] for index in reversed(range(count))]


def point(explainer: Explainer, asked: Question, device: str, tasks: list[str]) -> dict[str, Any]:
    """Medians in ms at one point, from interleaved rounds: {task: {tool: ms}, "forward": the fastest}."""
    calls: dict[str, Call] = {f"{FORWARD}/{way}": call for way, call in forwards(asked).items()}
    own = ours(explainer, asked.x, asked.seed)
    for task in tasks:
        calls[f"{task}/{OURS}"] = own[task]
        calls[f"{task}/{PEER[task]}"] = PEERS[task][PEER[task]](asked.laid_out("channels_last").own())
    estimates = {
        label: warm_up(call, 3 if label.startswith(FORWARD) else 1, device) for label, call in calls.items()
    }
    # What is far from the fastest forward pass cannot become it.
    least = min(ms for label, ms in estimates.items() if label.startswith(FORWARD))
    slow = {label for label, ms in estimates.items() if label.startswith(FORWARD) and ms > 1.2 * least}
    calls = {label: call for label, call in calls.items() if label not in slow}
    counts = shares({label: estimates[label] for label in calls}, SECONDS, FEWEST, MOST)
    medians = {label: summary(times)["median"] for label, times in interleave(calls, counts, device).items()}
    found: dict[str, Any] = {
        FORWARD: min(ms for label, ms in medians.items() if label.startswith(FORWARD)),
    }
    for task in tasks:
        found[task] = {tool: medians[f"{task}/{tool}"] for tool in (OURS, PEER[task])}
    return found
