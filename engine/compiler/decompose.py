"""Ops without a rule, taken apart into ops that have one: torch's own decompositions, and what it has none for."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rules.pages import VJPS

aten = torch.ops.aten


def decompositions() -> dict[Any, Callable[..., Any]]:
    """What torch.export is to take apart: every op that torch can, but for those that have a rule."""
    table: dict[Any, Callable[..., Any]] = {
        op: function
        for op, function in torch.export.default_decompositions().items()  # type: ignore[no-untyped-call]
        if getattr(op, "overloadpacket", op) not in VJPS
    }
    if hasattr(torch.ops, "torchvision") and hasattr(torch.ops.torchvision, "deform_conv2d"):
        table[torch.ops.torchvision.deform_conv2d.default] = deformable_convolution
    return table


def deformable_convolution(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Tensor:
    """torchvision's deformable convolution by sampling: each tap of the kernel reads at places of its own.

    input: [N, C, H, W]. offset: [N, 2 G kh kw, h, w], rows before columns; mask: [N, G kh kw, h, w]. For tap k and
    offset group g, the image is read bilinearly, zero outside, at

        row = i stride - pad + k_row dilation + offset,   column likewise,

    and the taps are summed as in a convolution. Dai et al. 2017, arXiv:1703.06211; Zhu et al. 2018,
    arXiv:1811.11168.
    """
    batch, channels, height, width = input.shape
    filters, _, rows, columns = weight.shape
    out_height, out_width = offset.shape[-2:]
    taps = rows * columns
    shifts = offset.reshape(batch * offset_groups, taps, 2, out_height, out_width)

    def count(end: int) -> Tensor:
        return torch.arange(end, dtype=input.dtype, device=input.device)

    row = count(rows).repeat_interleave(columns) * dilation_h
    column = count(columns).repeat(rows) * dilation_w
    ys = shifts[:, :, 0] + (row[:, None] + count(out_height) * stride_h - pad_h)[:, :, None]
    xs = shifts[:, :, 1] + (column[:, None] + count(out_width) * stride_w - pad_w)[:, None, :]
    # grid_sample counts from -1 to 1 between the outer edges of the first and last pixel.
    grid = torch.stack([(2 * xs + 1) / width - 1, (2 * ys + 1) / height - 1], -1)
    grid = grid.reshape(batch * offset_groups, taps * out_height, out_width, 2)
    parts = input.reshape(batch * offset_groups, channels // offset_groups, height, width)
    read = F.grid_sample(parts, grid, "bilinear", "zeros", align_corners=False)
    read = read.reshape(batch * offset_groups, channels // offset_groups, taps, out_height, out_width)
    # Each tap becomes a channel of its own, which a convolution of one pixel sums as the kernel would.
    if use_mask:
        read = read * mask.reshape(batch * offset_groups, 1, taps, out_height, out_width)
    read = read.reshape(batch, channels * taps, out_height, out_width)
    return F.conv2d(read, weight.reshape(filters, -1, 1, 1), bias, groups=groups)
