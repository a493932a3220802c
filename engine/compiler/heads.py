"""What a network returns, and which part of it holds the logits."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, fx

from ..errors import CaptureError
from ..listing.layers import reached_nodes
from ..listing.program import Program, aten, op_name, place
from ..rules import kinds
from ..rules.pages import KINDS

# What turns logits to probabilities at the end of a network.
ENDINGS = ("softmax", "log_softmax", "sigmoid")
# What may stand above it and leaves the numbers what they are.
MOVING = (kinds.RESHAPE, kinds.IDENTITY)


def heads_of(output: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors that a network returned, by name: the key of a dict, the field of a dataclass or a named tuple,
    the place in a tuple; joined by dots where one lies in another. A bare tensor has no name."""
    if isinstance(output, Tensor):
        return {name: output}
    if isinstance(output, Mapping):  # the ModelOutput of transformers is one too
        parts = [(str(key), value) for key, value in output.items()]
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [(field.name, getattr(output, field.name)) for field in fields(output)]
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        parts = list(zip(output._fields, output, strict=True))
    elif isinstance(output, (tuple, list)):
        parts = [(str(place), value) for place, value in enumerate(output)]
    else:
        return {}
    found = dict[str, Tensor]()
    for key, value in parts:
        found |= heads_of(value, f"{name}.{key}" if name else key)
    return found


def as_logits(output: Tensor) -> Tensor:
    """An output as it is explained, [N, K] or [N, K, …]: one value for each image is one logit, and axes of length
    one behind the classes say nothing."""
    if output.ndim == 1:
        return output[:, None]
    return output.flatten(1) if output.ndim > 2 and all(length == 1 for length in output.shape[2:]) else output


def shape_logits(program: Program) -> None:
    """Append what `as_logits` does to the listing."""
    value = program.logits.meta["val"]
    shaped = as_logits(value)
    if shaped is value:
        return
    node = program.graph.call_function(aten.unsqueeze if value.ndim == 1 else aten.flatten, (program.logits, 1))
    node.meta.update(program.logits.meta, val=shaped)
    program.logits = node


def choose_head(heads: dict[str, fx.Node], wanted: str | int | None, images: Any) -> str:
    """The name of the head that is wanted, or of the first. Raises CaptureError where it has no axis of images.

    images: the length of the axis of images, a symbol.
    """
    found = {name: node.meta["val"] for name, node in heads.items()}
    listed = ", ".join(f"{name or 'the output'} {_shape_text(value, images)}" for name, value in found.items())
    name = next(iter(heads)) if wanted is None else str(wanted)
    if name not in heads:
        raise CaptureError(f"no head is called {name!r}; the module returns {listed}")
    value = found[name]
    way = "" if len(heads) == 1 else f" Name another with head=...; the module returns {listed}."
    told = f"the module returns {_shape_text(value, images)}{f' as head {name!r}' if name else ''}"
    if value.ndim == 0 or str(value.shape[0]) != str(images):
        raise CaptureError(f"{told}, where the first axis is not that of the images, N.{way}")
    if not value.is_floating_point():
        raise CaptureError(f"{told} of {value.dtype}, which has no gradient: return what it was made of.{way}")
    return name


def _shape_text(value: Tensor, images: Any) -> str:
    """`[N, 1000]`, with N for the images."""
    return f"[{', '.join('N' if str(length) == str(images) else str(length) for length in value.shape)}]"


class Ending:
    """What a network does to its logits at the end: a softmax, log_softmax or sigmoid over the classes, and what
    moves or scales the result. It is taken down when it is found: the listing goes on without it."""

    def __init__(self, calls: list[fx.Node], constants: dict[str, Tensor], scaled: bool) -> None:
        self.logits: fx.Node = calls[0].all_input_nodes[0]
        self.name, self.scaled = op_name(calls[0]), scaled
        self._shape = [int(length) for length in self.logits.meta["val"].shape[1:]]
        self._calls = [(node, node.target, node.args, node.kwargs) for node in calls]
        self._constants = {
            n: constants[str(n.target)] for c in calls for n in c.all_input_nodes if n.op == "get_attr"
        }

    def __call__(self, logits: Tensor) -> Tensor:
        """The network's output, from the logits below the ending."""
        source, value = self.logits, logits.reshape([len(logits), *self._shape])

        def given(node: fx.Node) -> Any:
            # What is neither the value nor a constant is the number of images.
            return value if node is source else self._constants.get(node, len(logits))

        for node, call, args, kwargs in self._calls:
            source, value = node, call(*fx.map_arg(args, given), **fx.map_arg(kwargs, given))  # type: ignore[operator]
        return as_logits(value)


def find_ending(program: Program) -> Ending | None:
    """The ending of a network, through views, casts and scalings by constants; None where it has none."""
    reached, calls, scaled = reached_nodes(program), list[fx.Node](), False
    # From the output backwards, as long as one value alone depends on the image: a sum of two softmaxes is none.
    node = program.logits
    while node.op == "call_function":
        sources = [source for source in node.all_input_nodes if source in reached]
        others = [source for source in node.all_input_nodes if source not in reached]
        fixed = all(source.op == "get_attr" or source.target is aten.size for source in others)
        if len(sources) != 1 or not fixed:
            return None
        calls.insert(0, node)
        if op_name(node) in ENDINGS:
            rank = node.meta["val"].ndim
            over_classes = op_name(node) == "sigmoid" or (rank > 1 and int(node.args[1]) % rank == 1)  # type: ignore[arg-type]
            return Ending(calls, program.constants, scaled) if over_classes else None
        kind = KINDS.get(node.target)
        if kind == kinds.PRODUCT:
            scaled = True
        elif kind not in MOVING:
            return None
        node = sources[0]
    return None


def below_ending(program: Program) -> fx.Node:
    """What the ending is given. Raises CaptureError where there is none to look below."""
    if program.ending is None:
        raise CaptureError(
            f"below_softmax=True, but {op_name(program.logits)} at {place(program.logits)} gives the output, "
            "and no softmax, log_softmax or sigmoid over the classes: leave it out"
        )
    node: fx.Node = program.ending.logits
    return node
