"""What torch says of a network that it can't take, in a sentence that names the place and the way out."""

from pathlib import Path

from ..errors import CaptureError
from ..listing.program import TORCH

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
        ("same device", "expected device", "on cuda", "meta tensor"),
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
        ("numpy()", "is not a tensor"),
        "",
        "It leaves torch on the way: write the step with torch's own, which a gradient can go through.",
    ),
    (
        (
            "channels",
            "reduction dim",
            "size of tensor",
            "shapes cannot be multiplied",
            "Given groups",
            "invalid for input of size",
        ),
        "",
        "The example sets the size that the network is compiled for: give one as the network takes it.",
    ),
)
ELSE = (
    "The compiler needs a forward pass that torch.export can trace; "
    "torch.export.export(module, (images,), strict=False) shows the whole story."
)


def refusal(start: str, error: Exception, otherwise: str = ELSE) -> CaptureError:
    """What torch could not do, where in the network's own source, and the way out.

    start: the sentence up to the place. otherwise: the way out where what is said means nothing known here.
    """
    text = str(error).strip()
    reason = text.splitlines()[0].rstrip(".")[:300] if text else type(error).__name__
    said = f"{type(error).__name__} {text}"
    meaning, way = next((row[1:] for row in KNOWN if any(sign in said for sign in row[0])), ("", otherwise))
    return CaptureError(f"{start}{_source(error)}: {meaning or reason}. {way}")


def _source(error: BaseException) -> str:
    """The line of the network's own code at which an error rose: " (net.py, line 12)"."""
    own, frame = "", error.__traceback__
    packages = TORCH, str(Path(__file__).parents[1])
    while frame is not None:
        code = frame.tb_frame.f_code
        if not code.co_filename.startswith(packages) and code.co_name == "forward":
            own = f" ({Path(code.co_filename).name}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return own
