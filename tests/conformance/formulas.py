"""The formulas of methods, stated anew: for what autograd through the module alone does not tell."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

Tail = Callable[[Tensor], Tensor]  # the value of a layer -> the logits


def eigen_cam(primal: Tensor, ct: Tensor, seed: Tensor, tail: Tail) -> Tensor:
    """A v of the first singular vector, not centred, its largest value positive."""
    maps = []
    for value in primal.flatten(2).mT.numpy():
        u, s, _ = np.linalg.svd(value, full_matrices=False)
        map = u[:, 0] * s[0]
        maps.append(torch.from_numpy(map * np.sign(map[np.abs(map).argmax()])))
    return torch.stack(maps).view(len(primal), *primal.shape[2:])


def grad_cam_plus_plus(primal: Tensor, ct: Tensor, seed: Tensor, tail: Tail) -> Tensor:
    """Equation 19 as it stands, where the derivative is not zero."""
    share = ct**2 / (2 * ct**2 + primal.sum((2, 3), keepdim=True) * ct**3)
    weights = (share.where(ct != 0, 0) * ct.clamp(min=0)).sum((2, 3), keepdim=True)
    return (weights * primal).sum(1).clamp(min=0)


def ablation_cam(primal: Tensor, ct: Tensor, seed: Tensor, tail: Tail) -> Tensor:
    """Each map by the share of the score that is lost where it is zero."""
    whole, weights = (tail(primal) * seed).sum(1), []
    for channel in range(primal.shape[1]):
        changed = primal.clone()
        changed[:, channel] = 0
        weights.append((whole - (tail(changed) * seed).sum(1)) / whole)
    return torch.einsum("cn,nchw->nhw", torch.stack(weights), primal).clamp(min=0)


AT_LAYER = {
    "grad_cam": lambda primal, ct, seed, tail: torch.relu((ct.mean((2, 3), keepdim=True) * primal).sum(1)),
    "eigen_cam": eigen_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "ablation_cam": ablation_cam,
}


def integrated_gradients(module: nn.Module, x: Tensor, seed: Tensor, steps: int) -> Tensor:
    """Midpoints on the way from zero."""
    total = torch.zeros_like(x)
    for step in range(steps):
        point = (x * (step + 0.5) / steps).requires_grad_()
        total += torch.autograd.grad((module(point) * seed).sum(), point)[0]
    return x * total / steps
