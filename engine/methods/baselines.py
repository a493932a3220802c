"""Images that show nothing, which a path begins at and hidden pixels show; TorchScript takes them as they are."""

import torch
import torch.nn.functional as F
from torch import Tensor

BASELINES = ("mean", "black", "blur")


def black(x: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """What a black image is to a network that takes (pixel - mean) / std: shaped like x [N, C, H, W]."""
    value = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
    return value.to(x.device, x.dtype).view(1, -1, 1, 1).expand_as(x)


def blurred(x: Tensor) -> Tensor:
    """The images [N, C, H, W] without their details: a Gaussian with a twentieth of each side as its deviation."""
    for axis in (2, 3):
        length = x.shape[axis]
        deviation = max(length / 20, 1e-6)
        reach = min(int(3 * deviation), length - 1)
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = (-0.5 * (offsets / deviation).square()).exp()
        weights = (weights / weights.sum()).to(x.device, x.dtype)
        margin = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        kernel = weights.view(1, 1, -1, 1) if axis == 2 else weights.view(1, 1, 1, -1)
        padded = F.pad(x, margin, mode="replicate")
        x = F.conv2d(padded, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])
    return x
