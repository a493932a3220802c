"""The one place that asks torch.export, and says in plain words what it can't take."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from ..errors import CaptureError
from ..listing.program import Program, op_name, place
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
        with torch.inference_mode(False), torch.enable_grad(), leaving_traces():
            exported = export(network, (images,), dynamic_shapes=({0: batch},), strict=False)
    except Exception as error:
        raise _refusal(network, error) from None  # torch's own words are the whole graph, thousands of lines
    detach_regions(exported.graph_module)
    for part in exported.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            node.meta["nn_module_stack"] = _without_wrapper(node.meta.get("nn_module_stack") or {})
    return exported


def _without_wrapper(stack: dict[str, Any]) -> dict[str, Any]:
    """The modules that a call stands in, as their author has them: without the one around the network."""
    inner = {key: value for key, value in stack.items() if str(value[0]).partition(".")[0] == WHERE}
    return {key: (str(name).removeprefix(WHERE).removeprefix("."), *rest) for key, (name, *rest) in inner.items()}


def refuse_open_shapes(program: Program) -> None:
    """Raise CaptureError where the shape of a value depends on the pixels, as that of x[x > 0]."""
    for node in program.graph.nodes:
        if isinstance(node.meta["val"], Tensor) and free_unbacked_symbols(node.meta["val"]):
            raise CaptureError(
                f"the shape of aten.{op_name(node)} at {place(node)} depends on the pixels "
                "(a mask as an index, nonzero, unique): a listing has fixed shapes. torch.where keeps the shape."
            )


# What torch says, and what it means here.
KNOWN = (
    (
        ("data-dependent", "DataDependent", "unbacked", "Boolean value of Tensor", "GuardOn"),
        "its control flow or a size depends on pixel values (an `if` on a tensor, `.item()`, `int(tensor)`)",
        "Write the choice with torch.where, so that every image takes the same steps.",
    ),
    (
        ("Constraints violated", "specialized", "not a valid marker", "Could not guard"),
        "it fixes the batch size",
        "Read it as x.shape[0] or x.size(0), not len(x) or a number, and expand what has the batch's size.",
    ),
    (
        ("same dtype", "same type", "scalar type", "expected dtype", "to have the same"),
        "",
        "It computes in one precision and its input or weights are in another: bring module and example to one, "
        "`module.float()` and `example.float()`, and make tensors in `forward` with dtype=x.dtype.",
    ),
    (
        ("same device", "on cpu", "on cuda", "meta tensor"),
        "",
        "It makes a tensor on a device of its own: make it with device=x.device, or register it as a buffer.",
    ),
    (
        ("missing 1 required", "missing 2 required", "unexpected keyword", "positional argument"),
        "",
        "Give what `forward` takes beside the image as inputs={...}, or wrap the network in a module whose "
        "forward takes the image alone.",
    ),
    (
        ("channels", "size of tensor", "shapes cannot be multiplied", "Given groups", "invalid for input of size"),
        "",
        "The example sets the size that the network is compiled for: give one as the network takes it.",
    ),
)
ELSE = (
    "The compiler needs a forward pass that torch.export can trace; "
    "torch.export.export(module, (images,), strict=False) shows the whole story."
)


def _refusal(network: Brought, error: Exception) -> CaptureError:
    """What torch.export could not do, where in the network's own source, and the way out."""
    text = str(error).strip()
    reason = text.splitlines()[0].rstrip(".")[:300] if text else type(error).__name__
    said = f"{type(error).__name__} {text}"
    meaning, way = next((row[1:] for row in KNOWN if any(sign in said for sign in row[0])), ("", ELSE))
    return CaptureError(f"torch.export cannot take {network.title}{_source(error)}: {meaning or reason}. {way}")


def _source(error: BaseException) -> str:
    """The line of the network's own code at which an error rose: " (net.py, line 12)"."""
    own, frame = "", error.__traceback__
    packages = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])
    while frame is not None:
        code = frame.tb_frame.f_code
        if not code.co_filename.startswith(packages) and code.co_name == "forward":
            own = f" ({Path(code.co_filename).name}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return own
