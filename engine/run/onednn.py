"""The kernels of oneDNN, for a module on this processor; the module that is saved keeps those that run anywhere.

Kernels are laid out once, as oneDNN likes them, and what follows a convolution (a sum, a ReLU) is done while its
result is still in the cache.
"""

import copy
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..torchscript.kernels import ConvSteps, Epilogue, clamped, finished, transposed
from ..torchscript.torchscript import scripted

COMPUTED_IN = (torch.float32, torch.bfloat16)


def suits(module: torch.jit.ScriptModule) -> bool:
    """Does oneDNN compute in this module's precision, where its weights are?"""
    like = module.like
    known = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # type: ignore[no-untyped-call]
    if not known or like.device.type != "cpu" or like.dtype not in COMPUTED_IN or not module.calls:
        return False
    return like.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed(
    module: torch.jit.ScriptModule, images: int = 1, others: Sequence[torch.jit.ScriptModule] = ()
) -> torch.jit.ScriptModule:
    """The same module, the same weights, with `Packed` kernels; itself where that does not suit.

    Every question is asked once, of one image, so that all kernels are laid out and stay as they are: for so many
    images, and for as many threads as this one has. With more or fewer, oneDNN likes some of them otherwise, and
    would lay those out anew at each call. others: what this gave for other numbers; equal layouts are shared.
    """
    if not suits(module):
        return module
    faster, kernels = copy.copy(module), Packed(module.calls, images)
    known = [other.kernels.laid_out for other in others if other is not module]
    kernels.known = [list(layouts) for layouts in zip(*known, strict=True)] or kernels.known
    faster.kernels = scripted(kernels.eval())
    image = module.like.new_zeros(1, len(module.mean), *module.size)
    faster.forward(image)
    # Of one pass and with a way back: what takes many passes makes the same calls.
    one_pass = [name for name in module.methods if name not in module.path_of and module.policy_of[name]]
    asked = [name for name in one_pass if name not in module.alone]
    faster.survey(image, module.one_hot(0), asked)
    for policy in {*module.policies} - {module.policy_of[name] for name in one_pass}:
        faster.probe(image, module.one_hot(0), policy)
    faster.kernels.seal()
    return faster


class Packed(nn.Module):
    """`Kernels` in oneDNN, for float32 and bfloat16 on a CPU.

    Until it is `sealed` each call lays out its kernel when it is made first; then nothing changes any more, and
    threads may share it. calls: how many calls the listing has. images: of how many images they will be.
    """

    register_floats: Final[int] = 16  # floats in a register: oneDNN computes as many output channels at least
    no_cache_holds: Final[int] = 1 << 22  # weights that no cache holds
    shares: Final[int] = 8  # shares of a large sum, for as many threads
    # The forms of a kernel.
    NOT_YET: Final[int] = 0  # not laid out
    AS_IS: Final[int] = 1  # for the op itself, forwards or transposed
    FLIPPED: Final[int] = 2  # back at stride 1: a convolution with the flipped kernel
    IN_PHASES: Final[int] = 3  # back to few channels: a convolution for each phase of the stride
    images: Final[int]
    laid_out: list[Tensor]  # the kernel of each call as oneDNN likes it
    known: list[list[Tensor]]  # until it is sealed: as it is laid out elsewhere
    forms: list[int]  # of each call's kernel, one of the four above
    padding: list[list[int]]  # of one that is flipped or in phases: that of its convolution
    first_row: list[int]  # of one in phases: the row, and column, of its result that the image begins with
    sealed: bool

    def __init__(self, calls: int, images: int = 1) -> None:
        super().__init__()
        self.images = images
        self.laid_out = [torch.empty(0) for _ in range(calls)]
        self.known = [[] for _ in range(calls)]
        self.forms, self.first_row = [self.NOT_YET] * calls, [0] * calls
        self.padding = [[0, 0] for _ in range(calls)]
        self.sealed = False

    @torch.jit.export
    def seal(self) -> None:
        """Lay out nothing any more."""
        self.sealed = True
        self.known.clear()

    @torch.jit.export
    def conv(
        self, x: Tensor, call: int, weight: Tensor, bias: Tensor | None, how: ConvSteps, then: Epilogue
    ) -> Tensor:
        """As `Kernels.conv`."""
        if self.forms[call] == self.NOT_YET and not self.sealed:
            self.lay_out(call, x, weight, how, False)
            self.forms[call] = self.AS_IS
        kernel = weight if self.forms[call] == self.NOT_YET else self.laid_out[call]
        return fused(x, kernel, bias, how, then)

    @torch.jit.export
    def conv_back(self, ct: Tensor, call: int, weight: Tensor, how: ConvSteps, then: Epilogue) -> Tensor:
        """As `Kernels.conv_back`: at stride 1 a convolution with the flipped kernel, at others a transposed one;
        to few channels, as an image has, a convolution for each phase of the stride."""
        if self.forms[call] == self.NOT_YET and not self.sealed:
            self.lay_out_back(call, ct, weight, how)
        form, kernel = self.forms[call], self.laid_out[call]
        if form == self.FLIPPED:
            steps = ConvSteps(how.stride, self.padding[call], how.output_padding, how.dilation, how.groups)
            return fused(ct, kernel, None, steps, then)
        if form == self.IN_PHASES:
            back = self.in_phases(ct, call, weight, how)
        elif form == self.AS_IS:
            back = torch.ops.mkldnn._convolution_transpose_pointwise(
                ct, kernel, None, how.padding, how.output_padding, how.stride, how.dilation, how.groups,
                "none", [], "",
            )  # fmt: skip
        else:
            back = transposed(ct, weight, how)
        return finished(back, then)

    def in_phases(self, ct: Tensor, call: int, weight: Tensor, how: ConvSteps) -> Tensor:
        """All pixels of one phase of the stride are a convolution of their own: few channels become many.

        The way back at stride 2 through a kernel k0..k3, along one axis:

            ct           c0       c1       c2
            pixels     p0  q0   p1  q1   p2  q2       p_i = k0 c_i + k2 c_(i-1),  q_i = k1 c_i + k3 c_(i-1)

        So p and q are two channels of one convolution over ct, whose kernel is half as long. Along both axes there
        are stride² phases: the 3 channels of an image become 12, and fill a register that 3 leave empty. They are
        put together as pixel_shuffle does.
        """
        stride, first = how.stride[0], self.first_row[call]
        steps = padded_only(self.padding[call][0])
        phases = fused(ct, self.laid_out[call], None, steps, Epilogue(None, False, None, None))
        height, width = [
            (ct.shape[i + 2] - 1) * stride - 2 * how.padding[i] + weight.shape[i + 2] + how.output_padding[i]
            for i in range(2)
        ]
        rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
        phases = phases[:, :, first : first + rows, first : first + columns]
        # As one copy: torch's pixel_shuffle takes three times as long where pixels lie apart, as they do here.
        pixels = phases.view(ct.shape[0], -1, stride, stride, rows, columns).permute(0, 1, 4, 2, 5, 3)
        pixels = pixels.reshape(ct.shape[0], -1, rows * stride, columns * stride)
        whole: Tensor = pixels[:, :, :height, :width].contiguous()
        return whole

    def lay_out(self, call: int, x: Tensor, weight: Tensor, how: ConvSteps, back: bool) -> None:
        """Lay out the kernel of a convolution of x, or of a transposed one."""
        shape = list(x.shape)
        shape[0] = self.images
        if back:
            kernel = torch.ops.mkldnn._reorder_convolution_transpose_weight(
                weight, how.padding, how.output_padding, how.stride, how.dilation, how.groups, shape
            )
        else:
            kernel = torch.ops.mkldnn._reorder_convolution_weight(
                weight, how.padding, how.stride, how.dilation, how.groups, shape
            )
        self.laid_out[call] = shared_layout(self.known[call], kernel)

    def lay_out_back(self, call: int, ct: Tensor, weight: Tensor, how: ConvSteps) -> None:
        """Choose the way back, and lay out its kernel."""
        out, inputs, size, groups = weight.shape[0], weight.shape[1], weight.shape[2:], how.groups
        stride, padding, output_padding = how.stride, how.padding, how.output_padding
        if stride == [1, 1] and output_padding == [0, 0] and min(flipped(weight, how).padding) >= 0:
            kernel = weight.flip([2, 3]).reshape(groups, out // groups, inputs, size[0], size[1])
            kernel = kernel.transpose(1, 2).reshape(groups * inputs, out // groups, size[0], size[1])
            self.lay_out(call, ct, kernel.contiguous(), flipped(weight, how), False)
            self.padding[call] = flipped(weight, how).padding
            self.forms[call] = self.FLIPPED
            return
        few = inputs * stride[0] * stride[1] <= self.register_floats and groups == 1
        square = stride[0] == stride[1] and size[0] == size[1] and padding[0] == padding[1]
        if few and square and stride[0] > 1 and how.dilation == [1, 1] and output_padding[0] == output_padding[1]:
            self.lay_out_phases(call, ct, weight, stride[0], padding[0], output_padding[0])
            return
        self.lay_out(call, ct, weight, how, True)
        self.forms[call] = self.AS_IS

    def lay_out_phases(
        self, call: int, ct: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int
    ) -> None:
        """The kernel in phases, read off from what a single pixel in the middle, of each channel, gives.

        The way back is linear and the same everywhere, so a value of 1 with zeros around it shows the whole kernel
        at its right place, and no index of a phase has to be worked out by hand.
        """
        out, size = weight.shape[0], weight.shape[2]
        # Pixel i reaches the phases' pixels i + lowest to i + highest.
        lowest, highest = -((stride - 1 + padding) // stride), (size - 1 - padding) // stride
        middle = max(-lowest, highest)
        side = 2 * middle + 1
        dots = torch.zeros(out, out, side, side, dtype=weight.dtype)
        dots[:, :, middle, middle] = torch.eye(out, dtype=weight.dtype)
        seen = torch.conv_transpose2d(dots, weight, None, [stride], [padding])
        missing = side * stride - seen.shape[2]
        seen = F.pixel_unshuffle(F.pad(seen, [0, missing, 0, missing]), stride)
        kernel = seen[:, :, middle + lowest : middle + highest + 1, middle + lowest : middle + highest + 1]
        after = -lowest + (size - 2 * padding + output_padding + stride - 1) // stride - 1
        wide = max(highest, after)
        self.lay_out(call, ct, kernel.flip([2, 3]).transpose(0, 1).contiguous(), padded_only(wide), False)
        self.padding[call], self.first_row[call] = [wide, wide], wide - highest
        self.forms[call] = self.IN_PHASES

    @torch.jit.export
    def linear_back(self, ct: Tensor, weight: Tensor) -> Tensor:
        """As `Kernels.linear_back`. What a large layer costs one image is to read its weights: rows that meet a
        zero, as half of them and more do behind a ReLU, are not read."""
        if ct.shape[0] > 1 or weight.numel() < self.no_cache_holds:
            return torch.matmul(ct, weight)
        rows = ct[0].nonzero()[:, 0]
        count = rows.shape[0]
        if count == 0:
            return ct.new_zeros(1, weight.shape[1])
        starts = (torch.arange(self.shares) * ((count + self.shares - 1) // self.shares)).clamp(max=count)
        return torch.embedding_bag(weight, rows, starts, False, 0, False, ct[0][rows])[0].sum(0, keepdim=True)


def shared_layout(known: list[Tensor], kernel: Tensor) -> Tensor:
    """The one of `known` that is laid out like the kernel, or else the kernel."""
    layout = torch.ops.mkldnn._get_mkldnn_serialized_md(kernel)
    for other in known:
        if other.is_mkldnn and torch.equal(torch.ops.mkldnn._get_mkldnn_serialized_md(other), layout):
            return other
    return kernel


def flipped(weight: Tensor, how: ConvSteps) -> ConvSteps:
    """The convolution with the flipped kernel that goes back through one at stride 1."""
    padding = [how.dilation[i] * (weight.shape[i + 2] - 1) - how.padding[i] for i in range(2)]
    return ConvSteps(how.stride, padding, how.output_padding, how.dilation, how.groups)


def padded_only(padding: int) -> ConvSteps:
    """A plain convolution, with padding on all sides."""
    return ConvSteps([1, 1], [padding, padding], [0, 0], [1, 1], 1)


def fused(x: Tensor, kernel: Tensor, bias: Tensor | None, how: ConvSteps, then: Epilogue) -> Tensor:
    """A convolution, and what is done to the result, as one call of oneDNN as far as it has that."""
    other, low, high = then.other, then.low, then.high
    rectified = low is not None and low == 0.0 and high is None
    # In bfloat16 oneDNN has no sum with ReLU for groups, nor one in place where `other` is laid out otherwise.
    single = x.dtype == torch.float32 or how.groups == 1
    if other is not None and then.over and other.dtype == torch.float32:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise_(
            other, x, kernel, bias, how.padding, how.stride, how.dilation, how.groups, "add", 1.0,
            "relu" if rectified else None, [], None,
        )  # fmt: skip
    elif other is not None:
        y = torch.ops.mkldnn._convolution_pointwise(
            x, other, kernel, bias, how.padding, how.stride, how.dilation, how.groups, "add", 1.0,
            "relu" if rectified and single else None, [], None,
        )  # fmt: skip
        rectified = rectified and single
    elif low is not None and high is not None:
        # oneDNN's op takes numbers of any type or none, which only `item` and a choice make here.
        bottom = torch.tensor(low).item() if how.groups else None
        top = torch.tensor(high).item() if how.groups else None
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x,
            kernel,
            bias,
            how.padding,
            how.stride,
            how.dilation,
            how.groups,
            "hardtanh",
            [bottom, top],
            "",
        )
    else:
        y = torch.ops.mkldnn._convolution_pointwise(
            x, kernel, bias, how.padding, how.stride, how.dilation, how.groups,
            "relu" if rectified else "none", [], "",
        )  # fmt: skip
    return y if rectified else clamped(y, low, high)
