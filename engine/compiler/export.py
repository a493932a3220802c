"""The one place that asks torch.export, and says in plain words what it can't take."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from operator import getitem
from typing import Any, TextIO

import torch
from torch import Tensor, fx
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from ..errors import CaptureError
from ..listing.program import INTEGER_OPS, Program, op_name, place, source_line
from .advice import refusal
from .brought import WHERE, Brought
from .grad_modes import detach_regions, leaving_traces

MAX_BATCH = 4096  # an upper end that export wants to know; any batch below it runs


def export_network(network: Brought, example: Tensor) -> torch.export.ExportedProgram:
    """Export a network, its batch free, with what its author kept out of the gradient behind `detach`.

    Raises CaptureError where torch.export can't.
    """
    # Export wants two images to see that the batch is free: a batch of one looks like a constant.
    images = torch.zeros(2, *example.shape[1:], dtype=example.dtype, device=example.device)
    batch = Dim("batch", min=1, max=MAX_BATCH)
    try:
        # With gradients on: where the author switched them off, export leaves a region.
        with torch.inference_mode(False), torch.enable_grad(), leaving_traces(), _quietly():
            exported = export(network, (images,), dynamic_shapes=({0: batch},), strict=False)
    except Exception as error:
        # Torch's own words are the whole graph, thousands of lines.
        raise refusal(f"torch.export cannot take {network.title}", error) from None
    detach_regions(exported.graph_module)
    for part in exported.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            node.meta["nn_module_stack"] = _without_wrapper(node.meta.get("nn_module_stack") or {})
    return exported


@contextmanager
def _quietly() -> Iterator[None]:
    """Within, what torch logs and prints in this thread of a step that fails does not reach the terminal: it is
    thousands of lines of graph, and the refusal is one sentence."""
    mine = threading.get_ident()
    names = ["", *(name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "torch")]
    handlers = [handler for name in names for handler in logging.getLogger(name).handlers]

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != mine or not record.name.startswith("torch")

    for handler in handlers:
        handler.addFilter(elsewhere)
    try:
        with redirect_stderr(_Elsewhere(sys.stderr, mine)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(elsewhere)


class _Elsewhere:
    """A stream for the other threads alone."""

    def __init__(self, stream: TextIO, thread: int) -> None:
        self._stream, self._thread = stream, thread

    def write(self, text: str) -> int:
        """Write, unless it is the one thread that does."""
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _without_wrapper(stack: dict[str, Any]) -> dict[str, Any]:
    """The modules that a call stands in, as their author has them: without the one around the network."""
    inner = {key: value for key, value in stack.items() if str(value[0]).partition(".")[0] == WHERE}
    return {key: (str(name).removeprefix(WHERE).removeprefix("."), *rest) for key, (name, *rest) in inner.items()}


def refuse_open_shapes(program: Program) -> None:
    """Raise CaptureError where the shape of a value depends on the pixels, as that of x[x > 0]."""
    numbers = (torch.SymInt, torch.SymFloat, torch.SymBool)
    for node in program.needed([program.logits]):
        value = node.meta["val"]
        if getattr(node.target, "__module__", "") == "_operator" and node.target not in (*INTEGER_OPS, getitem):
            raise CaptureError(
                f"{op_name(node)} of a batch size at {place(node)}{source_line(node)}: a listing adds, multiplies "
                "and divides them without a rest"
            )
        if isinstance(value, numbers) and free_unbacked_symbols(value):
            raise CaptureError(
                f"{op_name(node)} at {place(node)}{source_line(node)} makes a number of pixel values (`.item()`, "
                "`float(tensor)`), which a listing can't: keep it a tensor"
            )
        if isinstance(value, Tensor) and free_unbacked_symbols(value):
            raise CaptureError(
                f"the shape of aten.{op_name(node)} at {place(node)} depends on the pixels "
                "(a mask as an index, nonzero, unique): a listing has fixed shapes. torch.where keeps the shape."
            )
