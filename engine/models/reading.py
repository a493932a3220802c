"""A checkpoint's bytes as data: numbers and plain containers come out, and nothing of the file is ever run.

People save more than numbers: the options of the command line, a log, the state of the training. torch's own
reader refuses a whole file for one such object. Here an object that only holds values is stood in for by an
ordered dictionary, so that the weights beside it can be read. A file that calls a function of Python's own or of
torch's is refused.
"""

import hashlib
import re
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import WeightsError
from .weights import hash_in_name, reason

_ONE_READING = threading.Lock()  # what torch takes for safe is a setting of the whole process
# No call is ever made: its result is stood in for too. But a file that calls Python itself or torch is not to be
# read at all, for that is what hostile files do, unless the call would make a value and do no more.
_REFUSED = {*sys.stdlib_module_names, "torch"}
_VALUES = {
    "argparse", "collections", "datetime", "decimal", "fractions", "pathlib", "uuid",
    "builtins.frozenset", "builtins.getattr", "builtins.range", "builtins.slice",
}  # fmt: skip
_MOST_KINDS = 100  # of objects in one file; each costs one more reading


class Checkpoint(NamedTuple):
    """A file of weights, read."""

    name: str  # of the file, without its folders
    sha256: str
    content: Any  # as it was saved: containers, tensors, numbers, text
    objects: list[str]  # the kinds of what was stood in for, as pickle calls them


def read_checkpoint(path: Path, published: bool) -> Checkpoint:
    """Read a file of torch.save or safetensors.

    published: the file's name ends with the start of its SHA-256, which must be right.
    Raises WeightsError for anything else, and for a file that would run code.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"can't open {path.name}: {reason(error)}. Weights are default, random, or a checkpoint's path"
        ) from error
    if published and not digest.startswith(hash_in_name(path)):
        raise WeightsError(
            f"{path.name} is cut off or not the published file: its SHA-256 starts with {digest[:8]}. "
            "Delete it from $TORCH_HOME/hub/checkpoints, and it is fetched anew"
        )
    # A file of safetensors begins with the length of a table in JSON, in eight bytes.
    content, objects = (_safetensors(path), []) if head[8:] == b"{" else _torch(path)
    return Checkpoint(path.name, digest, content, objects)


def _safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError(
            f"{path.name} is a file of safetensors, and the package that reads it is not installed: "
            "pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is a file of safetensors that was cut off or changed") from error


def _torch(path: Path) -> tuple[Any, list[str]]:
    """Read with torch's restricted reader, and once more with a stand-in for each kind of object that it met."""
    stands_in = dict[str, Any]()
    while True:
        known: list[Any] = [*_arrays(), *((stand_in, name) for name, stand_in in stands_in.items())]
        try:
            with _ONE_READING, torch.serialization.safe_globals(known):
                return torch.load(path, map_location="cpu", weights_only=True), list(stands_in)
        except Exception as error:  # foreign bytes are opcodes to the unpickler, which then fails in any way
            met = re.search(r"GLOBAL (\S+)", str(error))
            if met is None and not stands_in:
                raise WeightsError(f"{path.name} is no PyTorch checkpoint, or it is cut off") from error
            code = met[1] if met else next(iter(stands_in))
            name = code if "." in code else f"builtins.{code}"  # where torch's message leaves it out
            if met is None or "is blocked" in str(error) or name in stands_in or len(stands_in) == _MOST_KINDS:
                raise refusal(path.name, code) from error
            stands_in[name] = _stand_in(name)


def refusal(file: str, code: str) -> WeightsError:
    """What is said of a file that has no weights beside objects of this name."""
    return WeightsError(
        f"{file} holds more than numbers: loading it would run code ({code}), which is refused. "
        "Save the weights alone: torch.save(model.state_dict(), FILE)"
    )


def _stand_in(name: str) -> type:
    """A class whose objects are ordered dictionaries; a call is refused, unless it would only make a value."""
    module = name.partition(".")[0]
    harmless = module not in _REFUSED or not _VALUES.isdisjoint((module, name))

    class Called(type):
        def __call__(cls, *arguments: Any) -> Any:
            if not harmless:
                raise UnpicklingError(f"GLOBAL {name} would be called")
            return OrderedDict()

    class StandIn(metaclass=Called):
        # The one kind of dictionary that torch's reader gives both attributes and entries.
        def __new__(cls, *arguments: Any) -> Any:
            return OrderedDict()

    return StandIn


def _arrays() -> list[tuple[Any, str]]:
    """What rebuilds arrays and numbers of NumPy, under the names of both of its generations."""
    rebuild, number = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    known: list[tuple[Any, str]] = [(np.ndarray, "numpy.ndarray"), (np.dtype, "numpy.dtype")]
    for core in ("core", "_core"):
        known += [(rebuild, f"numpy.{core}.multiarray._reconstruct"), (number, f"numpy.{core}.multiarray.scalar")]
    kinds = {type(np.dtype(code)) for code in np.typecodes["All"]}
    return known + [(kind, f"numpy.dtypes.{kind.__name__}") for kind in kinds]
