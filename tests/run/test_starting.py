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
