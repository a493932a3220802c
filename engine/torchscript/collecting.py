"""What is read at a layer, in a module of its own.

TorchScript copies what a method calls into it, at each place where it is called; a walk reads at every layer. What
stands behind an interface is called instead, so that a walk stays as small as its listing.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..listing.names import ARRIVED, read_layers_of, read_of, weigh_of
from ..methods import NO_POLICY, PROBE, Method
from ..methods.readings import spread_out
from .entering import at_units
from .kernels import interface
from .statements import function


@interface
class Readings(nn.Module):
    """What a walk hands its values to. `collect` and `values` are generated, see below."""

    def collect(
        self,
        policy: str,
        wanted: list[str],
        primal: Tensor,
        ct: Tensor,
        shift: Tensor,
        summed: bool,
        sums: dict[str, tuple[Tensor, Tensor]],
        out: dict[str, list[Tensor]],
    ) -> None:
        """Read what is wanted under a policy at a layer: Σ w (primal - shift) for a weighted sum, where there is a
        shift. With `summed` the layer read before is the same but for its shift, and its weights and sums are
        taken."""
        pass  # noqa: PIE790 - the decorator asks for it

    def values(self, wanted: list[str], primal: Tensor, out: dict[str, list[Tensor]]) -> None:
        """Read what is wanted of a layer's values, whatever is carried back."""
        pass  # noqa: PIE790 - the decorator asks for it

    def intercept(self, how: str, drawn: bool, ct: Tensor, value: Tensor, out: dict[str, list[Tensor]]) -> None:
        """Hand out what a call adds of its own, where the cotangent of its output is `ct`: all of it of an image
        [N], and as a map [N, h, w] where it is `drawn`. how, value: see `rules.intercepts`."""
        pass  # noqa: PIE790 - the decorator asks for it

    def source(self, primal: Tensor, asked: Tensor) -> Tensor:  # type: ignore[empty-body]
        """The seed at a layer, shaped like its value [N, C, h, w]; of units, int64 [N, 3], a one at each."""
        pass  # noqa: PIE790 - the decorator asks for it


class ScriptedReadings(nn.Module):
    """`Readings`, but for what is generated."""

    @torch.jit.export
    def intercept(self, how: str, drawn: bool, ct: Tensor, value: Tensor, out: dict[str, list[Tensor]]) -> None:
        """As `Readings.intercept`."""
        part = value
        if how == "channels":
            shape = [1] * ct.dim()
            shape[1] = -1
            part = ct * value.reshape(shape)
        elif how == "elements":
            part = ct * value
        out["intercepts"].append(part.flatten(1).sum(1))
        if drawn:
            out["intercepts as maps"].append(spread_out(part))

    @torch.jit.export
    def source(self, primal: Tensor, asked: Tensor) -> Tensor:
        """As `Readings.source`."""
        return at_units(primal, asked) if asked.dtype == torch.int64 else asked.to(primal.dtype)


def made_of(functions: dict[str, Any]) -> nn.Module:
    """A module of `Readings` with its generated functions.

    TorchScript numbers the classes of a room that bear one name, and a file is to have the same bytes whatever was
    compiled before. So this class is told to stand in a room of its own, where no class is that has no number.
    """
    room = {"__module__": f"{__name__}_at_layers"}
    module: nn.Module = type("Reader", (ScriptedReadings,), functions | room)()
    return module


def reading_functions(policies: Iterable[str], methods: Iterable[Method]) -> str:
    """The text of `collect` and `values`."""
    methods = [method for method in methods if method.at.has_layers]
    collect = [
        "for method in wanted:",
        f'    if method == "{PROBE}":',
        "        out[method].append(primal.clone())",  # what comes later may be written over it
        "        out[method].append(ct.clone())",
    ]
    collect += [f'    elif method == "{ARRIVED}":', "        out[method].append(ct.flatten(1).double().sum(1))"]
    for policy in policies:
        own = [method for method in methods if method.policy == policy]
        for method in own:
            collect += [f'    elif policy == "{policy}" and method == "{method.name}":']
            collect += [f"        {line}" for line in _read(method)]
    head = (
        "collect(self, policy: str, wanted: list[str], primal: Tensor, ct: Tensor, shift: Tensor, summed: bool, "
        "sums: dict[str, tuple[Tensor, Tensor]], out: dict[str, list[Tensor]]) -> None"
    )
    values = ["for method in wanted:", "    pass"]
    for method in methods:
        if method.policy == NO_POLICY:
            values += [f'    if method == "{method.name}":']
            values += [f"        out[method].append({read_of(method.name)}(primal, primal.new_empty(0)))"]
    of_values = "values(self, wanted: list[str], primal: Tensor, out: dict[str, list[Tensor]]) -> None"
    functions = [function(head, collect), function(of_values, values)]
    return "\n\n".join(f"@torch.jit.export\n{text}" for text in functions)


def _read(method: Method) -> list[str]:
    if method.read_layers is not None:
        return [f"out[method].append({read_layers_of(method.name)}(primal, ct))"]
    if method.weigh is None:
        return [f"out[method].append({read_of(method.name)}(primal, ct))"]
    return [
        "if not summed:",
        f"    weights = {weigh_of(method.name)}(ct)",
        "    sums[method] = weights, weighted(primal, weights)",
        "weights, map = sums[method]",
        "map = minus_shift(map, weights, shift) if shift.numel() > 0 else map",
        "out[method].append(map)",
    ]
