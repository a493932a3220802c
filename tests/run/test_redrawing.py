"""The same program with other weights: exact like any, by the layers that were asked, and laid out anew."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import compile_model
from engine.trust.certificate import certify


class Net(nn.Module):
    """A norm that folds, one that doesn't, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.before, self.second, self.head = nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3), nn.Linear(8, 5)
        for norm in (self.norm, self.before):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(F.relu(self.second(F.relu(self.before(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def explainer():
    torch.manual_seed(0)
    return compile_model(Net().eval(), torch.zeros(1, 3, 16, 16), methods=METHODS)


METHODS = ["gradient", "guided_backprop", "grad_cam", "lrp_epsilon_plus"]
X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_what_is_redrawn_is_exact_and_another_network(explainer) -> None:
    together = [entry for entry in explainer.manifest["constants"] if len(entry["constants"]) > 1]
    assert together, "a norm that is not folded stands in the listing as it is, and as a factor of the way back"
    twin = explainer.randomised(seed=3)
    assert explainer.weighted == ["stem", "norm", "before", "second", "head"]
    told = certify(twin.module)
    assert max(told["methods"].values()) <= 1e-4 and told["methods"].keys() == set(twin.methods)
    assert not torch.allclose(twin.forward(X), explainer.forward(X), rtol=0.01)
    assert torch.equal(twin.forward(X), explainer.randomised(seed=3).forward(X))
    assert not torch.equal(twin.forward(X), explainer.randomised(seed=4).forward(X))


def test_each_parameter_keeps_its_values_and_only_those_asked_for_move(explainer) -> None:
    before = dict(explainer.module.weights.named_buffers())
    after = dict(explainer.randomised(["head", "second"]).module.weights.named_buffers())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    held = {
        c
        for e in explainer.manifest["constants"]
        for c in e["constants"]
        if e["parameter"].partition(".")[0] in ("head", "second")
    }
    assert held and {name for name in held if before[name].numel() > 1} == moved
    for name in before:
        assert torch.equal(before[name].flatten().sort().values, after[name].flatten().sort().values)
    with pytest.raises(ValueError, match="'haed' has no weights that can be redrawn; the nearest are head"):
        explainer.randomised("haed")


def test_weights_that_are_written_into_are_followed(explainer) -> None:
    twin = explainer.randomised("stem")
    twin.forward(X)
    weights = dict(twin.module.weights.named_buffers())
    with torch.no_grad():
        for name, value in explainer.module.weights.named_buffers():
            weights[name].copy_(value)
    assert torch.allclose(twin.forward(X), explainer.forward(X), atol=1e-6)
