"""A call that takes long, watched by whoever asked: progress, and a way to end it."""

import threading
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Progress = Callable[[int, int], object]  # steps done, steps in all
EVERY = 0.05  # seconds between two looks


def watched(call: Callable[[Tensor], Result], progress: Progress | None) -> Result:
    """call(state), with `progress` told in this thread how far it is; an exception of its own ends the call.

    state: int64 [3], see `torchscript.along`; empty where nobody watches. What the call raises is raised here.
    """
    if progress is None:
        return call(torch.empty(0))
    state, threads = torch.zeros(3, dtype=torch.int64), torch.get_num_threads()
    found: list[Result] = []
    failed: list[BaseException] = []

    def work() -> None:
        torch.set_num_threads(threads)  # which each thread has for itself
        try:
            found.append(call(state))
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        told = (-1, -1)
        while True:
            worker.join(EVERY)
            now = (int(state[0]), int(state[1]))
            if now != told and now[1] > 0:
                progress(*now)
                told = now
            if not worker.is_alive():
                break
    except BaseException:
        state[2] = 1
        worker.join()
        raise
    if failed:
        raise failed[0]
    return found[0]
