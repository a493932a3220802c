"""Write the backward half of a listing: walk the forward half from the end, one rule per call.

A policy is asked at every call, by the kind of its op, what stands there.
"""

import inspect
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, fx

from ..errors import CompileError
from ..listing.layers import active_nodes
from ..listing.program import Program, aten, op_name, place, source_line
from ..rules.pages import KINDS, VJPS
from ..rules.policies import POLICIES
from ..rules.policy import Policy
from ..rules.spectra import COMPLEX_KINDS, COMPLEX_OPS
from .calls import Ends, Told
from .coverage import detached
from .intercepts import Intercepts
from .recorder import Recorder


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


def differentiate(
    program: Program,
    policy: str,
    wanted: Iterable[fx.Node],
    intercepts: Intercepts | None = None,
    ends: Ends | None = None,
) -> dict[fx.Node, fx.Node]:
    """Append the backward half under `policy` and return the cotangent, or the relevance, of each wanted node.

    Only nodes between a wanted one and the logits are visited. intercepts: takes note of what each call adds.
    ends: between which the image's values lie. A cotangent starts with the seed, relevance with seed times logits.
    Raises CompileError where an op on the way has no rule, all of them in one message.
    """
    wanted, chosen = set(wanted), POLICIES[policy]
    path = _between(program, wanted)
    refuse_unknown(program, path)
    if program.logits not in path:
        _refuse_cut(program)
    if chosen.follows and not any(KINDS.get(node.target) in chosen.follows for node in path):
        raise CompileError(f"{policy} follows attention, and this network has none")
    gradients: dict[fx.Node, fx.Node] = {}
    if chosen.gradients:
        asked = {node for node in path if KINDS.get(node.target) in chosen.gradients}
        gradients = _walk(program, Policy("gradient"), Recorder(program, policy), path, asked, None, {}, ends)
    return _walk(program, chosen, Recorder(program, policy), path, wanted, intercepts, gradients, ends)


def _walk(
    program: Program,
    chosen: Policy,
    recorder: Recorder,
    path: list[fx.Node],
    wanted: set[fx.Node],
    intercepts: Intercepts | None,
    gradients: Mapping[fx.Node, fx.Node],
    ends: Ends | None,
) -> dict[fx.Node, fx.Node]:
    """From the logits down a path, to each wanted node of it. gradients: what calls are told of theirs."""
    told = Told(program, path, recorder, ends, gradients) if chosen.alone or chosen.told else None
    pending: dict[fx.Node, list[Any]] = {node: [] for node in path}
    seed: Any = recorder.proxy(program.seed)  # type: ignore[arg-type]
    pending[program.logits].append(aten.mul(seed, recorder.proxy(program.logits)) if chosen.relevance else seed)
    cotangents: dict[fx.Node, fx.Node] = {}
    for node in reversed(path):
        shares_of_node = pending.pop(node)
        if not shares_of_node:  # of relevance none may come to it, as to a gate
            if node is program.image and chosen.relevance:
                raise CompileError(f"{chosen.name}: nothing of the score comes to the image")
            if node in wanted:
                cotangents[node] = aten.zeros_like(recorder.proxy(node)).node
            continue
        ct = _total(node, shares_of_node)
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
        y = recorder.proxy(node)
        _refuse_complex(node)
        if intercepts is not None:
            intercepts.note(recorder, node, ct, values, [a in pending for a in _in_order(node)])
        try:
            shares = _pulled(chosen, node, told, ct, y, values)
        except NotImplementedError as error:
            raise CompileError(f"{place(node)}: {error}") from error
        for argument, share in _pairs(_in_order(node), shares):
            if argument not in pending:
                continue
            if share is not None:
                pending[argument].append(share)
            elif not chosen.relevance:
                raise CompileError(f"{place(node)}: its {argument.name} depends on the image, and has no rule")
    return cotangents


def _pulled(policy: Policy, node: fx.Node, told: Told | None, ct: Any, y: Any, values: Any) -> tuple[Any, ...]:
    """The shares of a call's arguments under a policy."""
    kind, rule = KINDS[node.target], VJPS[node.target]
    if told is None:
        return policy.pull(kind, rule, ct, y, *values[0], **values[1])
    # What stands for whole kinds of rules is given the arguments in the order of the rule's.
    given = inspect.signature(rule).bind(ct, y, *values[0], **values[1])
    return policy.pull(kind, told.of(node, _in_order(node)), *given.args, **given.kwargs)


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
