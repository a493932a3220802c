"""Networks built bare, for any number of classes and channels, and the names that older versions gave."""

import pytest
import torch
from torch import nn
from torchvision.models.densenet import _DenseLayer
from torchvision.models.vision_transformer import MLPBlock

from engine.models.building import bare, build, todays_names
from engine.models.zoo import MODELS, by_family

ONE_OF_EACH = [specs[0].name for specs in by_family().values()]


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_other_channels_change_the_first_convolution_alone(name: str) -> None:
    usual, other = (shapes(bare(MODELS[name], 5, channels, False)) for channels in (3, 4))
    (changed,) = [name for name in usual if usual[name] != other[name]]
    out, channels, *kernel = usual[changed]
    assert channels == 3
    assert list(other[changed]) == [out, 4, *kernel]
    assert list(other.values())[-1][0] == 5


def test_the_first_convolution_works_on_them() -> None:
    module = build(MODELS["squeezenet1_1"], 5, 2).to_empty(device="cpu")
    weight = next(module.parameters()).data.normal_()
    x = torch.randn(1, 2, 9, 9)
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    assert first.in_channels == 2
    torch.testing.assert_close(
        first(x), nn.functional.conv2d(x, weight, first.bias, first.stride, first.padding), equal_nan=True
    )


@pytest.mark.parametrize("told", [True, False])
def test_transform_input_is_as_told(told: bool) -> None:
    for name in ("googlenet", "inception_v3"):
        assert bare(MODELS[name], 5, 3, told).transform_input is told


# torchvision's own modules read states of older versions: the second formula.


def test_a_vits_older_names_are_what_torchvision_makes_of_them() -> None:
    block = MLPBlock(4, 8, 0.0)
    old = {"linear_1.weight": 0, "linear_1.bias": 1, "linear_2.weight": 2, "linear_2.bias": 3}
    tensors = {
        name: torch.randn(tensor.shape) for name, tensor in zip(old, block.state_dict().values(), strict=True)
    }
    block.load_state_dict(dict(tensors))
    prefix = "module.encoder.layers.encoder_layer_0.mlp."
    found = todays_names(MODELS["vit_b_16"], {prefix + name: tensor for name, tensor in tensors.items()})
    assert found.keys() == {prefix + name for name in block.state_dict()}
    assert all(torch.equal(found[prefix + name], tensor) for name, tensor in block.state_dict().items())


def test_a_densenets_older_names() -> None:
    names = [name for name in _DenseLayer(4, 4, 4, 0.0).state_dict() if "num_batches" not in name]
    prefix = "model.features.denseblock1.denselayer12."
    old = {prefix + name.replace("1.", ".1.", 1).replace("2.", ".2.", 1): torch.tensor(0) for name in names}
    assert all(name.split(".")[5] in "12" for name in old)
    assert list(todays_names(MODELS["densenet121"], old)) == [prefix + name for name in names]
    assert list(todays_names(MODELS["resnet18"], old)) == list(old)


def test_auxiliary_heads_are_left_out_of_inception_alone() -> None:
    state = {
        "conv.weight": torch.zeros(1),
        "model.aux1.fc2.weight": torch.zeros(1),
        "AuxLogits.fc.bias": torch.zeros(1),
    }
    assert list(todays_names(MODELS["googlenet"], state)) == ["conv.weight"]
    assert list(todays_names(MODELS["resnet18"], state)) == list(state)


def test_the_embedded_packages_names_behind_a_prefix() -> None:
    spec = MODELS["efficientnet_lite0"]
    wanted = [name for name in build(spec, 1000).state_dict() if not name.endswith("num_batches_tracked")]
    theirs = ["net._conv_stem.weight", *(f"net._{index}" for index in range(1, len(wanted))), "loss.weight"]
    found = todays_names(spec, {name: torch.tensor(index) for index, name in enumerate(theirs)})
    assert list(found) == [f"net.{name}" for name in wanted]
    assert [int(tensor) for tensor in found.values()] == list(range(len(wanted)))
