"""Write the backward half of a listing: walk the forward half from the end, one rule per call."""

import inspect
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher

from ..errors import CompileError
from ..listing.layers import active_nodes
from ..listing.program import Program, aten, op_name, place, source_line
from ..rules import kinds
from ..rules.pages import KINDS, VJPS
from ..rules.policies import GATES
from ..rules.resampling import INTERPOLATIONS
from ..rules.spectra import COMPLEX_KINDS, COMPLEX_OPS
from .coverage import detached

# What a rule may write as an operator or a method of a tensor, and the op it stands for.
OPERATORS = {
    operator.add: aten.add,
    operator.sub: aten.sub,
    operator.mul: aten.mul,
    operator.truediv: aten.div,
    operator.gt: aten.gt,
}


class Value(fx.Proxy):
    """A value of the listing that a rule can compute with: it knows its shape."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """The lengths of the axes; the batch is symbolic."""
        return tuple(self.node.meta["val"].shape)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its elements."""
        dtype: torch.dtype = self.node.meta["val"].dtype
        return dtype

    def __len__(self) -> int:
        """How many values an op returns, where it returns several."""
        return len(self.node.meta["val"])


class Recorder(fx.proxy.GraphAppendingTracer):
    """Appends what a rule computes to the listing, each call with the shape of its result."""

    def __init__(self, program: Program, gate: str) -> None:
        super().__init__(program.graph)
        self.program, self.gate = program, gate
        self.unfolded: int | None = None
        self.fake_mode = program.image.meta["val"].fake_mode

    def proxy(self, node: fx.Node) -> Value:
        """The value of a node, to hand to a rule."""
        return Value(node, self)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> fx.Node:
        """Append one call; operators become the ops that they stand for."""
        target = OPERATORS.get(target, target)
        node = self.graph.call_function(target, args, kwargs)
        arguments = fx.map_arg((args, kwargs), lambda source: source.meta["val"])
        # Asking torch for the shape of a result is most of the time of a compile, and few shapes are new.
        key = (target, _described(arguments))
        if key not in self.program.results:
            # With torch's decompositions in Python: of torch 2.9, those in C++ fail on a symbolic batch.
            with self.fake_mode, enable_python_dispatcher():
                self.program.results[key] = _result(target, *arguments)
        node.meta.update(val=self.program.results[key], gate=self.gate)
        if self.unfolded is not None:
            node.meta["restores"] = self.unfolded
        return node

    @contextmanager
    def unfolding(self, layer: int) -> Iterator[None]:
        """What is written meanwhile gives a layer its value back, and is needed where somebody reads that."""
        self.unfolded = layer
        yield
        self.unfolded = None

    def create_arg(self, a: Any) -> Any:
        """A symbolic size becomes the node that computes it."""
        return self._size(a) if isinstance(a, torch.SymInt) else super().create_arg(a)

    def _size(self, size: torch.SymInt) -> fx.Node:
        batch = self.program.image.meta["val"].shape[0]
        factor, rest = divmod(size.node.expr, batch.node.expr), 0
        multiple, rest = factor
        if rest != 0 or not multiple.is_integer:
            raise NotImplementedError(f"a size of {size} for a batch of {batch}")
        node = next(
            (n for n in self.graph.nodes if n.target is aten.size and n.args == (self.program.image, 0)), None
        )
        if node is None:
            with self.graph.inserting_after(self.program.image):
                node = self.graph.call_function(aten.size, (self.program.image, 0))
            node.meta["val"] = batch
        if multiple == 1:
            return node
        scaled = self.graph.call_function(operator.mul, (node, int(multiple)))
        scaled.meta.update(val=size, gate=self.gate)
        return scaled


def _result(op: Any, args: Any, kwargs: Any) -> Any:
    """What a call on fake tensors returns."""
    if op in INTERPOLATIONS.values():
        # torch has no way through these for a symbolic batch; their third argument is the result's shape.
        return args[0].new_empty(args[2])
    return op(*args, **kwargs)


def _described(argument: Any) -> Any:
    """Shapes and types of tensors, values of all else; equal for calls whose results look alike."""
    if isinstance(argument, Tensor):
        return str(argument.shape), argument.dtype
    if isinstance(argument, (list, tuple)):
        return tuple(map(_described, argument))
    if isinstance(argument, dict):
        return tuple((name, _described(value)) for name, value in argument.items())
    return type(argument), str(argument)


def _refuse_cut(program: Program) -> None:
    """Raise CompileError: no path is left from the image to the logits. Tells what cuts the last ones."""
    cuts = detached(program)
    if not cuts:
        raise CompileError("the logits do not depend on the image")
    listed = ", ".join(dict.fromkeys(f"{place(node)}{source_line(node)}" for node in cuts))
    raise CompileError(
        f"no gradient reaches the image: no_grad, inference_mode or detach at {listed} cuts the last path from "
        "the logits. To freeze weights, switch them off (`weight.requires_grad = False`) and leave the values in"
    )


def differentiate(program: Program, gate: str, wanted: Iterable[fx.Node]) -> dict[fx.Node, fx.Node]:
    """Append the backward half under `gate` and return the cotangent of each wanted node.

    Only nodes between a wanted one and the logits are visited. Raises CompileError where an op on the way has
    no rule, all of them in one message.
    """
    wanted = set(wanted)
    path = _between(program, wanted)
    refuse_unknown(program, path)
    if program.logits not in path:
        _refuse_cut(program)
    recorder = Recorder(program, gate)
    pending: dict[fx.Node, list[Any]] = {node: [] for node in path}
    pending[program.logits].append(recorder.proxy(program.seed))  # type: ignore[arg-type]
    cotangents: dict[fx.Node, fx.Node] = {}
    for node in reversed(path):
        ct = _total(node, pending.pop(node))
        if node in wanted:
            cotangents[node] = ct.node
        if node is program.image:
            continue
        if node.target is operator.getitem:
            source, index = node.args
            if source in pending:  # else the wanted value is one of its results, and nothing goes further back
                pending[source].append((index, ct))  # type: ignore[index]
            continue
        values: Any = fx.map_arg((node.args, node.kwargs), recorder.proxy)  # type: ignore[arg-type]
        rule = VJPS[node.target]
        y = recorder.proxy(node)
        _refuse_complex(node)
        try:
            if (kind := KINDS[node.target]) in kinds.ACTIVATIONS:
                shares = GATES[gate](rule, kind, ct, y, *values[0], **values[1])
            else:
                shares = rule(ct, y, *values[0], **values[1])
        except NotImplementedError as error:
            raise CompileError(f"{place(node)}: {error}") from error
        for argument, share in _pairs(_in_order(node), shares):
            if argument in pending:
                if share is None:
                    raise CompileError(f"{place(node)}: its {argument.name} depends on the image, and has no rule")
                pending[argument].append(share)
    return cotangents


def refuse_unknown(program: Program, path: Iterable[fx.Node]) -> None:
    """Raise CompileError naming every op of `path` that has no rule, or none for the arguments that it is called
    with, and the layers where it stands."""
    places: dict[str, list[str]] = {}
    for node in path:
        if node is not program.image and node.target is not operator.getitem and not _has_rule(node):
            places.setdefault(op_name(node), []).append(place(node))
    if places:
        listed = "; ".join(f"aten.{op} ({', '.join(names[:3])})" for op, names in places.items())
        raise CompileError(
            f"no rule for {len(places)} op(s) as called here: {listed}. "
            "A rule is one function in engine/rules/; CONTRIBUTING.md shows how to add one."
        )


def _refuse_complex(node: fx.Node) -> None:
    """Raise CompileError where a rule of real values meets complex ones."""
    known = KINDS[node.target] in COMPLEX_KINDS or node.target in COMPLEX_OPS
    values = [n.meta["val"] for n in (node, *node.all_input_nodes)]
    if not known and any(isinstance(value, Tensor) and value.is_complex() for value in values):
        raise CompileError(
            f"aten.{op_name(node)} at {place(node)}{source_line(node)} is given complex values, and its rule is "
            "for real ones: write it with torch.view_as_real, real and imaginary parts each for itself"
        )


def _has_rule(node: fx.Node) -> bool:
    if node.target not in VJPS:
        return False
    try:
        inspect.signature(VJPS[node.target]).bind(None, None, *node.args, **node.kwargs)
    except TypeError:
        return False
    return True


def _between(program: Program, wanted: set[fx.Node]) -> list[fx.Node]:
    """The active nodes from which the cotangent of a wanted node flows."""
    downstream = set[fx.Node]()
    path = []
    for node in active_nodes(program):
        if node in wanted or not downstream.isdisjoint(node.all_input_nodes):
            downstream.add(node)
            path.append(node)
    return path


def _total(node: fx.Node, shares: list[Any]) -> Any:
    """The cotangent of a node: the sum over its users, or one sum per output where it has several."""
    if not isinstance(node.meta["val"], (tuple, list)):
        total = shares[0]
        for share in shares[1:]:
            total = aten.add(total, share)
        return total
    totals: list[Any] = [None] * len(node.meta["val"])
    for index, share in shares:
        totals[index] = share if totals[index] is None else aten.add(totals[index], share)
    return totals


def _in_order(node: fx.Node) -> list[Any]:
    """The arguments of a call in the order of its rule's, by whatever way they were given."""
    given = inspect.signature(VJPS[node.target]).bind(None, None, *node.args, **node.kwargs)
    return [*given.args, *given.kwargs.values()][2:]


def _pairs(arguments: Iterable[Any], shares: Iterable[Any]) -> Iterable[tuple[fx.Node, Any]]:
    """(argument, its cotangent) for each node among the arguments, lists of nodes included."""
    arguments, shares = list(arguments), list(shares)
    tensors = [a for a in arguments if _holds_values(a)]
    # Of `1 - x` the rule answers for the number too, with None.
    first = arguments[: arguments.index(tensors[0])] if tensors else []
    numbers = sum(isinstance(a, (int, float)) and not isinstance(a, bool) for a in first)
    if len(shares) == numbers + len(tensors):
        shares = shares[numbers:]
    for argument, share in zip(tensors, shares, strict=False):
        if isinstance(argument, fx.Node):
            yield argument, share
        else:
            yield from zip(argument, share or [None] * len(argument), strict=True)


def _holds_values(argument: Any) -> bool:
    if isinstance(argument, fx.Node):
        return isinstance(argument.meta["val"], (Tensor, tuple, list))
    return isinstance(argument, (list, tuple)) and any(
        isinstance(a, fx.Node) and _holds_values(a) for a in argument
    )
