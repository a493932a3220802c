"""A loop as tutorials teach it: for each layer a new Grad-CAM and a new guided backprop, with hooks."""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from torch import Tensor, nn

LAYERS = 30  # of VGG16's `features`


def every_layer(module: nn.Module, x: Tensor, target: int, layers: Iterable[int]) -> list[dict[str, np.ndarray]]:
    """Grad-CAM [S, S], guided backprop [C, S, S] and their product, for each of `layers`.

    layers: places in `module.features`. module: with `features`, `avgpool` and `classifier`.
    x: one image [1, C, S, S].
    """
    found = []
    for layer in layers:
        heat, guided = grad_cam(module, x, target, layer), guided_backprop(module, x, target)
        found.append({"grad_cam": heat, "guided_backprop": guided, "guided_grad_cam": heat * guided})
    return found


def grad_cam(module: nn.Module, x: Tensor, target: int, layer: int) -> np.ndarray:
    """The network is walked part by part; a hook at `layer` takes the gradient."""
    gradients: list[Tensor] = []
    h, kept = x, x
    features, pool, classifier = (module.get_submodule(name) for name in ("features", "avgpool", "classifier"))
    for place, part in enumerate(features.children()):
        h = part(h)
        if place == layer:
            kept = h.detach().clone()
            h.register_hook(gradients.append)
    _ask(module, classifier(torch.flatten(pool(h), 1)), target)
    channels, weights = kept[0].numpy(), gradients[0][0].mean((1, 2)).numpy()
    heat = np.zeros(channels.shape[1:], np.float32)
    for weight, channel in zip(weights, channels, strict=True):
        heat += weight * channel
    return np.asarray(cv2.resize(np.maximum(heat, 0), (x.shape[3], x.shape[2])))


def guided_backprop(module: nn.Module, x: Tensor, target: int) -> np.ndarray:
    """A hook at each ReLU lets the positive part of its gradient through."""

    def gate(part: nn.Module, inputs: object, output: Tensor) -> None:
        output.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call]

    relus = [part for part in module.modules() if isinstance(part, nn.ReLU)]
    handles = [part.register_forward_hook(gate) for part in relus]
    image = x.detach().clone().requires_grad_()
    _ask(module, module(image), target)
    for handle in handles:
        handle.remove()
    assert image.grad is not None
    return np.asarray(image.grad[0].numpy())


def _ask(module: nn.Module, logits: Tensor, target: int) -> None:
    """The gradient of one logit, at all weights as well: that is what `backward` does."""
    seed = torch.zeros_like(logits)
    seed[0, target] = 1
    module.zero_grad()
    logits.backward(seed, retain_graph=True)  # type: ignore[no-untyped-call]
