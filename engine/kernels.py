"""How the heavy calls of a listing are carried out: by ATen anywhere, or by oneDNN on the processor at hand.

A file holds `Plain`, which is ATen and nothing else and runs wherever torch does; on a CPU that oneDNN knows,
`engine.onednn` puts its own in that place. TorchScript compiles these classes as they stand, so they keep to its
part of Python.

A call has a number, the same wherever the listing makes that call with that kernel.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """torch.jit.script without the notice that torch.export is to follow it: the Program is ready for that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.script(module)


def _interface(declaration: Any) -> Any:
    """torch.jit.interface without its notice; see `scripted`."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return torch.jit.interface(declaration)


@_interface
class Kernels(nn.Module):
    """What a listing asks for. Each result is the caller's own, and may have been written over `other`."""

    def conv(  # type: ignore[empty-body]
        self,
        x: Tensor,
        call: int,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
        other: Tensor | None,
        over: bool,
        low: float | None,
        high: float | None,
    ) -> Tensor:
        """clamp(conv2d(x, weight, bias, …) + other, low, high); `over`: the result may take the place of other."""
        pass  # noqa: PIE790 - the decorator asks for it

    def conv_back(  # type: ignore[empty-body]
        self,
        ct: Tensor,
        call: int,
        weight: Tensor,
        stride: list[int],
        padding: list[int],
        output_padding: list[int],
        groups: int,
        dilation: list[int],
        other: Tensor | None,
        over: bool,
        low: float | None,
    ) -> Tensor:
        """max(conv_transpose2d(ct, weight, …) + other, low), the way back through a convolution."""
        pass  # noqa: PIE790 - the decorator asks for it

    def linear_back(self, ct: Tensor, weight: Tensor) -> Tensor:  # type: ignore[empty-body]
        """ct [N, O] times weight [O, I], the way back through a linear layer."""
        pass  # noqa: PIE790 - the decorator asks for it


class Plain(nn.Module):
    """`Kernels` in ATen."""

    @torch.jit.export
    def conv(
        self,
        x: Tensor,
        call: int,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
        other: Tensor | None,
        over: bool,
        low: float | None,
        high: float | None,
    ) -> Tensor:
        """As `Kernels.conv`."""
        y = torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
        if other is not None:
            y.add_(other)
        return clamped(y, low, high)

    @torch.jit.export
    def conv_back(
        self,
        ct: Tensor,
        call: int,
        weight: Tensor,
        stride: list[int],
        padding: list[int],
        output_padding: list[int],
        groups: int,
        dilation: list[int],
        other: Tensor | None,
        over: bool,
        low: float | None,
    ) -> Tensor:
        """As `Kernels.conv_back`."""
        back = torch.conv_transpose2d(ct, weight, None, stride, padding, output_padding, groups, dilation)
        if other is not None:
            back.add_(other)
        return clamped(back, low, None)

    @torch.jit.export
    def linear_back(self, ct: Tensor, weight: Tensor) -> Tensor:
        """As `Kernels.linear_back`."""
        return torch.matmul(ct, weight)


def clamped(y: Tensor, low: float | None, high: float | None) -> Tensor:
    """Clamp in place, to the ends that there are."""
    if low is not None and low == 0.0 and high is None:
        return torch.relu_(y)
    return y if low is None and high is None else torch.clamp_(y, low, high)
