"""What goes alone: relevance at the image and at the layers, what of it arrived, and where it starts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import Explainer, compile_model

METHODS = [
    "gradient",
    "hires_cam",
    "lrp_epsilon_plus",
    "lrp_epsilon",
    "lrp_epsilon_plus_flat",
    "excitation_backprop",
]
RELEVANCE = METHODS[2:]
X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Network(nn.Module):
    """A residual block behind a stem whose norm is folded. bias: what relevance is lost to."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.inner, self.outer = nn.Conv2d(8, 8, 3, padding=1, bias=bias), nn.Conv2d(8, 8, 1, bias=bias)
        self.head = nn.Linear(8, 5, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(image)))
        x = F.relu(x + self.outer(F.relu(self.inner(x))))
        return self.head(F.max_pool2d(x, 2).mean((2, 3)))


def made(bias: bool) -> Explainer:
    torch.manual_seed(0)
    network = Network(bias).double().eval()
    if bias:
        nn.init.normal_(network.norm.bias)
        nn.init.uniform_(network.norm.running_var, 0.5, 2)
        nn.init.normal_(network.norm.running_mean)
    return compile_model(network, X, methods=METHODS)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return made(bias=True)


@pytest.fixture(scope="module")
def seed(explainer: Explainer) -> Tensor:
    return F.one_hot(explainer.forward(X).argmax(1), 5).double()


@pytest.mark.parametrize("method", RELEVANCE)
def test_one_pass_gives_what_each_question_alone_gives(explainer: Explainer, seed: Tensor, method: str) -> None:
    image, layers, arrived = explainer.module.explain_throughout(X, seed, method)
    assert torch.equal(image, explainer.explain(X, seed, method))
    assert torch.equal(layers, explainer.sweep(X, seed, method))
    for index, name in enumerate(explainer.layers):
        alone = explainer.explain(X, seed, method, name)  # enlarged by itself, which may round otherwise
        torch.testing.assert_close(layers[:, index], alone, rtol=1e-12, atol=1e-12)
    assert image.shape == X.shape and layers.shape[1] == len(explainer.layers) > 3
    assert arrived.shape == (2, 1 + len(explainer.layers))


@pytest.mark.parametrize("method", RELEVANCE)
def test_what_arrived_is_the_sum_of_the_relevance_over_the_score(explainer, seed: Tensor, method: str) -> None:
    logits, _, relevance, image = explainer.probe(X, seed, method)
    score = (logits * seed).sum(1)
    sums = torch.stack([r.flatten(1).sum(1) / score for r in (image, *relevance)], 1)
    torch.testing.assert_close(
        explainer.module.explain_throughout(X, seed, method)[2], sums, rtol=1e-12, atol=1e-12
    )


def test_without_biases_all_of_it_arrives() -> None:
    explainer = made(bias=False)
    seed = F.one_hot(explainer.forward(X).argmax(1), 5).double()
    for method in RELEVANCE:
        arrived = explainer.module.explain_throughout(X, seed, method)[2]
        torch.testing.assert_close(arrived, torch.ones_like(arrived), rtol=0, atol=1e-2)
        assert (arrived - 1).abs().max() > 1e-9  # a stabiliser takes a little, and that is told


def test_with_biases_some_is_lost(explainer: Explainer, seed: Tensor) -> None:
    arrived = explainer.module.explain_throughout(X, seed, "lrp_epsilon")[2]
    assert (arrived[:, 0] - 1).abs().min() > 1e-2


def test_a_walk_that_is_alone_changes_nobody_elses(explainer: Explainer, seed: Tensor) -> None:
    """Asked beside others, in any order, each method answers as it does alone; the gates' walk knows of none."""
    together = explainer.survey(X, seed, [METHODS[4], "hires_cam", METHODS[2], "gradient"])
    for method, map in together.items():
        alone = explainer.sweep(X, seed, method) if method == "hires_cam" else explainer.explain(X, seed, method)
        assert torch.equal(map, alone)
    assert "lrp" not in explainer.module.walk.code


def test_a_start_at_a_layer_is_its_seed_times_its_value(explainer: Explainer) -> None:
    """All that lies above is left out: from a layer's own relevance on the map is that of the logit."""
    seed = F.one_hot(explainer.forward(X).argmax(1), 5).double()
    _, primals, relevance, image = explainer.probe(X, seed, "lrp_epsilon_plus")
    for index in explainer.module.starts:
        ratio = torch.nan_to_num(relevance[index] / primals[index])
        found = explainer.module.explain_from(X, index, ratio, "lrp_epsilon_plus")
        torch.testing.assert_close(found, image, rtol=1e-9, atol=1e-9)
        below = explainer.module.explain_from(X, index, ratio, "lrp_epsilon_plus", 0)
        torch.testing.assert_close(below, explainer.explain(X, seed, "lrp_epsilon_plus", 0), rtol=1e-9, atol=1e-9)


def test_an_answer_tells_what_arrived(explainer: Explainer, seed: Tensor) -> None:
    answer = explainer.ask(X, method="lrp_epsilon_plus")
    assert torch.equal(answer.values, explainer.explain(X, seed, "lrp_epsilon_plus"))
    assert answer.layers == () and answer.signed and answer.arrived.shape == (2, 1 + len(explainer.layers))
    shares = ", ".join(f"{float(share):.1%}" for share in answer.arrived[:, 0])
    assert f"{shares} of the score came to the pixels" in repr(answer)
    every = explainer.ask(X, method="lrp_epsilon_plus", layer="all")
    assert every.layers == tuple(explainer.layers) and every.values.shape[1] == len(every.layers)
    one = explainer.ask(X, method="lrp_epsilon_plus", layer=explainer.layers[1])
    assert one.layers == (explainer.layers[1],)
    torch.testing.assert_close(one.values, every.values[:, 1], rtol=1e-12, atol=1e-12)
    assert explainer.ask(X, method="gradient").arrived is None
    assert explainer.ask(X, method="lrp_epsilon_plus", smooth=2).arrived is None


def test_what_does_not_fit_is_refused_with_the_way_out(explainer: Explainer, seed: Tensor) -> None:
    count = len(explainer.layers)
    with pytest.raises(Exception, match=rf"layer {count} is not one of 0..{count - 1}, and -1 is the image"):
        explainer.module.explain(X, seed, "lrp_epsilon_plus", count)
    with pytest.raises(Exception, match=r"layer -2 is not one of"):
        explainer.module.explain(X, seed, "lrp_epsilon_plus", -2)
    with pytest.raises(Exception, match=r"gradient carries no relevance; in this file do: lrp_epsilon_plus, "):
        explainer.module.explain_throughout(X, seed, "gradient")
    with pytest.raises(Exception, match="lies above the start"):
        explainer.module.explain_from(X, 0, torch.ones_like(explainer.module.primals(X)[1][0]), "lrp_epsilon", 1)


def test_relevance_of_a_first_layer_that_only_passes_it_on() -> None:
    """No step lies between the layer and the image then."""
    network = (
        nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).double().eval()
    )
    explainer = compile_model(network, X, methods=["lrp_epsilon_plus", "gradient"])
    seed = F.one_hot(explainer.forward(X).argmax(1), 3).double()
    found = explainer.explain(X, seed, "lrp_epsilon_plus")
    assert torch.equal(found, explainer.probe(X, seed, "lrp_epsilon_plus")[2][0]) and found.abs().max() > 1e-6


def test_what_has_no_rule_is_absent_with_the_reason() -> None:
    class Heard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(torch.fft.fft2(self.conv(image)).abs().mean((2, 3)))

    explainer = compile_model(Heard().double().eval(), X)
    assert "lrp_epsilon_plus" not in explainer.methods and "gradient" in explainer.methods
    assert "lrp_epsilon_plus has no rule for aten." in explainer.manifest["absent"]["lrp_epsilon_plus"]
    with pytest.raises(ValueError, match=r"lrp_epsilon_plus has no rule for aten\."):
        compile_model(Heard().double().eval(), X, methods=["lrp_epsilon_plus"])
