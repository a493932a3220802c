"""What a file is held against: autograd through its own forward pass, with each policy stated anew.

The file's forward pass is interpreted call by call, and every activation call replaced by a function whose
backward pass is the policy's formula. No rule and no listing of the backward half has a part in it.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..rules.kinds import ACTIVATIONS, RECTIFIER
from ..rules.pages import KINDS, ops_of
from .by_differences import differing

CANCELLED = 1e-2  # of a map's size without signs: a map below it is measured against that


class GatedActivation(torch.autograd.Function):
    """An activation whose backward pass is a policy, stated with autograd's own derivative of the call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], policy: str, kind: str) -> Tensor:
        """y = call(x)."""
        ctx.save_for_backward(x)
        ctx.call, ctx.policy, ctx.kind = call, policy, kind
        return call(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """The policy's formula, for any activation."""
        (ct,), (x,) = grads, ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.call(leaf).sum(), leaf)
        return AT_ACTIVATIONS[ctx.policy](ct, x, slope, ctx.kind), None, None, None


def _guided(ct: Tensor, x: Tensor, slope: Tensor, kind: str) -> Tensor:
    # Between its ends a rectifier passes all, as hardtanh does from -1 on; the slope is zero elsewhere.
    stops = (ct < 0) | (slope == 0) if kind == RECTIFIER else (ct < 0) | (x <= 0)
    return torch.where(stops, 0, slope * ct)  # what is not a number stays none


# Gates: from the cotangent, the input and the slope of an activation call, and its kind. The gradient is not here.
AT_ACTIVATIONS: dict[str, Callable[[Tensor, Tensor, Tensor, str], Tensor]] = {
    "deconvnet": lambda ct, x, slope, kind: torch.where(ct < 0, 0, ct),
    "guided": _guided,
}

# Policies that act on other calls too: (kind, name, function, arguments, those by name) -> the call's value.
AT_CALLS: dict[str, Callable[..., Any]] = {"deep_lift": differing}


def reference(module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, policy: str) -> tuple[Tensor, Tensor]:
    """Logits, and the cotangent at the image under `policy`, by autograd through the file's forward pass."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        logits, _ = interpret(module, leaf, _gated(policy))
        (ct,) = torch.autograd.grad((logits * seed).sum(), leaf)
    return logits.detach(), ct


def start_reference(module: torch.jit.ScriptModule, x: Tensor, layer: int, seed: Tensor, policy: str) -> Tensor:
    """The cotangent at the image under `policy` of a seed at a layer, by autograd as in `reference`."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        _, primals = interpret(module, leaf, _gated(policy))
        (ct,) = torch.autograd.grad((primals[layer] * seed).sum(), leaf)
    return ct


def _gated(policy: str) -> Callable[..., Any]:
    """How a call of the file's forward pass is made, so that autograd asks the policy at every activation.

    Raises ValueError for a policy whose formula is not stated here: none is judged by another's.
    """
    if policy in AT_CALLS:
        every, formula = {f"aten::{op.__name__}": kind for op, kind in KINDS.items()}, AT_CALLS[policy]
        return lambda name, function, args, kwargs: formula(every.get(name, ""), name, function, args, kwargs)
    if policy != "gradient" and policy not in AT_ACTIVATIONS:
        raise ValueError(f"the certificate has no formula for the policy {policy!r}; state it in AT_ACTIVATIONS")
    kinds = {f"aten::{op.__name__}": KINDS[op] for op in ops_of(*ACTIVATIONS)} if policy != "gradient" else {}

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        if kind in kinds:
            rest = args[1:]
            return GatedActivation.apply(args[0], lambda x: function(x, *rest, **kwargs), policy, kinds[kind])
        return function(*args, **kwargs)

    return call


def layer_reference(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, policy: str = "gradient"
) -> list[tuple[Tensor, Tensor]]:
    """Primal and cotangent of each layer under `policy`, by autograd through the file's forward pass.

    The primals of the listing and its logits are values of one autograd graph. Some primals lie beside the way
    to the logits: a fold's value is given back per channel, tokens are laid out as maps. There the cotangent is
    taken where the two part, and brought over by the derivative J of what lies between, which moves and scales
    each number by itself, so that J Jᵀ is diagonal.
    """
    with torch.inference_mode(False), torch.enable_grad(), plainly():
        leaf = x.detach().clone().requires_grad_()
        logits, primals = module.primals(leaf) if policy == "gradient" else interpret(module, leaf, _gated(policy))
        nodes = behind(logits)
        edges = [get_gradient_edge(primal) for primal in primals]
        for index, edge in enumerate(edges):
            while edge.node not in nodes:
                edge = next(GradientEdge(n, number) for n, number in edge.node.next_functions if n is not None)
            edges[index] = edge
        cts = torch.autograd.grad((logits * seed).sum(), edges, retain_graph=True) if edges else ()
        return [(p.detach(), _carried(p, edge, ct)) for p, edge, ct in zip(primals, edges, cts, strict=True)]


def behind(value: Tensor) -> set[Any]:
    """The nodes of the autograd graph that `value` comes from."""
    nodes, pending = set[Any](), [value.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            pending += [source for source, _ in node.next_functions]
    return nodes


def _carried(primal: Tensor, edge: GradientEdge, ct: Tensor) -> Tensor:
    """The cotangent of `primal`, from that of the value at `edge` that it was made of."""
    if get_gradient_edge(primal).node is edge.node:
        return ct
    probe = torch.zeros_like(primal).requires_grad_()
    (pulled,) = torch.autograd.grad(primal, edge, probe, create_graph=True)
    (scales,) = torch.autograd.grad(primal, edge, torch.ones_like(primal), retain_graph=True)
    moved, squares = (torch.autograd.grad(pulled, probe, value, retain_graph=True)[0] for value in (ct, scales))
    return moved / squares


def relative(found: Tensor, wanted: Tensor, whole: Tensor | None = None) -> float:
    """The largest absolute difference over the largest absolute value of `whole`, or of what is wanted.

    NaN where what is wanted is not a number anywhere itself; infinite where only what is found is not.
    """
    if found.isnan().any() and not wanted.isnan().any():
        return math.inf
    scale = (wanted if whole is None else whole).abs().max()
    return float((found - wanted).abs().max() / scale.clamp_min(torch.finfo(wanted.dtype).tiny))


def plainly() -> Any:
    """Without TorchScript's profiling, which makes the first calls several times as slow."""
    return torch.jit.optimized_execution(False)  # type: ignore[attr-defined]


def interpret(module: torch.jit.ScriptModule, x: Tensor, call: Callable[..., Any]) -> tuple[Tensor, list[Tensor]]:
    """Run the TorchScript graph of `module.primals` call by call."""
    primals: Any = module.primals  # a ScriptMethod, which carries its graph
    graph = primals.inlined_graph
    this, image = graph.inputs()
    values: dict[str, Any] = {this.debugName(): module, image.debugName(): x}
    for node in graph.nodes():
        inputs = [values[value.debugName()] for value in node.inputs()]
        names = [value.debugName() for value in node.outputs()]
        kind = node.kind()
        if kind == "prim::Constant":
            results = [node.output().toIValue()]
        elif kind == "prim::GetAttr":
            results = [getattr(inputs[0], node.s("name"))]
        elif kind == "prim::ListConstruct":
            results = [inputs]
        elif kind == "prim::TupleConstruct":
            results = [tuple(inputs)]
        elif kind in ("prim::ListUnpack", "prim::TupleUnpack"):
            results = list(inputs[0])
        elif kind == "prim::TupleIndex" or kind == "aten::__getitem__":
            results = [inputs[0][inputs[1]]]
        else:
            function, _ = torch._C._jit_get_operation(kind)
            arguments = torch._C.parse_schema(node.schema()).arguments
            named = {a.name: v for a, v in zip(arguments, inputs, strict=True) if a.kwarg_only}
            answer = call(kind, function, inputs[: len(inputs) - len(named)], named)
            results = list(answer) if len(names) > 1 else [answer]
        values.update(zip(names, results, strict=True))
    result: tuple[Tensor, list[Tensor]] = values[next(iter(graph.outputs())).debugName()]
    return result
