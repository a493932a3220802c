"""A fresh process for each measurement: no caches, no memory and no hooks of the one before it."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.allocator import keep_memory

ROOT = Path(__file__).parent.parent
# torch asks the system for pages of 2 MB, where it has them: an answer of 44 MB is 11,000 small ones, which glibc
# takes anew each time.
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
REPLY = "import sys; from benchmarks.process import reply; reply(*sys.argv[1:])"


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` of one of these rooms gives for `arguments`, asked in a process of its own.

    Arguments and answer go as JSON. Raises RuntimeError with the end of what the process said where it failed.
    """
    command = [sys.executable, "-W", "ignore", "-c", REPLY, function.__module__, function.__name__]
    asked = subprocess.run(
        [*command, json.dumps(arguments)], cwd=ROOT, env=os.environ | LARGE_PAGES, capture_output=True, text=True
    )
    if asked.returncode:
        raise RuntimeError(
            f"{function.__module__}.{function.__name__}{arguments} ended with {asked.returncode}: "
            f"{asked.stderr.strip()[-2000:] or 'it said nothing; was it killed for memory?'}"
        )
    return json.loads(asked.stdout.splitlines()[-1])


def reply(module: str, function: str, arguments: str) -> None:
    """The other end of `fresh`: the last line that is printed is the answer.

    Memory is kept, and its pages are large, for all tools and the forward pass alike.
    """
    keep_memory()
    answer = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    print(json.dumps(answer))
