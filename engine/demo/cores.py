"""The machine's cores, shared by those who compute at the same moment."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def in_own_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, in a thread of its own, whose team ends with it: for what takes long."""
    with ThreadPoolExecutor(1) as own:
        return own.submit(work).result()


class Cores:
    """As many workers as cores. Who is alone gets them all; of several, each gets one.

    Two passes with a thread each bring more than one after the other with two, whose threads wait for one another
    at every call. Only the first worker ever takes several: OpenMP keeps a team of threads for each thread that
    asked for one, and where the teams together have more threads than there are cores, none of them spins.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        # When a thread first asks, torch gives it the number that any thread has set last: so each asks now.
        self._workers = [ThreadPoolExecutor(1, initializer=torch.get_num_threads) for _ in range(self.count)]
        self._idle = set(range(self.count))
        self._began: dict[int, float] = {}  # busy worker -> since when, in seconds
        self._free, self._lock, self._process = threading.Semaphore(self.count), threading.Lock(), os.getpid()

    def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, computed by the first worker that is free."""
        if os.getpid() != self._process:  # a fork has none of these threads, and OpenMP's team does not survive it
            torch.set_num_threads(1)
            return work()
        with self._free:
            with self._lock:
                alone = len(self._idle) == self.count
                worker = min(self._idle)
                self._idle.remove(worker)
                self._began[worker] = time.monotonic()

            def compute() -> Result:
                torch.set_num_threads(self.count if alone else 1)  # of this thread alone
                return work()

            try:
                return self._workers[worker].submit(compute).result()
            finally:
                with self._lock:
                    self._idle.add(worker)
                    del self._began[worker]

    def answers(self, patience: float = 5.0, longest: float = 900.0) -> bool:
        """Does a worker that is free compute something within `patience` seconds? Where none is free: has one of
        them been busy for less than `longest` seconds?"""
        if not self._free.acquire(blocking=False):
            with self._lock:
                since = max(self._began.values(), default=time.monotonic())
            return time.monotonic() - since < longest
        try:
            with self._lock:
                worker = max(self._idle)  # not the first, who alone takes several cores
                asked = self._workers[worker].submit(lambda: torch.ones(2).sum().item())
            return asked.result(patience) == 2.0
        except (TimeoutError, RuntimeError):
            return False
        finally:
            self._free.release()
