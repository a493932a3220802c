"""FullGrad: on paper, and that its parts make up the score, whatever bends in the network."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.trust.full_gradient import full_gradient_reference
from tests.oracle import deviation, randomise
from tests.whole.test_reference import SEED, Small, X


class Squeezed(nn.Module):
    """Convolutions off the trunk, clamps, a gate, a sum with a constant, a norm that does not fold."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.first, self.second, self.gate = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.before, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(3 * self.norm(self.stem(x)))
        inner = self.second(F.silu(self.first(torch.relu(self.before(x)))))
        x = x + inner * torch.sigmoid(self.gate(inner.mean((2, 3), keepdim=True)))
        return self.head(F.hardswish(1 - x + self.shift).mean((2, 3)))


@pytest.fixture(scope="module")
def squeezed() -> tuple[Explainer, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16)
    net = randomise(Squeezed().eval(), x).double()
    seed = torch.randn(2, 5, dtype=torch.float64)
    return compile_model(net, x.double()), x.double(), seed


def test_the_small_network() -> None:
    """Of its image x·g / 11; of its biases -50 g and -75 g at four places each, over 75."""
    explainer = compile_model(Small().double().eval(), X, methods=["full_grad"])
    map, error = explainer.module.explain_whole(X, SEED, "full_grad")
    image = torch.tensor([[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]], dtype=torch.float64) / 11
    biases = (
        torch.tensor([[0, 50], [50, 50], [0, 0], [75, 75.0]], dtype=torch.float64).reshape(2, 2, 2).sum(0) / 75
    )
    wanted = image + F.interpolate(biases[None, None], (4, 4), mode="bilinear")[0, 0]
    torch.testing.assert_close(map[0], wanted, rtol=1e-12, atol=1e-12)
    assert float(map.max()) == pytest.approx(2.416667, abs=1e-6) and float(error) < 1e-15


def test_the_parts_make_up_the_score(squeezed: tuple[Explainer, Tensor, Tensor]) -> None:
    explainer, x, seed = squeezed
    map, error = explainer.module.explain_whole(x, seed, "full_grad")
    assert float(error.max()) < 1e-12
    wanted, total = full_gradient_reference(explainer.module, x, seed)
    assert deviation(map, wanted) < 1e-12
    assert deviation(total, (explainer.forward(x) * seed).sum(1)) < 1e-12
    assert "counted" in explainer.module.additive and explainer.module.additive.count("drawn") > 8


def test_one_pass_answers_it_among_others(squeezed: tuple[Explainer, Tensor, Tensor]) -> None:
    explainer, x, seed = squeezed
    alone, _ = explainer.module.explain_whole(x, seed, "full_grad")
    names = ["gradient", "full_grad", "grad_cam"]
    found = explainer.module.survey(x, seed, names)
    assert torch.equal(found[1], alone) and torch.equal(explainer.module.explain(x, seed, "full_grad", -1), alone)
    for index, name in ((0, "gradient"), (2, "grad_cam")):
        assert torch.equal(found[index], explainer.module.survey(x, seed, [name])[0])


def test_it_starts_at_a_layer_too(squeezed: tuple[Explainer, Tensor, Tensor]) -> None:
    """The image's part and those of the calls up to the layer: more of them, the higher the layer."""
    explainer, x, _ = squeezed
    module, largest = explainer.module, []
    for layer in module.starts:
        value = module.primals(x)[1][layer]
        map = module.explain_from(x, layer, torch.ones_like(value), "full_grad")
        assert map.shape == (2, 16, 16) and bool(map.isfinite().all()) and float(map.min()) >= 0
        largest.append(float(map.max()))
    assert largest[0] < largest[-1]


def test_in_python_it_is_told_how_complete_it_is(squeezed: tuple[Explainer, Tensor, Tensor]) -> None:
    explainer, x, _ = squeezed
    found = explainer.ask(x, 2, "full_grad")
    assert found.completeness is not None and float(found.completeness.max()) < 1e-12
    assert found.told()[2] == "all parts make up the score but for 0.0%, 0.0%"
    assert found.values.shape == (2, 16, 16) and found.layers == () and not found.signed


def test_what_attention_adds_is_missing_and_told() -> None:
    """Softmax and the norms of tokens are no bias of anything: the number says what is lacking."""

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.patch, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.norm(self.patch(x).flatten(2).transpose(1, 2))
            return self.head(F.scaled_dot_product_attention(tokens, tokens, tokens).mean(1))

    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    explainer = compile_model(Attends().double().eval(), x, methods=["full_grad"])
    found = explainer.ask(x, 1, "full_grad")
    assert found.completeness is not None and float(found.completeness.min()) > 0.01
    assert explainer.manifest["certificate"]["methods"]["full_grad"] < 1e-12


def test_no_other_method_reads_it(squeezed: tuple[Explainer, Tensor, Tensor]) -> None:
    explainer, x, seed = squeezed
    with pytest.raises(torch.jit.Error, match="gradient does not read what each call adds; use explain"):
        explainer.module.explain_whole(x, seed, "gradient")
