"""The one door to torch.jit, which torch.export is to follow: what knows of it stands in this package."""

import warnings
from typing import Any

import torch
from torch import nn


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """torch.jit.script without the notice that torch.export is to follow it: the Program is ready for that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.script(module)


def _interface(declaration: Any) -> Any:
    """torch.jit.interface without its notice; see `scripted`."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return torch.jit.interface(declaration)
