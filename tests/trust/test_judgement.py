"""What a certificate measures decides: a wrong gradient makes no file, and rounding alone refuses none."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import CompileError, compile_model, load, save
from engine.rules import policies
from engine.trust import certificate, reference
from engine.trust.certificate import certify
from engine.trust.reference import relative
from tests.compiler.test_brought import Net, X
from tests.whole.brought import Reversed, Sign


class Stepped(Net):
    def __init__(self, step: Any) -> None:
        super().__init__()
        self.second, self.step = nn.Conv2d(6, 6, 3).double(), step

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.step(self.conv(x)).relu()).relu().mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", [Sign.apply, Reversed.apply], ids=["straight through", "reversed"])
def test_a_backward_of_ones_own_is_refused_by_name_and_place(step: Any, dtype: torch.dtype) -> None:
    words = rf"off in .*gradient by .*between conv and second.*{step.__self__.__name__} has a backward of its own"
    with pytest.raises(CompileError, match=words):
        compile_model(Stepped(step).to(dtype), X.to(dtype))


def test_who_accepts_it_finds_it_in_the_manifest(tmp_path: Any) -> None:
    explainer = compile_model(Stepped(Sign.apply), X, strict=False)
    save(explainer, tmp_path / "net.pt")
    told = load(tmp_path / "net.pt").manifest["certificate"]
    assert "Sign has a backward of its own" in told["accepted"]
    assert told["original"]["gradient"] == pytest.approx(1.0) and told["allowed"] < 1e-6


def test_what_is_right_says_what_it_was_held_against() -> None:
    told = compile_model(Stepped(torch.relu), X).manifest["certificate"]
    assert "accepted" not in told
    assert max(told["original"].values()) <= told["allowed"] <= 1e-7


def test_a_forward_pass_that_is_another_is_found_where_it_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Stepped):
        """What export sees, and what is run after it, differ."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Counting.calls += 1
            scale = 1.0 if torch.compiler.is_exporting() else 2.0
            return self.fc(self.second(self.conv(x).relu() * scale).mean((2, 3)))

    with pytest.raises(CompileError, match=r"off in logits by .*between conv and second, in the forward pass"):
        compile_model(Counting(torch.relu), X)


def test_a_kink_refuses_nothing() -> None:
    """Of a deep network in float32 with random numbers a BatchNorm that is folded puts some inputs on the other
    side of zero: both gradients are right, and further apart than rounding."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for width in (3, *[32] * 24):
        layers += [nn.Conv2d(width, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)).eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.05, 0.3)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 32, 32)
    told = compile_model(network, x, methods=["gradient"]).manifest["certificate"]
    assert max(told["original"].values()) <= told["allowed"] <= 0.5
    exact = compile_model(copy.deepcopy(network).double(), x.double(), methods=["gradient"]).manifest[
        "certificate"
    ]
    assert max(exact["original"].values()) < 1e-7


class Chaotic(Net):
    """Of which float32 tells nothing: a folded BatchNorm rounds otherwise, and the sine has gone round by then."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self.bn, self.step = nn.BatchNorm2d(6).double().eval(), step
        nn.init.uniform_(self.bn.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.step((self.bn(self.conv(x)) * 1e7).sin()).mean((2, 3)))


def test_what_float32_can_not_decide_float64_does() -> None:
    told = compile_model(Chaotic(torch.relu).float(), X.float(), methods=["gradient"]).manifest["certificate"]
    assert told["inputs"].endswith("decided in float64") and told["dtype"] == "float32"
    assert max(told["original"].values()) <= told["allowed"] < 1e-3
    with pytest.raises(CompileError, match="Sign has a backward of its own"):
        compile_model(Chaotic(Sign.apply).float(), X.float(), methods=["gradient"])


def test_a_rule_that_is_wrong_makes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.rules.pages import VJPS

    right = VJPS[torch.ops.aten.relu]
    monkeypatch.setitem(VJPS, torch.ops.aten.relu, lambda ct, y, self: (right(ct, y, self)[0] * 1.001,))
    with pytest.raises(CompileError, match=r"gradient by \d.*e-03"):
        compile_model(Stepped(torch.relu), X)


def test_a_gate_that_is_not_known_is_judged_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    module = compile_model(Stepped(torch.relu), X).module
    monkeypatch.delitem(reference.AT_ACTIVATIONS, "guided")
    with pytest.raises(ValueError, match="no formula for the policy 'guided'"):
        certify(module)


def test_a_method_that_is_not_known_is_judged_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    module = compile_model(Stepped(torch.relu), X).module
    monkeypatch.delitem(certificate.AT_LAYER, "grad_cam")
    with pytest.raises(ValueError, match="no formula for the method 'grad_cam'"):
        certify(module)


def test_a_method_of_layers_is_judged_under_its_own_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under guided backprop a layer's cotangent is another, and so is the map that is made of it."""
    from engine import METHODS, Method, Place
    from engine.trust.certificate import AT_LAYER
    from tests.trust.test_register_method import products

    monkeypatch.setitem(
        METHODS, "guided_products", Method("guided_products", "guided", Place.LAYER, products, "", "")
    )
    monkeypatch.setitem(AT_LAYER, "guided_products", (lambda a, ct: torch.einsum("nchw,nchw->nhw", a, ct), True))
    found = compile_model(Stepped(torch.relu), X, methods=["guided_products", "gradient"])
    assert found.manifest["certificate"]["methods"]["guided_products"] < 1e-12
    gates = {name for name, policy in policies.POLICIES.items() if not policy.alone and not policy.told}
    assert gates == {"gradient", *reference.AT_ACTIVATIONS}
    assert {name for name, policy in policies.POLICIES.items() if policy.told} == {*reference.AT_CALLS}


def test_what_is_no_number_is_told_apart() -> None:
    number, none = torch.ones(2), torch.tensor([1.0, float("nan")])
    assert relative(number, none) != relative(number, none)  # there is nothing to compare with
    assert relative(none, number) == float("inf")
    assert relative(number, number) == 0


def test_a_method_that_is_no_number_on_this_network_is_absent_with_the_reason() -> None:
    network = Stepped(lambda h: F.lp_pool2d((h - 1).relu(), 2, 2))  # the root of what is zero
    explainer = compile_model(network, X)
    assert "a slope on its way is infinite" in explainer.manifest["absent"]["deconvnet"]
    assert "gradient" in explainer.methods


def test_images_that_mix_are_refused() -> None:
    for step in (lambda h: h - h.mean(0, keepdim=True), lambda h: h + h.flip(0), lambda h: h * h.softmax(0)):
        with pytest.raises(ValueError, match=r"images of a batch m(ix in Stepped|ust not mix)"):
            compile_model(Stepped(step), X)


def test_a_hook_is_told_as_one() -> None:
    network = Stepped(torch.relu)
    network.second.register_full_backward_hook(lambda module, cts, _: (cts[0] * 2,))
    with pytest.raises(CompileError, match="A backward hook changes a gradient"):
        compile_model(network, X)


def test_a_network_without_numbers_says_so() -> None:
    with pytest.raises(CompileError, match=r"gives no numbers \(NaN\)"):
        compile_model(Stepped(lambda h: (-h.abs() - 1).log()), X)


def test_images_that_a_network_can_take_are_found() -> None:
    explainer = compile_model(Stepped(lambda h: h), X)
    assert "standard normal" in explainer.manifest["certificate"]["inputs"]

    class Log(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.log())

    told = compile_model(Log(), X).manifest["certificate"]
    assert "brought to 0..1 by a sigmoid" in told["inputs"]
    assert max(told["original"].values()) < 1e-9
