"""Independent references: autograd through the network as its author wrote it, every activation call replaced."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from engine.listing.program import Program, aten
from engine.rules.policies import GATES
from engine.trust.verify_models import calibrate

GATED = ("gradient", *GATES)  # the policies that this room has formulas for
# Each call that is an activation, as Python code spells it: functional, method and in-place. What writes into its
# input stands with the call that computes the same.
IN_PLACE = {
    torch.relu_: torch.relu, Tensor.relu_: torch.relu, F.hardtanh_: F.hardtanh, F.leaky_relu_: F.leaky_relu,
    F.elu_: F.elu, torch.selu_: F.selu, torch.celu_: F.celu,
}  # fmt: skip
ACTIVATION_CALLS = {
    F.relu, torch.relu, Tensor.relu, F.relu6, F.hardtanh, F.silu, F.gelu, F.hardswish, F.leaky_relu, F.prelu,
    Tensor.prelu, F.elu, F.selu, torch.selu, F.celu, torch.celu, F.mish, F.softplus,
    F.threshold, *IN_PLACE,
}  # fmt: skip
CLAMPS = {
    torch.clamp: torch.relu, Tensor.clamp: torch.relu, Tensor.clamp_: torch.relu_, torch.clamp_min: torch.relu,
    Tensor.clamp_min: torch.relu, Tensor.clamp_min_: torch.relu_,
}  # fmt: skip
ACTIVATION_OPS = (
    aten.relu, aten.hardtanh, aten.relu6, aten.silu, aten.gelu, aten.hardswish, aten.leaky_relu, aten.prelu,
    aten.elu, aten.selu, aten.celu, aten.mish, aten.softplus, aten.threshold,
)  # fmt: skip


class Gate(torch.autograd.Function):
    """y = call(x); backwards the formula of a policy, with autograd's derivative of the call.

    Guided backprop asks for x > 0, except where the ends of the call are its own gates (hardtanh, threshold).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], policy: str, ends: bool = False) -> Tensor:
        ctx.save_for_backward(x)
        ctx.call, ctx.policy, ctx.ends = call, policy, ends
        return call(x)

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.call(leaf).sum(), leaf)
        if ctx.policy == "gradient":
            return slope * ct, None, None, None
        if ctx.policy == "deconvnet":
            return ct * (ct > 0), None, None, None
        if ctx.policy != "guided":
            raise ValueError(f"the oracle has no formula for the policy {ctx.policy!r}")
        passed = slope * ct * (ct > 0)
        return passed if ctx.ends else passed * (x > 0), None, None, None


class GateMode(TorchFunctionMode):
    """While on, every activation call of any module or function goes through `Gate`; `sides` keeps the piece of
    the activation that each input lay on, and the pixels that won in each max pooling."""

    def __init__(self, policy: str) -> None:
        super().__init__()
        self.policy, self.sides = policy, list[Tensor]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.max_pool2d:
            with torch.no_grad():
                self.sides.append(func(*args, **kwargs | {"return_indices": True})[1])
        given = dict(zip(("min", "max"), args[1:], strict=False)) | kwargs
        if func in CLAMPS and given == {"min": 0}:
            func, args, kwargs = CLAMPS[func], args[:1], {}  # a ReLU by another name
        if func not in ACTIVATION_CALLS:
            return func(*args, **kwargs)
        call = IN_PLACE.get(func, func)
        x, *rest = args or (kwargs.pop("input"),)
        flag = rest.pop() if rest and isinstance(rest[-1], bool) else False  # `inplace` by its position
        writes = kwargs.pop("inplace", flag) or func in IN_PLACE
        self.sides.append(side(x.detach(), kinks_of(call, rest, kwargs)))
        source = x.clone() if writes else x
        y = Gate.apply(source, lambda t: call(t, *rest, **kwargs), self.policy, call in (F.hardtanh, F.threshold))
        return x.copy_(y) if writes else y


def at_image(module: nn.Module, x: Tensor, seed: Tensor, policy: str) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Logits, cotangent at the image, and the sides of each activation call, of the network as it is."""
    leaf = x.clone().requires_grad_()
    with GateMode(policy) as mode:
        logits = module(leaf)
    (ct,) = torch.autograd.grad((logits * seed).sum(), leaf)
    return logits.detach(), ct, mode.sides


def at_nodes(
    program: Program, nodes: list[fx.Node], x: Tensor, seed: Tensor, policy: str
) -> tuple[list[Tensor], list[Tensor]]:
    """Primals and cotangents of nodes of a forward half, by autograd through it: no rule, fold or listing."""
    values: dict[fx.Node, Any] = {program.image: x.clone().requires_grad_()}
    for node in program.needed([program.logits]):
        if node.op == "get_attr":
            values[node] = program.constants[str(node.target)]
        elif node.op == "call_function":
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            if node.target in ACTIVATION_OPS:
                first, rest = args[0], args[1:]
                call = lambda t, op=node.target, rest=rest, kwargs=kwargs: op(t, *rest, **kwargs)  # noqa: E731
                values[node] = Gate.apply(first, call, policy, node.target in (aten.hardtanh, aten.threshold))
            else:
                values[node] = node.target(*args, **kwargs)
    wanted = [values[node] for node in nodes]
    cotangents = torch.autograd.grad((values[program.logits] * seed).sum(), wanted)
    return [value.detach() for value in wanted], list(cotangents)


def activation_sides(program: Program, x: Tensor) -> list[Tensor]:
    """What `GateMode` keeps in `sides`, of a listing."""
    pooling = aten.max_pool2d_with_indices
    path = program.needed([program.logits])
    calls = [node for node in path if node.target in (*ACTIVATION_OPS, pooling)]
    values = program.run([node if node.target is pooling else node.args[0] for node in calls], image=x)
    return [
        value[1] if node.target is pooling else side(value, kinks_of(node.target, node.args[1:], node.kwargs))
        for node, value in zip(calls, values, strict=True)
    ]


def kinks_of(call: Any, rest: Sequence[Any], kwargs: dict[str, Any]) -> tuple[float, ...]:
    """Where the slope of an activation jumps, and zero, where every gate does."""
    if call in (F.hardtanh, aten.hardtanh):
        low, high = (*rest, *(-1.0, 1.0)[len(rest) :])
        return 0.0, kwargs.get("min_val", low), kwargs.get("max_val", high)
    if call in (F.relu6, aten.relu6):
        return 0.0, 6.0
    if call in (F.threshold, aten.threshold):
        return (float(rest[0]),)
    return (-3.0, 0.0, 3.0) if call in (F.hardswish, aten.hardswish) else (0.0,)


def side(x: Tensor, kinks: Iterable[float]) -> Tensor:
    """How many kinks lie below each value; at an upper end the slope is that beyond it."""
    return sum(((x >= kink if kink > 0 else x > kink).int() for kink in kinks), torch.zeros_like(x).int())


def flips(found: list[Tensor], wanted: list[Tensor]) -> int:
    """How many activation inputs lie on different sides of a kink, and how many poolings differ, in two runs."""
    return sum(int((a != b).sum()) for a, b in zip(found, wanted, strict=True))


def deviation(found: Tensor, wanted: Tensor) -> float:
    """The largest difference relative to the largest value wanted; shapes must agree."""
    assert found.shape == wanted.shape
    scale = wanted.abs().max().item()
    assert scale > 0, "a reference of zeros proves nothing"
    return (found - wanted).abs().max().item() / scale


def randomise(module: nn.Module, x: Tensor, seed: int = 0) -> nn.Module:
    """Give every BatchNorm random statistics about those that it would have learnt from `x`, and a random affine
    map with biases in 0..2.

    With biases about zero, or statistics far from the true ones, a random network multiplies a rounding error by
    about 1.2 at each BatchNorm and ReLU; after twenty layers autograd in float32 is off by more than 1e-5 from
    autograd in float64, and can't be a reference. Trained networks don't do that.
    """
    calibrate(module, x, seed)
    return module


@contextmanager
def fixed_seed(seed: int) -> Iterator[None]:
    """A seed for the block, and the generator's state as before after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
