"""DeepLIFT's rules stated anew, by autograd's own derivatives of calls and by secants. See `rules.differences`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..rules import kinds

STILL = 1e-10
BY_ITSELF = (kinds.RECTIFIER, kinds.SMOOTH, kinds.SQUASH, kinds.CLAMP, kinds.ELEMENTWISE)


class Secant(torch.autograd.Function):
    """A function of each number whose derivative is that of the line through the image's and the baseline's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
        """y = call(x)."""
        y = call(x)
        ctx.save_for_backward(x, y)
        ctx.call = call
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The secant's slope; the tangent's where the two are one."""
        x, y = ctx.saved_tensors
        run, rise = x - x.flip(0), y - y.flip(0)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (tangent,) = torch.autograd.grad(ctx.call(leaf).sum(), leaf)
        secant = torch.where(run.abs() > STILL, rise / run, tangent)
        return grads[0] * secant, None


class Winners(torch.autograd.Function):
    """A max pooling whose derivative hands what was gained to those that won."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Any]) -> Any:
        """(values, places) = call(x)."""
        values, places = call(x)
        ctx.save_for_backward(x, values)
        ctx.call = call
        ctx.mark_non_differentiable(places)
        return values, places

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Of each pair by itself: its gain at the image's winner, its loss at the baseline's."""
        x, values = ctx.saved_tensors
        ct, count = grads[0], len(x)
        found, run = torch.zeros_like(x), x - x.flip(0)

        def routed(image: int, amounts: Tensor) -> Tensor:
            with torch.enable_grad():
                leaf = x[image : image + 1].detach().requires_grad_()
                back: Tensor = torch.autograd.grad(ctx.call(leaf)[0], leaf, amounts[None])[0]
            return back[0]

        for image in range(count):
            other = count - 1 - image
            gain = values[image] - values[other]
            gained = routed(image, ct[image] * gain.clamp(min=0)) + routed(other, ct[image] * gain.clamp(max=0))
            tangent = routed(image, ct[image])
            found[image] = torch.where(run[image].abs() > STILL, gained / run[image], tangent)
        return found, None


class Halfway(torch.autograd.Function):
    """A product whose derivative by each factor is the other one halfway between image and baseline."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, call: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """y = call(a, b)."""
        ctx.save_for_backward(a, b)
        ctx.call = call
        return call(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Both, by autograd of the call."""
        a, b = ctx.saved_tensors
        with torch.enable_grad():
            left, right = (torch.lerp(value, value.flip(0), 0.5).requires_grad_() for value in (a, b))
            by_a, by_b = torch.autograd.grad(ctx.call(left, right), (left, right), grads[0])
        return by_a, by_b, None


def differing(kind: str, name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A call of the forward pass so that autograd carries differences back. kind: of its op; name: the op's."""
    moving = [isinstance(value, Tensor) and value.requires_grad for value in args[:2]]
    rest = args[1:]
    if kind in BY_ITSELF and moving[:1] == [True] and sum(moving) == 1:
        return Secant.apply(args[0], lambda x: function(x, *rest, **kwargs))
    if kind == kinds.MAX_POOL:
        return Winners.apply(args[0], lambda x: function(x, *rest, **kwargs))
    if moving == [True, True] and name in ("aten::mul", "aten::matmul", "aten::bmm"):
        return Halfway.apply(args[0], args[1], lambda a, b: function(a, b, *args[2:], **kwargs))
    return function(*args, **kwargs)
