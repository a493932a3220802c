import inspect
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.compiler.passes import compile_program
from engine.errors import CaptureError, CompileError
from engine.rules import kinds
from engine.rules.registry import KINDS, VJPS, defvjp

aten = torch.ops.aten

# torch says once per process that an even kernel costs a copy, in whichever test comes first.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

# Arguments that no path from the image runs through: their cotangent may be None.
PARAMETERS = {"weight", "bias", "running_mean", "running_var", "condition", "index", "indices", "attn_mask"}


@dataclass(frozen=True)
class Draw:
    """A float64 tensor to draw: normal with a deviation that reaches past every bend, or away from zero."""

    shape: tuple[int, ...]
    positive: bool = False
    ties: bool = False

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        if self.positive:
            return torch.rand(self.shape, dtype=torch.float64, generator=generator) + 0.5
        values = 3 * torch.randn(self.shape, dtype=torch.float64, generator=generator)
        return values.round() if self.ties else values


def x(*shape: int) -> Draw:
    return Draw(shape)


def positive(*shape: int) -> Draw:
    return Draw(shape, positive=True)


def ties(*shape: int) -> Draw:
    return Draw(shape, ties=True)


@dataclass(frozen=True)
class Case:
    """One call of an op; `read` are the outputs that somebody reads, where it has several."""

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    read: tuple[int, ...] | None = None


def case(op: Any, *args: Any, read: tuple[int, ...] | None = None, **kwargs: Any) -> Case:
    return Case(op, args, kwargs, read)


def at(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


CASES = [
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 3)),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 3), x(6), [1, 1], [1, 1]),
    case(aten.conv2d, x(2, 4, 9, 9), x(6, 4, 3, 3), x(6), [2, 2], [1, 1]),
    case(aten.conv2d, x(2, 4, 10, 11), x(6, 4, 3, 3), None, [2, 2], [1, 1]),
    case(aten.conv2d, x(2, 4, 11, 12), x(6, 4, 3, 5), None, [3, 2], [0, 1]),
    case(aten.conv2d, x(2, 4, 9, 10), x(6, 4, 1, 1), None, [2, 3]),
    case(aten.conv2d, x(2, 4, 10, 9), x(6, 4, 2, 2), None, [4, 4]),
    case(aten.conv2d, x(1, 3, 23, 22), x(4, 3, 7, 7), None, [4, 4], [2, 2]),
    case(aten.conv2d, x(2, 4, 8, 8), x(6, 4, 1, 1), None, [1, 1], [2, 1]),
    case(aten.conv2d, x(2, 4, 9, 11), x(6, 4, 3, 3), None, [1, 1], [2, 2], [2, 2]),
    case(aten.conv2d, x(2, 4, 12, 11), x(6, 4, 3, 2), None, [2, 3], [1, 0], [2, 3]),
    case(aten.conv2d, x(2, 4, 7, 8), x(4, 1, 3, 3), x(4), [1, 1], [1, 1], [1, 1], 4),
    case(aten.conv2d, x(2, 4, 8, 7), x(8, 1, 5, 5), None, [2, 2], [2, 2], [1, 1], 4),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 2, 3, 3), None, [2, 1], [0, 2], [1, 2], 2),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 5), None, [1, 1], "same"),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 2, 2), None, [1, 1], "same"),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 4, 3), x(6), [1, 1], "same", [1, 2]),
    case(aten.conv2d, x(2, 4, 9, 9), x(6, 2, 2, 4), None, [1, 1], "same", [3, 1], 2),
    case(aten.conv2d, x(2, 4, 7, 8), x(6, 4, 3, 2), None, [1, 1], "valid"),
    case(aten.conv2d, x(2, 4, 9, 10), x(6, 4, 3, 2), x(6), [2, 3], "valid", [2, 1]),
    case(aten.conv2d, x(2, 4, 3, 3), x(6, 4, 3, 3)),
    case(aten.conv2d, x(2, 4, 3, 3), x(6, 4, 1, 1), None, [2, 2], [1, 1]),
    case(aten.linear, x(3, 5), x(4, 5)),
    case(aten.linear, x(3, 5), x(4, 5), x(4)),
    case(aten.linear, x(2, 3, 4, 5), x(6, 5), x(6)),
    case(aten.batch_norm, x(2, 4, 3, 5), x(4), x(4), x(4), positive(4), False, 0.1, 1e-5, False),
    case(aten.batch_norm, x(2, 4, 3, 5), None, None, x(4), positive(4), False, 0.1, 1e-3, True),
    case(aten.batch_norm, x(2, 4, 3, 5), x(4), None, x(4), positive(4), False, 0.0, 0.5, False),
    case(aten.batch_norm, x(3, 4), x(4), x(4), x(4), positive(4), False, 0.1, 1e-5, False),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], x(6), x(6), 1e-5, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], None, None, 1e-6, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [3, 4, 6], x(3, 4, 6), x(3, 4, 6), 1e-5, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [3, 4, 6], None, None, 1e-2, read=(0,)),
    case(aten.native_layer_norm, x(2, 3, 4, 6), [6], x(6), None, 1e-5, read=(0,)),
    case(aten.relu, x(2, 3, 4, 5)),
    case(aten.relu, at(-1, -0.0, 0.0, 1)),
    case(aten.hardtanh, x(2, 3, 4, 5)),
    case(aten.hardtanh, x(2, 3, 4, 5), 0, 6),
    case(aten.hardtanh, x(2, 3, 4, 5), -2.5, 0.5),
    case(aten.hardtanh, at(-1.5, -1, -0.5, 0, 0.5, 1, 1.5)),
    case(aten.hardtanh, at(-1, 0, 3, 6, 7), 0.0, 6.0),
    case(aten.relu6, x(2, 3, 4, 5)),
    case(aten.relu6, at(-1, 0, 0.5, 3, 6, 7)),
    case(aten.silu, x(2, 3, 4, 5)),
    case(aten.silu, at(-40, -1, 0, 1, 40)),
    case(aten.gelu, x(2, 3, 4, 5)),
    case(aten.gelu, x(2, 3, 4, 5), approximate="none"),
    case(aten.gelu, x(2, 3, 4, 5), approximate="tanh"),
    case(aten.hardswish, x(2, 3, 4, 5)),
    case(aten.hardswish, at(-3, -1, 0, 1, 3)),
    case(aten.sigmoid, x(2, 3, 4, 5)),
    case(aten.hardsigmoid, x(2, 3, 4, 5)),
    case(aten.hardsigmoid, at(-4, -3, 0, 3, 4)),
    case(aten.tanh, x(2, 3, 4, 5)),
    case(aten.softmax, x(2, 3, 4, 5), 1),
    case(aten.softmax, x(2, 3, 4, 5), -1),
    case(aten.softmax, x(2, 3), 0),
    case(aten.add, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.add, x(2, 3, 4, 5), x(2, 3, 4, 5), alpha=-2),
    case(aten.add, x(2, 3, 4, 5), x(3, 1, 1), alpha=0.5),
    case(aten.add, x(3, 1, 5), x(2, 3, 4, 5), alpha=3),
    case(aten.add, x(2, 1, 4, 1), x(1, 3, 1, 5)),
    case(aten.add, x(2, 3, 4, 5), x()),
    case(aten.add, x(2, 3, 4, 5), 1.5),
    case(aten.add, x(2, 3, 4, 5), 2, alpha=3),
    case(aten.sub, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.sub, x(2, 3, 4, 5), x(2, 1, 1, 5), alpha=2),
    case(aten.sub, x(5), x(2, 3, 4, 5), alpha=-0.5),
    case(aten.sub, x(2, 3, 4, 5), 7),
    case(aten.mul, x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.mul, x(2, 3, 4, 5), x(2, 3, 1, 1)),
    case(aten.mul, x(3, 1, 1), x(2, 3, 4, 5)),
    case(aten.mul, x(2, 1, 4, 5), x(3, 4, 1)),
    case(aten.mul, x(1, 1, 1, 1), x(1, 3, 1, 1)),
    case(aten.mul, x(2, 3, 4, 5), -0.25),
    case(aten.div, x(2, 3, 4, 5), positive(2, 3, 4, 5)),
    case(aten.div, x(2, 3, 4, 5), positive(2, 1, 4, 1)),
    case(aten.div, x(4, 1), positive(2, 3, 4, 5)),
    case(aten.div, x(2, 3, 4, 5), 6.0),
    case(aten.div, x(2, 3, 4, 5), 3),
    case(aten.mean, x(2, 3, 4, 5), [2, 3]),
    case(aten.mean, x(2, 3, 4, 5), [2, 3], True),
    case(aten.mean, x(2, 3, 4, 5), [-1, -2]),
    case(aten.mean, x(2, 3, 4, 5), [-3], True),
    case(aten.mean, x(2, 3, 4, 5), [1, -1], False),
    case(aten.mean, x(2, 3, 4, 5), [0, 1, 2, 3]),
    case(aten.sum, x(2, 3, 4, 5), [2, 3]),
    case(aten.sum, x(2, 3, 4, 5), [-1], True),
    case(aten.sum, x(2, 3, 4, 5), [-2, 1]),
    case(aten.sum, x(2, 3, 4, 5), [3, 0], True),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 8), [2, 2]),
    case(aten.max_pool2d_with_indices, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1]),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 9), [3, 3], [2, 2], [0, 0], [1, 1], True),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 10), [3, 2], [2, 3], [1, 1], [1, 1], True),
    case(aten.max_pool2d_with_indices, x(2, 3, 8, 8), [3, 3], [1, 1], [1, 1]),
    case(aten.max_pool2d_with_indices, x(2, 3, 9, 9), [3, 3], [1, 2], [1, 0], [2, 2]),
    case(aten.max_pool2d_with_indices, ties(2, 3, 8, 8), [3, 3], [1, 1], [1, 1]),
    case(aten.max_pool2d_with_indices, torch.ones(1, 2, 6, 6, dtype=torch.float64), [3, 3], [2, 2]),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [2, 2]),
    case(aten.avg_pool2d, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1]),
    case(aten.avg_pool2d, x(2, 3, 9, 8), [3, 3], [2, 2], [1, 1], False, False),
    case(aten.avg_pool2d, x(2, 3, 8, 9), [3, 2], [2, 2], [1, 0], True, True),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [3, 3], [2, 2], [1, 1], True, False),
    case(aten.avg_pool2d, x(2, 3, 8, 8), [3, 3], [1, 1], [1, 1], False, True, 2),
    case(aten.avg_pool2d, x(2, 3, 8, 7), [2, 2], divisor_override=7),
    case(aten.adaptive_avg_pool2d, x(2, 3, 7, 5), [1, 1]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 7, 5), [3, 2]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 4, 4), [7, 7]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 4, 6), [1, 6]),
    case(aten.adaptive_avg_pool2d, x(2, 3, 1, 1), [1, 1]),
    case(aten.reshape, x(2, 3, 4, 5), [2, -1]),
    case(aten.view, x(2, 12), [2, 3, 4]),
    case(aten.flatten, x(2, 3, 4, 5), 1),
    case(aten.flatten, x(2, 3, 4, 5), 1, 2),
    case(aten.flatten, x(2, 3, 4, 5)),
    case(aten.squeeze, x(2, 3, 1, 1)),
    case(aten.squeeze, x(2, 3, 1, 1), -1),
    case(aten.squeeze, x(2, 3, 1, 1), [2, 3]),
    case(aten.unsqueeze, x(2, 3), 1),
    case(aten.unsqueeze, x(2, 3), -1),
    case(aten.clone, x(2, 3, 4, 5)),
    case(aten.clone, x(2, 3, 4, 5), memory_format=torch.contiguous_format),
    case(aten.contiguous, x(2, 3, 4, 5)),
    case(aten.contiguous, x(2, 3, 4, 5), memory_format=torch.channels_last),
    case(aten.expand, x(2, 3, 1, 1), [-1, -1, 4, 5]),
    case(aten.expand, x(3, 1), [2, 3, 4]),
    case(aten.permute, x(2, 3, 4, 5), [0, 2, 3, 1]),
    case(aten.permute, x(2, 3, 4, 5), [0, 3, 1, 2]),
    case(aten.permute, x(2, 3, 4, 5), [-4, -1, -3, -2]),
    case(aten.transpose, x(2, 3, 4, 5), 1, 2),
    case(aten.transpose, x(2, 3, 4, 5), -1, 1),
    case(aten.cat, [x(2, 3, 4, 5), x(2, 1, 4, 5), x(2, 2, 4, 5)], 1),
    case(aten.cat, [x(2, 3, 4, 5), x(2, 3, 4, 2)], -1),
    case(aten.cat, [x(2, 3, 4, 5), x(2, 3, 1, 5)], -2),
    case(aten.cat, [x(2, 3), x(1, 3)]),
    case(aten.split, x(2, 7, 4, 5), 3, 1),
    case(aten.split, x(2, 7, 4, 5), 3, 1, read=(1,)),
    case(aten.split, x(2, 3, 4, 6), 2, -1, read=(0, 2)),
    case(aten.split, x(5, 2), 2),
    case(aten.split_with_sizes, x(2, 6, 4, 5), [1, 3, 2], 1),
    case(aten.split_with_sizes, x(2, 6, 4, 5), [1, 3, 2], -3, read=(2,)),
    case(aten.split_with_sizes, x(2, 6, 4, 5), [4, 2], 1, read=(0,)),
    case(aten.chunk, x(2, 6, 4, 5), 2, 1),
    case(aten.chunk, x(2, 6, 4, 5), 2, 1, read=(1,)),
    case(aten.chunk, x(2, 7, 4, 5), 3, -3, read=(0, 2)),
    case(aten.slice, x(2, 6, 7, 5), 1, 2),
    case(aten.slice, x(2, 6, 7, 5), 1, 1, 5, 2),
    case(aten.slice, x(2, 6, 7, 5), 2, -5, -1),
    case(aten.slice, x(2, 6, 7, 5), -1, 0, 2**63 - 1, 3),
    case(aten.slice, x(2, 6, 7, 5), -2, None, None, 4),
    case(aten.slice, x(2, 6, 7, 5), 3, 4, 2),
    case(aten.slice, x(5, 2), 0, 1, 100),
    case(aten.select, x(2, 3, 4, 5), 1, 0),
    case(aten.select, x(2, 3, 4, 5), 2, -1),
    case(aten.select, x(2, 3, 4, 5), -1, 3),
    case(aten.constant_pad_nd, x(2, 3, 4, 5), [1, 2, 3, 0]),
    case(aten.constant_pad_nd, x(2, 3, 4, 5), [0, 0, 0, 0, 1, 2], 7.0),
    case(aten.constant_pad_nd, x(2, 3, 4, 5), [-1, -2]),
    case(aten.constant_pad_nd, x(2, 3, 4, 5), [2, -1, -1, 3], -1.5),
    case(aten.constant_pad_nd, x(2, 3, 4, 5), [0, 0]),
    case(aten.pad, x(2, 3, 4, 5), [1, 1, 2, 2]),
    case(aten.pad, x(2, 3, 4, 5), [1, -1, 0, 2], "constant", 3.0),
    case(aten.pad, x(2, 3, 4, 5), [0, 0, 0, 0, 0, 2], value=0.0),
    case(aten.conv1d, x(2, 1, 9), x(1, 1, 3), None, [1], [1]),
    case(aten.conv1d, x(2, 4, 10), x(6, 2, 3), x(6), [2], [0], [2], 2),
    case(aten.conv1d, x(2, 4, 10), x(6, 4, 4), None, [1], "same"),
    case(aten.stack, [x(2, 3, 4), x(2, 3, 4), x(2, 3, 4)], 1),
    case(aten.stack, [x(2, 3), x(2, 3)], -1),
    case(aten.pad, x(2, 3, 4, 5), [1, 2, 0, 1], "reflect"),
    case(aten.pad, x(2, 3, 4, 5), [3, 1, 2, 0], "replicate"),
    case(aten.addcmul, x(2, 3, 4, 5), x(2, 3, 4, 5), x(2, 3, 4, 5)),
    case(aten.addcmul, x(1, 3, 1, 1), x(3, 1, 1), x(2, 3, 4, 5), value=0.5),
    case(aten.slice_scatter, x(2, 6, 4, 5), x(2, 2, 4, 5), 1, 1, 3),
    case(aten.slice_scatter, x(2, 6, 4, 5), x(2, 3, 4, 5), 1, 0, 6, 2),
    case(aten.select_scatter, x(2, 3, 4, 5), x(2, 4, 5), 1, -1),
    case(aten.neg, x(2, 3, 4, 5)),
    case(aten.exp, x(2, 3, 4, 5)),
    case(aten.sqrt, positive(2, 3, 4, 5)),
    case(aten.rsqrt, positive(2, 3, 4, 5)),
    case(aten.pow, x(2, 3, 4, 5), 2),
    case(aten.pow, positive(2, 3, 4, 5), -0.5),
    case(aten.clamp, x(2, 3, 4, 5), -1, 2),
    case(aten.clamp, x(2, 3, 4, 5), 0.5),
    case(aten.clamp, x(2, 3, 4, 5), None, 0.5),
    case(aten.clamp, at(-1, 0, 1, 2, 3), 0, 2),
    case(aten.clamp_min, at(-1, 0, 1, 2), 0),
    case(aten.linalg_vector_norm, x(2, 3, 4, 5), 2, [-1], True),
    case(aten.linalg_vector_norm, x(2, 3, 4, 5), 2, [1, 2]),
    case(aten.linalg_vector_norm, torch.zeros(2, 3, dtype=torch.float64), 2, [1], True),
    case(aten.leaky_relu, x(2, 3, 4, 5)),
    case(aten.leaky_relu, at(-2, -1, 0, 1), 0.2),
    case(aten.prelu, x(2, 3, 4, 5), x(3)),
    case(aten.prelu, x(2, 3), x(1)),
    case(aten.elu, x(2, 3, 4, 5)),
    case(aten.elu, x(2, 3, 4, 5), 1.6, 1.05, 0.8),
    case(aten.mish, x(2, 3, 4, 5)),
    case(aten.softplus, x(2, 3, 4, 5)),
    case(aten.softplus, x(2, 3, 4, 5), 2, 3),
    case(aten.group_norm, x(2, 6, 4, 5), 3, x(6), x(6), 1e-5),
    case(aten.group_norm, x(2, 6, 4, 5), 1),
    case(aten.group_norm, x(2, 6, 4, 5), 6, None, None, 0.1),
    case(aten.instance_norm, x(2, 3, 4, 5), x(3), x(3), None, None, True, 0.1, 1e-5, False),
    case(aten.instance_norm, x(2, 3, 4, 5), None, None, x(3), positive(3), False, 0.1, 1e-3, False),
    case(aten.matmul, x(3, 4), x(4, 5)),
    case(aten.matmul, x(2, 3, 6, 4), x(2, 3, 4, 5)),
    case(aten.matmul, x(2, 3, 6, 4), x(4, 5)),
    case(aten.matmul, x(2, 1, 6, 4), x(3, 4, 5)),
    case(aten.bmm, x(3, 6, 4), x(3, 4, 5)),
    case(aten.einsum, "b g i d, b g j d -> b g i j", [x(2, 3, 4, 5), x(2, 3, 6, 5)]),
    case(aten.einsum, "bij,bjd->bid", [x(2, 3, 4), x(2, 4, 5)]),
    case(aten.scaled_dot_product_attention, x(2, 3, 6, 4), x(2, 3, 5, 4), x(2, 3, 5, 7)),
    case(aten.scaled_dot_product_attention, x(2, 6, 4), x(2, 5, 4), x(2, 5, 4), scale=0.3),
    case(aten.adaptive_max_pool2d, x(2, 3, 7, 5), [1, 1], read=(0,)),
    case(aten.adaptive_max_pool2d, x(2, 3, 7, 5), [3, 2], read=(0,)),
    case(aten.amax, x(2, 3, 4, 5), [2, 3]),
    case(aten.amax, ties(2, 3, 4, 5), [-1], True),
    case(aten.swapaxes, x(2, 3, 4, 5), 1, -1),
    case(aten.unflatten, x(2, 12, 5), 1, [3, 4]),
    case(aten.expand_as, x(2, 3, 1, 1), torch.zeros(2, 3, 4, 5)),
    case(aten.roll, x(2, 3, 4, 5), [1, -2], [2, 3]),
    case(aten.upsample_nearest2d, x(2, 3, 4, 5), [8, 10], None),
    case(aten.upsample_nearest2d, x(2, 3, 4, 5), None, [2.0, 1.5]),
    case(aten._upsample_nearest_exact2d, x(2, 3, 4, 5), [7, 10], None),
    case(aten._upsample_nearest_exact2d, x(2, 3, 4, 5), None, [2.0, 1.5]),
    case(aten.upsample_bilinear2d, x(2, 3, 4, 5), [7, 3], False, None),
    case(aten.upsample_bilinear2d, x(2, 3, 4, 5), None, True, [2.0, 1.5]),
    case(aten.upsample_bicubic2d, x(2, 3, 4, 5), [7, 10], True, None),
    case(aten.upsample_bicubic2d, x(2, 3, 4, 5), None, False, [2.0, 1.5]),
    case(aten._upsample_bilinear2d_aa, x(2, 3, 6, 5), [4, 3], False, None),
    case(aten._upsample_bilinear2d_aa, x(2, 3, 6, 5), None, True, [0.5, 1.5]),
    case(aten._upsample_bicubic2d_aa, x(2, 3, 6, 5), [4, 7], False, None),
    case(aten.channel_shuffle, x(2, 6, 4, 5), 2),
    case(aten.pixel_shuffle, x(2, 8, 3, 4), 2),
    case(aten.pixel_unshuffle, x(2, 2, 6, 4), 2),
    case(aten.im2col, x(2, 3, 6, 5), [3, 2], [1, 2], [1, 0], [2, 1]),
    case(aten.col2im, x(2, 12, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1]),
    case(aten.conv_transpose2d, x(2, 4, 5, 6), x(4, 3, 3, 3), x(3)),
    case(aten.conv_transpose2d, x(2, 4, 5, 6), x(4, 3, 3, 2), None, [2, 3], [1, 0], [1, 2], 2, [1, 2]),
    case(aten.conv3d, x(2, 4, 5, 6, 5), x(6, 2, 3, 3, 2), x(6), [2, 1, 1], [1, 0, 1], [1, 1, 2], 2),
    case(aten.log, positive(2, 3)),
    case(aten.log1p, positive(2, 3)),
    case(aten.clamp_max, at(-1, 0, 1, 2), 1),
    case(aten.square, x(2, 3)),
    case(aten.reciprocal, positive(2, 3)),
    case(aten.rsub, x(2, 3), x(2, 1), alpha=2),
    case(aten.rsub, x(2, 3), 1.5),
    case(aten.sin, x(2, 3)),
    case(aten.cos, x(2, 3)),
    case(aten.atan, x(2, 3)),
    case(aten.erf, x(2, 3)),
    case(aten.cumsum, x(2, 3, 4), 1),
    case(aten.cumsum, x(2, 3, 4), -1),
    case(aten.var, x(2, 3, 4, 5), [2, 3]),
    case(aten.var, x(2, 3, 4, 5), [1], False, True),
    case(aten.var, x(2, 3, 4, 5), [-1], correction=2, keepdim=True),
    case(aten.std, x(2, 3, 4, 5), [2, 3]),
    case(aten.std, x(2, 3, 4, 5), [1], correction=0),
    case(aten.std, torch.ones(2, 3, dtype=torch.float64), [1]),
    case(aten.amin, ties(2, 3, 4, 5), [-1], True),
    case(aten.avg_pool1d, x(2, 3, 9), [2]),
    case(aten.avg_pool1d, x(2, 3, 9), [3], [2], [1], True, False),
    case(aten.avg_pool3d, x(2, 3, 4, 5, 6), [2, 2, 3], [1, 1, 1], [0, 1, 1]),
    case(aten.selu, x(2, 3, 4, 5)),
    case(aten.celu, x(2, 3, 4, 5)),
    case(aten.celu, x(2, 3, 4, 5), 0.5),
    case(aten.threshold, x(2, 3, 4, 5), 0.5, -1.0),
    case(aten.threshold, at(-1, 0.5, 1), 0.5, 0),
    case(aten.hardshrink, x(2, 3, 4, 5)),
    case(aten.hardshrink, at(-1, -0.5, 0, 0.5, 1), 0.5),
    case(aten.softshrink, x(2, 3, 4, 5), 0.7),
    case(aten.log_softmax, x(2, 3, 4), 1),
    case(aten.log_sigmoid, x(2, 3, 4)),
    case(aten.glu, x(2, 6, 4), 1),
    case(aten.where, at(1, 0, 1).bool(), x(2, 3), x(2, 1)),
    case(aten.maximum, ties(2, 3, 4), ties(3, 1)),
    case(aten.minimum, ties(2, 3, 4), ties(3, 1)),
    case(aten.max, ties(2, 3, 4), ties(2, 3, 4)),
    case(aten.max, x(2, 3, 4), 1),
    case(aten.max, x(2, 3, 4), -1, True),
    case(aten.min, ties(2, 3, 4), ties(2, 3, 4)),
    case(aten.min, x(2, 3, 4), 1, True),
    case(aten.sort, x(2, 3, 4)),
    case(aten.sort, x(2, 3, 4), 1, True),
    case(aten.topk, x(2, 5, 4), 2, 1),
    case(aten.topk, x(2, 5), 3),
    case(aten.abs, at(-1, 0, 2)),
    case(aten.sign, x(2, 3)),
    case(aten.floor, x(2, 3)),
    case(aten.round, x(2, 3)),
    case(aten.gather, x(2, 3, 4), 1, torch.tensor([[[2, 0, 2, 1]], [[1, 1, 0, 0]]])),
    case(aten.index_select, x(2, 3, 4), -1, torch.tensor([3, 0, 0])),
    case(aten.index, x(2, 3, 4), [None, torch.tensor([2, 0, 2, 1])]),
    case(aten.index, x(2, 3, 4), [None, torch.tensor([2, 0]), torch.tensor([1, 1])]),
    case(aten.unbind, x(2, 3, 4)),
    case(aten.unbind, x(2, 3, 4), 1, read=(2,)),
    case(aten.flip, x(2, 3, 4), [1, 2]),
    case(aten.repeat, x(2, 3), [1, 2]),
    case(aten.repeat, x(2, 3), [2, 1, 3]),
    case(aten.tile, x(2, 3, 4), [2, 3]),
    case(aten.repeat_interleave, x(2, 3, 4), 3, 1),
    case(aten.scaled_dot_product_attention, x(2, 3, 6, 4), x(2, 3, 5, 4), x(2, 3, 5, 7), x(6, 5)),
    case(aten.scaled_dot_product_attention, x(2, 6, 4), x(2, 5, 4), x(2, 5, 4), torch.ones(6, 5).tril().bool()),
    case(aten.to, x(2, 3), torch.float64, copy=True),
    case(aten._to_copy, x(2, 3), dtype=torch.float64),
    case(aten.type_as, x(2, 3), x(4)),
]


def labels(cases: list[Case]) -> list[str]:
    seen = Counter[str]()
    texts = []
    for one in cases:
        name = one.op.__name__
        texts.append(f"{name}-{seen[name]}")
        seen[name] += 1
    return texts


def drawn(argument: Any, generator: torch.Generator, layout: torch.memory_format) -> Any:
    if isinstance(argument, list):
        return [drawn(item, generator, layout) for item in argument]
    value = argument(generator) if isinstance(argument, Draw) else argument
    if isinstance(value, torch.Tensor):
        return value.contiguous(memory_format=layout if value.ndim == 4 else torch.contiguous_format)
    return value


def tensors_of(argument: Any) -> list[torch.Tensor]:
    items = argument if isinstance(argument, list) else [argument]
    return [item for item in items if isinstance(item, torch.Tensor)]


def parameter_names(rule: Any) -> list[str]:
    return list(inspect.signature(rule).parameters)[2:]


def is_variadic(rule: Any) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(rule).parameters.values())


def assert_close(found: torch.Tensor, expected: torch.Tensor, bound: float = 1e-12) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= bound * expected.abs().max()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("one", CASES, ids=labels(CASES))
def test_a_rule_equals_autograd_of_its_op(one, layout):
    generator = torch.Generator().manual_seed(0)
    args = [drawn(argument, generator, layout) for argument in one.args]
    rule = VJPS[one.op]
    names = parameter_names(rule) + [""] * len(args)  # variadic rules take no parameters of the network
    if one.op in (aten.expand_as, aten.type_as):
        names[1] = "weight"  # read for its shape or type alone
    leaves = [t for name, a in zip(names, args, strict=False) if name not in PARAMETERS for t in tensors_of(a)]
    for leaf in leaves:
        leaf.requires_grad_()
    y = one.op(*args, **one.kwargs)
    several = isinstance(y, (tuple, list))
    outputs = list(y) if several else [y]
    read = range(len(outputs)) if one.read is None else one.read
    cts = [
        torch.randn(output.shape, dtype=torch.float64, generator=generator)
        if index in read and output.is_floating_point()
        else None
        for index, output in enumerate(outputs)
    ]
    ends = [(output, ct) for output, ct in zip(outputs, cts, strict=True) if ct is not None]
    expected = list(torch.autograd.grad([end for end, _ in ends], leaves, [ct for _, ct in ends]))
    with torch.no_grad():
        shares = rule(cts if several else cts[0], y, *args, **one.kwargs)
    arguments = [(name, a) for name, a in zip(names, args, strict=False) if tensors_of(a)]
    assert len(shares) >= len(arguments), "one entry per tensor argument"
    for (name, argument), share in zip(arguments, shares, strict=False):
        if name in PARAMETERS:
            assert share is None
            continue
        for part in share if isinstance(argument, list) else [share]:
            assert_close(part, expected.pop(0))
    assert not expected


def test_every_rule_has_a_case():
    assert {op.__name__ for op in VJPS} == {one.op.__name__ for one in CASES}


# The signatures: what an exported call leaves out must mean the same to the rule.


def overloads(op: Any) -> list[Any]:
    return [getattr(op, name)._schema for name in op.overloads() if "out" not in name]


def ops_of(rule: Any) -> list[Any]:
    return [op for op, registered in VJPS.items() if registered is rule]


# Variance takes its correction by one name in one overload and by another in the next.
TWO_SIGNATURES = {VJPS[aten.var], VJPS[aten.std]}
NAMED_RULES = sorted(
    {rule for rule in VJPS.values() if not is_variadic(rule)} - TWO_SIGNATURES, key=lambda rule: rule.__name__
)


@pytest.mark.parametrize("rule", NAMED_RULES, ids=lambda rule: rule.__name__)
def test_a_rule_names_its_arguments_as_aten_does(rule):
    spellings = [[a.name for a in schema.arguments] for op in ops_of(rule) for schema in overloads(op)]
    assert parameter_names(rule) in spellings


@pytest.mark.parametrize("rule", NAMED_RULES, ids=lambda rule: rule.__name__)
def test_every_op_of_a_rule_takes_as_many_arguments_as_the_rule(rule):
    for op in ops_of(rule):
        assert len(parameter_names(rule)) in [len(schema.arguments) for schema in overloads(op)], op


@pytest.mark.parametrize("rule", NAMED_RULES, ids=lambda rule: rule.__name__)
def test_a_rule_has_the_defaults_of_its_op(rule):
    ours = {name: p.default for name, p in inspect.signature(rule).parameters.items() if p.default is not p.empty}
    checked = set()
    for op in ops_of(rule):
        for schema in overloads(op):
            if [a.name for a in schema.arguments] != parameter_names(rule):
                continue
            for argument in schema.arguments:
                # The string overload of conv2d has its own default, and a memory format changes no value.
                if argument.default_value == "valid" or argument.name == "memory_format":
                    continue
                if not argument.has_default_value():
                    continue
                theirs = argument.default_value
                checked.add(argument.name)
                assert _plain(ours[argument.name]) == _plain(theirs), f"{schema.name}({argument.name})"
    # A reduction without axes is an overload of its own; the rules refuse it.
    assert set(ours) - checked <= {"memory_format", "dim"}


def _plain(default: Any) -> Any:
    """(1,) and [1, 1] are the same stride."""
    if isinstance(default, (list, tuple)):
        values = list(default)
        return values[:1] if len(set(values)) == 1 else values
    return default


def test_a_second_rule_for_an_op_raises():
    before, kinds_before = dict(VJPS), dict(KINDS)
    with pytest.raises(ValueError, match=r"aten\.relu has a rule already: relu_vjp"):

        @defvjp(aten.relu, kind=kinds.RECTIFIER)
        def another_vjp(ct, y, self):
            return (ct,)

    assert before == VJPS and kinds_before == KINDS


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_that_mirrors_pixels_is_refused(mode):
    with pytest.raises(NotImplementedError, match=mode):
        VJPS[aten.pad](torch.ones(1, 1, 4, 6), torch.ones(1, 1, 4, 6), torch.ones(1, 1, 4, 4), [1, 1], mode)


# The same rules on the compiler's proxies, where the batch is a symbol.


@cache
def fixed(*shape: int) -> torch.Tensor:
    """A weight: drawn once, so that export meets a tensor that is there and not one that it must make."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def shuffled(image: torch.Tensor) -> torch.Tensor:
    """Channel shuffle, as ShuffleNet writes it."""
    n, c, h, w = image.shape
    return image.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


def excited(image: torch.Tensor) -> torch.Tensor:
    """Squeeze and excitation: the broadcast factor depends on the image too."""
    return image * F.conv2d(F.adaptive_avg_pool2d(image, 1), fixed(4, 4, 1, 1)).sigmoid()


STEPS = {
    "conv2d": lambda i: F.conv2d(i, fixed(3, 4, 3, 3), fixed(3), 1, 1),
    "conv2d strided": lambda i: F.conv2d(i, fixed(3, 4, 3, 3), None, (3, 2), 1),
    "conv2d cut short": lambda i: F.conv2d(i, fixed(3, 4, 2, 2), None, 4),
    "conv2d overpadded": lambda i: F.conv2d(i, fixed(3, 4, 1, 1), None, 1, 1),
    "conv2d same": lambda i: F.conv2d(i, fixed(3, 4, 2, 3), None, 1, "same"),
    "conv2d same dilated": lambda i: F.conv2d(i, fixed(6, 2, 4, 2), None, 1, "same", 2, 2),
    "conv2d valid": lambda i: F.conv2d(i, fixed(3, 4, 2, 3), None, 1, "valid"),
    "conv2d depthwise": lambda i: F.conv2d(i, fixed(8, 1, 3, 3), None, 2, 1, 1, 4),
    "linear": lambda i: F.linear(i.flatten(1), fixed(5, 4 * 6 * 7), fixed(5)),
    "linear per pixel": lambda i: F.linear(i.permute(0, 2, 3, 1), fixed(5, 4), fixed(5)),
    "batch_norm": lambda i: F.batch_norm(i, fixed(4), fixed(4).abs() + 1, fixed(4), fixed(4)),
    "batch_norm plain": lambda i: F.batch_norm(i, fixed(4), fixed(4).abs() + 1),
    "layer_norm": lambda i: F.layer_norm(i, (7,), fixed(7), fixed(7)),
    "layer_norm plain": lambda i: F.layer_norm(i, (4, 6, 7)),
    "layer_norm of channels": lambda i: F.layer_norm(i.permute(0, 2, 3, 1), (4,), fixed(4)).permute(0, 3, 1, 2),
    "relu": F.relu,
    "relu in place": lambda i: F.relu_(i * 1.0),
    "relu6": F.relu6,
    "relu6 module": nn.ReLU6(),
    "hardtanh": lambda i: F.hardtanh(i, -0.5, 1.0),
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu tanh": lambda i: F.gelu(i, approximate="tanh"),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "softmax": lambda i: F.softmax(i, 1),
    "excited": excited,
    "add broadcast": lambda i: torch.add(i, i.mean(1, keepdim=True), alpha=3),
    "add broadcast left": lambda i: i.mean((2, 3), keepdim=True) + i,
    "add to itself": lambda i: i + i,
    "add over the batch axis": lambda i: fixed(1, 4, 1, 1) + i,
    "sub": lambda i: i.mean(-1, True) - i,
    "sub alpha": lambda i: torch.sub(i, i.sum(1, keepdim=True), alpha=2),
    "mul more axes": lambda i: (i.mean((2, 3)) * i.permute(2, 3, 0, 1).sum(0)).transpose(0, 1),
    "div": lambda i: i.sum((2, 3), keepdim=True) / (i * i + 1),
    "div number": lambda i: i / 7,
    "mean": lambda i: i.mean((-1, -2)),
    "sum": lambda i: i.sum((1, 3), keepdim=True),
    "max_pool": lambda i: F.max_pool2d(i, 3, 2, 1, ceil_mode=True),
    "max_pool ceil": lambda i: F.max_pool2d(i, 2, 3, ceil_mode=True),
    "max_pool dilated": lambda i: F.max_pool2d(i, 2, 1, 1, 2),
    "avg_pool": lambda i: F.avg_pool2d(i, 3, 2, 1, True, False),
    "avg_pool divisor": lambda i: F.avg_pool2d(i, 2, divisor_override=3),
    "adaptive to one": lambda i: F.adaptive_avg_pool2d(i, 1),
    "adaptive": lambda i: F.adaptive_avg_pool2d(i, (5, 3)),
    "adaptive up": lambda i: F.adaptive_avg_pool2d(i, (None, 9)),
    "shuffled": shuffled,
    "batch joined with another axis": lambda i: i.reshape(-1, 2, 6, 7).relu().reshape(i.shape[0], -1),
    "squeeze and unsqueeze": lambda i: i.mean(1, keepdim=True).squeeze(1).unsqueeze(-1),
    "expand": lambda i: i.mean(1, keepdim=True).expand(-1, 4, -1, -1),
    "expand the batch": lambda i: i.mean((2, 3), keepdim=True).expand(i.shape[0], 4, 3, 3),
    "permute": lambda i: i.permute(0, -1, 1, 2),
    "transpose": lambda i: i.transpose(1, -1),
    "cat": lambda i: torch.cat([i, i.relu(), i], 1),
    "cat of rows": lambda i: torch.cat([i.relu(), i], -2),
    "split": lambda i: torch.cat(i.split(3, 3)[::2], 3),
    "split_with_sizes": lambda i: i.split([1, 2, 1], -3)[1],
    "chunk": lambda i: torch.cat(i.chunk(2, 1)[::-1], -3),
    "chunk unread": lambda i: i.chunk(2, 1)[1],
    "slice": lambda i: i[:, ::2, 1:-1, -3:],
    "select": lambda i: i[:, 1] + i.select(1, -1),
    "pad": lambda i: F.pad(i, (1, 2, 0, 1)),
    "pad mixed": lambda i: F.pad(i, (2, -1, -2, 1), value=3.0),
    "clone": lambda i: i.clone().contiguous().relu(),
    "detach": lambda i: i * i.detach(),
}


class Bench(nn.Module):
    """Several steps side by side, whatever each gives flattened and joined to [N, K]: one compilation for all."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = steps

    def forward(self, image):
        return torch.cat([step(image).flatten(1) for step in self.steps], 1)


BENCH = 8


@cache
def bench(number):
    network = Bench(*list(STEPS.values())[number * BENCH : (number + 1) * BENCH]).eval()
    network(fixed(1, 4, 6, 7))
    program = compile_program(network, torch.zeros(1, 4, 6, 7, dtype=torch.float64), [], ["gradient"]).program
    return program, network


@pytest.mark.parametrize("name", STEPS)
def test_a_rule_writes_what_it_computes(name):
    index = list(STEPS).index(name)
    program, network = bench(index // BENCH)
    step = STEPS[name]
    for batch in (1, 2, 3):
        image = (2 * fixed(batch, 4, 6, 7)).requires_grad_()
        result = step(image).flatten(1)
        ct = fixed(*result.shape)
        (expected,) = torch.autograd.grad(result, image, ct)
        # The seed is zero at the neighbours' logits, so that only this step has a gradient.
        logits = network(image).detach()
        first = sum(other(image).flatten(1).shape[1] for other in network.steps[: index % BENCH])
        seed = torch.zeros_like(logits)
        seed[:, first : first + result.shape[1]] = ct
        outputs = [program.logits, program.image_cotangents["gradient"]]
        found, gradient = program.run(outputs, image=image.detach(), seed=seed)
        assert_close(found, logits)
        assert_close(gradient, expected)


REFUSED = {
    "mean over everything": lambda i: i * i.mean(),
    "sum over everything": lambda i: i * i.sum(),
    "rounded division": lambda i: i + torch.div(i, 2, rounding_mode="floor"),
    "softmax in another dtype": lambda i: F.softmax(i, 1, dtype=torch.float32),
    "slice of the batch": lambda i: i + i[:1],
    "circular padding": lambda i: F.pad(i, (1, 1, 1, 1), mode="circular").cumprod(2),
    "an op without a rule": lambda i: i.cumprod(1),
    "training dropout": lambda i: F.dropout(i, 0.5, training=True),
}


@pytest.mark.parametrize("step", REFUSED.values(), ids=REFUSED)
def test_what_has_no_exact_rule_is_refused_by_name(step):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = Bench(step)

        def forward(self, image):
            return self.stage(image)

    with pytest.raises((CaptureError, CompileError), match="stage"):
        compile_program(Network().eval(), torch.zeros(1, 4, 6, 7, dtype=torch.float64), [], ["gradient"])
