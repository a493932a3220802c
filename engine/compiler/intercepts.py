"""Write into a listing what each call adds of its own, beside the way back. See `rules.intercepts`."""

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, fx

from ..listing.axes import is_pixels, map_shape
from ..listing.layers import active_nodes
from ..listing.program import Intercept, Program
from ..listing.trace import trace_axes
from ..rules.intercepts import INTERCEPTS
from ..rules.pages import VJPS


class Intercepts:
    """Takes note of a policy's intercepts while a listing is walked backwards.

    Those of values that are no [N, C, H, W] of pixels, as tokens and vectors are, are counted and not drawn; where
    images are not the first axis, they are left out.
    """

    def __init__(self, program: Program) -> None:
        axes = trace_axes(active_nodes(program))
        self.pixels = {n for n, found in axes.items() if is_pixels(found) and prod(map_shape(found)[1:]) > 1}
        self.batch = str(program.image.meta["val"].shape[0])
        self.found: list[Intercept] = []
        self.calls: dict[fx.Node, str] = {}  # those that may have one: "drawn", "counted", or "" for left out

    def note(self, recorder: Any, node: fx.Node, ct: Any, values: tuple[Any, Any], active: Sequence[bool]) -> None:
        """Note what a call adds, where the cotangent `ct` comes to it. values: its arguments, as proxies."""
        value = node.meta["val"]
        if node.target not in INTERCEPTS or not isinstance(value, Tensor) or value.is_complex():
            return
        apart = value.ndim > 0 and str(value.shape[0]) == self.batch  # as text: no guard is put on the batch
        self.calls[node] = "drawn" if node in self.pixels else "counted" if apart else ""
        if not self.calls[node]:
            return
        with recorder.beside(len(self.found)):
            intercept, rule = INTERCEPTS[node.target], VJPS[node.target]
            added = intercept(rule, ct, recorder.proxy(node), active, *values[0], **values[1])
        if added is not None:
            how, proxy = added
            self.found.append(Intercept(how, ct.node, proxy.node, node in self.pixels))
