"""What a process of its own keeps, answers, and holds at its peak."""

import os
import subprocess
import sys

import pytest
import torch

from benchmarks import memory
from benchmarks.process import ROOT, fresh


def test_memory_sees_what_a_call_holds(explainer) -> None:
    if not os.access(memory.CLEAR, os.W_OK):
        pytest.skip("this system does not let a process reset the mark of its peak")
    megabytes = 200
    rise = memory.watched(lambda: torch.ones(megabytes << 18))["rise"] / 2**20
    assert megabytes * 0.9 < rise < megabytes * 1.3
    assert memory.watched(lambda: None)["rise"] / 2**20 < 20


def kept(megabytes: int) -> float:
    """The share of a freed tensor's memory that the process still holds."""
    before = memory.status("VmRSS")
    torch.ones(megabytes << 18)
    return (memory.status("VmRSS") - before) / (megabytes << 20)


kept.__module__ = "tests.benchmarks.test_process"  # as a process in the project's folder finds it


def test_a_fresh_process_keeps_its_memory_and_answers() -> None:
    # Beside one that was not told to: this process may have been, by the test of that.
    asked = "from tests.benchmarks.test_process import kept; print(kept(100))"
    plain = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(plain.stdout) < 0.5 < fresh(kept, 100)


def test_what_a_fresh_process_said_at_its_end() -> None:
    with pytest.raises(RuntimeError, match=r"posix\.strerror.* ended with 1: [\s\S]*TypeError"):
        fresh(os.strerror, "no number")
