"""What is asked of layers from Python."""

import pytest
import torch

from tests.dream.small import tiny


def test_a_layers_value_by_index_and_name() -> None:
    explainer = tiny()
    x = torch.randn(2, 3, 16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = explainer.module.primals(x)[1]
    for index, name in enumerate(explainer.layers):
        assert torch.equal(explainer.layer_value(x, name), wanted[index])
        assert torch.equal(explainer.layer_value(x, index - len(wanted)), wanted[index])
    assert not explainer.layer_value(x, 0).requires_grad
    with pytest.raises(ValueError, match="outer"):
        explainer.layer_value(x, "outer")
    with pytest.raises(ValueError, match=r"x is \[2, 3, 16, 19\], this network takes \[N, 3, 16, 20\]"):
        explainer.layer_value(x[..., :-1], "inner")


@pytest.mark.parametrize("policy", ["gradient", "guided"])
def test_one_layer_of_a_probe_is_what_autograd_and_the_whole_probe_say(policy: str) -> None:
    explainer = tiny(methods="gradient guided_backprop")
    x = torch.randn(2, 3, 16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seed = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, primals, cotangents, _ = explainer.probe(x, seed, policy)
    for layer, name in enumerate(explainer.layers):
        value, ct = explainer.probe_layer(x, seed, name, policy)
        assert torch.equal(value, primals[layer]) and torch.equal(ct, cotangents[layer])
        if policy == "gradient":
            traced = value.clone().requires_grad_()
            (wanted,) = torch.autograd.grad((explainer.module.tail(layer, traced) * seed).sum(), traced)
            torch.testing.assert_close(ct, wanted)
    with pytest.raises(ValueError, match="no policy is called 'lime'; this file has"):
        explainer.probe_layer(x, seed, 0, "lime")
    with pytest.raises(ValueError, match="outer"):
        explainer.probe_layer(x, seed, "outer")
