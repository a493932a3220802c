"""What a network's author took out of the gradient: `no_grad`, `inference_mode`, and what only looks like them.

Export traces with gradients on, and keeps each stretch without them as a region. A value that leaves such a region
is what autograd sees: the number without its past, as behind `detach`. So the region is written out again, and a
`detach` put where one of its values is read from outside.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import checkpoint

from ..errors import CaptureError
from ..listing.program import TORCH, op_name, place, source_line, unique

GRAD_MODE = torch.ops.higher_order.wrap_with_set_grad_enabled
_TRACING = threading.RLock()  # what is put in the place of torch's own is the whole process's


def _is_torch(frame: FrameType) -> bool:
    """Is it torch itself that calls, which relies on its modes, and no decorator of the author's?"""
    file = frame.f_code.co_filename
    return file.startswith(TORCH) and not file.endswith("_contextlib.py")


@contextmanager
def leaving_traces() -> Iterator[None]:
    """Within, in this thread, `inference_mode` acts as `no_grad`, of which export sees the region, and reentrant
    activation checkpointing calls what it wraps: its own `no_grad` is there to save memory, not the author's."""
    mode, wrapper, mine = torch.inference_mode, checkpoint.CheckpointFunction, threading.get_ident()
    enter, leave = mode.__enter__, mode.__exit__
    before: dict[int, bool] = {}

    def enter_here(self: Any) -> None:
        if threading.get_ident() != mine or _is_torch(sys._getframe(1)):
            return enter(self)
        before[id(self)] = torch.is_grad_enabled()
        torch.set_grad_enabled(not self.mode)
        return None

    def leave_here(self: Any, *error: Any) -> None:
        if id(self) not in before:
            return leave(self, *error)
        torch.set_grad_enabled(before.pop(id(self)))
        return None

    class Plainly:
        """In the place of torch.utils.checkpoint.CheckpointFunction."""

        @staticmethod
        def apply(function: Any, preserve: bool, *args: Any) -> Any:
            """As the function that is wrapped."""
            if threading.get_ident() != mine:
                return wrapper.apply(function, preserve, *args)
            return function(*args)

    # One export at a time: a second one would take the first one's stand-ins for torch's own and leave them there.
    with _TRACING:
        mode.__enter__, mode.__exit__ = enter_here, leave_here  # type: ignore[method-assign]
        checkpoint.CheckpointFunction = Plainly  # type: ignore[misc, assignment]
        try:
            yield
        finally:
            mode.__enter__, mode.__exit__ = enter, leave  # type: ignore[method-assign]
            checkpoint.CheckpointFunction = wrapper  # type: ignore[misc]


def detach_regions(module: fx.GraphModule) -> None:
    """Write every region without gradients out, in place, with a `detach` where its values are read from outside.

    Raises CaptureError for a write, inside of one, into a value from outside: autograd goes on as if nothing had
    been written there.
    """
    frozen = set[fx.Node]()  # values that were computed where gradients were off
    for node in list(module.graph.nodes):
        if node.target is torch.ops.higher_order.wrap_with_autocast:
            detach_regions(getattr(module, str(node.args[4].target)))
        elif node.target is GRAD_MODE:
            _write_out(module, node, frozen)
    # A detach for each reader, right before it: what is written into the value in between is seen through it.
    # In the order of the graph, so that the same network gives the same listing.
    for node in [node for node in module.graph.nodes if node in frozen]:
        if not isinstance(node.meta.get("val"), Tensor):
            continue
        for user in [user for user in node.users if user not in frozen]:
            with module.graph.inserting_before(user):
                detached = module.graph.call_function(torch.ops.aten.detach.default, (node,))
            detached.meta.update(node.meta)
            user.replace_input_with(node, detached)
    if frozen:
        module.graph.eliminate_dead_code()
        module.recompile()


def _write_out(module: fx.GraphModule, region: fx.Node, frozen: set[fx.Node]) -> None:
    """Copy the calls of a region before it and let its readers read them; regions inside of it likewise."""
    enabled, body, *arguments = region.args
    inner: Any = getattr(module, str(body.target))  # type: ignore[union-attr]
    given, returned = iter(arguments), list[Any]()
    values: dict[fx.Node, Any] = {}
    for step in inner.graph.nodes:
        if step.op == "placeholder":
            values[step] = next(given)
        elif step.op == "output":
            returned = [values.get(output) for output in step.args[0]]
        else:
            with module.graph.inserting_before(region):
                values[step] = new = module.graph.node_copy(step, values.__getitem__)
            if step.op == "get_attr":
                new.target = _adopted(module, inner, str(step.target))
            elif not enabled:
                _refuse_writes(new, frozen)
                frozen.add(new)
    for reader in list(region.users):
        reader.replace_all_uses_with(returned[int(reader.args[1])])  # type: ignore[arg-type]
        module.graph.erase_node(reader)
        frozen.discard(reader)
    module.graph.erase_node(region)
    frozen.discard(region)
    # Regions inside are written out when this one is: what they hand on is read from where this one stood by then.
    for new in [new for new in values.values() if isinstance(new, fx.Node) and new.target is GRAD_MODE]:
        _write_out(module, new, frozen)


def _adopted(module: fx.GraphModule, inner: fx.GraphModule, name: str) -> str:
    """The name under which an attribute of a region's module is one of the whole module too."""
    free = unique(name, vars(module)["_modules"].keys() | vars(module).keys())
    setattr(module, free, getattr(inner, name))
    return free


def _refuse_writes(node: fx.Node, frozen: set[fx.Node]) -> None:
    name, target = op_name(node), node.args[0] if node.args else None
    inside = not isinstance(target, fx.Node) or target in frozen or target.op != "call_function"
    if name.endswith("_") and not name.startswith("_") and not inside:
        raise CaptureError(
            f"{name} at {place(node)}{source_line(node)} writes into a value under no_grad, which autograd does "
            f"not see: write the result to a new value ({name[:-1]}), inside or outside of no_grad as it is meant"
        )
