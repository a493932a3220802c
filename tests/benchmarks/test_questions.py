"""What is asked of each tool: a network, photos and layers."""

from torch import nn

from benchmarks.questions import question
from tests.benchmarks.small import asked_of


def test_a_module_of_its_own_shares_the_weights(small) -> None:
    asked = asked_of(small, [])
    own = asked.own().module
    own.features[1] = nn.Identity()
    assert isinstance(small.features[1], nn.ReLU)
    assert own.classifier.weight is small.classifier.weight


def test_a_question_leaves_out_what_is_no_module() -> None:
    asked = question("squeezenet1_1", 2, ["features.3", "features.3.cat", "classifier.1"], size=(64, 64))
    assert asked.layers == ["features.3", "classifier.1"]
    assert asked.x.shape == (2, 3, 64, 64) and asked.seed.shape == (2, 1000) and asked.targets == [0, 1]
    assert not any(weight.requires_grad for weight in asked.module.parameters())
