"""The one place that asks torch.export, and says in plain words what it can't take."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from ..errors import CaptureError
from ..listing.program import Program, op_name, place

MAX_BATCH = 4096  # an upper end that export wants to know; any batch below it runs


def export_module(module: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Export a network in evaluation mode, its batch free. Raises CaptureError where torch.export can't."""
    if module.training:
        raise CaptureError(
            "the module is in training mode: call .eval() first, BatchNorm and Dropout depend on it"
        )
    # Export wants two images to see that the batch is free: a batch of one looks like a constant.
    images = torch.zeros(2, *example.shape[1:], dtype=example.dtype, device=example.device)
    batch = Dim("batch", min=1, max=MAX_BATCH)
    try:
        with torch.inference_mode(False), torch.no_grad():
            return export(module, (images,), dynamic_shapes=({0: batch},), strict=False)
    except Exception as error:
        raise _refusal(module, error) from error


def out_of_inference(module: nn.Module) -> nn.Module:
    """The module, or a copy of one that was made in inference mode: the certificate's autograd takes no such
    tensors."""
    if not any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
        return module
    with torch.inference_mode(False):
        return copy.deepcopy(module)


def refuse_open_shapes(program: Program) -> None:
    """Raise CaptureError where the shape of a value depends on the pixels, as that of x[x > 0]."""
    for node in program.graph.nodes:
        if isinstance(node.meta["val"], Tensor) and free_unbacked_symbols(node.meta["val"]):
            raise CaptureError(
                f"the shape of aten.{op_name(node)} at {place(node)} depends on the pixels "
                "(a mask as an index, nonzero, unique): a listing has fixed shapes. torch.where keeps the shape."
            )


def _refusal(module: nn.Module, error: Exception) -> CaptureError:
    """What torch.export could not do, where in the network's own source, and the way out."""
    text = str(error).strip()
    reason = text.splitlines()[0].rstrip(".") if text else type(error).__name__
    if "data-dependent" in text:
        reason = (
            "its control flow or a size depends on pixel values (an `if` on a tensor, `.item()`, `int(tensor)`)"
        )
        way = "Write the choice with torch.where, so that every image takes the same steps."
    elif "Constraints violated" in text or "specialized" in text:
        reason = "it fixes the batch size"
        way = "Read it as x.shape[0] or x.size(0), not len(x) or a number, and expand what has the batch's size."
    else:
        way = (
            "The compiler needs a forward pass whose steps do not depend on pixel values; "
            "torch.export.export(module, (images,), strict=False) shows the whole story."
        )
    return CaptureError(f"torch.export cannot take {type(module).__name__}{_source(error)}: {reason}. {way}")


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
