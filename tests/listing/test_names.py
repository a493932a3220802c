"""A module may be called as generated code calls something of its own; the answers are as exact as ever."""

import builtins
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model, load, save
from engine.listing.names import reserved
from engine.rules.policies import POLICIES
from engine.torchscript.answers import ScriptedExplainer
from engine.trust.certificate import certify
from tests.oracle import GATED, at_image, deviation

# Module paths that are written like what is reserved, like what a compiled program calls its own values, and like
# what TorchScript keeps for itself where it prints a program.
PATHS = {
    "locals": sorted(reserved(POLICIES) - {*dir(builtins)} | {"float", "list", "print", "lambda"}),
    "the image's cotangents": [f"image.{policy}" for policy in POLICIES]
    + [f"image_{policy}" for policy in POLICIES],
    "values": [
        "image",
        "seed",
        "logits",
        "ct",
        "ct.image",
        "ct_image",
        "guided.ct_image",
        "guided_ct.image",
        "relu",
    ],
    "attributes": [*vars(ScriptedExplainer), *ScriptedExplainer.__annotations__, "weights", "collect_guided"],
    "TorchScript's": [
        "ops",
        "CONSTANTS",
        "annotate",
        "uninitialized",
        "inf",
        "nan",
        "NoneType",
        "fork",
        "__torch__",
    ],
}


class Called(nn.Module):
    """Convolutions one after the other, each at its path."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__()
        self.order, channels = [], 3
        for path in paths:
            *outer, name = path.split(".")
            module: nn.Module = self
            for part in outer:
                module.add_module(part, module._modules.get(part, nn.Module()))
                module = module.get_submodule(part)
            if hasattr(module, name):
                continue  # torch refuses that name itself
            module.add_module(name, nn.Conv2d(channels, 4, 1))
            self.order.append(path)
            channels = 4
        self.relu_at_the_end, self.head_at_the_end = nn.ReLU(), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        for path in self.order:
            y = torch.relu(self.get_submodule(path)(x))
            x = x + y if x.shape == y.shape else y  # the values stay of one size, and none dies out
        return self.head_at_the_end(self.relu_at_the_end(x).mean([2, 3]))


@pytest.mark.parametrize("kind", PATHS)
def test_a_module_may_be_called_like_anything_in_generated_code(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Called(PATHS[kind]).eval().double()
    assert len(net.order) >= len(PATHS[kind]) / 2
    save(compile_model(net, torch.zeros(1, 3, 4, 4, dtype=torch.float64)), tmp_path / "called.pt")
    explainer = load(tmp_path / "called.pt")
    assert exact(explainer, net)


def exact(explainer: Explainer, net: nn.Module) -> bool:
    """At the image by autograd through the network, at each layer by autograd through the file."""
    x, seed = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    for policy in GATED:  # of relevance the certificate below holds the walk
        logits, wanted, _ = at_image(net, x, seed, policy)
        found, *_, ct = explainer.probe(x, seed, policy)
        assert wanted.any()
        assert deviation(found, logits) < 1e-12
        assert deviation(ct, wanted) < 1e-12
    return max(certify(explainer.module)["methods"].values()) < 1e-12
