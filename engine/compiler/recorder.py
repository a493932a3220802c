"""What a rule computes with when it writes the listing: values that know their shapes, and what appends calls."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher

from ..listing.program import Program, aten
from ..rules.resampling import INTERPOLATIONS

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

    def __init__(self, program: Program, policy: str) -> None:
        super().__init__(program.graph)
        self.program, self.policy = program, policy
        self.unfolded: int | None = None
        self.intercept: int | None = None
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
        node.meta.update(val=self.program.results[key], policy=self.policy)
        if self.unfolded is not None:
            node.meta["restores"] = self.unfolded
        if self.intercept is not None:
            node.meta["intercept"] = self.intercept
        return node

    @contextmanager
    def unfolding(self, layer: int) -> Iterator[None]:
        """What is written meanwhile gives a layer its value back, and is needed where somebody reads that."""
        self.unfolded = layer
        yield
        self.unfolded = None

    @contextmanager
    def beside(self, intercept: int) -> Iterator[None]:
        """What is written meanwhile gives what a call adds of its own, and is needed where that is asked for."""
        self.intercept = intercept
        yield
        self.intercept = None

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
        scaled.meta.update(val=size, policy=self.policy)
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
