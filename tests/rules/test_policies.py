import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.compiler.capture import capture
from engine.compiler.coverage import coverage
from engine.compiler.differentiate import differentiate
from engine.compiler.passes import compile_program
from engine.rules import kinds
from engine.rules.kinds import ACTIVATIONS, CONVOLUTION, DENSE, RECTIFIER, SMOOTH
from engine.rules.policies import POLICIES, Coverage, Policy
from engine.rules.registry import KINDS, VJPS, ops_of
from tests.oracle import GATED

aten = torch.ops.aten

erf = np.vectorize(math.erf)


def between(x, low, high):
    return (x > low) & (x < high)


def normal_density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def silu_slope(x):
    e = np.exp(-np.abs(x))
    s = np.where(x < 0, e, 1) / (1 + e)
    return s + x * s * (1 - s)


def mish_slope(x):
    t, s = np.tanh(np.log1p(np.exp(x))), 1 / (1 + np.exp(-x))
    return t + x * s * (1 - t**2)


def gelu_tanh_slope(x):
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    t = np.tanh(inner)
    return (1 + t) / 2 + x / 2 * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)


# name -> op, its arguments, its slope as numpy computes it from x, and where guided backprop lets through.
ACTIVATION_CASES = {
    "relu": (aten.relu, (), {}, lambda x: 1.0 * (x > 0), lambda x: x > 0),
    "relu6": (aten.hardtanh, (0.0, 6.0), {}, lambda x: 1.0 * between(x, 0, 6), lambda x: between(x, 0, 6)),
    "relu6 op": (aten.relu6, (), {}, lambda x: 1.0 * between(x, 0, 6), lambda x: between(x, 0, 6)),
    "hardtanh": (aten.hardtanh, (), {}, lambda x: 1.0 * (np.abs(x) < 1), lambda x: np.abs(x) < 1),
    "hardtanh wide": (aten.hardtanh, (-2, 3), {}, lambda x: 1.0 * between(x, -2, 3), lambda x: between(x, -2, 3)),
    "threshold": (aten.threshold, (0.5, 0.2), {}, lambda x: 1.0 * (x > 0.5), lambda x: x > 0.5),
    "threshold below zero": (aten.threshold, (-1, -1), {}, lambda x: 1.0 * (x > -1), lambda x: x > -1),
    "selu": (
        aten.selu, (), {}, lambda x: 1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(x)),
        lambda x: x > 0,
    ),
    "celu": (aten.celu, (0.7,), {}, lambda x: np.where(x > 0, 1, np.exp(x / 0.7)), lambda x: x > 0),
    "silu": (aten.silu, (), {}, silu_slope, lambda x: x > 0),
    "gelu": (aten.gelu, (), {}, lambda x: (1 + erf(x / 2**0.5)) / 2 + x * normal_density(x), lambda x: x > 0),
    "gelu tanh": (aten.gelu, (), {"approximate": "tanh"}, gelu_tanh_slope, lambda x: x > 0),
    "hardswish": (
        aten.hardswish, (), {}, lambda x: np.where(x < -3, 0, np.where(x > 3, 1, x / 3 + 0.5)), lambda x: x > 0,
    ),
    "leaky relu": (aten.leaky_relu, (0.2,), {}, lambda x: np.where(x > 0, 1, 0.2), lambda x: x > 0),
    "prelu": (
        aten.prelu, (torch.tensor([0.3], dtype=torch.float64),), {}, lambda x: np.where(x > 0, 1, 0.3),
        lambda x: x > 0,
    ),
    "elu": (aten.elu, (1.5,), {}, lambda x: np.where(x > 0, 1, 1.5 * np.exp(np.minimum(x, 0))), lambda x: x > 0),
    "mish": (aten.mish, (), {}, mish_slope, lambda x: x > 0),
    "softplus": (aten.softplus, (2.0, 40.0), {}, lambda x: 1 / (1 + np.exp(-2 * x)), lambda x: x > 0),
}  # fmt: skip

# An activation with a kink is asked at the kink too; hardswish, whose slope jumps at ±3, is not.
POINTS = np.concatenate([np.linspace(-9.05, 9.05, 1000), [0.0, -0.0]])
ENDS = {"relu6": [6.0], "relu6 op": [6.0], "hardtanh": [-1.0, 1.0], "hardtanh wide": [-2.0, 3.0]}


def gated(policy, name):
    """What `policy` passes through the activation `name`, with x and ct as numpy arrays."""
    op, args, kwargs, slope, lets_through = ACTIVATION_CASES[name]
    x = np.repeat(np.concatenate([POINTS, ENDS.get(name, [])]), 4)
    ct = np.random.default_rng(0).normal(size=x.shape)
    ct[::7] = 0
    tensor = torch.from_numpy(x)
    y = op(tensor, *args, **kwargs)
    passed, *_ = POLICIES[policy].pull(KINDS[op], VJPS[op], torch.from_numpy(ct), y, tensor, *args, **kwargs)
    return passed.numpy(), x, ct, slope(x), lets_through(x)


def test_there_are_three_gates():
    assert [name for name, policy in POLICIES.items() if not policy.relevance and not policy.told] == [
        "gradient",
        "deconvnet",
        "guided",
    ]


@pytest.mark.parametrize("name", ACTIVATION_CASES)
def test_gradient_is_the_slope(name):
    passed, _, ct, slope, _ = gated("gradient", name)
    np.testing.assert_allclose(passed, ct * slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATION_CASES)
def test_deconvnet_is_the_positive_part_of_the_cotangent(name):
    passed, _, ct, _, _ = gated("deconvnet", name)
    np.testing.assert_array_equal(passed, np.maximum(ct, 0))


@pytest.mark.parametrize("name", ACTIVATION_CASES)
def test_guided_is_both(name):
    passed, _, ct, slope, lets_through = gated("guided", name)
    np.testing.assert_allclose(passed, np.maximum(ct, 0) * slope * lets_through, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name", [n for n in ACTIVATION_CASES if n not in ("hardtanh", "hardtanh wide", "threshold below zero")]
)
def test_guided_passes_nothing_where_the_input_was_not_positive(name):
    passed, x, _, _, _ = gated("guided", name)
    assert (passed[x <= 0] == 0).all() and (passed[x > 0] != 0).any()


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "relu6 op", "hardtanh", "hardtanh wide", "threshold", "threshold below zero"]
)
def test_guided_is_deconvnet_where_a_rectifier_is_open(name):
    guided, _, _, _, is_open = gated("guided", name)
    deconvnet, *_ = gated("deconvnet", name)
    np.testing.assert_array_equal(guided, np.where(is_open, deconvnet, 0))


def test_every_activation_with_a_rule_is_tested_here():
    assert ops_of(*ACTIVATIONS) == {op for op, *_ in ACTIVATION_CASES.values()}


# Per call, through the compiler.


class Wired(nn.Module):
    """ReLUs that hooks miss or mix up: functional, in place, used twice, and with a second reader of the input."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu, self.inplace = nn.ReLU(), nn.ReLU(inplace=True)
        self.head = nn.Linear(6 * 16, 4)

    def forward(self, image):
        hidden = self.relu(self.first(image))
        stream = hidden - self.second(self.inplace(self.second(hidden)))
        stream = stream + self.second(F.relu(stream))
        stream = F.hardswish(stream) + F.relu6(-4 * stream)
        return F.relu(self.head(self.relu(F.avg_pool2d(stream, 2)).flatten(1)))


def oracle_function(forward, policy):
    """An activation whose backward pass is written from the formula of the policy."""

    class Gated(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            if policy == "deconvnet":
                return ct.clamp(min=0)
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                (slope,) = torch.autograd.grad(forward(leaf).sum(), leaf)
            return ct * slope if policy == "gradient" else ct.clamp(min=0) * slope * (x > 0)

    return Gated.apply


def oracle(network, policy):
    relu = oracle_function(lambda x: x * (x > 0), policy)
    relu6 = oracle_function(lambda x: torch.minimum(torch.maximum(x, x * 0), x * 0 + 6), policy)
    hardswish = oracle_function(lambda x: x * torch.clamp(x + 3, 0, 6) / 6, policy)

    def run(image):
        hidden = relu(network.first(image))
        stream = hidden - network.second(relu(network.second(hidden)))
        stream = stream + network.second(relu(stream))
        stream = hardswish(stream) + relu6(-4 * stream)
        return relu(network.head(relu(F.avg_pool2d(stream, 2)).flatten(1)))

    return run


@pytest.fixture(scope="module")
def wired():
    network = Wired().double().eval()
    return network, compile_program(network, torch.zeros(1, 3, 8, 8, dtype=torch.float64), layers="all")


@pytest.mark.parametrize("policy", GATED)
def test_a_gate_acts_on_every_call(wired, policy):
    network, compiled = wired
    program = compiled.program
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=generator).requires_grad_()
    logits = oracle(network, policy)(image)
    seed = torch.randn(logits.shape, dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad(logits, image, seed)
    found = program.run([program.logits, program.image_cotangents[policy]], image=image.detach(), seed=seed)
    torch.testing.assert_close(found[0], logits.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1], expected, rtol=1e-10, atol=1e-12)
    assert found[1].abs().max() > 1e-3


def test_the_gates_differ(wired):
    _, compiled = wired
    program = compiled.program
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=generator)
    seed = torch.ones(1, 4, dtype=torch.float64)
    found = program.run(program.image_cotangents.values(), image=image, seed=seed)
    for left, right in ((0, 1), (0, 2), (1, 2)):
        assert (found[left] - found[right]).abs().max() > 1e-2 * found[left].abs().max()


# Other policies: any kind may be given a rule.


def backwards(monkeypatch, network, image, policy):
    """A listing whose backward half `policy` wrote, and its value at the image from a seed of logits."""
    monkeypatch.setitem(POLICIES, policy.name, policy)
    program = capture(network.double().eval(), image)
    with program.graph.inserting_after(program.image):
        program.seed = program.graph.placeholder("seed")
    program.seed.meta["val"] = program.logits.meta["val"]
    ct = differentiate(program, policy.name, [program.image])[program.image]
    (logits,) = program.run([program.logits], image=image)
    (found,) = program.run([ct], image=image, seed=logits)
    return program, found


def test_a_policy_is_asked_at_every_call(monkeypatch):
    """One that hands out each op's own rule sees each call once, and is the gradient, bit for bit."""
    seen = []

    def itself(kind):
        def replacement(rule, ct, y, *args, **kwargs):
            seen.append(kind)
            return rule(ct, y, *args, **kwargs)

        return replacement

    image = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    told = Policy("told", {kind: itself(kind) for kind in kinds.ALL})
    _, wanted = backwards(monkeypatch, Wired(), image, Policy("plain"))
    program, found = backwards(monkeypatch, Wired(), image, told)
    assert torch.equal(found, wanted)
    counted = coverage(program, "told")
    assert counted.kept == {}
    assert len(seen) == counted.calls == 18
    assert {kind: seen.count(kind) for kind in seen} == {
        kind: sum(ops.values()) for kind, ops in counted.replaced.items()
    }


def test_a_rule_at_linear_ops_alone_is_relevance(monkeypatch):
    """LRP-epsilon in two functions: on T1 it is the image times its gradient, 54 in all."""

    class T1(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 2, 3), nn.Linear(8, 4)
            with torch.no_grad():
                self.conv.weight.fill_(1)
                self.conv.bias.copy_(torch.tensor([-50.0, -75.0]))
                self.linear.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3).expand(4, 8))
                self.linear.bias.zero_()

        def forward(self, image):
            return F.relu(self.linear(F.relu(self.conv(image)).flatten(1)))

    def shared_out(rule, relevance, y, x, *args, **kwargs):
        share, *rest = rule(relevance / y, y, x, *args, **kwargs)
        return (x * share, *rest)

    def passed(rule, relevance, y, x, *args, **kwargs):
        return (relevance,)

    image = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
    policy = Policy("epsilon", {CONVOLUTION: shared_out, DENSE: shared_out, RECTIFIER: passed})
    _, found = backwards(monkeypatch, T1(), image, policy)
    # Each of the four logits is 54, and each is shared out alike.
    wanted = 4 * torch.tensor([[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found[0, 0], wanted, rtol=1e-14, atol=1e-14)


def test_a_policy_for_no_kind_is_refused():
    with pytest.raises(ValueError, match=r"mine: no kind is called 'relu'; engine/rules/kinds.py has attention, "):
        Policy("mine", {"relu": lambda rule, ct, y, x: (ct,)})


# Coverage: how much of the network a policy reaches.


def test_coverage_of_a_network_counts_calls(wired):
    _, compiled = wired
    found = compiled.coverage
    assert found.calls == 7
    assert found.replaced[RECTIFIER]["relu"] == 5
    assert sum(found.replaced[RECTIFIER].values()) == 6
    assert found.smooth == found.replaced[SMOOTH] == {"hardswish": 1}
    assert found.kept["convolution"] == {"conv2d": 4} and found.kept["sum"] == {"add": 2, "sub": 1}
    assert str(compiled.coverage) == "7 of 7 activations gated, 1 of them smooth (hardswish)"


def test_coverage_leaves_out_what_the_logits_do_not_read():
    class Spare(nn.Module):
        def forward(self, image):
            F.silu(image)
            return (torch.sigmoid(image) * F.relu(image)).flatten(1)

    found = coverage(capture(Spare().eval(), torch.zeros(1, 2, 4, 4)))
    assert (found.replaced, found.plain) == ({RECTIFIER: {"relu": 1}}, {"sigmoid": 1})


def gates(rectifiers, smooth=None, squash=None):
    replaced = {RECTIFIER: rectifiers} | ({SMOOTH: smooth} if smooth else {})
    return Coverage("deconvnet", replaced, {"squash": squash} if squash else {})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Coverage(), "no activation to gate: guided backprop and deconvnet equal the gradient"),
        (
            Coverage(kept={"squash": {"tanh": 2}, "sum": {"add": 3}}),
            "no activation to gate: guided backprop and deconvnet equal the gradient; "
            "2 tanh calls keep their derivative",
        ),
        (gates({"relu": 49}), "49 of 49 activations gated"),
        (gates({"relu": 10, "hardtanh": 4}), "14 of 14 activations gated"),
        (gates({"relu": 14}, {"silu": 21}), "35 of 35 activations gated, 21 of them smooth (silu)"),
        (
            gates({"relu": 5}, {"hardswish": 10, "gelu": 1}, {"hardsigmoid": 8, "sigmoid": 1}),
            "16 of 16 activations gated, 11 of them smooth (hardswish, gelu); "
            "9 hardsigmoid/sigmoid calls keep their derivative",
        ),
        (Coverage("gradient", {}, {"rectifier": {"relu": 3}}), "gradient: every call keeps its derivative"),
        (
            Coverage("mine", {"convolution": {"conv2d": 3}, "sum": {"add": 2}}, {"smooth": {"silu": 4}}),
            "mine: 3 convolution, 2 sum calls by a rule of its own; 4 silu calls keep their derivative",
        ),
    ],
)
def test_coverage_as_a_sentence(found, sentence):
    assert str(found) == sentence
