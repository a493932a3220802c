"""The one place that asks autograd: how far a compiled file is from an independent reference.

The reference interprets the file's own forward pass, call by call, under autograd, with every activation call
replaced by a function whose backward pass states the gate anew. It shares no rule and no listing with the
backward half that it judges. The layers' cotangents are autograd's too, and the methods' formulas are stated anew.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..compiler.heads import ENDINGS
from ..methods import METHODS, Method, Place
from ..rules.kinds import ACTIVATIONS, RECTIFIER
from ..rules.pages import KINDS, ops_of
from ..rules.policies import GATES
from ..text import nearest

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
IMAGES = 2
# Image methods: from the image x [N, C, H, W] and the cotangent there.
AT_IMAGE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradient": lambda x, ct: ct,
    "saliency": lambda x, ct: torch.linalg.vector_norm(ct, torch.inf, dim=1),
    "input_x_gradient": lambda x, ct: x * ct,
    "deconvnet": lambda x, ct: ct,
    "guided_backprop": lambda x, ct: ct,
}
# Layer methods: the map [N, h, w] from the primal and the cotangent, and whether its negative part is kept.
AT_LAYER: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).sum(2)), True),
    "grad_cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).mean(2)), False),
    "guided_grad_cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).mean(2)), False),
}


def register_method(method: Method, formula: Callable[[Tensor, Tensor], Tensor], signed: bool = False) -> None:
    """Add a method of one's own: its row, and what files are certified by, its formula stated anew.

    method: its reading is a plain function that TorchScript takes. From then on every compile knows its name.
    formula: (x, cotangent at the image) -> map for a method of the image, and (primal, cotangent of a layer) ->
    map [N, h, w] for one of layers, its negative part included. It should share nothing with the reading: it is
    there to find that one's mistakes. signed: a map of a layer keeps its negative part.
    Raises ValueError where a method of that name is there already, or where its row names a place or gate that is
    not there.
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method called {method.name!r} already; give yours another name")
    if method.gate not in GATES:
        raise ValueError(f"no gate is called {method.gate!r}; {nearest(method.gate, GATES)}")
    if method.times and method.times not in AT_IMAGE:
        raise ValueError(f"no image method is called {method.times!r}; {nearest(method.times, AT_IMAGE)}")
    METHODS[method.name] = method
    if method.at.at_image:
        AT_IMAGE[method.name] = formula
    else:
        AT_LAYER[method.name] = formula, signed


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
    kinds = {f"aten::{op.__name__}": KINDS[op] for op in ops_of(*ACTIVATIONS)} if gate != "gradient" else {}

    def call(kind: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        if kind in kinds:
            rest = args[1:]
            return GatedActivation.apply(args[0], lambda x: function(x, *rest, **kwargs), gate, kinds[kind])
        return function(*args, **kwargs)

    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        logits, _ = _interpret(module, leaf, call)
        (ct,) = torch.autograd.grad((logits * seed).sum(), leaf)
    return logits.detach(), ct


def layer_reference(module: torch.jit.ScriptModule, x: Tensor, seed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Primal and cotangent of each layer, by autograd through the file's forward pass.

    The primals of the listing and its logits are values of one autograd graph. Some primals lie beside the way
    to the logits: a fold's value is given back per channel, tokens are laid out as maps. There the cotangent is
    taken where the two part, and brought over by the derivative J of what lies between, which moves and scales
    each number by itself, so that J Jᵀ is diagonal.
    """
    with torch.inference_mode(False), torch.enable_grad(), _plainly():
        logits, primals = module.primals(x.detach().clone().requires_grad_())
        nodes = _behind(logits)
        edges = [get_gradient_edge(primal) for primal in primals]
        for index, edge in enumerate(edges):
            while edge.node not in nodes:
                edge = next(GradientEdge(n, number) for n, number in edge.node.next_functions if n is not None)
            edges[index] = edge
        cts = torch.autograd.grad((logits * seed).sum(), edges, retain_graph=True) if edges else ()
        return [(p.detach(), _carried(p, edge, ct)) for p, edge, ct in zip(primals, edges, cts, strict=True)]


def certify(module: torch.jit.ScriptModule) -> dict[str, Any]:
    """The certificate: the largest deviation from the reference, of each gate at the image and of each method at
    every layer, on what inputs, and the bound that they have to keep.

    A gate's deviation is relative to the reference's largest value, a method's at each layer to that of the
    reference's map there, a negative part that the method drops included.
    """
    x, seed = question(module)
    gates, image_cts = _of_gates(module, x, seed)
    return {
        "gates": gates,
        "methods": _of_methods(module, x, seed, image_cts),
        "bound": BOUNDS.get(seed.dtype),
        "inputs": f"{IMAGES} standard normal images (generator seed 0) asked for their top class",
        "dtype": str(seed.dtype).removeprefix("torch."),
        "device": str(x.device),
        "threads": torch.get_num_threads(),
    }


def compare(
    module: torch.jit.ScriptModule, original: Callable[[Tensor], Tensor], ending: str = ""
) -> dict[str, float]:
    """The deviation of logits and gradient from the network that was compiled, by autograd through it.

    ending: the softmax, log_softmax or sigmoid that the network puts on the logits of the file.
    """
    x, seed = question(module)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.clone().requires_grad_()
        wanted = original(leaf)
        (ct,) = torch.autograd.grad((wanted * seed).sum(), leaf)
        with torch.no_grad(), _plainly():
            inner = module.forward(x)
        inner.requires_grad_()
        found = ENDINGS[ending](inner) if ending else inner
        (inner_seed,) = torch.autograd.grad((found * seed).sum(), inner)
    deviations = {"logits": relative(found.detach(), wanted.detach())}
    if "gradient" not in module.gates_at_image:
        return deviations
    with torch.no_grad(), _plainly():
        *_, image = module.probe(x, inner_seed, "gradient")
    return deviations | {"gradient": relative(image, ct)}


def relative(found: Tensor, wanted: Tensor, whole: Tensor | None = None) -> float:
    """The largest absolute difference over the largest absolute value of `whole`, or of what is wanted."""
    scale = (wanted if whole is None else whole).abs().max()
    return float((found - wanted).abs().max() / scale.clamp_min(torch.finfo(wanted.dtype).tiny))


def gate_deviations(module: torch.jit.ScriptModule) -> dict[str, float]:
    """The deviation of each gate at the image alone, which takes the largest networks less memory; NaN where the
    reference is zero everywhere, which would prove nothing."""
    deviations, image_cts = _of_gates(module, *question(module))
    return {gate: found if image_cts[gate].any() else float("nan") for gate, found in deviations.items()}


def _of_gates(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The deviation of each gate at the image, and the reference's cotangents there."""
    deviations, image_cts = {}, {}
    for gate in module.gates_at_image:
        with torch.no_grad(), _plainly():
            *_, ct = module.probe(x, seed, gate)
        image_cts[gate] = reference(module, x, seed, gate)[1]
        deviations[gate] = relative(ct, image_cts[gate])
    return deviations, image_cts


def _of_methods(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, image_cts: dict[str, Tensor]
) -> dict[str, float]:
    """The largest deviation of each method's answers."""
    with torch.no_grad(), _plainly():
        answers = dict(zip(module.methods, module.survey(x, seed, module.methods), strict=True))
    places = {name: Place(module.at_of[name]) for name in module.methods}
    at_layers = [name for name in module.methods if not places[name].at_image]
    layers = layer_reference(module, x, seed) if at_layers else []
    deviations = {}
    for name, answer in answers.items():
        if name not in at_layers:
            deviations[name] = relative(answer, AT_IMAGE[name](x, image_cts[module.gate_of[name]]))
            continue
        formula, signed = AT_LAYER[name]
        times = module.times_of.get(name, "")
        factor = AT_IMAGE[times](x, image_cts[module.gate_of[times]]) if times else x.new_ones(len(x), 1, 1, 1)
        answer = answer if times else answer[:, :, None]
        found = [0.0]  # of no layer, where a network has no trunk
        for index, layer in enumerate(places[name].layers(len(layers), module.pooled)):
            map = formula(*layers[layer])[:, None]
            whole, kept = (
                F.interpolate(part, module.size, mode="bilinear") * factor
                for part in (map, map if signed else map.clamp(min=0))
            )
            found.append(relative(answer[:, index], kept, whole))
        deviations[name] = float(torch.tensor(found).max())  # Python's max would lose a NaN
    return deviations


def _behind(value: Tensor) -> set[Any]:
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


def _plainly() -> Any:
    """Without TorchScript's profiling, which makes the first calls several times as slow."""
    return torch.jit.optimized_execution(False)  # type: ignore[attr-defined]


def question(module: torch.jit.ScriptModule) -> tuple[Tensor, Tensor]:
    """What a file is certified on: standard normal images, and the seed for the top class of each."""
    like: Tensor = module.like
    shape = (IMAGES, len(module.mean), *module.size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(like.device, module.fine.dtype)
    with torch.no_grad(), _plainly():
        top = module.forward(x).argmax(1)
    return x, torch.nn.functional.one_hot(top, module.classes).to(like.dtype)


def _interpret(module: torch.jit.ScriptModule, x: Tensor, call: Callable[..., Any]) -> tuple[Tensor, list[Tensor]]:
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
