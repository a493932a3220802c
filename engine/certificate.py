"""The one place that asks autograd: how far a compiled file is from an independent reference.

The reference interprets the file's own forward pass, call by call, under autograd, with every activation call
replaced by a function whose backward pass states the gate anew. It shares no rule and no listing with the
backward half that it judges.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.gates import RECTIFIER
from engine.rules import ACTIVATIONS

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
IMAGES = 2
ENDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(1),
    "log_softmax": lambda logits: logits.log_softmax(1),
    "sigmoid": torch.sigmoid,
}


class GatedActivation(torch.autograd.Function):
    """An activation whose backward pass is a gate, stated with autograd's own derivative of the call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], gate: str, kind: str) -> Tensor:
        """y = call(x)."""
        ctx.save_for_backward(x)
        ctx.call, ctx.gate, ctx.kind = call, gate, kind
        return call(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """The gate's formula, for any activation."""
        (ct,), (x,) = grads, ctx.saved_tensors
        if ctx.gate == "deconvnet":
            return torch.where(ct > 0, ct, 0), None, None, None
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.call(leaf).sum(), leaf)
        # Between its ends a rectifier passes all, as hardtanh does from -1 on; the slope is zero elsewhere.
        passes = ct > 0 if ctx.kind == RECTIFIER else (ct > 0) & (x > 0)
        return torch.where(passes, slope * ct, 0), None, None, None


def reference(module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, gate: str) -> tuple[Tensor, Tensor]:
    """Logits, and the cotangent at the image under `gate`, by autograd through the file's forward pass."""
    kinds = {f"aten::{op.__name__}": kind for op, kind in ACTIVATIONS.items()} if gate != "gradient" else {}

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        if kind in kinds:
            rest = args[1:]
            return GatedActivation.apply(args[0], lambda x: function(x, *rest, **kwargs), gate, kinds[kind])
        return function(*args, **kwargs)

    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        logits = _interpret(module, leaf, call)
        (ct,) = torch.autograd.grad((logits * seed).sum(), leaf)
    return logits.detach(), ct


def certify(module: torch.jit.ScriptModule) -> dict[str, Any]:
    """The certificate: for each gate the largest deviation from the reference at the image, relative to the
    reference's maximum, on what inputs, and the bound that it has to keep."""
    x, seed = _question(module)
    gates = {}
    for gate in module.gates:
        with torch.no_grad():
            *_, ct = module.probe(x, seed, gate)
        gates[gate] = relative(ct, reference(module, x, seed, gate)[1])
    return {
        "gates": gates,
        "bound": BOUNDS.get(x.dtype),
        "inputs": f"{IMAGES} standard normal images (generator seed 0) asked for their top class",
        "dtype": str(x.dtype).removeprefix("torch."),
        "device": str(x.device),
    }


def compare(
    module: torch.jit.ScriptModule, original: Callable[[Tensor], Tensor], ending: str = ""
) -> dict[str, float]:
    """The deviation of logits and gradient from the network that was compiled, by autograd through it.

    ending: the softmax, log_softmax or sigmoid that the network puts on the logits of the file.
    """
    x, seed = _question(module)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.clone().requires_grad_()
        wanted = original(leaf)
        (ct,) = torch.autograd.grad((wanted * seed).sum(), leaf)
        with torch.no_grad():
            inner = module.forward(x)
        inner.requires_grad_()
        found = ENDINGS[ending](inner) if ending else inner
        (inner_seed,) = torch.autograd.grad((found * seed).sum(), inner)
    deviations = {"logits": relative(found.detach(), wanted.detach())}
    if "gradient" not in module.gates:
        return deviations
    with torch.no_grad():
        *_, image = module.probe(x, inner_seed, "gradient")
    return deviations | {"gradient": relative(image, ct)}


def relative(found: Tensor, wanted: Tensor) -> float:
    """The largest absolute difference over the largest absolute value wanted."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(torch.finfo(wanted.dtype).tiny))


def _question(module: torch.jit.ScriptModule) -> tuple[Tensor, Tensor]:
    like: Tensor = module.like
    shape = (IMAGES, len(module.mean), *module.size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(like.device, like.dtype)
    with torch.no_grad():
        top = module.forward(x).argmax(1)
    return x, torch.nn.functional.one_hot(top, module.classes).to(like.dtype)


def _interpret(module: torch.jit.ScriptModule, x: Tensor, call: Callable[..., Any]) -> Tensor:
    """Run the TorchScript graph of `module.forward` call by call."""
    forward: Any = module.forward  # a ScriptMethod, which carries its graph
    graph = forward.inlined_graph
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
    result: Tensor = values[next(iter(graph.outputs())).debugName()]
    return result
