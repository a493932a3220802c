import inspect
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.compiler.passes import compile_program
from engine.errors import CaptureError, CompileError
from engine.rules import kinds
from engine.rules.pages import PAGES
from engine.rules.registry import KINDS, VJPS, defvjp
from tests.rules import (
    test_activations,
    test_arithmetic,
    test_attention,
    test_choices,
    test_linear,
    test_norms,
    test_pooling,
    test_resampling,
    test_shapes,
    test_spectra,
)
from tests.rules.cases import assert_close, is_variadic, parameter_names

aten = torch.ops.aten
TABLES = (
    test_activations,
    test_arithmetic,
    test_attention,
    test_choices,
    test_linear,
    test_norms,
    test_pooling,
    test_resampling,
    test_shapes,
    test_spectra,
)

# torch says once per process that an even kernel costs a copy, in whichever test comes first.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def test_every_page_has_a_table_at_its_mirrored_path():
    assert {table.__name__.split(".test_")[1] for table in TABLES} == {p.__name__.split(".")[-1] for p in PAGES}


def test_every_rule_has_a_case():
    assert {op.__name__ for op in VJPS} == {one.op.__name__ for table in TABLES for one in table.CASES}


# The signatures: what an exported call leaves out must mean the same to the rule.


def overloads(op: Any) -> list[Any]:
    return [getattr(op, name)._schema for name in op.overloads() if "out" not in name]


def ops_of(rule: Any) -> list[Any]:
    return [op for op, registered in VJPS.items() if registered is rule]


# Variance takes its correction by one name in one overload and by another in the next.
TWO_SIGNATURES = {VJPS[aten.var], VJPS[aten.std], VJPS[aten.var_mean]}
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


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
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
