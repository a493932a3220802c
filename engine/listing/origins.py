"""Which parameter of the network a constant comes from, and which constants must change together.

A listing may hold a kernel and what was made of it when it was compiled, as its positive part, for the way back.
Who changes one alone breaks the gradient. Where all was made place for place, one permutation of all of them is
still one network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

aten = torch.ops.aten
# What keeps each value in its place, as one reads; and every op that torch calls pointwise.
IN_PLACE = {
    aten.reshape, aten.view, aten.unsqueeze, aten.squeeze, aten.flatten, aten.unflatten, aten.to, aten.clone,
    aten.contiguous, aten.alias, aten.detach,
}  # fmt: skip


@dataclass
class Origins:
    """parameters: constant -> the parameter of the network that it holds, whole or folded. made: constant -> the
    constants that it was made of, and whether place for place. others: constants of more than one value that
    are no parameters, as a mask is."""

    parameters: dict[str, str] = field(default_factory=dict)
    made: dict[str, tuple[frozenset[str], bool]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    def groups(self, constants: Mapping[str, Tensor]) -> dict[str, list[str]]:
        """Parameter -> the constants that may be permuted for it, all alike. Those that can't are left out."""
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent.setdefault(name, name) != name:
                name = parent[name]
            return name

        for name, (sources, _) in self.made.items():
            for source in sources:
                parent[root(name)] = root(source)
        families: dict[str, list[str]] = {}
        for name in {**self.parameters, **self.made, **dict.fromkeys(self.others)}:
            families.setdefault(root(name), []).append(name)
        found: dict[str, list[str]] = {}
        for family in families.values():
            held = [name for name in family if name in constants]
            named = [self.parameters[name] for name in family if name in self.parameters]
            alike = len(held) == 1 or all(self.made[name][1] for name in family if name in self.made)
            sizes = {constants[name].numel() for name in held}
            floats = all(constants[name].is_floating_point() for name in held)
            if held and named and alike and len(sizes) == 1 and floats and self.others.isdisjoint(family):
                found.setdefault(named[0], []).extend(held)
        order = list(dict.fromkeys(self.parameters.values()))
        return {name: found[name] for name in order if name in found}


def place_for_place(node: fx.Node) -> bool:
    """Does each value of a call's result come from those in the same place, as one reads, of its arguments?"""
    op = node.target
    if op in IN_PLACE:
        return True
    if not isinstance(op, torch._ops.OpOverloadPacket):
        return False
    # By the form that a listing calls; the default of `add` is for two numbers, and others are for lists of them.
    known = op.overloads()  # type: ignore[no-untyped-call]
    form = next((name for name in ("Tensor", "Tensor_Scalar", "default") if name in known), None)
    return form is not None and torch.Tag.pointwise in getattr(op, form).tags


def sources_of(
    node: fx.Node, through: Mapping[fx.Node, tuple[frozenset[str], bool]]
) -> tuple[frozenset[str], bool]:
    """The constants that a call on constants reads, and whether all on the way is place for place."""
    found, alike = set[str](), place_for_place(node)
    for source in node.all_input_nodes:
        if source.op == "get_attr":
            found.add(str(source.target))
        elif source in through:
            found |= through[source][0]
            alike = alike and through[source][1]
    return frozenset(found), alike


def is_statistic(name: str) -> bool:
    """Is this buffer what a BatchNorm has counted?"""
    return name.endswith(("running_mean", "running_var"))


def note(origins: Origins, name: str, own: str, value: Tensor, parameter: bool) -> None:
    """Note a constant of the network's own. own: what it is called there."""
    if parameter or is_statistic(own):
        origins.parameters[name] = own
    elif value.numel() > 1:
        origins.others.add(name)
