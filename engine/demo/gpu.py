"""Hugging Face's ZeroGPU: where the package `spaces` is installed, the engine runs inside of `spaces.GPU`."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def has_gpu() -> bool:
    """Does the engine run in processes of ZeroGPU's?"""
    return importlib.util.find_spec("spaces") is not None


def on_gpu(function: Function) -> Function:
    """The function, decorated by `spaces.GPU` where there is one.

    ZeroGPU calls it in a process that was forked from this one, so what it takes and gives has to be pickled:
    names, numbers and arrays, never a model.
    """
    if not has_gpu():
        return function
    decorated: Function = importlib.import_module("spaces").GPU(function)
    return decorated
