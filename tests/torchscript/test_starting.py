"""Questions that start at a layer, and the network's tail from there: against autograd through the file."""

import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.trust.reference import start_reference
from tests.oracle import deviation, randomise
from tests.whole.test_reference import SEED, Small, X

POLICIES = {"gradient": "gradient", "deconvnet": "deconvnet", "guided": "guided_backprop"}


class Windows(nn.Module):
    """A folded BatchNorm, ReLU6, a residual sum, tokens with a class token, windows, a max-pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6()
        self.inner, self.outer = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.pool, self.token = nn.MaxPool2d(2), nn.Parameter(torch.randn(1, 1, 8))
        self.mix, self.back, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.pool(torch.relu(x + self.outer(self.inner(x))))
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
        windows = torch.relu(self.mix(windows)).reshape(n, h // 2, w // 2, 2, 2, c)
        tokens = windows.permute(0, 1, 3, 2, 4, 5).reshape(n, h * w, c)
        tokens = torch.relu(self.back(torch.cat([self.token.expand(n, -1, -1), tokens], 1)))
        return self.head(tokens.mean(1))


def built(layers: str = "trunk") -> tuple[Explainer, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16)
    net = randomise(Windows().eval(), x).double()
    return compile_model(net, x.double(), layers=layers), x.double()


@pytest.fixture(scope="module")
def windows() -> tuple[Explainer, Tensor]:
    return built()


def test_it_has_layers_of_every_kind(windows: tuple[Explainer, Tensor]) -> None:
    explainer, _ = windows
    module = explainer.module
    assert {"stem", "norm", "act", "mix", "back"} <= {*explainer.layers}
    # Of the tokens behind the class token's coming, the class token's own value is missing.
    assert set(module.starts) - set(module.tails) and module.starts == list(range(len(explainer.layers)))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_seed_at_any_layer_gives_what_autograd_gives(windows: tuple[Explainer, Tensor], policy: str) -> None:
    explainer, x = windows
    _, primals = explainer.module.primals(x)
    for layer, primal in enumerate(primals):
        seed = torch.randn(primal.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(layer))
        kept = seed.clone()
        found = explainer.module.explain_from(x, layer, seed, POLICIES[policy])
        assert deviation(found, start_reference(explainer.module, x, layer, seed, policy)) < 1e-12
        assert torch.equal(seed, kept)


def test_the_tail_of_a_layers_value_gives_the_logits(windows: tuple[Explainer, Tensor]) -> None:
    explainer, x = windows
    module = explainer.module
    logits, primals = module.primals(x)
    for layer in module.tails:
        value = primals[layer].detach().clone()
        assert deviation(module.tail(layer, value), logits) < 1e-12
        assert torch.equal(value, primals[layer])
        # and of another value than the image's own: by autograd's tail, linear in a small step
        assert not torch.allclose(module.tail(layer, value * 0.5), logits)


def test_a_layer_with_a_class_token_has_no_tail(windows: tuple[Explainer, Tensor]) -> None:
    explainer, x = windows
    layer = next(layer for layer in explainer.module.starts if layer not in explainer.module.tails)
    with pytest.raises(torch.jit.Error, match="hang on more than the values"):
        explainer.module.tail(layer, explainer.module.primals(x)[1][layer])


def test_beside_other_paths_nothing_starts() -> None:
    explainer, x = built("all")
    module = explainer.module
    beside = explainer.layers.index("inner")
    assert beside not in module.starts
    with pytest.raises(torch.jit.Error, match="lies beside other paths"):
        module.explain_from(x, beside, torch.zeros(2, 8, 8, 8).double(), "gradient")
    primal = module.primals(x)[1][0]
    seed = torch.randn_like(primal)
    found = module.explain_from(x, 0, seed, "guided_backprop")
    assert deviation(found, start_reference(module, x, 0, seed, "guided")) < 1e-12


@pytest.fixture(scope="module")
def small() -> Explainer:
    return compile_model(Small().double().eval(), X)


ONES = [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("unit", "method", "wanted"),
    [
        ((0, 1, 1), "gradient", ONES),
        ((0, 1, 1), "deconvnet", ONES),
        ((0, 1, 1), "guided_backprop", ONES),
        ((0, 0, 0), "gradient", [[0] * 4] * 4),
        ((0, 0, 0), "guided_backprop", [[0] * 4] * 4),
        ((0, 0, 0), "deconvnet", [[1, 1, 1, 0]] * 3 + [[0] * 4]),
        ((1, -2, 0), "gradient", [[0] * 4] + [[1, 2, 2, 1]] * 3),
        ((0, -1, 0), "deconvnet", ONES),
    ],
)
def test_units_of_the_small_network(
    small: Explainer, unit: tuple[int, int, int], method: str, wanted: list[list[int]]
) -> None:
    map, place, value = small.module.explain_unit(X, 1, torch.tensor([unit]), method)
    assert map[0, 0].tolist() == wanted
    expected = {
        (0, 1, 1): ([1, 1], 40),
        (0, 0, 0): ([0, 0], 0),
        (1, -2, 0): ([-2, -2], 21),
        (0, -1, 0): ([1, 1], 40),
    }
    assert (place[0].tolist(), float(value)) == expected[unit]


def test_each_image_of_a_batch_has_its_own_strongest_place(windows: tuple[Explainer, Tensor]) -> None:
    explainer, x = windows
    units = torch.tensor([[3, -1, 0], [5, -1, 0]])
    maps, places, values = explainer.module.explain_unit(x, 2, units, "guided_backprop")
    primal = explainer.module.primals(x)[1][2]
    for image, channel in enumerate((3, 5)):
        assert float(values[image]) == float(primal[image, channel].max())
        alone = explainer.module.explain_unit(x[image : image + 1], 2, units[image : image + 1], "guided_backprop")
        assert deviation(maps[image : image + 1], alone[0]) < 1e-12
        assert places[image].tolist() == alone[1][0].tolist()


def test_a_layer_method_is_read_below_the_start(windows: tuple[Explainer, Tensor]) -> None:
    explainer, x = windows
    module, start, at = explainer.module, explainer.layers.index("mix"), 2
    primals = module.primals(x.clone().requires_grad_())[1]
    seed = torch.randn(primals[start].shape, dtype=torch.float64)
    (ct,) = torch.autograd.grad((primals[start] * seed).sum(), primals[at])
    wanted = torch.relu((primals[at] * ct).sum(1))
    wanted = nn.functional.interpolate(wanted[:, None], (16, 16), mode="bilinear")[:, 0]
    assert deviation(module.explain_from(x, start, seed, "hires_cam", at), wanted) < 1e-12
    with pytest.raises(torch.jit.Error, match="lies above the start"):
        module.explain_from(x, at, torch.zeros_like(primals[at]), "hires_cam", start)


def test_answers_from_the_logits_are_as_before_where_others_start_below(small: Explainer) -> None:
    before = small.explain(X, SEED, "guided_backprop")
    small.module.explain_unit(X, 1, torch.tensor([[0, 1, 1]]), "guided_backprop")
    assert torch.equal(before, small.explain(X, SEED, "guided_backprop"))


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (torch.tensor([[2, 0, 0]]), "a channel is none of 0..1"),
        (torch.tensor([[0, 2, 0]]), "a place lies outside"),
        (torch.tensor([[0, 0, 5]]), "a place lies outside"),
        (torch.tensor([[0, -3, 0]]), "a place lies outside"),
        (torch.tensor([[0, 0]]), "units are"),
    ],
)
def test_a_unit_that_is_not_there_is_refused(small: Explainer, units: Tensor, said: str) -> None:
    with pytest.raises(torch.jit.Error, match=said):
        small.module.explain_unit(X, 1, units, "gradient")
