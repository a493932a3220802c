"""The passes in order: capture, fold, keep the first calls in float32, differentiate, unfold, evaluate constants,
prune, check."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from ..errors import CompileError
from ..listing.axes import as_map
from ..listing.fields import Field, fields_of
from ..listing.layers import choose_layers
from ..listing.program import Program, aten
from ..methods import Method, choose_methods, policies_at_image, policies_of, policies_of_calls
from ..rules.policies import POLICIES, Coverage
from .calls import Ends
from .capture import capture
from .coverage import coverage
from .differentiate import differentiate
from .fold_constants import evaluate_constants
from .fold_norms import fold_batch_norm
from .intercepts import Intercepts
from .keep_float32 import keep_first_calls
from .pooled import pooled_layer
from .recorder import Recorder


@dataclass(frozen=True)
class Compiled:
    """A complete program and what is known of it."""

    program: Program
    methods: list[Method]
    absent: dict[str, str]  # methods that do not apply, with the reason
    pooled: int  # the layer of CAM, -1 where there is none
    coverage: Coverage  # of the gates
    coverages: dict[str, Coverage]  # of each policy that the methods take
    folded: int  # BatchNorms folded into convolutions
    fields: list[Field]  # the receptive field of each layer


def compile_program(
    module: nn.Module,
    example: Tensor,
    layers: str | Sequence[str] = "trunk",
    methods: str | Sequence[str] | None = None,
    head: str | int | None = None,
    below_softmax: bool = False,
    ends: Ends | None = None,
    leave_out: bool | None = None,
) -> Compiled:
    """Compile a classifier: its forward half, and for each policy that `methods` take a backward half.

    module: in evaluation mode, [N, C, H, W] -> [N, K]; it is read, never changed.
    example: [N, C, H, W]; sets size and dtype, its values do not matter.
    layers: "trunk", "all", or names. methods: names, or None for all that apply.
    head, below_softmax: which value holds the logits; see `capture`.
    ends: between which the image's values lie, by channel, for rules that ask it; 0 and 1 unless given.
    leave_out: are methods of relevance left out that have no rule for an op, with the reason in `absent`, or
    refused? Unless given they are where methods are not named.
    Raises CaptureError, CompileError (ops without a rule) or ValueError (names).
    """
    with torch.no_grad():
        program = capture(module, example, head, below_softmax)
        program.layers = choose_layers(program, layers)
        pooled, reason = pooled_layer(program)
        absent = {"cam": reason} if reason else {}
        chosen = choose_methods(methods, absent)
        leave_out = methods is None if leave_out is None else leave_out
        fields = fields_of(program)
        # Counted before folding and naming: people know the network as they wrote it.
        gated = coverage(program)
        found = {policy: coverage(program, policy) for policy in policies_of(chosen)}
        folded = fold_batch_norm(program)
        keep_first_calls(program)
        _seed(program)
        ends = ends or Ends(*([number] * example.shape[1] for number in (0.0, 1.0)))
        program.ends = [list(map(float, numbers)) for numbers in ends]
        for policy in policies_of(chosen):
            intercepts = Intercepts(program) if policy in policies_of_calls(chosen) else None
            try:
                _backward_half(program, policy, policy in policies_at_image(chosen), intercepts, ends)
            except CompileError as refusal:
                own = [method.name for method in chosen if method.policy == policy and method.alone]
                if not leave_out or not own or len(own) == len(chosen):
                    raise
                absent |= dict.fromkeys(own, str(refusal))
                chosen = [method for method in chosen if method.name not in own]
                found.pop(policy)
        program.primals = [_unfolded(program, index) for index in range(len(program.layers))]
        evaluate_constants(program)
        program.prune()
        _name_values(program)
        program.check()
    return Compiled(program, chosen, absent, pooled, gated, found, folded, fields)


def _seed(program: Program) -> None:
    with program.graph.inserting_after(program.image):
        program.seed = program.graph.placeholder("seed")
    program.seed.meta["val"] = program.logits.meta["val"]


def _backward_half(
    program: Program, policy: str, to_image: bool, intercepts: Intercepts | None, ends: Ends
) -> None:
    """Write the backward half under a policy, down to the image or to the first layer, and each layer's cotangent.

    Behind a fold a layer's value v stands as v s + t, so the cotangent of v is s times that of what stands there.
    Relevance stays what it is: a convolution and the BatchNorm that was folded into it are one linear map.
    """
    wanted = {layer.node for layer in program.layers} | ({program.image} if to_image else set())
    found = differentiate(program, policy, wanted, intercepts, ends)
    if POLICIES[policy].relevance:
        program.relevances.add(policy)
    if intercepts is not None:
        program.intercepts[policy] = intercepts.found
        forward = [node for node in program.graph.nodes if node in intercepts.calls]
        program.additive = [intercepts.calls[node] for node in forward]
    if to_image:
        program.image_cotangents[policy] = found[program.image]
    recorder = Recorder(program, policy)
    cotangents = []
    for index, layer in enumerate(program.layers):
        ct = recorder.proxy(found[layer.node])
        with recorder.unfolding(index):
            if layer.scale is not None and policy not in program.relevances:
                ct = aten.mul(ct, recorder.proxy(layer.scale))
            if layer.axes is not None:
                ct = as_map(ct, layer.axes)
        cotangents.append(ct.node)
    program.cotangents[policy] = cotangents


def _unfolded(program: Program, index: int) -> fx.Node:
    """The primal of a layer as [N, C, H, W]; behind a folded BatchNorm, (folded - shift) / scale."""
    layer = program.layers[index]
    recorder = Recorder(program, "")
    primal = recorder.proxy(layer.node)
    with recorder.unfolding(index):
        if layer.scale is not None and layer.shift is not None:
            primal = aten.div(aten.sub(primal, recorder.proxy(layer.shift)), recorder.proxy(layer.scale))
        if layer.axes is not None:
            primal = as_map(primal, layer.axes)
    return primal.node


def _name_values(program: Program) -> None:
    """Let the listing read like the network: `features_28` and, going back, `ct_features_28`."""
    wanted = {program.logits: "logits"}
    for index, layer in enumerate(program.layers):
        primal = program.primals[index]
        wanted[primal] = layer.name
        if primal.target is operator.getitem:
            wanted[primal.all_input_nodes[0]] = f"{layer.name}_and_residuals"
        for policy, cotangents in program.cotangents.items():
            wanted[cotangents[index]] = f"{_prefix(policy)}ct_{layer.name}"
    wanted |= {ct: f"{_prefix(policy)}ct_image" for policy, ct in program.image_cotangents.items()}
    program.rename(wanted)


def _prefix(policy: str) -> str:
    return "" if policy == "gradient" else f"{policy}_"
