"""Interleaved rounds: what is compared is asked in turn, so that a slow minute of the machine hits all alike."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Call = Callable[[], object]


def once(call: Call, device: str = "cpu") -> float:
    """Milliseconds of one call; on a GPU until its work is done."""
    return timed(call, device)[0]


def timed(call: Call, device: str = "cpu") -> tuple[float, object]:
    """Milliseconds of one call, as `once`, and what it answers."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    answer = call()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) * 1e3, answer


def warm_up(call: Call, fewest: int, device: str = "cpu") -> float:
    """The fastest of a few calls, in ms: at least `fewest`, and up to four within half a second."""
    times = [once(call, device) for _ in range(fewest)]
    while len(times) < 4 and sum(times) < 500:
        times.append(once(call, device))
    return min(times)


def shares(estimates: Mapping[str, float], seconds: float, fewest: int, most: int) -> dict[str, int]:
    """How often each call runs so that all take about `seconds`: the same time for each, not the same number."""
    share = seconds * 1e3 / max(1, len(estimates))
    return {label: min(most, max(fewest, int(share / max(ms, 1e-3)))) for label, ms in estimates.items()}


def interleave(
    calls: Mapping[str, Call], counts: Mapping[str, int], device: str = "cpu"
) -> dict[str, list[float]]:
    """Times in ms, `counts` of them for each call, spread evenly over the rounds.

    Each round has an order of its own: what a call finds in the caches depends on the one before it. A first round
    is not counted: there large answers find their places between what other calls have left of the memory.
    """
    for call in calls.values():
        call()
    rounds = max(counts.values())
    times: dict[str, list[float]] = {label: [] for label in calls}
    for turn in range(rounds):
        due = [label for label in calls if (turn + 1) * counts[label] // rounds > turn * counts[label] // rounds]
        random.Random(turn).shuffle(due)
        for label in due:
            times[label].append(once(calls[label], device))
    return times


def summary(times: list[float]) -> dict[str, Any]:
    """Median and minimum in ms, and the spread: the distance between the quartiles over the median."""
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else (median,) * 3
    return {"median": median, "minimum": min(times), "spread": (high - low) / median, "calls": len(times)}
