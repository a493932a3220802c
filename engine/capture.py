"""From an nn.Module to the forward half of a Program: functional ATen calls and named layers."""

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind

from engine.layers import name_layers
from engine.program import Program, aten, identifier, unique


class CaptureError(ValueError):
    """The network cannot be compiled as it is; the message says why and what to do."""


MAX_BATCH = 4096  # an upper end that export wants to know; any batch below it runs


def capture(module: nn.Module, example: Tensor) -> Program:
    """Export `module` and return its forward half, with every possible layer named.

    module: a classifier in evaluation mode that maps [N, C, H, W] to logits [N, K].
    example: [N, C, H, W]; its size is the program's, its batch is free.
    Raises CaptureError where torch.export cannot take the module, with its reason.
    """
    if module.training:
        raise CaptureError(
            "the module is in training mode: call .eval() first, BatchNorm and Dropout depend on it"
        )
    exported = _export(module, example)
    program = _as_program(exported)
    program.layers = name_layers(program)
    return program


def _export(module: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    # Export wants two images to see that the batch is free: a batch of one looks like a constant.
    images = torch.zeros(2, *example.shape[1:], dtype=example.dtype, device=example.device)
    batch = Dim("batch", min=1, max=MAX_BATCH)
    try:
        with torch.no_grad():
            exported = export(module, (images,), dynamic_shapes=({0: batch},), strict=False)
            functional: torch.export.ExportedProgram = exported.run_decompositions({})
            return functional
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise CaptureError(
            f"torch.export cannot take {type(module).__name__}: {reason[0] if reason else type(error).__name__}. "
            "The compiler needs a forward pass whose steps do not depend on pixel values; "
            "torch.export.export(module, (images,), strict=False) shows the whole story."
        ) from error


def _as_program(exported: torch.export.ExportedProgram) -> Program:
    """Copy the exported graph: parameters become constants, overloads become packets, pooling and LayerNorm
    keep what their rules read."""
    graph, constants = fx.Graph(), dict[str, Tensor]()
    tensors = {**exported.state_dict, **exported.constants}
    specs = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
    copy: dict[fx.Node, fx.Node] = {}
    image = None
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                copy[node] = image = graph.placeholder("image")
            else:
                name = unique(identifier(str(spec.target)), constants)
                constants[name] = tensors[spec.target].detach()
                copy[node] = graph.create_node("get_attr", name, name=name)
            copy[node].meta["val"] = node.meta["val"]
        elif node.op == "call_function":
            _copy_call(graph, node, copy)
        elif node.op == "output":
            outputs = [copy[output] for output in node.args[0] if isinstance(output, fx.Node)]
    if image is None or not outputs:
        raise CaptureError("the module must take one image batch and return logits")
    logits = outputs[0]
    if len(logits.meta["val"].shape) != 2:
        raise CaptureError(
            f"the module returns {list(logits.meta['val'].shape)}, a classifier returns [N, classes]"
        )
    return Program(graph, constants, image, logits)


def _copy_call(graph: fx.Graph, node: fx.Node, copy: dict[fx.Node, fx.Node]) -> None:
    args: Any = fx.map_arg(node.args, copy.__getitem__)
    kwargs: Any = fx.map_arg(node.kwargs, copy.__getitem__)
    op: Any = getattr(node.target, "overloadpacket", node.target)
    new: fx.Node
    if op is operator.getitem and args[0].target is aten.batch_norm:
        new = args[0]
    elif op is aten._native_batch_norm_legit_no_training:
        new = graph.call_function(aten.batch_norm, (*args[:5], False, *args[5:], False))
        new.meta.update(node.meta, val=node.meta["val"][0])
    elif op in (aten._native_batch_norm_legit, aten._native_batch_norm_legit_functional):
        raise CaptureError(
            f"BatchNorm at {_path(node) or 'the top level'} runs in training mode: its output depends on the "
            "other images of the batch. Call .eval() on the module."
        )
    elif op in (aten.max_pool2d, aten.layer_norm):
        with_residuals = {
            aten.max_pool2d: aten.max_pool2d_with_indices,
            aten.layer_norm: aten.native_layer_norm,
        }
        if op is aten.layer_norm:
            args = (*args, *(None, None, 1e-5)[len(args) - 2 :])[:5]
        pair = graph.call_function(with_residuals[op], args, kwargs)
        fake = fx.map_arg(pair.args, lambda source: source.meta["val"])
        with node.meta["val"].fake_mode:
            pair.meta.update(node.meta, val=with_residuals[op](*fake, **kwargs))
        new = graph.call_function(operator.getitem, (pair, 0))
        new.meta.update(node.meta)
    elif op in (aten.clone, aten.contiguous, aten.alias, aten.detach, aten.dropout, aten.lift_fresh_copy):
        new = args[0]  # values are never overwritten here, so a copy is the value
    else:
        if op is aten.view or op is aten._unsafe_view:
            op = aten.reshape  # a view of a channels_last tensor is not always possible
        op = aten.size if op is aten.sym_size else op
        new = graph.call_function(op, args, kwargs)
        new.meta.update(node.meta)
    copy[node] = new


def _path(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
