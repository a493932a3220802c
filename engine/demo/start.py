"""What has to be settled before gradio and torch are imported."""

import gc
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def prepare() -> None:
    """Set what gradio and OpenMP read when they are imported, but for what is set already."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # After each event gradio sums up its last ten thousand events, for a page that nobody opens here.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    # A thread that waits spins for about 0.1 ms before it sleeps. With OpenMP's own 6 ms, a pass takes up to fifty
    # times as long when anything else runs on its cores; with none, twice as long when nothing does.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    # torch asks the system for pages of 2 MB: a crowd's questions fetch a third as many.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # What is imported and built until the page opens stays: looking for garbage in it takes half a second.
    gc.set_threshold(100_000)
    sys.meta_path.insert(0, WithoutStubs())


class WithoutStubs(MetaPathFinder):
    """Imports gradio without the type stubs that it writes anew beside its source at each import, for editors.

    It compares 80 classes with their stubs, which takes more than a second; those that came with it stay.
    """

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The one module that writes stubs, with nothing to do for the function that does."""
        if name != "gradio.component_meta":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                vars(module)["create_or_modify_pyi"] = lambda *given: None

            vars(spec.loader)["exec_module"] = exec_module
        return spec
