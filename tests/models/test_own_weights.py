"""Checkpoints of one's own through `load_model`: the network that was saved, and what is told of it."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models as torchvision_models

from engine.errors import WeightsError
from engine.files.shelf import build
from engine.models.loading import Model, load_model
from engine.pictures.geometry import Geometry
from tests.models.conftest import TINY


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return torchvision_models.squeezenet1_1(num_classes=3).eval()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.pth"


def same(model: Model, net: nn.Module, side: int = 64) -> bool:
    x = torch.randn(2, len(model.geometry.mean), side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.equal(model.module(x), net.eval()(x))


def before(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def test_lightning_around_compile_in_half_precision(net: nn.Module, path: Path) -> None:
    state = {name: tensor.half() for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": before("model._orig_mod.", state), "epoch": 3}, path)
    model = load_model(TINY, path)
    found = model.module.state_dict()
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in state.items())
    assert (model.weights, model.notes, "notes" in model.source) == ("checkpoint c.pth", (), False)


def test_safetensors(net: nn.Module, tmp_path: Path) -> None:
    save_file(before("module.", net.state_dict()), tmp_path / "c.safetensors")
    assert same(load_model(TINY, tmp_path / "c.safetensors"), net)


def test_the_mean_over_the_training_is_taken_and_told(net: nn.Module, path: Path) -> None:
    averaged = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": net.state_dict(), "state_dict_ema": averaged, "loss": {"w": torch.ones(1)}}, path)
    model = load_model(TINY, path)
    assert all(torch.equal(model.module.state_dict()[name], tensor) for name, tensor in averaged.items())
    assert model.weights == "checkpoint c.pth, its EMA weights (state_dict_ema)"
    others, left_out = model.notes
    assert "more weights that fit: state_dict; those under state_dict_ema were taken" in others
    assert left_out == "left out: 1 entry beside the weights (loss.w)"
    assert model.source["notes"] == [others, left_out]
    plain = load_model(TINY, path, key="state_dict")
    assert same(plain, net)
    assert (plain.weights, plain.notes) == ("checkpoint c.pth, its weights under state_dict", ())


@pytest.mark.parametrize("name", [TINY, "mobilenet_v3_small", "efficientnet_lite0", "timm/resnet10t"])
@pytest.mark.parametrize(("classes", "channels"), [(3, 1), (1000, 4)])
def test_classes_and_channels_are_those_of_the_checkpoint(
    name: str, classes: int, channels: int, path: Path
) -> None:
    torch.manual_seed(1)
    if name in (TINY, "mobilenet_v3_small"):
        source = torchvision_models.get_model(name, num_classes=classes)
        first = next(part for part in source.modules() if isinstance(part, nn.Conv2d))
        first.in_channels, first.weight = (
            channels,
            nn.Parameter(torch.randn_like(first.weight[:, :1]).repeat(1, channels, 1, 1)),
        )
    else:
        architecture = {"efficientnet_lite0": "tf_efficientnet_lite0"}.get(name, name.removeprefix("timm/"))
        source = timm.create_model(architecture, num_classes=classes, in_chans=channels)
    torch.save({"model": source.state_dict()}, path)
    model = load_model(name, path)
    assert same(model, source)
    assert model.example.shape[1] == channels == len(model.geometry.std)
    assert model.labels[:2] == (["class 0", "class 1"] if classes == 3 else ["tench", "goldfish"])
    assert f"takes {channels} channel" in model.notes[-1]


def test_labels_mean_std_size_and_fit_are_as_said(net: nn.Module, path: Path, tmp_path: Path) -> None:
    torch.save(net.state_dict(), path)
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    said: dict[str, Any] = {"labels": tmp_path / "names.txt", "mean": 0.5, "std": (0.1, 0.2, 0.3), "fit": "squash"}
    model = load_model(TINY, path, size=(64, 96), **said)
    assert model.labels == ["cat", "dog", "owl"]
    assert model.geometry == model.spec.geometry
    assert model.geometry == Geometry((64, 96), (64, 96), "bilinear", (0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    explainer = build(TINY, path, methods=["gradient"], size=(64, 96), **said)
    assert (explainer.labels, explainer.geometry) == (model.labels, model.geometry)
    with pytest.raises(ValueError, match=r"^labels has 2 names, the network has 3 classes$"):
        load_model(TINY, path, labels=["cat", "dog"])


def test_they_may_be_said_of_weights_by_name_too() -> None:
    names = [f"thing {index}" for index in range(1000)]
    model = load_model(TINY, "random", labels=names, mean=0.25, fit="squash")
    assert (model.labels, model.geometry.mean, model.geometry.resize) == (names, (0.25,) * 3, (224, 224))
    with pytest.raises(
        ValueError, match=r"^key='ema' names weights inside a checkpoint, and random weights are none"
    ):
        load_model(TINY, "random", key="ema")


# What a checkpoint of GoogLeNet or Inception does not tell


def inception(name: str, heads: bool, transform_input: bool) -> nn.Module:
    options = {"num_classes": 3, "init_weights": False, "aux_logits": heads, "transform_input": transform_input}
    return torchvision_models.get_model(name, **options)


@pytest.mark.parametrize(
    ("name", "heads", "assumed"),
    [
        ("googlenet", False, True),
        ("googlenet", True, False),
        ("inception_v3", True, True),
        ("inception_v3", False, True),
    ],
)
def test_transform_input_is_assumed_by_a_rule_and_told(name: str, heads: bool, assumed: bool, path: Path) -> None:
    """torchvision drops GoogLeNet's heads when it loads published weights, and keeps Inception's."""
    source = inception(name, heads, assumed)
    torch.save({"state_dict": before("model.", source.state_dict())}, path)
    model = load_model(name, path)
    assert same(model, source, 96)
    (note,) = model.notes
    assert note.startswith(f"transform_input={assumed} was assumed")
    said = load_model(name, path, transform_input=not assumed)
    assert said.module.transform_input is not assumed
    assert said.notes == (f"transform_input={not assumed}, as was said",)
    assert not same(said, source, 96)


def test_transform_input_is_for_three_channels_and_two_networks(net: nn.Module, path: Path) -> None:
    source = inception("googlenet", False, False)
    source.conv1.conv.weight = nn.Parameter(source.conv1.conv.weight[:, :1].contiguous())
    torch.save(source.state_dict(), path)
    model = load_model("googlenet", path)
    assert same(model, source, 96)
    assert model.notes[0] == "transform_input=False: it is for 3 channels"
    with pytest.raises(ValueError, match=r"^transform_input is for 3 channels; c.pth has 1$"):
        load_model("googlenet", path, transform_input=True)
    torch.save(net.state_dict(), path)
    with pytest.raises(
        ValueError, match=r"^transform_input is of GoogLeNet and Inception v3; SqueezeNet 1.1 has none"
    ):
        load_model(TINY, path, transform_input=True)
    assert load_model("googlenet", "random", transform_input=False).module.transform_input is False


def test_a_shorter_network_does_not_take_a_longer_ones_weights(path: Path) -> None:
    """All that ResNet-18 wants is in ResNet-34's checkpoint, in the shapes that it wants."""
    torch.save(torchvision_models.resnet34().state_dict(), path)
    with pytest.raises(
        WeightsError, match=r"^c.pth does not fit ResNet-18: \d+ unexpected \(layer1.2.conv1.weight"
    ):
        load_model("resnet18", path)


def test_a_network_with_a_value_for_each_position_is_built_for_its_size(path: Path) -> None:
    torch.manual_seed(0)
    source = timm.create_model("test_vit", num_classes=3, img_size=(64, 96))
    torch.save({"state_dict": source.state_dict()}, path)
    model = load_model("timm/test_vit", path, size=(64, 96))
    with torch.no_grad():
        assert torch.equal(model.module(model.example), source.eval()(model.example))
    with pytest.raises(WeightsError, match=r"of another shape \(pos_embed"):
        load_model("timm/test_vit", path)
    # Without such values a size makes no difference to the network.
    small, own = (load_model("timm/resnet10t", "random", size=size).module for size in ((64, 64), None))
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), own.parameters(), strict=True))
