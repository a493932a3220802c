"""The names that generated code takes for itself: it is printed with these, and no value of a network gets one.

A value is named after its module, and a module may be called anything: `image.guided` gives the value
`image_guided`. Where the printer used that name for something of its own, one would overwrite the other.
"""

import builtins
import keyword
from collections.abc import Iterable

SELF, TORCH, ATEN, TENSOR = "self", "torch", "aten", "Tensor"
CONV_STEPS, EPILOGUE = "ConvSteps", "Epilogue"  # classes of `torchscript.kernels`
FROM_MAP = "from_map"  # a function of `torchscript.entering`
DEPTH, START, FIRST, LAST, WANTED = "depth", "start", "first", "last", "wanted"  # what a walk is asked
ASKED = "asked"  # its seed, as whoever asks gives it
NOTHING, OUT, SUMS, PROBED, NAME = "nothing", "out", "sums", "probed", "name"  # what it keeps
ORIGIN, ENTERED = "origin", "entered"  # where it starts, where that is a layer
LAYER = "layer"  # where a tail starts
ADDED = "added"  # is it asked what each call adds?
ARRIVED = "arrived"  # is it asked what of its relevance came to each layer?
INTERCEPTS, DRAWN = "intercepts", "intercepts as maps"  # what that is found by, among the readings of a walk

ANY_PROGRAM = {
    SELF, TORCH, ATEN, TENSOR, CONV_STEPS, EPILOGUE, DEPTH, START, FIRST, LAST, WANTED, ASKED, FROM_MAP,
    NOTHING, OUT, SUMS, PROBED, NAME, ORIGIN, ENTERED, LAYER, ADDED,
    *dir(builtins), *keyword.kwlist, *keyword.softkwlist,
    "NoneType",  # a keyword to TorchScript alone: a file that binds it is written and can't be read
}  # fmt: skip


def depth_of(policy: str) -> str:
    """The local that holds how far down a policy's backward pass goes."""
    return policy


def image_ct_of(policy: str) -> str:
    """The local that holds what a policy's backward pass brings to the image, if it goes so far."""
    return f"image_{policy}"


def read_of(method: str) -> str:
    """The function that reads a method's map. It is global, and called where no value of a network is bound."""
    return f"read_{method}"


def read_layers_of(method: str) -> str:
    """The function that reads at layers what `read_of` reads at the image."""
    return f"read_layers_{method}"


def walk_of(policy: str) -> str:
    """The walk of a policy that goes alone."""
    return f"walk_{policy}"


def weigh_of(method: str) -> str:
    """The function that gives a method's weights; as `read_of`."""
    return f"weigh_{method}"


def path_of(path: str) -> str:
    """The function that gives a path's points; as `read_of`."""
    return f"path_{path}"


def finish_of(finish: str) -> str:
    """The function that makes one map of many; as `read_of`."""
    return f"finish_{finish}"


def reserved(policies: Iterable[str]) -> set[str]:
    """All names that the generated functions of a program with these policies take for themselves."""
    return ANY_PROGRAM | {name(policy) for policy in policies for name in (depth_of, image_ct_of)}
