"""The first calls of a listing, which stay in float32 where the rest of a file is rounded.

Rounding puts a ReLU network's maps off by the activations that land on the other side of a kink, and most of
that happens in the first layers: they have the most pixels, and all others build on them. The way back does no
harm at all. `python -m benchmarks.exactness` prints what a file in bfloat16 loses.
"""

import operator
from collections.abc import Iterator
from math import prod

from torch import Tensor, fx

from ..listing.layers import active_nodes
from ..listing.program import Program, aten
from ..rules import kinds
from ..rules.pages import ops_of

IMAGE_ENDS = ("lowest", "highest")  # constants that are images, see `calls`
SHARE = 0.06  # of all multiplications
IN_2D = (aten.conv2d, aten.conv_transpose2d)  # convolutions of images, whose multiplications are counted
# What ends the stem, whatever its share: all products but those of images with kernels.
ENDS = ops_of(kinds.ATTENTION, kinds.MATMUL, kinds.DENSE, kinds.CONVOLUTION) - {*IN_2D}


def keep_first_calls(program: Program) -> None:
    """Cast what the first calls, or the image, hand on to the precision of the constant `precision`.

    As long as all is in one precision, such a cast is nothing. `program.stem` holds the calls.
    """
    program.stem = set(_stem(program))
    like = next((c for c in program.constants.values() if c.is_floating_point()), None)
    if like is None:
        return  # there is nothing to round
    precision = program.constant("precision", like.new_empty(0), program.image.meta["val"].new_empty(0))
    for node, readers in list(_handed_on(program)):
        if readers and _is_real(node):
            with program.graph.inserting_after(precision if node is program.image else node):
                cast = program.graph.call_function(aten.type_as, (node, precision))
            cast.meta.update(node.meta)
            for user in readers:
                user.replace_input_with(node, cast)


def _handed_on(program: Program) -> Iterator[tuple[fx.Node, list[fx.Node]]]:
    """Values with those that read them in the file's precision: what the stem computes, and what a network makes
    for each image without looking at it, as positions, in a precision of its own."""
    active = {*active_nodes(program), program.image}
    made = {program.image}
    for node in program.graph.nodes:
        rest = [user for user in node.users if user not in program.stem]
        if node is program.image or node in program.stem:
            yield node, rest
        elif node.op == "call_function" and node not in active and not made.isdisjoint(node.all_input_nodes):
            made.add(node)
            yield node, [user for user in rest if user in active or _weighs(user)]


def _weighs(node: fx.Node) -> bool:
    return any(source.op == "get_attr" for source in node.all_input_nodes)


def stem_constants(program: Program) -> list[str]:
    """The names of the constants that the stem reads, and of those that are images."""
    read = (source for node in program.stem for source in node.all_input_nodes)
    found = {str(source.target) for source in read if source.op == "get_attr"}
    return sorted(found | {name for name in IMAGE_ENDS if name in program.constants})


def _stem(program: Program) -> list[fx.Node]:
    """Calls from the image on, up to the first product or the convolution that would exceed the share."""
    path = [node for node in active_nodes(program) if node is not program.image]
    budget = SHARE * sum(map(_multiplications, path))
    stem: list[fx.Node] = []
    for node in path:
        budget -= _multiplications(node)
        if budget < 0 or node.target in ENDS or node is program.logits:
            break
        stem.append(node)
    active = {*path, program.image}
    # A kernel is of one precision: of calls that share one, all are in the stem or none is.
    while (cut := next((i for i, node in enumerate(stem) if _shares(node, active, stem)), None)) is not None:
        stem = stem[:cut]
    return stem + [
        part for node in stem for part in node.users if part.target is operator.getitem and part not in stem
    ]


def _shares(node: fx.Node, active: set[fx.Node], stem: list[fx.Node]) -> bool:
    """Does a call outside of the stem read a constant, or what follows from constants, that this one reads?"""
    return any(
        user not in stem for source in node.all_input_nodes if source not in active for user in source.users
    )


def _multiplications(node: fx.Node) -> int:
    """Of one image, in a convolution or a linear layer."""
    if node.target not in (*IN_2D, aten.linear):
        return 0
    x, weight, y = node.args[0].meta["val"], node.args[1].meta["val"], node.meta["val"]  # type: ignore[union-attr]
    places = x if node.target is aten.conv_transpose2d else y
    return int(prod(places.shape[1:]) * prod(weight.shape[1:]))


def _is_real(node: fx.Node) -> bool:
    """Is it a value that can be rounded: no place in a pool, no size, nor several values?"""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.is_floating_point()
