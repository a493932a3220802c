"""Models as they are declared, held against torchvision."""

import re

import pytest
from PIL import Image
from torchvision import models as torchvision_models

from engine.models import building, loading, zoo


def test_every_classifier_of_torchvision_is_declared() -> None:
    names = torchvision_models.list_models(module=torchvision_models)
    assert set(zoo.MODELS) == {*names, zoo.DEFAULT_MODEL}
    assert next(iter(zoo.MODELS)) == zoo.DEFAULT_MODEL
    titles = [spec.title for spec in zoo.MODELS.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_declaration_is_that_of_torchvision(name: str) -> None:
    spec = zoo.MODELS[name]
    if spec.source == "embedded":
        return
    weights = torchvision_models.get_model_weights(name).DEFAULT
    assert (spec.name, spec.url) == (name, weights.url)
    assert re.search(r"-[0-9a-f]{8,}\.pth$", spec.url)  # so that a download can be verified
    assert ("CC-BY-NC" in spec.licence) == ("license" in weights.meta)
    image = Image.effect_noise((300, 400), 100).convert("RGB")
    shape = weights.transforms()(image).shape
    assert (len(spec.geometry.mean), *spec.geometry.crop) == shape
    assert [spec.geometry.resize] == weights.transforms().resize_size
    assert spec.geometry.interpolation == weights.transforms().interpolation.value
    assert list(spec.geometry.mean) == weights.transforms().mean
    assert list(spec.geometry.std) == weights.transforms().std
    published = (
        weights.meta["_file_size"],
        weights.meta["num_params"],
        weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
    )
    assert (spec.megabytes, spec.parameters, spec.accuracy) == published
    # The title is the name, written for people.
    assert re.sub(r"[^a-z0-9]", "", spec.title.lower()) == name.replace("_", "")


@pytest.mark.parametrize("name", zoo.MODELS)
def test_architecture_has_the_published_size_and_ends_in_its_classes(name: str) -> None:
    module = building.build(zoo.MODELS[name], 1000)
    tensors = module.state_dict()
    assert all(parameter.is_meta for parameter in module.parameters())
    assert set(tensors) == {n for n, _ in [*module.named_parameters(), *module.named_buffers()]}
    assert len(list(tensors.values())[-1]) == 1000
    auxiliary = 3_326_696 if name == "inception_v3" else 0  # published with its head, loaded without
    assert sum(p.numel() for p in module.parameters()) == zoo.MODELS[name].parameters - auxiliary


def test_only_swag_defaults_are_not_for_commercial_use() -> None:
    assert [name for name, spec in zoo.MODELS.items() if "CC-BY-NC" in spec.licence] == [
        "regnet_y_128gf",
        "vit_h_14",
    ]
    assert zoo.MODELS[zoo.DEFAULT_MODEL].licence.startswith("Apache-2.0")
    assert all("ImageNet" in spec.licence for spec in zoo.MODELS.values())


def test_families_hold_every_model_once_and_the_default_first() -> None:
    families = zoo.by_family()
    assert next(iter(families.values())) == [zoo.MODELS[zoo.DEFAULT_MODEL]]
    assert [spec.name for specs in families.values() for spec in specs] == list(zoo.MODELS)


def test_a_second_declaration_is_refused() -> None:
    before = dict(zoo.MODELS)
    with pytest.raises(ValueError, match="resnet18 is declared twice"):
        zoo._torchvision("Again", resnet18="ResNet-18")
    assert before == zoo.MODELS


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-50", "resnet50"), ("VGG16", "vgg16"), ("efficientnet_lite", "efficientnet_lite0")],
)
def test_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"no model '{name}'; did you mean .*\b{near}\b"):
        loading.load_model(name)


def test_unknown_name_without_a_neighbour_is_answered_with_the_families() -> None:
    with pytest.raises(ValueError, match="the families are EfficientNet-Lite, AlexNet, VGG"):
        zoo.model_spec("qqqqqqqq")
