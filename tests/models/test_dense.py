"""The networks that verify has beside classifiers."""

import pytest
import torch

from engine.models.dense import EMBEDDERS, SEGMENTERS, build_other, has_other_outputs


@pytest.mark.parametrize(
    ("name", "shape"), [("lraspp_mobilenet_v3_large", (2, 21, 48, 48)), ("timm/resnet18:features", (2, 512))]
)
def test_they_are_built_by_name_and_the_same_each_time(name: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, two = (build_other(name)(x) for _ in range(2))
    one, two = (answer["out"] if isinstance(answer, dict) else answer for answer in (one, two))
    assert one.shape == shape and torch.equal(one, two)


def test_their_names_are_told_from_all_others() -> None:
    assert all(map(has_other_outputs, (*SEGMENTERS, *EMBEDDERS)))
    assert not any(map(has_other_outputs, ("resnet18", "timm/resnet18", "fcn")))
