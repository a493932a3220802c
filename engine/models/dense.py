"""Networks of other outputs than classes, which `verify` holds against autograd: dense ones, and embeddings."""

import torch
from torch import nn

from .numbers import SEED
from .timm import PREFIX, build_timm

SEGMENTERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")  # [N, 21, H, W]
FEATURES = ":features"  # behind the name of a timm model: its embedding [N, D], what its classifier is given
EMBEDDERS = (f"{PREFIX}resnet18{FEATURES}", f"{PREFIX}convnext_atto{FEATURES}")
SIDE = 224


def has_other_outputs(name: str) -> bool:
    """Is it a name of this room?"""
    return name in SEGMENTERS or (name.startswith(PREFIX) and name.endswith(FEATURES))


def build_other(name: str) -> nn.Module:
    """A network by name, with random numbers from a fixed seed, in evaluation mode."""
    if name not in SEGMENTERS:
        return build_timm(name.removeprefix(PREFIX).removesuffix(FEATURES), 0, 3, SEED).eval()
    from torchvision.models import segmentation  # takes a second

    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        module: nn.Module = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21)
    return module.eval()
