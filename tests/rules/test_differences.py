"""DeepLIFT: exact against the formula stated anew, complete where it should be, and captum's where that is so."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.errors import CompileError

ASKED = ["deep_lift", "gradient", "input_x_gradient"]


class Gated(nn.Module):
    """Activations of three kinds, a max pooling, a gate on channels, and a functional call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3)
        self.squeeze, self.head = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.gelu(self.second(x)) + torch.tanh(x[:, :, 1:-1, 1:-1])
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3))))[:, :, None, None]
        return self.head(x.mean((2, 3)))


def compiled(network: nn.Module, dtype: torch.dtype = torch.float64) -> Explainer:
    torch.manual_seed(0)
    return compile_model(network.to(dtype).eval(), torch.zeros(1, 3, 16, 16, dtype=dtype), "all", ASKED)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(1)
    return compiled(Gated())


X = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_it_is_the_formula_stated_anew(explainer: Explainer) -> None:
    certificate = explainer.manifest["certificate"]
    assert certificate["policies"]["deep_lift"] < 1e-12 and certificate["methods"]["deep_lift"] < 1e-12


@pytest.mark.parametrize("baseline", ["mean", "blur"])
def test_its_parts_make_up_what_the_score_gained(explainer: Explainer, baseline: str) -> None:
    answer = explainer.ask(X, 2, "deep_lift", baseline=baseline)
    assert answer.signed and answer.passes == 2 and float(answer.completeness.max()) < 1e-9
    before = torch.zeros_like(X) if baseline == "mean" else explainer.module.baseline(X, "blur")
    gained = (explainer.forward(X) - explainer.forward(before))[:, 2]
    assert torch.allclose(answer.values.flatten(1).sum(1), gained)


def test_images_do_not_know_of_each_other(explainer: Explainer) -> None:
    together = explainer.ask(X, 2, "deep_lift").values
    for image in range(3):
        alone = explainer.ask(X[image : image + 1], 2, "deep_lift").values
        assert torch.allclose(alone[0], together[image], atol=1e-12)
    own = explainer.ask(X, 2, "deep_lift", baseline=X.flip(0)).values
    alone = explainer.ask(X[:1], 2, "deep_lift", baseline=X[2:]).values
    assert torch.allclose(own[0], alone[0], atol=1e-12)


def test_where_nothing_bends_it_is_input_times_gradient() -> None:
    linear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * 49, 5))
    explainer = compiled(linear)
    found = explainer.ask(X, 1, "deep_lift").values
    assert torch.allclose(found, explainer.ask(X, 1, "input_x_gradient").values, atol=1e-12)


def test_by_hand() -> None:
    """relu(x - 1) of 3 from -1: the output gained 2 of 4, so the input's difference of 4 has half a slope."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1, 3))
    with torch.no_grad():
        network[0].weight.fill_(1), network[0].bias.fill_(-1)
        network[3].weight.copy_(torch.tensor([[1.0], [2], [-1]])), network[3].bias.zero_()
    explainer = compile_model(network.double().eval(), torch.zeros(1, 1, 1, 1).double(), methods=ASKED)
    x = torch.full((1, 1, 1, 1), 3.0).double()
    for target, wanted in enumerate((2.0, 4.0, -2.0)):
        answer = explainer.ask(x, target, "deep_lift", baseline=-torch.ones(1, 1, 1, 1).double())
        assert answer.values.item() == pytest.approx(wanted)


def plain() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.AvgPool2d(2), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Sigmoid(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10), nn.Softplus(), nn.Linear(10, 5),
    ).double().eval()  # fmt: skip


def captums(network: nn.Module, x: Tensor, baseline: Tensor) -> Tensor:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    return attr.DeepLift(network).attribute(x, baseline, target=2).detach()


@pytest.mark.filterwarnings("ignore")
def test_captum_gives_the_same_of_modules() -> None:
    network, baseline = plain(), 0.3 * X.flip(3)
    found = compiled(network).ask(X, 2, "deep_lift", baseline=baseline).values
    assert torch.allclose(found, captums(network, X, baseline), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_fault_captum_loses_a_max_pooling_beside_a_relu() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 5),
    ).double().eval()  # fmt: skip
    baseline = 0.3 * X.flip(3)
    gained = (network(X) - network(baseline))[:, 2].detach()
    theirs = captums(network, X, baseline).flatten(1).sum(1)
    assert float(((theirs - gained) / gained).abs().max()) > 1, "148 % of what was gained"
    assert float(compiled(network).ask(X, 2, "deep_lift", baseline=baseline).completeness.max()) < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_fault_captum_sees_no_functional_call() -> None:
    """What it does not see keeps its slope, and the parts don't make up what was gained."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.silu(self.conv(x)).mean((2, 3)))

    torch.manual_seed(4)
    network = Functional().double().eval()
    baseline = torch.zeros_like(X)
    gained = (network(X) - network(baseline))[:, 2].detach()
    theirs = captums(network, X, baseline).flatten(1).sum(1)
    assert float(((theirs - gained) / gained).abs().max()) > 0.05
    assert float(compiled(network).ask(X, 2, "deep_lift").completeness.max()) < 1e-9


def test_where_the_first_axis_holds_more_than_images_it_is_refused() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = F.gelu(x.permute(0, 2, 3, 1).reshape(-1, 3))
            return self.head(tokens.reshape(-1, 256, 3).mean(1))

    with pytest.raises(CompileError, match=r"gelu.*first axis is not the images'"):
        compiled(Windows())
