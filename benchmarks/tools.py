"""The tools as a table: each takes a question and gives a call that answers it, prepared as its users would.

Tools are imported when they are asked, so that each can be absent. None is given a copy to make or a gradient to
compute that its answer does not need. Answers are left as the tool gives them: captum's and torchcam's Grad-CAM
have the layer's size, grad-cam's and ConvLens's the image's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.questions import Question
from engine import Explainer

TASKS = {
    "grad_cam": "Grad-CAM, last layer",
    "guided_backprop": "guided backprop",
    "every_layer": "every layer",
}
OURS = "ConvLens"
BOTH = "torchcam and captum"
EVERY = ["grad_cam", "guided_backprop", "guided_grad_cam"]
SAMPLES = 3  # layers that captum's cost of all of them is estimated from

Prepared = Callable[[], object]
Tool = Callable[[Question], Prepared]


def ours(explainer: Explainer, x: Tensor, seed: Tensor) -> dict[str, Prepared]:
    """This project's call for each task."""
    return {
        "grad_cam": lambda: explainer.explain(x, seed, "grad_cam", -1),
        "guided_backprop": lambda: explainer.explain(x, seed, "guided_backprop"),
        "every_layer": lambda: explainer.survey(x, seed, EVERY),
    }


def forwards(asked: Question) -> dict[str, Prepared]:
    """The forward pass in all ways that torch offers: eager, frozen, optimised, each in both layouts."""
    return {
        f"{way}, {layout.replace('_', ' ')}": call
        for layout in ("contiguous", "channels_last")
        for way, call in _ways(asked.laid_out(layout)).items()
    }


@torch.inference_mode()
def _ways(asked: Question) -> dict[str, Prepared]:
    traces: list[Any] = [torch.jit.trace(asked.module, asked.x, check_trace=False) for _ in range(2)]  # type: ignore[no-untyped-call]
    frozen, optimised = torch.jit.freeze(traces[0]), torch.jit.optimize_for_inference(torch.jit.freeze(traces[1]))
    kinds = {"eager": asked.module, "frozen": frozen, "optimize_for_inference": optimised}
    return {name: _inference(module, asked.x) for name, module in kinds.items()}


def _inference(module: Callable[[Tensor], Tensor], x: Tensor) -> Prepared:
    return torch.inference_mode()(lambda: module(x))


def captum_grad_cam(asked: Question) -> Prepared:
    """LayerGradCam: [N, 1, h, w]."""
    return _captum_layer(asked, asked.layers[-1])


def captum_some_layers(asked: Question) -> Prepared:
    """LayerGradCam at SAMPLES layers, evenly spread: it takes a forward and a backward pass for each."""
    places = torch.linspace(0, len(asked.layers) - 1, SAMPLES).round().int().tolist()
    calls = [_captum_layer(asked, asked.layers[place]) for place in places]
    return lambda: [call() for call in calls]


def _captum_layer(asked: Question, layer: str) -> Prepared:
    from captum.attr import LayerGradCam  # type: ignore[import-untyped]

    tool = LayerGradCam(asked.module, asked.module.get_submodule(layer))
    return lambda: tool.attribute(asked.x, target=asked.targets, relu_attributions=True)


def captum_guided(asked: Question) -> Callable[[], Tensor]:
    """GuidedBackprop: [N, C, S, S]."""
    from captum.attr import GuidedBackprop

    tool = GuidedBackprop(asked.module)
    return lambda: tool.attribute(asked.x.detach(), target=asked.targets)


def torchcam_grad_cam(asked: Question) -> Prepared:
    """GradCAM at the last layer: a list of one map [N, h, w]."""
    return torchcam_at(asked, asked.layers[-1:])


def torchcam_at(asked: Question, layers: list[str], method: str = "GradCAM") -> Callable[[], list[Tensor]]:
    """One of its classes at all of these layers, from one pass: a map [N, h, w] for each."""
    from torchcam import methods

    def call() -> list[Tensor]:
        with getattr(methods, method)(asked.module, list(layers)) as cam:
            logits = asked.module(asked.x.detach().requires_grad_())
            maps: list[Tensor] = cam(asked.targets, logits, normalized=False)
            return maps

    return call


def torchcam_and_captum(asked: Question) -> Callable[[], dict[str, Tensor]]:
    """The best that two tools do together: torchcam's Grad-CAM of all layers from one pass, captum's guided
    backprop from another, brought to the image's size and multiplied."""
    layers, image = torchcam_at(asked, asked.layers), captum_guided(asked)

    def call() -> dict[str, Tensor]:
        maps = [F.interpolate(small[:, None], asked.size, mode="bilinear")[:, 0] for small in layers()]
        cams, guided = torch.stack(maps, 1), image().detach()
        return dict(zip(EVERY, (cams, guided, cams[:, :, None] * guided[:, None]), strict=True))

    return call


def grad_cam(asked: Question) -> Callable[[], np.ndarray]:
    """GradCAM at the last layer: [N, S, S], scaled to 0..1."""
    return grad_cam_at(asked, asked.layers[-1:])


def grad_cam_at(
    asked: Question, layers: list[str], method: str = "GradCAM", **options: object
) -> Callable[[], np.ndarray]:
    """One of its classes at all of these layers, from one pass: [N, S, S] of one, [N, L, S, S] of more."""
    import pytorch_grad_cam  # type: ignore[import-untyped]
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # type: ignore[import-untyped]

    targets = [ClassifierOutputTarget(index) for index in asked.targets]

    def call() -> np.ndarray:
        parts = [asked.module.get_submodule(layer) for layer in layers]
        with getattr(pytorch_grad_cam, method)(asked.module, parts, **options) as cam:
            if len(layers) > 1:  # which it would average
                cam.aggregate_multi_layers = lambda maps: np.concatenate(maps, 1)
            # Images that ask for a gradient let the weights be frozen, which more than halves the time.
            return np.asarray(cam(asked.x.detach().requires_grad_(), targets))

    return call


def grad_cam_guided(asked: Question) -> Callable[[], np.ndarray]:
    """GuidedBackpropReLUModel: [S, S, C], of one image a call."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    tool = GuidedBackpropReLUModel(asked.module)
    return lambda: tool(asked.x.detach(), asked.targets[0])


def grad_cam_every_layer(asked: Question) -> Callable[[], dict[str, Tensor]]:
    """GradCAM of all layers from one pass, guided backprop from another, multiplied."""
    layers, image = grad_cam_at(asked, asked.layers), grad_cam_guided(asked)

    def call() -> dict[str, Tensor]:
        cams, guided = torch.from_numpy(layers()), torch.from_numpy(image()).permute(2, 0, 1)[None]
        return dict(zip(EVERY, (cams, guided, cams[:, :, None] * guided[:, None]), strict=True))

    return call


PEERS: dict[str, dict[str, Tool]] = {
    "grad_cam": {"captum": captum_grad_cam, "grad-cam": grad_cam, "torchcam": torchcam_grad_cam},
    "guided_backprop": {"captum": captum_guided, "grad-cam": grad_cam_guided},
    "every_layer": {BOTH: torchcam_and_captum, "grad-cam": grad_cam_every_layer},
}
# These answer for one image a call.
ONE_IMAGE = {("guided_backprop", "grad-cam"), ("every_layer", "grad-cam")}
