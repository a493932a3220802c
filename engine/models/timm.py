"""timm's architectures by name: `timm/NAME`, with timm's own input geometry, and its weights from its hub."""

from typing import Any

import torch
from torch import nn

from ..errors import WeightsError
from ..pictures.geometry import Geometry, Interpolation

PREFIX = "timm/"

# Designs that differ from one another; `python -m engine verify --all` holds each against autograd.
REPRESENTATIVE: tuple[str, ...] = (
    "resnet18d", "resnetv2_50", "res2net50_26w_4s", "dla34", "hrnet_w18_small", "vovnet39a", "ese_vovnet19b_dw",
    "repvgg_a0", "legacy_xception", "xception41", "nasnetalarge", "pnasnet5large", "inception_resnet_v2",
    "inception_v4", "cspresnet50", "cspdarknet53", "mixnet_s", "ghostnet_100", "tresnet_m", "convmixer_768_32",
    "dm_nfnet_f0", "nf_regnet_b1", "regnetz_b16", "mobileone_s0", "fastvit_t8", "efficientvit_b0",
    "efficientvit_m0", "seresnet18", "skresnet18", "ecaresnet26t", "resnest14d", "gernet_s", "dpn68", "selecsls42",
    "rexnet_100", "hardcorenas_a", "mobilenetv4_conv_small", "convnextv2_atto", "resnetblur50", "eca_nfnet_l0",
    "tinynet_e", "lcnet_050", "semnasnet_075", "fbnetc_100", "spnasnet_100", "edgenext_xx_small", "poolformer_s12",
    "repghostnet_050", "inception_next_atto", "starnet_s1",
)  # fmt: skip


def timm_facts(name: str) -> tuple[Geometry, dict[str, Any]]:
    """The input geometry of an architecture and what timm's registry knows of its weights.

    name: without the prefix. Raises ValueError with the nearest names where timm has none of that name.
    """
    import timm  # takes half a second, and few models need it
    from timm.data.config import resolve_data_config

    try:
        config = timm.get_pretrained_cfg(name)
        known = timm.is_model(name.split(".")[0])
    except RuntimeError:
        known = False
    if not known or config is None:
        near = timm.list_models(f"*{name[:5]}*")[:3]
        raise ValueError(f"timm has no model {name!r}; it has {', '.join(near) or 'others'}")
    facts: dict[str, Any] = config.to_dict()  # type: ignore[no-untyped-call]
    data = resolve_data_config(pretrained_cfg=facts)  # type: ignore[no-untyped-call]
    channels, height, width = data["input_size"]
    interpolation: Interpolation = "bilinear" if data["interpolation"] == "bilinear" else "bicubic"
    mean, std = tuple(data["mean"])[:channels], tuple(data["std"])[:channels]
    resize = int(min(height, width) / data["crop_pct"])
    return Geometry(resize, (height, width), interpolation, mean, std), facts


def timm_labels(facts: dict[str, Any], classes: int) -> list[str]:
    """What the classes of published weights are called: as an ImageNet subset does, or the weights themselves."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    names: list[str] = list(facts.get("label_names") or [])
    if len(names) == classes:
        return names
    subset = infer_imagenet_subset(facts)
    if subset is None:
        return [f"class {index}" for index in range(classes)]
    info = ImageNetInfo(subset)
    return [info.index_to_description(index) for index in range(classes)]


def build_timm(
    name: str, classes: int, channels: int, seed: int, size: tuple[int, int] | None = None
) -> nn.Module:
    """The bare architecture with timm's initial weights, the same ones for a seed.

    size: (H, W) of an input of another size than timm's own; a network with a value for each of its positions is
    built for it.
    """
    import timm

    options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if size is not None:
            try:
                built: nn.Module = timm.create_model(name, img_size=size, **options)
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
            else:
                return built
            torch.manual_seed(seed)
        module: nn.Module = timm.create_model(name, **options)
    return module


def pretrained_timm(name: str) -> nn.Module:
    """The architecture with its published weights, downloaded by timm. Raises WeightsError where they can't be
    had."""
    import timm

    try:
        module: nn.Module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"timm/{name}: its weights could not be fetched from timm's hub ({type(error).__name__}); "
            "try it where there is a network, give a checkpoint of your own, or choose random weights"
        ) from error
    return module
