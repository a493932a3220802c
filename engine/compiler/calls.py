"""What a policy is told of a call beside its values: what changes with the image, signs, what comes first."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx

from ..errors import CompileError
from ..listing.program import Program, aten
from ..rules import kinds
from ..rules.pages import KINDS, VJPS
from ..rules.policy import Call
from .keep_float32 import IMAGE_ENDS
from .recorder import Recorder
from .signs import chances, nonnegative

LINEAR = (kinds.CONVOLUTION, kinds.DENSE)


class Ends(NamedTuple):
    """Between which ends the values of an image lie, for each of its channels."""

    low: Sequence[float]
    high: Sequence[float]


class Told:
    """What is known of the calls of a forward half. path: the calls from the image on, in order. gradients: of
    what is asked for, by the outputs of some of them."""

    def __init__(
        self,
        program: Program,
        path: Iterable[fx.Node],
        recorder: Recorder,
        ends: Ends | None,
        gradients: Mapping[fx.Node, fx.Node],
    ) -> None:
        self.program, self.recorder, self.gradients = program, recorder, gradients
        self.path = list(path)
        self.ends = ends or Ends(*([number] * int(program.image.meta["val"].shape[1]) for number in (0.0, 1.0)))
        self.positive, self.chances = nonnegative(program), chances(program)
        linear = [node for node in self.path if KINDS.get(node.target) in LINEAR]
        behind, before = self._behind(linear), self._before(linear)
        self.first = {node for node in linear if node not in behind}
        self.last = {node for node in linear if node not in before}
        self.active = {*self.path}

    def of(self, node: fx.Node, arguments: Sequence[Any]) -> Call:
        """What is told of a call. arguments: in the order of its rule's."""
        return Call(
            node.target,
            VJPS[node.target],
            tuple(self._is_active(a) for a in arguments),
            tuple(isinstance(a, fx.Node) and a in self.positive for a in arguments),
            node in self.first,
            node in self.last,
            self._bounds(node) if node in self.first else None,
            tuple(isinstance(a, fx.Node) and a in self.chances for a in arguments),
            self.recorder.proxy(self.gradients[node]) if node in self.gradients else None,
        )

    def _is_active(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)) and any(isinstance(part, fx.Node) for part in argument):
            return tuple(self._is_active(part) for part in argument)
        return isinstance(argument, fx.Node) and argument in self.active

    def _behind(self, starts: Iterable[fx.Node]) -> set[fx.Node]:
        """The calls of the path that come after one of `starts`."""
        known, found = {*starts}, set[fx.Node]()
        for node in self.path:
            if any(source in known or source in found for source in node.all_input_nodes):
                found.add(node)
        return found

    def _before(self, ends: Iterable[fx.Node]) -> set[fx.Node]:
        """The calls of the path that come before one of `ends`."""
        known, found = {*ends}, set[fx.Node]()
        for node in reversed(self.path):
            if any(user in known or user in found for user in node.users):
                found.add(node)
        return found

    def _bounds(self, node: fx.Node) -> tuple[Any, Any] | None:
        """Between which ends the input of a first call lies, [1, C, H, W] each: what comes before it is done to an
        image of the lowest values, and to one of the highest.

        It may turn them around, as a negative factor does, and cut or join channels; each is done alike to both.
        They come in the precision of that input: what they are made of stays in float32, as the image does.
        """
        goal = node.args[0]
        assert isinstance(goal, fx.Node)
        before = [n for n in self.program.needed([goal]) if n in self.active and n is not self.program.image]
        extremes = [self._through(before, goal, number) for number in self._images()]
        low, high = (aten.minimum(*extremes), aten.maximum(*extremes)) if before else extremes
        like = self.recorder.proxy(goal)
        return aten.type_as(low, like), aten.type_as(high, like)

    def _through(self, calls: Iterable[fx.Node], goal: fx.Node, image: Any) -> Any:
        made: dict[fx.Node, Any] = {self.program.image: image}
        for call in calls:
            given: Any = fx.map_arg((call.args, call.kwargs), lambda source: self._known(made, source))
            made[call] = call.target(*given[0], **given[1])  # type: ignore[operator]
        return made[goal]

    def _known(self, made: dict[fx.Node, Any], source: fx.Node) -> Any:
        if source in made:
            return made[source]
        size = source.meta.get("val")
        if isinstance(size, torch.SymInt):  # of the batch, and the extremes are one image
            expression = size.node.expr
            return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))
        return self.recorder.proxy(source)

    def _images(self) -> list[Any]:
        """An image of the lowest values, and one of the highest."""
        fake, found = self.program.image.meta["val"], []
        for name, numbers in zip(IMAGE_ENDS, self.ends, strict=True):
            like = torch.empty(0, dtype=fake.dtype)
            value = torch.tensor(list(numbers), dtype=torch.float64).to(like).reshape(1, -1, 1, 1)
            if value.shape[1] != fake.shape[1]:
                raise CompileError(f"{len(numbers)} ends for an image of {int(fake.shape[1])} channels")
            node = self._constant(name, value)
            found.append(aten.expand(self.recorder.proxy(node), [1, *(int(side) for side in fake.shape[1:])]))
        return found

    def _constant(self, name: str, value: torch.Tensor) -> fx.Node:
        for node in self.program.graph.nodes:
            if node.op == "get_attr" and node.target == name:
                return node  # type: ignore[no-any-return]
        with self.program.image.meta["val"].fake_mode:
            fake = torch.empty_like(value)
        return self.program.constant(name, value, fake)
