"""Which values of a listing are layers, what they are called, and which of them form the trunk."""

import difflib
import operator
from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor, fx

from engine.program import Layer, Program, aten, op_name

IMAGE_AXES = "NCHW"
RESHAPES = (aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze)


def active_nodes(program: Program) -> list[fx.Node]:
    """The nodes that lie on a path from the image to the logits, in the order of the listing.

    A batch size read off the image is no path, nor is what the network detached: nothing differentiable runs
    through them.
    """
    reached = {program.image}
    for node in program.graph.nodes:
        if _is_value(node) and node.target is not aten.detach and not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    return [node for node in program.needed([program.logits]) if node in reached]


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
    """Every value on a path from image to logits that is a stack of maps, [N, C, H, W] with more than one
    pixel, in the order of the listing.

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
    axes = _axes(path)
    layers, taken = list[Layer](), Counter[str]()
    for node in path:
        if node is program.image or not _is_map(node, axes):
            continue
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
        layers.append(Layer(name, node, tuple(aliases)))
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


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names what a misspelt `name` may have meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3] + known[-1:]
    return f"the nearest are {', '.join(close)}" if close else "there are none"


def _axes(path: Iterable[fx.Node]) -> dict[fx.Node, str]:
    """What each axis of each value runs over: N, C, H, W, or ? where it is a mixture."""
    axes: dict[fx.Node, str] = {}
    for node in path:
        sources = [source for source in node.all_input_nodes if source in axes]
        shape = getattr(node.meta["val"], "shape", ())
        if not sources:
            axes[node] = IMAGE_AXES
        elif node.target is aten.permute:
            axes[node] = "".join(axes[sources[0]][dim] for dim in node.args[1])  # type: ignore[union-attr,index]
        elif node.target is aten.transpose:
            order = list(axes[sources[0]])
            left, right = node.args[1], node.args[2]
            order[left], order[right] = order[right], order[left]  # type: ignore[index]
            axes[node] = "".join(order)
        elif node.target in RESHAPES or (
            isinstance(node.meta["val"], Tensor) and all(len(axes[s]) != len(shape) for s in sources)
        ):
            axes[node] = _regrouped(axes[sources[0]], sources[0].meta["val"].shape, shape)
        else:
            like = [s for s in sources if getattr(s.meta["val"], "shape", ()) == shape]
            axes[node] = axes[(like or sources)[0]]
    return axes


def _regrouped(axes: str, before: Sequence[int], after: Sequence[int]) -> str:
    """Axes after a reshape: those in front and behind whose lengths stay, channels split or joined between."""
    shorter = min(len(before), len(after))
    front = next((axis for axis in range(shorter) if before[axis] != after[axis]), shorter)
    limit = shorter - front
    behind = 0
    while behind < limit and before[-1 - behind] == after[-1 - behind]:
        behind += 1
    middle = set(axes[front : len(axes) - behind])
    letter = "C" if middle <= {"C"} else "?"
    return axes[:front] + letter * (len(after) - front - behind) + axes[len(axes) - behind :]


def _is_map(node: fx.Node, axes: dict[fx.Node, str]) -> bool:
    value = node.meta["val"]
    return isinstance(value, Tensor) and axes[node] == IMAGE_AXES and value.shape[2] * value.shape[3] > 1


def _is_value(node: fx.Node) -> bool:
    return isinstance(node.meta["val"], (Tensor, tuple, list))


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
