"""Peak memory: a process of its own for each tool, task and network, at batch 1."""

import ctypes
import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.allocator import keep_memory
from benchmarks.process import LARGE_PAGES
from benchmarks.questions import question
from benchmarks.tools import OURS, PEERS, ours
from engine import load

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CALLS = 2  # the first call also fills the caches that later ones live with
AT_ONCE = 2  # processes: their memory does not depend on each other


def all_of(
    name: str, path: str, device: str, layers: list[str], cells: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """{task: {tool: peak}} for every tool that `cells`, the times of this network, hold; see `peak_of`."""
    asked = [
        (task, tool, cells[task][tool].get("layout", "contiguous"))
        for task in PEERS
        for tool in (OURS, *PEERS[task])
        if tool in cells.get(task, {})
    ]
    for setting in LARGE_PAGES:
        os.environ.pop(setting, None)  # of a large page that is touched, all would count
    # Each process starts as a copy of one that has imported torch and the engine, and done nothing else.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    found: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(AT_ONCE, processes, max_tasks_per_child=1) as pool:
        peaks = [pool.submit(peak_of, name, path, device, layers, *one) for one in asked]
        for (task, tool, _), peak in zip(asked, peaks, strict=True):
            found.setdefault(task, {})[tool] = peak.result()
    return found


def peak_of(
    name: str, path: str, device: str, layers: list[str], task: str, tool: str, layout: str
) -> dict[str, int]:
    """Bytes: `peak` of the process, and its `rise` above what it holds after one forward pass.

    Ours holds the file alone, the others the network alone. On a GPU both are of torch's allocator.
    """
    keep_memory()
    asked = question(name, 1, layers, device)
    if tool == OURS:
        x, seed = asked.x, asked.seed
        del asked
        explainer = load(path, device)
        call = ours(explainer, x, seed)[task]
        explainer.forward(x)
    else:
        asked = asked.laid_out(layout)
        call = PEERS[task][tool](asked)
        with torch.no_grad():
            asked.module(asked.x)
    return watched(call, device)


def watched(call: Callable[[], object], device: str = "cpu") -> dict[str, int]:
    """The peak while `call` runs, and how far it is above what was held before."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        ctypes.CDLL(None).malloc_trim(0)  # what lies free is given back: it would hide a part of the rise
        CLEAR.write_text("5")  # the kernel's mark of the peak starts anew
        before = status("VmRSS")
    for _ in range(CALLS):
        call()
    peak = torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else status("VmHWM")
    return {"peak": peak, "rise": peak - before}


def status(key: str) -> int:
    """A figure that Linux has of this process, such as VmRSS, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) << 10
