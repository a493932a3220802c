"""How the heavy calls of a listing are carried out: by ATen anywhere, or by oneDNN on the processor at hand.

A file holds `Plain`, which is ATen and nothing else and runs wherever torch does; on a CPU that oneDNN knows,
`run.onednn` puts its own in that place. TorchScript compiles these classes as they stand, so they keep to its part
of Python.

A call has a number, the same wherever the listing makes that call with that kernel.

A file holds these interfaces with the names of arguments and fields, and TorchScript puts no kernels in that call
them otherwise: to rename `how`, `then` or a field of theirs is a new format of the file. Classes may be renamed.
"""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def interface(declaration: Any) -> Any:
    """torch.jit.interface without its notice; see `scripted`. It looks names up in the room that calls it."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return torch.jit.interface(declaration)


class ConvSteps(NamedTuple):
    """The steps of a convolution along height and width; a forward one has no `output_padding`."""

    stride: list[int]
    padding: list[int]
    output_padding: list[int]
    dilation: list[int]
    groups: int


class Epilogue(NamedTuple):
    """What is done with a result: clamp(result + other, low, high), of which any part may be None.

    over: the answer may take the place of `other`, which nobody reads any more.
    """

    other: Tensor | None
    over: bool
    low: float | None
    high: float | None


@interface
class Kernels(nn.Module):
    """What a listing asks for. Each result is the caller's own."""

    def conv(  # type: ignore[empty-body]
        self, x: Tensor, call: int, weight: Tensor, bias: Tensor | None, how: ConvSteps, then: Epilogue
    ) -> Tensor:
        """conv2d(x, weight, bias, …), and what is done to the result."""
        pass  # noqa: PIE790 - the decorator asks for it

    def conv_back(  # type: ignore[empty-body]
        self, ct: Tensor, call: int, weight: Tensor, how: ConvSteps, then: Epilogue
    ) -> Tensor:
        """conv_transpose2d(ct, weight, …), the way back through a convolution, and what is done to the result."""
        pass  # noqa: PIE790 - the decorator asks for it

    def linear_back(self, ct: Tensor, weight: Tensor) -> Tensor:  # type: ignore[empty-body]
        """ct [N, O] times weight [O, I], the way back through a linear layer."""
        pass  # noqa: PIE790 - the decorator asks for it


class Plain(nn.Module):
    """`Kernels` in ATen."""

    @torch.jit.export
    def conv(
        self, x: Tensor, call: int, weight: Tensor, bias: Tensor | None, how: ConvSteps, then: Epilogue
    ) -> Tensor:
        """As `Kernels.conv`."""
        y = torch.conv2d(x, weight, bias, how.stride, how.padding, how.dilation, how.groups)
        return finished(y, then)

    @torch.jit.export
    def conv_back(self, ct: Tensor, call: int, weight: Tensor, how: ConvSteps, then: Epilogue) -> Tensor:
        """As `Kernels.conv_back`."""
        return finished(transposed(ct, weight, how), then)

    @torch.jit.export
    def linear_back(self, ct: Tensor, weight: Tensor) -> Tensor:
        """As `Kernels.linear_back`."""
        return torch.matmul(ct, weight)


def transposed(ct: Tensor, weight: Tensor, how: ConvSteps) -> Tensor:
    """The adjoint of a convolution, in ATen."""
    return torch.conv_transpose2d(
        ct, weight, None, how.stride, how.padding, how.output_padding, how.groups, how.dilation
    )


def finished(y: Tensor, then: Epilogue) -> Tensor:
    """Do in place what is to be done to a result."""
    # The result is the caller's own, and nobody has seen it yet.
    other = then.other
    if other is not None:
        y.add_(other)
    return clamped(y, then.low, then.high)


def clamped(y: Tensor, low: float | None, high: float | None) -> Tensor:
    """Clamp in place, to the ends that there are."""
    # The frequent case has an op of its own, and clamp_ refuses to be given no end at all.
    if low is not None and low == 0.0 and high is None:
        return torch.relu_(y)
    return y if low is None and high is None else torch.clamp_(y, low, high)
