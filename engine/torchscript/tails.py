"""The forward half as text: `forward`, and `tail_of`, which begins at the image or at the value of a layer.

def tail_of(self, layer: int, image: Tensor) -> Tensor:
    conv = nothing
    if layer < 0:                                        # from the image on
        image = image.to(self.fine.dtype)
    if layer == 0:                                       # from the value of layer 0, which `image` holds
        relu = image.to(self.like.dtype).clone()
    elif layer < 0:
        relu = self.kernels.conv(image, ..., Epilogue(None, False, 0.0, None))
    ...
    return logits
"""

from torch import fx

from ..listing.axes import way_back
from ..listing.names import FROM_MAP, LAYER, NOTHING, SELF, TENSOR
from ..listing.program import Layer, Program, aten, literal
from .segments import Segment, is_size
from .staging import StagedProgram
from .statements import Calls, block, function, in_place_form


def forward(staged: StagedProgram) -> str:
    """`forward`, from the image."""
    image = staged.program.image.name
    return function(f"forward({SELF}, {image}: {TENSOR}) -> {TENSOR}", [f"return {SELF}.tail_of(-1, {image})"])


def tail(staged: StagedProgram, calls: Calls) -> str:
    """The forward half from the image, or from the value of a layer on: `tail_of`.

    An image, or a value as [N, C, h, w], comes under the image's name; only its batch is asked for.
    """
    program, image = staged.program, staged.program.image.name
    sizes = [node for node in program.needed([program.logits]) if is_size(node)]
    lines = [_size(program, node) for node in sizes]
    lines += [f"{NOTHING} = torch.empty(0)", *(f"{node.name} = {NOTHING}" for node in staged.between_segments)]
    lines += block(f"{LAYER} < 0", [fine(program)])
    for step in staged.of_batch:
        lines += in_place_form(program, step, calls)
    for segment in staged.segments:
        lines += _segment(program, segment, calls)
    lines.append(f"return {program.logits.name}")
    return function(f"tail_of({SELF}, {LAYER}: int, {image}: {TENSOR}) -> {TENSOR}", lines)


def _size(program: Program, node: fx.Node) -> str:
    """The statement of a size. One that is read off a value is told by the batch: a tail may lack that value."""
    if node.target is not aten.size:
        return next(iter(program.lines([node])))
    # Only the batch is symbolic. Where the compiler had to fix it, the example's numbers still tell the ratio.
    size, batch = (int(value.node.hint) for value in (node.meta["val"], program.image.meta["val"].shape[0]))
    ratio = f" * {size // batch}" if size > batch else f" // {batch // size}" if size < batch else ""
    return f"{node.name} = aten.size({program.image.name}, 0){ratio}"


def _segment(program: Program, segment: Segment, calls: Calls) -> list[str]:
    """One segment, or instead of it the value that it ends with, where a tail starts there."""
    body = [line for step in segment.steps for line in in_place_form(program, step, calls)]
    if not segment.layers:  # the last one, whose value is the logits
        return body
    lines = list[str]()
    for index in segment.layers:
        layer = program.layers[index]
        entered = [f"{segment.value.name} = {_value_of(program, layer)}", *program.lines(segment.hoisted)]
        branch = block(f"{LAYER} == {index}", entered)
        lines += [f"el{branch[0]}", *branch[1:]] if lines else branch
    below = block(f"{LAYER} < {segment.layers[0]}", body)
    return [*lines, f"el{below[0]}", *below[1:]] if below else lines


def _value_of(program: Program, layer: Layer) -> str:
    """A layer's value [N, C, h, w] as the listing holds it: v s + t behind a folded BatchNorm."""
    precision = "fine" if layer.node in program.stem else "like"
    value = f"{program.image.name}.to({SELF}.{precision}.dtype)"
    if layer.axes is not None:
        value = laid_back(value, layer)
    if layer.scale is None:
        return f"{value}.clone()"  # what comes later may be written over it
    return f"{value} * {literal(layer.scale)} + {literal(layer.shift)}"


def laid_back(map: str, layer: Layer) -> str:
    """An expression for a map [N, C, h, w] of a layer, laid out as the listing holds the layer."""
    return f"{FROM_MAP}({', '.join([map, *(repr(part) for part in way_back(layer.axes))])})"


def fine(program: Program) -> str:
    """The image in the precision in which the first calls take it."""
    return f"{program.image.name} = {program.image.name}.to({SELF}.fine.dtype)"
