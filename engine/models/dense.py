"""Networks of other outputs than classes, which `verify` holds against autograd: dense ones, and embeddings."""

import torch
from torch import nn

from .numbers import SEED
from .timm import PREFIX

SEGMENTERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")  # [N, 21, H, W]
FEATURES = ":features"  # behind the name of a timm model: its embedding [N, D], what its classifier is given
EMBEDDERS = (f"{PREFIX}resnet18{FEATURES}", f"{PREFIX}convnext_atto{FEATURES}")
SIDE = 224


def has_other_outputs(name: str) -> bool:
    """Is it a name of this room?"""
    return name in SEGMENTERS or (name.startswith(PREFIX) and name.endswith(FEATURES))


def build_other(name: str) -> nn.Module:
    """A network by name, with random numbers from a fixed seed, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        if name in SEGMENTERS:
            from torchvision.models import segmentation  # takes a second

            builder = getattr(segmentation, name)
            module: nn.Module = builder(weights=None, weights_backbone=None, num_classes=21)
        else:
            import timm

            module = timm.create_model(name.removeprefix(PREFIX).removesuffix(FEATURES), num_classes=0)
    return module.eval()
