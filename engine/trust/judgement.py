"""Whether a file may be made: its deviations from the network that was brought, held against a bound.

What a certificate measures decides. A network whose gradient is not what its steps say (a `backward` of the
author's own, a step that export saw otherwise) is refused, and the step is named.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..compiler.brought import Brought
from ..compiler.grad_modes import leaving_traces
from ..compiler.heads import as_logits
from ..compiler.passes import Compiled
from ..errors import CompileError
from .certificate import brought_below, compare, question
from .reference import plainly, relative
from .relevance import bound_of

# Deviations that need no excuse, by the coarsest precision that the network computes in. Of float64 torch's own
# kernels keep no more: hardswish and hardsigmoid multiply by a sixth that is rounded to float32.
TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
# How far the reference is moved to see what rounding does to it: images displaced by so many rounding steps.
STEPS = 64
MARGIN = 4  # times that: a few kinks make up the largest deviation, and which of them flip is chance
HOOK = "BackwardHookFunction"  # torch's own, in which register_full_backward_hook wraps a module
MIXED = 1e-4  # of its largest logit: what the answer for an image may move by where its neighbour is another
# Of one run of a network: its heads, and by the names of its modules their values and where autograd has them.
Watched = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, GradientEdge]]
MOST = 0.5  # nothing excuses more than this share of the largest value


class UndecidedError(CompileError):
    """In this precision rounding alone moves the network by as much as it is off: a finer one has to decide."""


def judge(
    scripted: torch.jit.ScriptModule,
    compiled: Compiled,
    network: Brought,
    certificate: dict[str, Any],
    strict: bool,
) -> dict[str, Any]:
    """Hold a certificate and the file's deviation from its network against the bound.

    The bound is that of the network's coarsest precision. A ReLU whose input is within rounding of zero may fall
    on either side, though, and a deep network with random weights multiplies every rounding error: both move the
    reference itself. So what exceeds the bound is compared with how far autograd's own gradient moves where the
    images are displaced by 64 rounding steps, and only what is larger than four times that is wrong.

    Returns what the certificate says of it: `original`, the deviations from the network; `allowed`, what they were
    held against; and `accepted`, the complaints that `strict=False` lets pass. Raises CompileError naming the step
    where file and network part.
    """
    original = _reference(network, compiled.program.head)
    with leaving_traces():
        program = compiled.program
        found = compare(scripted, original, program.ending if program.below else None)
        if math.isnan(found["logits"]):
            raise CompileError(
                f"{network.title} gives no numbers (NaN) on standard normal images, nor on images between 0 and "
                "1, so there is nothing to explain: look for a root, a logarithm or a quotient of what may be zero"
            )
        told: dict[str, Any] = {"original": found}
        base = max(TOLERANCES.get(dtype, 1e-7) for dtype in program.precisions())
        deviations = dict(found)
        for kind in ("policies", "methods", "starts"):
            deviations |= {f"{kind[:-1]} {name}": value for name, value in certificate[kind].items()}
        deviations["tail"] = certificate["tails"]
        # The reference is moved only where there is something to excuse: it takes four passes more.
        allowed, moved = base, 0.0
        if not all(value <= base for value in deviations.values()):
            moved = _moved(scripted, original)
            allowed = min(max(base, MARGIN * moved), MOST)
        told["allowed"] = allowed
        _refuse_mixed_images(scripted, original, network)
        wrong = {
            name: value
            for name, value in deviations.items()
            if not value <= bound_of(name.split(" ")[-1], certificate, allowed)
        }
        if not wrong:
            return told
        complaint = _complaint(scripted, compiled, network, wrong, allowed)
        if moved > MOST:
            complaint += (
                f". Autograd's own gradient moves by {moved:.1e} where the images move by rounding alone: there "
                "may be nothing but noise to explain"
            )
    if strict:
        refusal = UndecidedError if moved > MOST else CompileError
        raise refusal(f"{complaint}. strict=False compiles it all the same, and writes that into the manifest")
    return told | {"accepted": complaint}


def _reference(network: Brought, head: str) -> Callable[[Tensor], Tensor]:
    return lambda x: as_logits(network.run(x)[head])


def _refuse_mixed_images(
    scripted: torch.jit.ScriptModule, original: Callable[[Tensor], Tensor], network: Brought
) -> None:
    """Raise CompileError where the answer for an image depends on the others in its batch.

    Both batches are of one size, so that both go through the same kernels and round alike.
    """
    x, _ = question(scripted)
    with torch.inference_mode(False), torch.no_grad():
        one, other = (original(torch.cat([x[:1], second]))[:1] for second in (x[1:], x[1:].flip(-1)))
    if not relative(other, one) <= MIXED:
        raise CompileError(
            f"images of a batch mix in {network.title}: its answer for one moves by {relative(other, one):.1e} "
            "where another one lies beside it. Compute means and statistics over axes of one image, not over the "
            "batch"
        )


def _moved(scripted: torch.jit.ScriptModule, original: Callable[[Tensor], Tensor]) -> float:
    """How far the reference's logits and gradient move, relatively, where the images are moved by rounding."""
    x, seed = question(scripted)
    generator = torch.Generator().manual_seed(1)
    logits, ct = _gradient(original, x, seed)
    farthest = 0.0
    for _ in range(3):
        steps = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        other_logits, other = _gradient(original, x + x * steps * STEPS * torch.finfo(x.dtype).eps, seed)
        farthest = max(farthest, relative(other_logits, logits), relative(other, ct))
    return farthest


def _gradient(original: Callable[[Tensor], Tensor], x: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        logits = original(leaf)
        (ct,) = torch.autograd.grad((logits * seed).sum(), leaf)
    return logits.detach(), ct


def _complaint(
    scripted: torch.jit.ScriptModule, compiled: Compiled, network: Brought, wrong: dict[str, float], allowed: float
) -> str:
    """What is off, by how much, where, and what is to be done about it."""
    told = ", ".join(f"{name} by {value:.1e}" for name, value in wrong.items())
    if not {"logits", "gradient"} & wrong.keys():
        return (
            f"the file of {network.title} is off from autograd through its own forward pass, {allowed:.1e} is "
            f"allowed: {told}. That is a defect of a rule or of the compiler, not of the network: please report it"
        )
    x, seed = question(scripted)
    watched = _watched(network, x)
    where = _where_they_part(scripted, compiled, (x, seed), watched, allowed)
    own = _own_functions(watched[0][compiled.program.head])
    text = (
        f"the listing of {network.title} does not compute what the network does, where {allowed:.1e} is allowed: "
        f"off in {told}. The two part {where}"
    )
    if HOOK in own:
        text += ". A backward hook changes a gradient: remove it, a listing knows none"
    elif own:
        text += (
            f". {', '.join(own)} has a backward of its own, which no step of its forward pass tells: write it "
            "with torch's own steps (a straight-through estimator is h + (step(h) - h).detach())"
        )
    return text


def _where_they_part(
    scripted: torch.jit.ScriptModule,
    compiled: Compiled,
    asked: tuple[Tensor, Tensor],
    watched: Watched,
    allowed: float,
) -> str:
    """Between which two layers: the first primal that differs, or else the first cotangent, from the logits on."""
    (x, seed), (kept, values, edges), program = asked, watched, compiled.program
    found, inner_seed = brought_below(scripted, x, seed, program.ending if program.below else None)
    with torch.no_grad(), plainly():
        policy = "gradient" if "gradient" in scripted.policies else scripted.policies[0]
        _, primals, cts, _ = scripted.probe(x, inner_seed, policy)
    wanted_logits = as_logits(kept[program.head])
    names = [next((n for n in (layer.name, *layer.aliases) if n in edges), "") for layer in program.layers]
    known = [
        (name, primal, ct)
        for name, primal, ct in zip(names, primals, cts, strict=True)
        if name and values[name].shape == primal.shape
    ]
    # Forward first: where a value is another, its cotangents are too, and tell nothing.
    before = "the image"
    for name, primal, _ in known:
        if not relative(primal, values[name]) <= allowed:
            return f"between {before} and {name}, in the forward pass"
        before = name
    if not relative(found, wanted_logits.detach()) <= allowed:
        return f"between {before} and the logits, in the forward pass"
    after = "the logits"
    for name, _, ct in reversed(known) if policy == "gradient" else ():
        (wanted,) = torch.autograd.grad(
            (wanted_logits * seed).sum(), [edges[name]], retain_graph=True, allow_unused=True
        )
        if not relative(ct, torch.zeros_like(ct) if wanted is None else wanted) <= allowed:
            return f"between {name} and {after}, on the way back"
        after = name
    return f"between the image and {after}, on the way back"


def _watched(network: Brought, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, GradientEdge]]:
    """Run the network once: its heads, and of each module that is called once its value and its place in
    autograd's graph, which stays where it was if the value is written over later."""
    values, edges, calls = dict[str, Tensor](), dict[str, GradientEdge](), dict[str, int]()

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(output, Tensor) and output.requires_grad:
                values[name], edges[name] = output.detach().clone(), get_gradient_edge(output)

        return hook

    handles = [part.register_forward_hook(watch(name)) for name, part in network.network.named_modules() if name]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            heads = network.run(x.detach().clone().requires_grad_())
    finally:
        for handle in handles:  # the network is its author's, and is given back as it was
            handle.remove()
    for name in [name for name, count in calls.items() if count > 1]:
        edges.pop(name, None)
    return heads, values, edges


def _own_functions(logits: Tensor) -> list[str]:
    """The torch.autograd.Functions on the way from the image to the logits."""
    found, seen, pending = dict[str, None](), set[Any](), [logits.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        pending += [source for source, _ in node.next_functions]
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found[type(node).__name__.removesuffix("Backward")] = None
    return list(found)
