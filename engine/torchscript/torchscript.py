"""The one door to torch.jit, which torch.export is to follow: what knows of it stands in this package."""

import inspect
import sys
import warnings
from typing import Any

import torch
from torch import nn

PACKAGE = __name__.partition(".")[0]  # `engine` in a checkout, `convlens` where it is installed
PREFIX = "__torch__.convlens"  # the same in every file


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """torch.jit.script without the notice that torch.export is to follow it: the Program is ready for that."""
    name_for_files()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.script(module)


def name_for_files(*things: type) -> None:
    """Give what a file may take along the name that it has there: `__torch__.convlens.PACKAGE.ROOM.NAME`.

    TorchScript writes into a file where Python found a class or a function, the package's own name included. But
    a program must be the same bytes in a checkout and where it is installed: its digest is what people compare.
    The attribute is TorchScript's own way to say another name, made for tracing; `__module__` stays as it is,
    since pickle and inspect go by it. All that the loaded rooms define is named, for a list of what TorchScript
    will meet would be one more that has to agree by hand. Nothing is inherited: every class gets its own.

    things: classes that no room holds, being made just now.
    """
    found: list[Any] = list(things)
    for name, room in list(sys.modules.items()):
        if name.startswith(f"{PACKAGE}."):
            own = [thing for thing in list(vars(room).values()) if getattr(thing, "__module__", None) == name]
            found += [thing for thing in own if inspect.isclass(thing) or inspect.isfunction(thing)]
    for thing in found:
        home = thing.__module__.removeprefix(PACKAGE)
        thing._jit_override_qualname = f"{PREFIX}{home}.{thing.__name__}"
