"""Whole composites on two nets that are small enough for paper, through the compiler; the values are known."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.compiler.calls import Ends
from engine.compiler.capture import capture
from engine.compiler.differentiate import differentiate
from engine.errors import CompileError
from engine.rules import kinds, relevance
from engine.rules.composites import COMPOSITES, composite
from engine.rules.policies import POLICIES
from engine.rules.relevance import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from engine.rules.sharing import passed


class T1(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 2, 3), nn.Linear(8, 4)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.linear.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3).expand(4, 8))
            self.linear.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.linear(F.relu(self.conv(image)).flatten(1)))


class T2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)
        sobel, sharp = [[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], [[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]
        with torch.no_grad():
            self.c1.weight.copy_(torch.tensor([[sobel], [sharp]]))
            self.c1.bias.copy_(torch.tensor([1.0, -2]))
            self.c2.weight.copy_(torch.tensor([[1, -1], [-0.5, 2]])[:, :, None, None])
            self.c2.bias.copy_(torch.tensor([0.5, -1]))
            self.head.weight.copy_(torch.tensor([[1.0, -1], [-2, 3]]))
            self.head.bias.copy_(torch.tensor([0.25, 0]))

    def forward(self, image: Tensor) -> Tensor:
        a = F.relu(self.c1(image))
        return self.head(F.max_pool2d(F.relu(a + self.c2(a)), 2).mean((2, 3)))


X1 = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
X2 = torch.tensor([[1.0, 2, 0, -1], [3, 1, -2, 0], [0, 1, 2, 1], [-1, 0, 1, 3]], dtype=torch.float64)[None, None]
BOX = Ends([-2.0], [3.0])


def relevance_of(network: nn.Module, image: Tensor, policy: str, index: int, ends: Ends | None = None) -> Tensor:
    """The relevance at the image of one logit, from a listing whose backward half the policy wrote."""
    program = capture(network.double().eval(), image)
    with program.graph.inserting_after(program.image):
        program.seed = program.graph.placeholder("seed")
    program.seed.meta["val"] = program.logits.meta["val"]
    found = differentiate(program, policy, [program.image], ends=ends)[program.image]
    (logits,) = program.run([program.logits], image=image)
    seed = F.one_hot(torch.tensor([index] * len(image)), logits.shape[1]).double()
    return program.run([found], image=image, seed=seed)[0]


@pytest.fixture
def absolutely(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1e-6 as it is for a stabiliser, which the known values were computed with."""
    monkeypatch.setattr(relevance, "size_of", lambda z: torch.ops.aten.ones_like(z))


# With a stabiliser of 1e-6; class 1, whose logit is 23.125.
KNOWN_OF_T2 = {
    "lrp_epsilon": """-3.249999 -3.999999 0 -1.999999 / 27.749993 -3.249999 -2 0 / 0 0 -2.749998 -2.249999
        / 0 0 -3.999998 33.749991""",
    "lrp_epsilon_plus": """-.833333 -3.999999 0 -1.999999 / 18.999996 -1 -3.333332 0 / 0 0 -2.666665 0
        / 0 0 -.666666 22.124995""",
    "lrp_epsilon_plus_flat": """2.888888 1.555555 -2.444444 -1.333333 / 2.888888 1.555555 -3.111110 -1.999999
        / 2.888888 2.888888 3.753471 4.864581 / 0 0 4.864581 4.864581""",
    "lrp_epsilon_alpha2_beta1": """-12.437495 -11.999995 0 -5.999998 / 64.499986 -12.937495 -4.000002 0
        / 0 0 -.928573 -8.999996 / 0 0 -18.928561 71.999982""",
    "lrp_epsilon_alpha2_beta1_flat": """4.958332 2.958333 -3.666665 -1.999999 / 4.958332 2.958333 -4.666665
        -2.999999 / 4.958332 4.958332 3.855654 5.522320 / 0 0 5.522320 5.522320""",
    "lrp_epsilon_gamma_box": """.502663 -2.909090 -1.034482 -2.909090 / 15.766049 .446237 -3.448275 -1.090909
        / 1.616064 0 -3.832042 1.665409 / 0 0 -.292687 20.817614""",
    "excitation_backprop": "0 0 0 0 / 12.032518 0 0 0 / 0 0 0 0 / 0 0 0 11.092477",
}
SUMS_OF_T2 = {
    "lrp_epsilon": 37.999992, "lrp_epsilon_plus": 26.624996, "lrp_epsilon_plus_flat": 24.124991,
    "lrp_epsilon_alpha2_beta1": 60.267853, "lrp_epsilon_alpha2_beta1_flat": 32.839277,
    "lrp_epsilon_gamma_box": 25.297462, "excitation_backprop": 23.124995,
}  # fmt: skip


def table(text: str) -> Tensor:
    return torch.tensor([[float(n) for n in row.split()] for row in text.split("/")], dtype=torch.float64)


@pytest.mark.usefixtures("absolutely")
@pytest.mark.parametrize("policy", KNOWN_OF_T2)
def test_the_second_net(policy: str) -> None:
    found = relevance_of(T2(), X2, policy, 1, BOX)
    torch.testing.assert_close(found[0, 0], table(KNOWN_OF_T2[policy]), rtol=0, atol=2e-6)
    assert float(found.sum()) == pytest.approx(SUMS_OF_T2[policy], abs=3e-6)


@pytest.mark.parametrize("policy", KNOWN_OF_T2)
def test_a_stabiliser_by_size_changes_hardly_anything(policy: str) -> None:
    found = relevance_of(T2(), X2, policy, 1, BOX)
    torch.testing.assert_close(found[0, 0], table(KNOWN_OF_T2[policy]), rtol=1e-5, atol=2e-4)


IXG = "0 1 2 3 / 0 5 6 7 / 0 9 10 11 / 0 0 0 0"
# z+ of positive inputs and kernels: x_j / Σ_j x_j of what a unit has, here of 0, 4, 31, 40 and 0, 0, -6, -15.
KNOWN_OF_T1 = {
    "lrp_epsilon": (IXG, 54),
    "lrp_epsilon_plus": (
        """0 .074074 .148148 .222222 / 1.234568 3.302469 3.962963 2.462963 / 2.469136 5.944444 6.604938 3.870370
        / 3.703704 7.623457 8.209877 4.166667""",
        54,
    ),
    "lrp_epsilon_plus_flat": (
        "0 .444444 .444444 .444444 / 2.777778 6 6 3.222222 / 2.777778 6 6 3.222222"
        " / 2.777778 5.555556 5.555556 2.777778",
        54,
    ),
}


@pytest.mark.parametrize("policy", KNOWN_OF_T1)
def test_the_first_net(policy: str) -> None:
    found = relevance_of(T1(), X1, policy, 0, Ends([-1.0], [16.0]))
    wanted, whole = KNOWN_OF_T1[policy]
    torch.testing.assert_close(found[0, 0], table(wanted), rtol=1e-4, atol=1e-4)
    assert float(found.sum()) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(
    ("convolution", "dense", "first", "row", "wanted", "whole"),
    [
        (AlphaBeta(2, 1), Epsilon(), None, 3, [7.407407, 15.246914, 16.419753, 8.333333], 108),
        (Epsilon(), Epsilon(), WSquare(), 1, [2.777778, 6, 6, 3.222222], 54),
        (Epsilon(), Epsilon(), ZBox(), 1, [1.388889, 3.562770, 4.156566, 2.528138], 54),
        (Gamma(0.25), Epsilon(), None, 3, [5.644599, 10.014982, 10.785365, 4.5], 80.5),
        (ZPlus(), ZPlus(), None, 3, [3.306667, 7.742222, 8.337778, 4.8], 54),
    ],
)
def test_a_composite_of_ones_own(monkeypatch, convolution, dense, first, row, wanted, whole) -> None:
    policy = composite("mine", {kinds.CONVOLUTION: convolution, kinds.DENSE: dense}, first)
    monkeypatch.setitem(POLICIES, "mine", policy)
    found = relevance_of(T1(), X1, "mine", 0, Ends([-1.0], [16.0]))
    torch.testing.assert_close(found[0, 0, row], torch.tensor(wanted).double(), rtol=1e-5, atol=1e-5)
    assert float(found.sum()) == pytest.approx(whole, rel=2e-3)


def test_first_is_what_the_image_comes_to_and_last_what_nothing_follows(monkeypatch) -> None:
    seen = []

    def told(name):
        def rule(call, r, y, *args):
            seen.append((name, call.op.__name__))
            return Epsilon()(call, r, y, *args)

        return rule

    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)
            self.head = nn.Linear(2, 3)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(F.relu(self.a(image) + self.c(F.relu(self.b(image)))).mean((2, 3)))

    rule = told("between")
    own = {kinds.CONVOLUTION: rule, kinds.DENSE: rule}
    monkeypatch.setitem(POLICIES, "told", composite("told", own, told("first"), told("last")))
    relevance_of(Forked(), X1, "told", 0)
    assert sorted(seen) == [("between", "conv2d"), ("first", "conv2d"), ("first", "conv2d"), ("last", "linear")]


def test_what_stands_before_the_first_call_moves_its_box(monkeypatch) -> None:
    """Of an image that is turned around z-B's ends are too: the relevance is that of the plain net."""

    class Turned(T1):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(F.pad(15 - image, (0, 0, 0, 0)))

    rules = {kinds.CONVOLUTION: Epsilon(), kinds.DENSE: Epsilon(), kinds.SUM: passed}
    monkeypatch.setitem(POLICIES, "box", composite("box", rules, {kinds.CONVOLUTION: ZBox()}))
    wanted = relevance_of(T1(), X1, "box", 0, Ends([-1.0], [16.0]))
    found = relevance_of(Turned(), 15 - X1, "box", 0, Ends([-1.0], [16.0]))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_kind_without_a_rule_is_refused_by_name() -> None:
    class Heard(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.fft.fft2(image).abs().flatten(1)

    with pytest.raises(CompileError, match=r"lrp_epsilon_plus has no rule for aten\.\w+, which is of the kind"):
        relevance_of(Heard(), X1, "lrp_epsilon_plus", 0)


def test_a_composite_says_what_convolutions_have() -> None:
    with pytest.raises(ValueError, match="mine: say what rule calls of the kind convolution have"):
        composite("mine", {kinds.DENSE: Epsilon()}, first=Flat())
    with pytest.raises(ValueError, match="mine: no kind is called 'conv'"):
        composite("mine", {kinds.CONVOLUTION: ZPlus(), kinds.DENSE: Epsilon(), "conv": ZPlus()})


def test_every_composite_says_something_of_all_kinds_but_spectra() -> None:
    for policy in COMPOSITES:
        assert kinds.ALL - {*policy.rules} == {kinds.SPECTRUM}
        assert policy.relevance and policy.alone


class Folded(nn.Module):
    """Blocks of 2 by 2 pixels become channels, by a view that names the batch's size, or by none."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.named, self.conv, self.head = named, nn.Conv2d(4, 3, 1), nn.Linear(3, 2)
        with torch.no_grad():
            for number, value in enumerate(self.parameters()):
                value.copy_(torch.linspace(-1, 1 + number, value.numel()).reshape(value.shape))

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[0] if self.named else -1
        x = image.reshape(size, 1, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(size, 4, 2, 2)
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


def test_a_box_is_of_one_image_whatever_the_batch() -> None:
    images = torch.cat([X2, X2.mT, -X2])
    found, plain = (
        relevance_of(Folded(named), images, "lrp_epsilon_gamma_box", 1, BOX) for named in (True, False)
    )
    assert found.abs().max() > 0.1
    torch.testing.assert_close(found, plain)
