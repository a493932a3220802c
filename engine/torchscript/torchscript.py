"""The one door to torch.jit, which torch.export is to follow: what knows of it stands in this package."""

import warnings

import torch
from torch import nn


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """torch.jit.script without the notice that torch.export is to follow it: the Program is ready for that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.script(module)
