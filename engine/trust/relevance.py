"""What a file's relevance is held against: autograd through its own forward pass, which carries relevance.

The forward pass is interpreted call by call, as in `reference`. Each call that shares relevance out is a function
whose backward pass is the formula of `shared_out`; what only moves values moves relevance as autograd moves
gradients. Which rule a call gets is the policy's declaration; which calls come first or last is found out anew,
from the calls themselves.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..methods import METHODS
from ..methods.relevance import RELEVANCE
from ..rules.composites import composite
from ..rules.kinds import CONVOLUTION, CUMULATION
from ..rules.policies import POLICIES
from ..rules.policy import Policy, Replacement
from ..rules.relevance import Epsilon
from .by_weights import Asked
from .calls import KIND_OF, Ordered, flat, gradients_of
from .reference import CANCELLED, behind, interpret, plainly, relative
from .shared_out import FORMULAS, MOVING

FARTHER = {"float32": 1e-3, "float16": 1e-1, "bfloat16": 1e-1}  # deviations that rounding alone excuses
LIKENESS = 0.999  # the cosine with the reference that holds what is ill-conditioned


class SharedOut(torch.autograd.Function):
    """A call that hands relevance back by a formula."""

    @staticmethod
    def forward(
        ctx: Any, call: Callable[..., Any], formula: Callable[[Tensor], list[Tensor]], *values: Tensor
    ) -> Any:
        """y = call(values)."""
        ctx.formula = formula
        y = call(*values)
        return (y[0], *(part.detach() for part in y[1:])) if isinstance(y, tuple) else y

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Any, ...]:
        """The formula's shares."""
        return None, None, *ctx.formula(relevance[0])


def shared(module: Any, x: Tensor, policy: Policy, gradients: Mapping[int, Tensor]) -> Callable[..., Any]:
    """How a call of the forward pass is made, so that autograd carries relevance. gradients: see `gradients_of`.
    Raises ValueError for a rule whose formula is not stated in `shared_out`."""
    ordered, count = Ordered(module, x), 0

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        nonlocal count
        number, count = count, count + 1
        what = KIND_OF.get(kind)
        if what is None or not any(value.requires_grad for value in flat(args)):
            return function(*args, **kwargs)
        tables = (policy.first if number in ordered.first else {}, policy.last if number in ordered.last else {})
        rule: Any = next((t[what] for t in tables if what in t), policy.rules.get(what))
        name = getattr(rule, "__name__", type(rule).__name__)
        if what == CUMULATION and name == "of_cumulation":
            name = "proportional" if "cumsum" in kind else "moved"
        if name in MOVING:
            return function(*args, **kwargs)
        if name not in FORMULAS:
            raise ValueError(f"the certificate has no formula for the rule {name!r}; state it in FORMULAS")
        given = [*args[0], *args[1:]] if isinstance(args[0], list) else list(args)
        if kind == "aten::einsum":
            given = list(args[1])
        moving = [i for i, value in enumerate(given) if isinstance(value, Tensor) and value.requires_grad]

        def made(*values: Any) -> Any:
            if kind == "aten::einsum":
                return function(args[0], list(values), *args[2:], **kwargs)
            return function(*values, **kwargs)

        def forward(*values: Tensor) -> Any:
            whole = list(given)
            for index, value in zip(moving, values, strict=True):
                whole[index] = value
            return made(*whole)

        active = [i in moving for i in range(len(given))]
        bounds = _bounds_of(ordered.bounds[number]) if number in ordered.bounds else None
        constants = [value.detach() if isinstance(value, Tensor) else value for value in given]
        asked = Asked(kind, made, constants, active, bounds, kwargs, gradients.get(number))
        return SharedOut.apply(forward, lambda r: FORMULAS[name](rule, asked, r), *(given[i] for i in moving))

    return call


def _bounds_of(ends: list[Tensor]) -> tuple[Tensor, Tensor]:
    return torch.minimum(*ends), torch.maximum(*ends)


def relevance_reference(
    module: Any, x: Tensor, seed: Tensor, policy: str, start: int | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The relevance at the image, and at each layer, shaped like its primal [N, C, h, w], under `policy`.

    seed: at the logits, or, where there is a start, at that layer; relevance starts with it times what it is of.
    """
    with torch.inference_mode(False), torch.enable_grad(), plainly():
        leaf = x.detach().clone().requires_grad_()
        chosen = POLICIES[policy]
        gradients = gradients_of(module, x, seed, chosen.gradients) if chosen.gradients else {}
        logits, primals = interpret(module, leaf, shared(module, x, chosen, gradients))
        plain, whole = module.primals(leaf)[::-1]
        if start is not None:
            edge = _before_laying_out(primals[start], behind(logits))
            value = _carried_back(plain[start], behind(whole), seed * primals[start].detach())
            (at_image,) = torch.autograd.grad(edge, leaf, value)
            return at_image, []
        edges: list[Any] = [leaf, *(_before_laying_out(primal, behind(logits)) for primal in primals)]
        found = torch.autograd.grad(logits, edges, seed * logits.detach(), allow_unused=True)
        at_image = torch.zeros_like(leaf) if found[0] is None else found[0]
        nodes = behind(whole)
        layers = [
            torch.zeros_like(primal) if r is None else _laid_out(primal, nodes, r)
            for primal, r in zip(plain, found[1:], strict=True)
        ]
    return at_image, layers


def _before_laying_out(primal: Tensor, nodes: set[Any]) -> GradientEdge:
    """Where a layer's primal parts from the way to the logits."""
    edge: GradientEdge = get_gradient_edge(primal)
    while edge.node not in nodes:
        edge = next(GradientEdge(node, number) for node, number in edge.node.next_functions if node is not None)
    return edge


def _laid_out(primal: Tensor, nodes: set[Any], relevance: Tensor) -> Tensor:
    """Relevance of the value that a primal was made of, laid out as the primal. What lies between scales and moves
    each number by itself, and relevance is moved alone: J r / J 1."""
    edge = _before_laying_out(primal, nodes)
    if get_gradient_edge(primal).node is edge.node:
        return relevance
    probe = torch.zeros_like(primal).requires_grad_()
    (pulled,) = torch.autograd.grad(primal, edge, probe, create_graph=True, retain_graph=True)
    moved, scales = (
        torch.autograd.grad(pulled, probe, value, retain_graph=True)[0]
        for value in (relevance, torch.ones_like(relevance))
    )
    return moved / scales


def _carried_back(primal: Tensor, nodes: set[Any], relevance: Tensor) -> Tensor:
    """Relevance of a primal, laid out as the value that it was made of: Jᵀ (r / J 1)."""
    edge = _before_laying_out(primal, nodes)
    if get_gradient_edge(primal).node is edge.node:
        return relevance
    probe = torch.zeros_like(primal).requires_grad_()
    (pulled,) = torch.autograd.grad(primal, edge, probe, create_graph=True, retain_graph=True)
    (scales,) = torch.autograd.grad(pulled, probe, torch.ones_like(pulled), retain_graph=True)
    (back,) = torch.autograd.grad(primal, edge, relevance / scales, retain_graph=True)
    return back


def register_composite(
    name: str,
    rules: Mapping[str, Replacement],
    first: Mapping[str, Replacement] | Replacement | None = None,
    last: Mapping[str, Replacement] | Replacement | None = None,
) -> None:
    """Add a composite of relevance rules of one's own, as a method of that name, which is in a file that names it.

    rules: kind of op -> rule, over what all composites have in common; see `rules.composites.composite`, and
    `rules.kinds`. A composite of the rules that are there is certified by their formulas; another rule's is to be
    stated in `shared_out.FORMULAS`. Raises ValueError where the name is taken, or a kind is not known.
    """
    if name in METHODS or name in POLICIES:
        raise ValueError(f"there is a method called {name!r} already; give yours another name")
    POLICIES[name] = composite(name, rules, first, last)
    METHODS[name] = replace(
        RELEVANCE[0], name=name, policy=name, title=name, cite="of one's own", says="", chosen=True
    )


def deviation_throughout(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, name: str, answer: Tensor
) -> float:
    """The largest deviation of a method that goes alone: at the image, at each layer, and of what came there."""
    policy = module.policy_of[name]
    with torch.no_grad(), plainly():
        _, maps, arrived = module.explain_throughout(x, seed, name)
    image, layers = relevance_reference(module, x, seed, policy)
    found = [relative(answer, image)]
    score = (module.forward(x).double() * seed.double()).flatten(1).sum(1)
    came = torch.stack([whole.flatten(1).double().sum(1) / score for whole in (image, *layers)], 1)
    sizes = torch.stack([whole.flatten(1).double().abs().sum(1) / score for whole in (image, *layers)], 1)
    found.append(relative(arrived, came, sizes))
    for index, layer in enumerate(layers):
        map = F.interpolate(torch.einsum("nchw->nhw", layer)[:, None], module.size, mode="bilinear")[:, 0]
        # Where channels cancel, rounding is left: relative to their sum it says nothing.
        natural = layer.abs().sum(1).max() * CANCELLED
        found.append(relative(maps[:, index], map, torch.stack([map.abs().max(), natural])))
    return float(torch.tensor(found).max())


def likeness_of(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, image_cts: dict[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """By policy and by method of relevance the smallest cosine of an image's with the reference, and by what it is
    held. LRP-epsilon divides by sums whose terms cancel: where a deep network rounds single values are off by
    percents, the map is the same, and it is held by its cosine."""
    found: dict[str, dict[str, Any]] = {}
    for name in module.alone:
        policy = module.policy_of[name]
        with torch.no_grad(), plainly():
            *_, ct = module.probe(x, seed, policy)
        cosine = F.cosine_similarity(ct.flatten(1).double(), image_cts[policy].flatten(1).double()).min()
        cancels = isinstance(POLICIES[policy].rules.get(CONVOLUTION), Epsilon) and x.dtype != torch.float64
        held_by = "cosine" if cancels else "deviation"
        found[name] = found[policy] = {"cosine": round(float(cosine), 9), "held_by": held_by}
    return found


def bound_of(name: str, certificate: dict[str, Any], bound: float) -> float:
    """What the deviation of a policy or a method is held against, where gradients are held against `bound`.

    Relevance divides by what may nearly cancel, and rounding moves it farther than a gradient; what is held by its
    cosine has no bound where that is kept.
    """
    told = certificate.get("relevance", {}).get(name)
    if told is None:
        return bound
    if told["held_by"] == "cosine":
        return math.inf if told["cosine"] >= LIKENESS else bound
    return max(bound, FARTHER.get(certificate["dtype"], bound))
