"""Networks of the zoo and of timm built bare, and what older versions called the entries of their weights."""

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .numbers import SEED, WithoutNumbers, entries
from .timm import build_timm, timm_facts
from .zoo import ModelSpec

CLASSES, CHANNELS = 1000, 3  # of published weights
AUXILIARY = re.compile(r"(?:.*\.)?(?:aux1|aux2|AuxLogits)\.")  # entries of Inception's heads, which are not built
# What a name was once, and what it is: torchvision's own modules bring older states up to date so.
_OLDER: dict[str, tuple[str, str | Callable[[re.Match[str]], str]]] = {
    "DenseNet": (r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2."),
    "ViT": (r"(\.mlp)\.linear_([12])\.", lambda name: f"{name[1]}.{3 * int(name[2]) - 3}."),
}


def bare(spec: ModelSpec, classes: int, channels: int, transform_input: bool) -> nn.Module:
    """A network of the zoo or of timm without its numbers, for so many classes and input channels."""
    if spec.source == "timm":
        own = timm_facts(spec.title)[0].crop
        return build_timm(
            spec.title, classes, channels, SEED, spec.geometry.crop if spec.geometry.crop != own else None
        )
    return build(spec, classes, channels, transform_input)


def build(spec: ModelSpec, classes: int, channels: int = CHANNELS, transform_input: bool = True) -> nn.Module:
    """Build the bare architecture, as torchvision does for its own weights but without auxiliary heads."""
    options: dict[str, Any] = {"num_classes": classes}
    if spec.family == "Inception":
        options |= {"aux_logits": False, "transform_input": transform_input, "init_weights": False}
    elif spec.family == "ViT":
        options["image_size"] = spec.geometry.crop[0]  # it has as many positions as its weights
    with WithoutNumbers():
        if spec.source == "torchvision":
            from torchvision import models  # takes a second, and a file that is compiled needs none of it

            module: nn.Module = models.get_model(spec.name, **options)
        else:
            import timm  # takes half a second, and only this model needs it

            module = timm.create_model("tf_efficientnet_lite0", in_chans=channels, **options)
            channels = CHANNELS  # timm has seen to them
        if channels != CHANNELS:
            _take_channels(module, channels)
    return module


def _take_channels(module: nn.Module, channels: int) -> None:
    """Make the first convolution take other images: torchvision's builders know three channels only."""
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    first.in_channels = channels
    first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, channels, *first.kernel_size))


def todays_names(spec: ModelSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Call entries that older versions named otherwise as the module does, and drop those of auxiliary heads.

    What stands before the names stays: they may lie in a container, and have a prefix.
    """
    stem = next((name for name in state if name.endswith("_conv_stem.weight")), None)
    if spec.source == "embedded" and stem is not None:
        # The package has names of its own; order and shapes are those of timm, and `fit` compares them.
        place = stem.removesuffix("_conv_stem.weight")
        known = [tensor for name, tensor in entries(state).items() if name.startswith(place)]
        wanted = entries(build(spec, CLASSES).state_dict())
        return dict(zip((place + name for name in wanted), known, strict=False))
    old, new = _OLDER.get(spec.family, ("$^", ""))
    return {
        re.sub(old, new, name): tensor
        for name, tensor in state.items()
        if spec.family != "Inception" or not AUXILIARY.match(name)
    }
