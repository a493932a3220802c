"""Fold BatchNorm into the convolution before it, for both halves of the listing at once.

The pass runs on the forward half; the backward half is written from what it leaves, so it reads the same folded
kernel. A layer that ends between the two is not lost: it remembers the affine map that its value went through.
"""

from dataclasses import replace

import torch
from torch import Tensor, fx

from ..listing.program import Program, aten

# A value given back as (folded - shift) / scale loses |shift / scale| over its own size in precision.
LOSS = 64.0


def fold_batch_norm(program: Program) -> int:
    """Fold every BatchNorm that follows a convolution of its own; return how many were folded."""
    folded = 0
    for norm in list(program.graph.nodes):
        conv = norm.args[0] if norm.target is aten.batch_norm else None
        if isinstance(conv, fx.Node) and conv.target is aten.conv2d and _foldable(program, conv, norm):
            _fold(program, conv, norm)
            folded += 1
    return folded


def _foldable(program: Program, conv: fx.Node, norm: fx.Node) -> bool:
    alone = set(conv.users) == {norm}
    parameters = [a for a in (*conv.args[1:3], *norm.args[1:5]) if isinstance(a, fx.Node)]
    if not alone or any(a.op != "get_attr" for a in parameters):
        return False
    ending = [layer for layer in program.layers if layer.node is conv]
    if not ending:
        return True
    if any(layer.scale is not None for layer in ending):
        return False  # a fold has hidden a layer here already, and knows one way back
    scale, shift, mean, deviation = _affine(program, norm)
    size = (mean.abs() + deviation).max()
    return bool((scale != 0).all() and ((shift / scale).abs().max() <= LOSS * size))


def _fold(program: Program, conv: fx.Node, norm: fx.Node) -> None:
    kernel_node, mean_node = conv.args[1], norm.args[3]
    assert isinstance(kernel_node, fx.Node) and isinstance(mean_node, fx.Node)
    name, weight = str(kernel_node.target), program.constants[str(kernel_node.target)]
    bias = _value(program, conv.args[2]) if len(conv.args) > 2 else None
    scale, shift, *_ = _affine(program, norm)
    kernel = weight.double() * scale.reshape(-1, *[1] * (weight.ndim - 1))
    offset = shift if bias is None else shift + bias.double() * scale
    new_weight = program.constant(f"{name}_folded", kernel.to(weight.dtype), kernel_node.meta["val"])
    new_bias = program.constant(f"{name}_folded_bias", offset.to(weight.dtype), mean_node.meta["val"])
    # Scale and shift stay as they are: other kernels are those of another convolution before the same norm.
    origins = program.origins.parameters
    origins[str(new_weight.target)] = origins.get(name, name)
    shifted = next(a for a in (norm.args[2], mean_node) if isinstance(a, fx.Node))
    origins[str(new_bias.target)] = origins.get(str(shifted.target), name)
    with program.graph.inserting_before(norm):
        fused = program.graph.call_function(aten.conv2d, (conv.args[0], new_weight, new_bias, *conv.args[3:]))
    fused.meta.update(norm.meta)
    norm.replace_all_uses_with(fused)
    way_back: dict[str, fx.Node] = {}
    if any(layer.node is conv for layer in program.layers):
        for part, value in (("scale", scale), ("shift", shift)):
            vector = value.to(weight.dtype).reshape(-1, 1, 1)
            with mean_node.meta["val"].fake_mode:
                fake = torch.empty_like(vector)
            way_back[part] = program.constant(f"{name}_{part}", vector, fake)
    for index, layer in enumerate(program.layers):
        if layer.node is conv:
            program.layers[index] = replace(layer, node=fused, **way_back)  # type: ignore[arg-type]
        elif layer.node is norm:
            program.layers[index] = replace(layer, node=fused)
    if program.logits is norm:
        program.logits = fused
    program.graph.erase_node(norm)
    program.graph.erase_node(conv)


def _affine(program: Program, norm: fx.Node) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scale, shift, mean and deviation of a BatchNorm in evaluation, in float64: y = x * scale + shift."""
    weight, bias, mean, variance = (_value(program, a) for a in norm.args[1:5])
    assert mean is not None and variance is not None
    deviation = (variance.double() + norm.args[7]).sqrt()  # type: ignore[operator]
    scale = 1 / deviation if weight is None else weight.double() / deviation
    shift = -mean.double() * scale if bias is None else bias.double() - mean.double() * scale
    return scale, shift, mean.double(), deviation


def _value(program: Program, argument: object) -> Tensor | None:
    return program.constants[str(argument.target)] if isinstance(argument, fx.Node) else None
