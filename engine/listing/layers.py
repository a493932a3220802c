"""Which values of a listing are layers, what they are called, and which of them form the trunk."""

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from torch import Tensor, fx

from ..rules import kinds
from ..rules.pages import ops_of
from ..text import nearest
from .axes import Axes, is_pixels, map_shape, recipe
from .program import Layer, Program, aten, op_name
from .trace import trace_axes

# Values made like another, whose numbers they do not read: such calls have no rule, hence no kind.
MADE_LIKE = (aten.new_zeros, aten.new_ones, aten.new_full, aten.zeros_like, aten.ones_like, aten.full_like)
# Calls whose result does not change with the values that they are given, as far as a derivative goes.
CONSTANT = (aten.detach, *MADE_LIKE)
MIXING = ops_of(kinds.ATTENTION, kinds.MATMUL, kinds.SOFTMAX)
# Products of which each row of the first operand has a row of the result; an einsum's letters say what its has.
PRODUCTS = ops_of(kinds.ATTENTION, kinds.MATMUL) - {aten.einsum}
MOVES = ops_of(kinds.RESHAPE, kinds.PERMUTE, kinds.CUT, kinds.ROLL)


def active_nodes(program: Program) -> list[fx.Node]:
    """The nodes that lie on a path from the image to the logits, in the order of the listing.

    A batch size read off the image is no path, nor is a comparison, nor what the network detached: nothing
    differentiable runs through them, and what only they read is on no path either.
    """
    reached = reached_nodes(program)
    path, pending = set[fx.Node](), [program.logits]
    while pending:
        node = pending.pop()
        if node in reached and node not in path:
            path.add(node)
            pending.extend(node.all_input_nodes)
    return [node for node in program.graph.nodes if node in path]


def reached_nodes(program: Program) -> set[fx.Node]:
    """The values that change with the image, whoever reads them, up to where nothing differentiable goes on."""
    reached = {program.image}
    for node in program.graph.nodes:
        if _is_value(node) and node.target not in CONSTANT and not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    return reached


def trunk_nodes(program: Program) -> set[fx.Node]:
    """The nodes that every path from the image to the logits passes through: the dominators of the output.

    Along the listing, an edge over a node's head is a way around it; a node is in the trunk where none is.
    """
    path = active_nodes(program)
    position = {node: index for index, node in enumerate(path)}
    trunk, furthest = set[fx.Node](), 0
    for index, node in enumerate(path):
        if furthest <= index:
            trunk.add(node)
        furthest = max([furthest, *(position[user] for user in node.users if user in position)])
    return trunk


def name_layers(program: Program) -> list[Layer]:
    """Every value on a path from image to logits that is a stack of maps with more than one pixel, in the order
    of the listing: [N, C, H, W], or tokens, windows and channels last, which are maps in another order.

    A layer bears the qualified name of the innermost module that is called once and ends there; outer modules
    that end there too, and modules called several times, are aliases. The second use of a module is `module@2`.
    A value inside a module is `module.op`.
    """
    path = active_nodes(program)
    ends: dict[str, fx.Node] = {}
    calls: dict[str, set[str]] = {}
    for node in path:
        for key, qualified in _module_stack(node):
            ends[key] = node
            calls.setdefault(qualified, set()).add(key)
    maps = _maps(path)
    layers, taken = list[Layer](), Counter[str]()
    for node in path:
        if node not in maps:
            continue
        axes = maps[node]
        once, several = list[str](), list[str]()
        for key, qualified in reversed(_module_stack(node)):
            if ends[key] is node and qualified:
                (once if len(calls[qualified]) == 1 else several).append(_call_name(key, qualified))
        if not once + several:
            stack = _module_stack(node)
            inner = stack[-1][1] if stack else ""
            several = [f"{inner}.{_op(node)}".lstrip(".")]
            taken[several[0]] += 1
            if taken[several[0]] > 1:
                several = [f"{several[0]}@{taken[several[0]]}"]
        name, *aliases = once + several
        laid = None if is_pixels(axes) else axes
        layers.append(Layer(name, node, map_shape(axes), tuple(aliases), axes=laid))
    return layers


def choose_layers(program: Program, wanted: str | Sequence[str]) -> list[Layer]:
    """The layers that `wanted` asks for: "trunk", "all", or names and aliases, in the order of the listing.

    Raises ValueError for a name that no layer bears, with the nearest that some layer does.
    """
    if wanted == "all":
        return list(program.layers)
    if wanted == "trunk":
        trunk = trunk_nodes(program)
        return [layer for layer in program.layers if layer.node in trunk]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    chosen = {find_layer(program.layers, name) for name in names}
    return [layer for layer in program.layers if layer in chosen]


def find_layer(layers: Iterable[Layer], name: str) -> Layer:
    """The layer that bears `name` or has it as an alias. Raises ValueError with the nearest names."""
    known = {alias: layer for layer in layers for alias in (layer.name, *layer.aliases)}
    if name not in known:
        raise ValueError(f"no layer is called {name!r}; {nearest(name, known)}")
    return known[name]


def _maps(path: Sequence[fx.Node]) -> dict[fx.Node, Axes]:
    """The values that are stacks of maps with more than one pixel.

    A value that is only moved is the same map: it counts once, at the end of the module that moves it, or where it
    was computed. Tokens that are never read again, as those of pixels behind a ViT's last attention, are no map.
    """
    axes = trace_axes(path)
    read = _pixels_read(path, axes)
    maps = {
        node: axes[node]
        for node in path[1:]
        if isinstance(node.meta["val"], Tensor)
        and node.meta["val"].is_floating_point()  # a complex value has no sign
        and node in read
        and recipe(axes[node])
        and prod(map_shape(axes[node])[1:]) > 1
    }
    ends = {stack_key: node for node in path for stack_key, _ in _module_stack(node)}
    ending = set(ends.values())
    for node in list(maps):
        if node.target in MOVES and node not in ending:
            del maps[node]
    for node in list(maps):
        users = [user for user in node.users if user in axes]
        if len(users) == 1 and users[0].target in MOVES and users[0] in maps and not is_pixels(axes[node]):
            del maps[node]
    return maps


def _pixels_read(path: Sequence[fx.Node], axes: dict[fx.Node, Axes]) -> set[fx.Node]:
    """The values of which more than class tokens reaches the logits."""
    read = set[fx.Node]()
    for node in reversed(path):
        users = [user for user in node.users if user in axes]
        if not users or any(_reads_pixels(node, user, axes, read) for user in users):
            read.add(node)
    return read


def _reads_pixels(node: fx.Node, user: fx.Node, axes: dict[fx.Node, Axes], read: set[fx.Node]) -> bool:
    leads = [index for index, axis in enumerate(axes[node] or ()) if axis.lead]
    if len(leads) != 1:
        return True
    at, lead = leads[0], (axes[node] or ())[leads[0]].lead
    if user.target is aten.select and int(user.args[1]) % len(axes[node] or ()) == at:  # type: ignore[arg-type]
        return not 0 <= int(user.args[2]) < lead  # type: ignore[arg-type]
    # A product mixes the tokens of its later operands; each of its first one's has a row of the result.
    keeps_tokens_apart = user.target not in MIXING or (user.target in PRODUCTS and node not in user.args[1:])
    same_tokens = any(axis.lead == lead for axis in axes[user] or ())
    return user in read if keeps_tokens_apart and same_tokens else True


def _is_value(node: fx.Node) -> bool:
    value = node.meta["val"]
    if isinstance(value, Tensor):
        return value.is_floating_point() or value.is_complex()
    return isinstance(value, (tuple, list))


def _module_stack(node: fx.Node) -> list[tuple[str, str]]:
    """(key of the call, qualified name of the module), from the outermost to the innermost."""
    stack = node.meta.get("nn_module_stack") or {}
    return [(key, str(value[0])) for key, value in stack.items()]


def _call_name(key: str, qualified: str) -> str:
    """export marks the second call of a module with @1; people count from one."""
    _, _, repeat = key.partition("@")
    return f"{qualified}@{int(repeat) + 1}" if repeat.isdigit() else qualified


def _op(node: fx.Node) -> str:
    return op_name(node.args[0]) if node.target is operator.getitem else op_name(node)  # type: ignore[arg-type]
