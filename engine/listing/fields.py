"""Receptive fields: what of the input each layer's units depend on, followed along a listing.

Two answers are kept apart. The field is that of the ops that slide, pool, resize and shift, as the literature
counts it; attention in windows is one of them. Beside it stands, for rows and columns, whether anything mixes all
of them: a mean over the image, attention, squeeze-and-excitation, even as a gate, since then every pixel moves
every unit. What can't be followed counts so too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from torch import fx

from .axes import Axes
from .layers import active_nodes
from .program import Program
from .reach import PIXELS, Reach, Windows, joined, nearest, through
from .reads import ALL, read_by, size_of
from .trace import SPATIAL, trace_axes


class Seen(NamedTuple):
    """What a value's units see along rows and columns: a reach, None where it has no such axis left; and whether
    they see all of it by another way."""

    reach: tuple[Reach | None, Reach | None]
    whole: tuple[bool, bool]


EVERYTHING = Seen((None, None), (True, True))


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's units along rows and columns; its pixels before 0 and behind the input's
    end are padding.

    whole: does every unit depend on every pixel, by a mean, attention or a gate?
    """

    rows: Reach
    columns: Reach
    whole: bool

    @property
    def size(self) -> tuple[int, int]:
        """[h, w] in pixels of the input: of the units that see most, where they take turns."""
        rows, columns = (
            max(
                (int(high - low) for low, high in zip(reach.low, reach.high, strict=True) if low < high), default=0
            )
            for reach in (self.rows, self.columns)
        )
        return rows, columns


def fields_of(program: Program) -> list[Field]:
    """The fields of a program's layers, in their order."""
    path = active_nodes(program)
    seen = trace_fields(path)
    if not path:  # nothing of the image reaches the logits by a gradient, which is refused elsewhere
        return []
    image = path[0].meta["val"].shape
    return [
        _field(seen.get(layer.node, EVERYTHING), [int(side) for side in image[2:]]) for layer in program.layers
    ]


def _field(seen: Seen, sides: Sequence[int]) -> Field:
    whole = all(seen.whole)
    # What sees all of one axis alone has a field that is as long there.
    rows, columns = (
        Reach((0,), (side,), 0) if reach is None or (every and not whole) else reach
        for reach, every, side in zip(seen.reach, seen.whole, sides, strict=True)
    )
    return Field(rows, columns, whole)


def trace_fields(path: Sequence[fx.Node]) -> dict[fx.Node, Seen]:
    """What the units of each value see, on a path that begins with the image."""
    axes = trace_axes(path)
    seen: dict[fx.Node, Seen] = {path[0]: Seen((PIXELS, PIXELS), (False, False))} if path else {}
    for node in path[1:]:
        sources = [source for source in node.all_input_nodes if source in seen]
        seen[node] = _after(node, sources, axes, seen)
    return seen


def _after(node: fx.Node, sources: list[fx.Node], axes: dict[fx.Node, Axes], seen: dict[fx.Node, Seen]) -> Seen:
    result = axes.get(node)
    if result is None or not sources:
        return EVERYTHING
    reaches = list[Reach | None]()
    wholes = list[bool]()
    for index, letter in enumerate("HW"):
        length = size_of(result, letter)
        reach: Reach | None = None
        whole = False
        for source in sources:
            before, now = axes.get(source), seen[source].reach[index]
            whole |= seen[source].whole[index]
            if before is None or now is None:
                continue
            units = size_of(before, letter)
            for read in read_by(node, source, before, letter, units, length):
                if isinstance(read, Windows):
                    now = through(now, read)
                elif read == ALL:
                    whole = True
                    now = through(now, nearest(Fraction(units, length))) if units != length else now
            if units == 1 and length > 1 and node.target not in SPATIAL:
                whole, now = True, None  # one number for all places, as of a squeeze-and-excitation
            if now is not None:
                reach = now if reach is None else joined(reach, now, length)
        reaches.append(reach)
        wholes.append(whole)
    return Seen((reaches[0], reaches[1]), (wholes[0], wholes[1]))
