"""The certificate of relevance: small networks with all kinds of calls, under every composite."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import METHODS, compile_model, register_composite
from engine.rules import kinds, relevance
from engine.rules.composites import COMPOSITES, composite
from engine.rules.policies import POLICIES
from engine.rules.relevance import Epsilon, Flat, WSquare, ZPlus
from engine.rules.sharing import by_sizes, half_each, of_values_alone
from engine.trust.relevance import relevance_reference
from engine.trust.verify_relevance import relevance_header, verify_relevance
from tests.oracle import deviation

NAMES = [policy.name for policy in COMPOSITES if not policy.follows]  # of rollouts: tests/rules/test_attending.py
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Convolutions(nn.Module):
    """Norms that fold, a residual sum, a gate of its channels, a join, pools, a pad and a resampling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.deep = nn.Conv2d(6, 6, 3, groups=2)
        self.squeeze, self.gate = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.up, self.head = nn.ConvTranspose2d(12, 4, 2, 2), nn.Linear(4, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.stem(image)))
        y = F.silu(self.deep(F.pad(x, (1, 1, 0, 2))))
        y = y * torch.sigmoid(self.gate(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = torch.cat([x + y, F.max_pool2d(x, 3, 1, 1)], 1)
        x = F.hardswish(self.up(F.avg_pool2d(x, 2)))
        x = F.interpolate(x, scale_factor=0.5, mode="bilinear") - 0.5 * F.leaky_relu(F.avg_pool2d(x, 2))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Norms(nn.Module):
    """Norms that do not fold: before the convolution, over groups, over channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.before, self.second = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, stride=2)
        self.groups, self.alone, self.last = nn.GroupNorm(3, 6), nn.InstanceNorm2d(6, affine=True), nn.LayerNorm(6)
        self.dense, self.head, self.rms = nn.Linear(6, 8), nn.Linear(4, 5), nn.RMSNorm(4)
        self.scale = nn.Parameter(torch.full((6,), 0.7))

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        x = self.second(F.relu(self.before(x))) + F.relu(self.groups(x))[:, :, 1:5:2, 1:5:2]
        x = self.last(self.alone(x).permute(0, 2, 3, 1))
        x = F.glu(F.gelu(self.dense(x * self.scale)), -1)
        return self.head(self.rms(x).amax((1, 2)))


class Attention(nn.Module):
    """Tokens, by torch's own attention and by hand, with a shift."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8)
        self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 5)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2).roll(3, 1)
        x = torch.cat([self.token.expand(x.shape[0], 1, 8), x], 1)
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        scores = torch.einsum("nqc,nkc->nqk", x, x) / 8**0.5
        x = x + (scores.softmax(-1) @ F.gelu(x)) / x.norm(dim=-1, keepdim=True)
        return self.head(self.norm(x)[:, 0])


NETWORKS = {"convolutions": Convolutions, "norms": Norms, "attention": Attention}


def drawn(network: Callable[[], nn.Module]) -> nn.Module:
    """With biases and statistics that matter."""
    generator = torch.Generator().manual_seed(3)
    module = network().double().eval()
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.4)
            if name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
                value.abs_().add_(0.5)
    return module


@pytest.mark.parametrize("network", NETWORKS)
def test_every_composite_is_what_the_reference_says(network: str) -> None:
    explainer = compile_model(drawn(NETWORKS[network]), X, layers="all", methods=NAMES)
    certificate = explainer.manifest["certificate"]
    for table in ("policies", "methods"):
        assert {*certificate[table]} == {*NAMES}
        assert max(certificate[table].values()) < 1e-9
    assert {*certificate["starts"]} == {*NAMES} and max(certificate["starts"].values()) < 1e-9
    logits = explainer.forward(X)
    seed = F.one_hot(logits.argmax(1), 5).double()
    for name in NAMES:  # nothing of this is nothing
        assert explainer.explain(X, seed, name).abs().max() > 1e-4


class Block(nn.Module):
    """A transformer's block over patches. held: of attention, what stays constant; slopes: are activations, norms
    and products changed so that the gradient times the image is AttnLRP? gated: with a gate over all tokens."""

    def __init__(self, slopes: bool = False, held: bool = False, gated: bool = False) -> None:
        super().__init__()
        self.slopes, self.held, self.gated = slopes, held, gated
        self.patches, self.norm = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8)
        self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 5)
        self.gate = nn.Linear(8, 8)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.normed(x)).chunk(3, -1)
        weights = (self.product(q, k.transpose(1, 2)) / 8**0.5).softmax(-1)
        x = x + (weights.detach() @ v if self.held else self.product(weights, v))
        y = self.out(x)
        y = self.active(F.gelu, y)
        if self.gated:
            gate = self.active(torch.sigmoid, self.gate(x.mean(1, keepdim=True)))
            y = (y * gate.detach() + y.detach() * gate) / 2 if self.slopes else y * gate
        return self.head((x + y).mean(1))

    def active(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return x * (function(x) / x).detach() if self.slopes else function(x)

    def normed(self, x: Tensor) -> Tensor:
        if not self.slopes:
            return self.norm(x)
        deviation = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt().detach()
        return (x - x.mean(-1, keepdim=True)) / deviation * self.norm.weight + self.norm.bias

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.detach() @ b + a @ b.detach()) / 2 if self.slopes else a @ b


@pytest.mark.parametrize(
    ("name", "held", "gated"), [("attn_lrp", False, True), ("cp_lrp", True, False), ("libragrad", True, True)]
)
def test_relevance_of_a_transformer_is_a_gradient_with_other_slopes(
    monkeypatch: pytest.MonkeyPatch, name: str, held: bool, gated: bool
) -> None:
    """Achtibat et al. 2024: activations by y / x, deviations constant, products halved; Ali et al. 2022: attention
    constant; Mehri et al. 2025: both. A formula that knows no relevance, and no stabiliser."""
    monkeypatch.setattr(relevance, "EPSILON", 1e-12)  # which the certificate does not know: hence not strict
    network, sloped = drawn(lambda: Block(gated=gated)), Block(True, held, gated).double()
    sloped.load_state_dict(network.state_dict())
    leaf = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sloped(leaf)[:, 2].sum(), leaf)
    seed = F.one_hot(torch.tensor([2, 2]), 5).double()
    found = compile_model(network, X, methods=[name], strict=False).explain(X, seed, name)
    assert deviation(found, X * gradient) < 1e-9


@pytest.mark.parametrize("name", ["lrp_epsilon_plus", "lrp_epsilon_gamma_box"])
def test_a_composite_that_is_another_one_is_off(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The bound is one that a wrong rule does not keep."""
    explainer = compile_model(drawn(Convolutions), X, methods=[name, "lrp_epsilon"])
    seed = F.one_hot(explainer.forward(X).argmax(1), 5).double()
    found = explainer.explain(X, seed, name)
    wanted, _ = relevance_reference(explainer.module, X, seed, "lrp_epsilon")
    assert (found - wanted).abs().max() > 1e-2 * wanted.abs().max()


@pytest.mark.parametrize("other", [by_sizes, half_each, of_values_alone], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("network", NETWORKS)
def test_other_rules_of_ones_own_are_certified(monkeypatch, network: str, other) -> None:
    kind = {by_sizes: kinds.SUM, half_each: kinds.PRODUCT, of_values_alone: kinds.ATTENTION}[other]
    own = {kinds.CONVOLUTION: WSquare(), kinds.DENSE: Epsilon(), kind: other}
    monkeypatch.setitem(POLICIES, "lrp_epsilon", replace(composite("lrp_epsilon", own, Flat())))
    found = compile_model(drawn(NETWORKS[network]), X, methods=["lrp_epsilon"]).manifest["certificate"]
    assert found["methods"]["lrp_epsilon"] < 1e-9


def test_a_rule_without_a_formula_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def own_rule(call, r, y, input, *rest):
        return input * 0, None, None

    own = {kinds.CONVOLUTION: own_rule, kinds.DENSE: Epsilon()}
    monkeypatch.setitem(POLICIES, "lrp_epsilon", composite("lrp_epsilon", own))
    with pytest.raises(ValueError, match="no formula for the rule 'own_rule'"):
        compile_model(drawn(Convolutions), X, methods=["lrp_epsilon"])


def test_a_row_of_the_table_of_relevance() -> None:
    row = verify_relevance("norms", drawn(Norms), X, composites=["lrp_epsilon_plus", "lrp_epsilon"])
    assert row.kept and {*row.deviations} == {*row.arrived} == {"lrp_epsilon_plus", "lrp_epsilon"}
    assert str(row).count("|") == relevance_header().splitlines()[0].count("|")
    assert not replace(row, deviations={"lrp_epsilon": 1e-3}).kept
    assert not replace(row, arrived={"lrp_epsilon": float("nan")}).kept


def test_a_row_tells_what_was_refused() -> None:
    class Heard(Norms):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(torch.fft.irfft2(torch.fft.rfft2(image)))

    row = verify_relevance("heard", drawn(Heard), X, composites=["lrp_epsilon_plus"])
    assert row.kept and "has no rule for aten." in str(row)


def test_a_composite_of_ones_own_is_a_dictionary_of_kinds() -> None:
    try:
        register_composite("mine", {kinds.CONVOLUTION: ZPlus(), kinds.DENSE: Epsilon()})
        explainer = compile_model(drawn(Convolutions), X, methods=["mine", "lrp_epsilon_plus"])
        seed = F.one_hot(explainer.forward(X).argmax(1), 5).double()
        assert torch.equal(explainer.explain(X, seed, "mine"), explainer.explain(X, seed, "lrp_epsilon_plus"))
        assert explainer.manifest["certificate"]["methods"]["mine"] < 1e-9
        with pytest.raises(ValueError, match="there is a method called 'mine' already"):
            register_composite("mine", {})
    finally:
        for table in (POLICIES, METHODS):
            table.pop("mine", None)
