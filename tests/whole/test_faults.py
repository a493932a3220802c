"""What other tools get silently wrong must be impossible here: one test for each fault."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.files.artifact import Explainer
from engine.files.compiling import compile_model
from tests.oracle import GATED, at_image, deviation

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SEED = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Net(nn.Module):
    """Two convolutions and a linear head; subclasses say where the activations are."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.relu, self.inplace = nn.ReLU(), nn.ReLU(inplace=True)
            self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, 5)
        self.double().eval()

    def classify(self, h: Tensor) -> Tensor:
        return self.head(h.mean((2, 3)))


class Functional(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.classify(F.relu(self.second(torch.relu(self.first(x)))))


class Methods(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.second(self.first(x).relu()).relu_())


class Clamped(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.second(self.first(x).clamp(min=0)).clamp_min_(0))


class InPlace(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.classify(F.relu(self.second(self.inplace(self.first(x))), inplace=True))


class SharedInput(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.classify(h + self.second(self.relu(h)))


class Reused(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.second(self.relu(self.first(x))))
        return self.classify(self.relu(self.second(h)))


class InTheHead(Net):
    def forward(self, x: Tensor) -> Tensor:
        pooled = self.relu(self.first(x)).mean((2, 3))
        return self.head(F.relu(self.hidden(pooled)))


def activated(call: nn.Module) -> nn.Module:
    class Activated(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.classify(self.act(self.second(self.act(self.first(x)))))

    net = Activated()
    net.act = call
    return net


NETWORKS = {
    "functional ReLU": Functional, "ReLU as a method": Methods, "in-place ReLU": InPlace, "a clamp": Clamped,
    "ReLU whose input is shared": SharedInput, "reused modules": Reused, "ReLU in the head": InTheHead,
    "ReLU6": lambda: activated(nn.ReLU6()), "SiLU": lambda: activated(nn.SiLU(inplace=True)),
    "GELU": lambda: activated(nn.GELU()), "Hardswish": lambda: activated(nn.Hardswish()),
}  # fmt: skip


@pytest.mark.parametrize("policy", GATED)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_activation_call_is_gated(name: str, policy: str) -> None:
    """Faults 1, 2, 3, 5 and 6: equal to the oracle, and no plain gradient under another name."""
    module = NETWORKS[name]()
    *_, found = compile_model(module, X).probe(X, SEED, policy)
    wanted = at_image(module, X, SEED, policy)[1]
    assert deviation(found, wanted) < 1e-12
    if policy != "gradient":
        assert deviation(found, at_image(module, X, SEED, "gradient")[1]) > 0.01


def test_the_layer_before_an_in_place_relu_keeps_its_value() -> None:
    """Fault 4."""
    module = InPlace()
    explainer = compile_model(module, X)
    _, primals, _, _ = explainer.probe(X, SEED, "gradient")
    at = explainer.layers.index("first")
    assert primals[at].min() < 0
    torch.testing.assert_close(primals[at], module.first(X), rtol=0, atol=1e-14)


def test_the_uses_of_a_module_are_told_apart() -> None:
    """Fault 6: each use has a name and a value of its own."""
    module = Reused()
    explainer = compile_model(module, X)
    assert explainer.layers == ["first", "relu", "second", "relu@2", "second@2", "relu@3"]
    primals = dict(zip(explainer.layers, explainer.probe(X, SEED, "gradient")[1], strict=True))
    once = module.second(module.first(X).relu())
    torch.testing.assert_close(primals["second"], once)
    torch.testing.assert_close(primals["second@2"], module.second(once.relu()))


def test_the_callers_model_and_tensors_stay_as_they_were() -> None:
    """Fault 7: nothing is left behind, and asking twice gives the same."""
    module = InPlace()
    module.first.weight.requires_grad_(False)
    before, flags = copy.deepcopy(module.state_dict()), [p.requires_grad for p in module.parameters()]
    x, seed = X.clone(), SEED.clone()
    explainer = compile_model(module, x)
    answers = [explainer.explain(x, seed, method) for method in explainer.one_pass_methods for _ in range(2)]
    for first, second in zip(answers[::2], answers[1::2], strict=True):
        assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [p.requires_grad for p in module.parameters()] == flags
    assert all(p.grad is None for p in module.parameters())
    assert not any(part._forward_hooks or part._backward_hooks or part.training for part in module.modules())
    assert torch.equal(x, X)
    assert torch.equal(seed, SEED)
    assert torch.is_grad_enabled()


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return compile_model(Reused(), X)


@pytest.mark.parametrize(
    "method", ["gradient", "guided_backprop", "saliency", "grad_cam", "guided_grad_cam", "cam"]
)
def test_one_class_per_image(explainer: Explainer, method: str) -> None:
    """Fault 9: a batch is as if each image had been asked alone."""
    seed = torch.eye(5).double()[[1, 3]]
    together = explainer.explain(X, seed, method)
    alone = [explainer.explain(X[i : i + 1], seed[i : i + 1], method)[0] for i in range(2)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=1e-15)
    assert not torch.allclose(together, explainer.explain(X, seed.flip(0), method))


@pytest.mark.parametrize("spot", [(2, 20), (9, 3)])
def test_height_and_width_are_not_swapped(spot: tuple[int, int]) -> None:
    """Fault 11: on an input of 12 x 24 the map is 12 x 24, and warm where the image is."""
    net = Functional()
    x = torch.zeros(1, 3, 12, 24, dtype=torch.float64)
    x[0, :, spot[0], spot[1]] = 50
    heat = compile_model(net, x).explain(x, torch.ones(1, 5).double(), "input_x_gradient")
    assert heat.shape == (1, 3, 12, 24)
    place = heat[0].abs().sum(0).argmax().item()
    assert divmod(place, 24) == spot
    cam = compile_model(net, x).explain(x, net(x).sign(), "cam")[0]
    row, column = divmod((cam - cam[6, 12]).abs().argmax().item(), 24)
    assert abs(row - spot[0]) <= 2
    assert abs(column - spot[1]) <= 2
