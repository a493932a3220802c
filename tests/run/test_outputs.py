"""What outputs are: probabilities as the network means them, seeds of any type and shape, classes by number."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import CaptureError, Explainer, compile_model, load, save
from tests.compiler.test_brought import Net, X, gradient


def ended(*steps: nn.Module, **options: object) -> Explainer:
    network = nn.Sequential(Net(), *steps).eval()
    return compile_model(network, X, **options)  # type: ignore[arg-type]


class Scaled(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return (100 * (y / 2).softmax(1)).float().double()


pytestmark = pytest.mark.filterwarnings("ignore:.* ends in .*:UserWarning")


def test_probabilities_are_the_networks_own() -> None:
    logits = Net()(X)
    softmax, sigmoid = logits.softmax(1).float(), logits.sigmoid().float()
    for explainer, outputs, wanted in (
        (ended(), "choice", softmax),
        (ended(nn.Softmax(1)), "choice", softmax),
        (ended(nn.LogSoftmax(1)), "choice", softmax),
        (ended(nn.Softmax(1), below_softmax=True), "choice", softmax),
        (ended(nn.Sigmoid()), "independent", sigmoid),
        (ended(nn.Sigmoid(), below_softmax=True), "independent", sigmoid),
        (ended(outputs="independent"), "independent", sigmoid),
        (ended(Scaled()), "values", None),
        (ended(outputs="values"), "values", None),
        (ended(outputs="embedding"), "embedding", None),
    ):
        assert explainer.outputs == outputs
        found = explainer.probabilities(explainer.forward(X))
        if wanted is None:
            assert found is None
        else:
            torch.testing.assert_close(found, wanted)


def test_below_softmax_looks_through_what_only_moves_or_scales() -> None:
    for ending in (
        Scaled(),
        nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Softmax(1), nn.Flatten()),
        nn.Sequential(nn.Softmax(-1), nn.Identity()),
    ):
        explainer = ended(ending, below_softmax=True)
        assert max(explainer.manifest["certificate"]["original"].values()) < 1e-7
        scale = 2 if isinstance(ending, Scaled) else 1
        torch.testing.assert_close(explainer.forward(X) * scale, Net()(X))
    for nothing in (nn.Identity(), nn.Tanh(), nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Softmax(2), nn.Flatten())):
        with pytest.raises(CaptureError, match=r"below_softmax=True, but .* gives the output"):
            ended(nothing, below_softmax=True)


def test_a_ranking_reads_like_the_outputs() -> None:
    logits = Net()(X).detach()
    order = logits[0].argsort(descending=True).tolist()
    assert [row.index for row in ended().ranking(logits)[0]] == order
    assert ended().ranking(logits)[0][0].told == f"{100 * float(logits[0].softmax(0).max()):.1f}%"
    top = ended(outputs="values").ranking(logits)[0][0]
    assert (top.told, top.label) == (f"{float(logits[0].max()):.2f}", str(order[0]))
    assert ended(outputs="values").ranking(logits * 1e-4)[0][0].told == f"{float(logits[0].max()) * 1e-4:.3g}"


def test_seeds_of_any_type_are_seeds() -> None:
    explainer = compile_model(Net().float(), X.float())
    x, wanted = X.float(), None
    for seed in (
        torch.eye(4)[[1, 2]], F.one_hot(torch.tensor([1, 2]), 4), torch.eye(4).bool()[[1, 2]],
        torch.eye(4, dtype=torch.float16)[[1, 2]], torch.eye(4, dtype=torch.uint8)[[1, 2]],
    ):  # fmt: skip
        found = [explainer.explain(x, seed, "gradient"), explainer.module.explain(x, seed, "gradient", -1)]
        found += [explainer.survey(x, seed, ["gradient"])["gradient"], explainer.probe(x, seed, "gradient")[3]]
        wanted = found[0] if wanted is None else wanted
        for one in found:
            torch.testing.assert_close(one, wanted)
    torch.testing.assert_close(explainer.explain(x, explainer.one_hot(1), "gradient")[0], wanted[0])
    for seed in (np.eye(4)[[1, 2]], [[0, 1, 0, 0], [0, 0, 1, 0]]):
        torch.testing.assert_close(explainer.explain(x, seed, "gradient"), wanted)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="complex"):
        explainer.explain(x, torch.ones(2, 4, dtype=torch.complex64), "gradient")
    with pytest.raises(ValueError, match=r"seed is \[2\].*classes are asked for by answer"):
        explainer.explain(x, torch.tensor([1, 2]), "gradient")


def test_a_single_logit_may_be_spoken_against() -> None:
    network = nn.Sequential(Net(), nn.Linear(4, 1)).double().eval()
    explainer = compile_model(network, X)
    against = explainer.explain(X, torch.tensor([[-1], [-1]]), "gradient")
    torch.testing.assert_close(against, -gradient(network, X, torch.ones(2, 1, dtype=torch.float64)))
    assert explainer.outputs == "values"


def test_a_class_is_a_number_of_any_type() -> None:
    explainer = compile_model(Net(), X)
    for three in (3, torch.tensor(3), torch.tensor([3]), np.int64(3), np.array(3), "3"):
        assert explainer.class_index(three) == 3  # type: ignore[arg-type]
        assert torch.equal(explainer.one_hot(three), explainer.one_hot(3))  # type: ignore[arg-type]
    logits, maps = explainer.answer(X, torch.tensor([3, -1]), "gradient")  # type: ignore[arg-type]
    again = explainer.answer(X, [3, int(logits[1].argmax())], "gradient")[1]
    assert torch.equal(maps, again)
    for wrong in (1.5, True, None, torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="a class is a number or a name"):
            explainer.class_index(wrong)  # type: ignore[arg-type]


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def test_a_value_for_each_place(tmp_path) -> None:
    network = Dense()
    save(compile_model(network, X), tmp_path / "dense.pt")
    explainer = load(tmp_path / "dense.pt")
    logits = network(X)
    assert explainer.outputs == "dense" and explainer.manifest["output"] == [4, 6, 6]
    torch.testing.assert_close(explainer.forward(X), logits)
    region = torch.zeros(6, 6)
    region[2:4, 1:3] = 1
    seed = torch.zeros(2, 4, 6, 6, dtype=torch.float64)
    seed[:, 2, 2:4, 1:3] = 1
    assert torch.equal(explainer.one_hot(2, region).expand(2, -1, -1, -1), seed)
    found = explainer.explain(X, explainer.one_hot(2, region), "gradient")
    torch.testing.assert_close(found, gradient(network, X, seed))
    # Where the network sees a class, and everywhere where it sees it nowhere.
    top = logits.argmax(1)
    seen = torch.zeros_like(logits)
    for image in range(2):
        places = (top[image] == 1).double()
        seen[image, 1] = places if places.any() else 1.0
    assert torch.equal(explainer.where_seen(logits, 1), seen)
    answered = explainer.answer(X, [1, 1], "grad_cam")[1]
    torch.testing.assert_close(answered, explainer.explain(X, seen, "grad_cam"))
    # The top class is the one of most places.
    most = [int(top[image].flatten().bincount(minlength=4).argmax()) for image in range(2)]
    assert [row[0].index for row in explainer.ranking(logits)] == most
    torch.testing.assert_close(explainer.answer(X, None, "gradient")[1], explainer.answer(X, most, "gradient")[1])
    with pytest.raises(ValueError, match=r"region is \[6\], the logits of a class are \[6, 6\]"):
        explainer.one_hot(2, torch.ones(6))
    with pytest.raises(ValueError, match=r"seed is \[2, 4\], for these images it is \[2, 4, 6, 6\]"):
        explainer.explain(X, torch.ones(2, 4), "gradient")


def test_one_value_for_each_place_is_no_percentage() -> None:
    network = nn.Sequential(Dense(), nn.Conv2d(4, 1, 1)).double().eval()
    explainer = compile_model(network, X)
    logits = network(X).detach()
    assert explainer.probabilities(logits) is None
    (row,) = explainer.ranking(logits)[0]
    assert row.told == f"{float(logits[0].mean()):.2f}" and "%" not in row.told


def test_an_embedding_is_explained_towards_a_direction() -> None:
    network = Net()
    explainer = compile_model(network, X, outputs="embedding")
    direction = torch.tensor([3.0, 0, -4, 0], dtype=torch.float64)
    torch.testing.assert_close(
        explainer.explain(X, explainer.towards(direction), "gradient"),
        gradient(network, X, direction.expand(2, -1) / 5),
    )
    with pytest.raises(ValueError, match="points nowhere"):
        explainer.towards(torch.zeros(4))
    with pytest.raises(ValueError, match=r"direction is \[3\], the outputs are \[4\]"):
        explainer.towards(torch.ones(3))


def test_what_outputs_are_is_one_of_a_few_words() -> None:
    with pytest.raises(ValueError, match=r"outputs are choice, independent, .*, not 'multilabel'"):
        compile_model(Net(), X, outputs="multilabel")
