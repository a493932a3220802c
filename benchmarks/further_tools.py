"""Further questions to the same tools: methods of many passes, HiResCAM and LayerCAM, and units of a layer.

As in `tools`, each tool is asked as its users would, and gives no more than its answer. What sends many inputs
through the network may say how many at once, and gets the number that suits it.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.questions import Question
from benchmarks.tools import Prepared, Tool, grad_cam_at, torchcam_at
from engine import METHODS, Explainer
from engine.methods.masks import side_of

STEPS = 32  # of integrated gradients, fixed: left open they are doubled until the parts make up the whole
SAMPLES = int(METHODS["smooth_grad"].options["steps"])
SPREAD = METHODS["smooth_grad"].options["spread"]
MANY_PASSES = {
    "integrated_gradients": f"integrated gradients, {STEPS} steps",
    "smooth_grad": f"SmoothGrad, {SAMPLES} samples",
    "occlusion": "occlusion, 7 × 7 windows",
    "ablation_cam": "Ablation-CAM, last layer",
}
FEW_PASSES = {
    "hires_cam": "HiResCAM, last layer",
    "layer_cam": "LayerCAM, last layer",
    "grad_cam_layers": "Grad-CAM, all layers",
    "hires_cam_layers": "HiResCAM, all layers",
    "layer_cam_layers": "LayerCAM, all layers",
    "unit_deconvnet": "a unit's deconvnet",
    "unit_guided": "a unit's guided backprop",
}
FURTHER = MANY_PASSES | FEW_PASSES
PASSES = {"integrated_gradients": STEPS, "smooth_grad": SAMPLES}  # gradients that a path takes
# What they are held against: asked of this project alone.
GRADIENTS, GUIDED = "gradients", "guided_backprop"
BESIDE = {GRADIENTS: "gradient, as many images as a path sends at once", GUIDED: "guided backprop"}
EVERY_LAYER = ("grad_cam", "hires_cam", "layer_cam")
UNITS = {"unit_deconvnet": "deconvnet", "unit_guided": "guided_backprop"}
NEEDED = [*MANY_PASSES, *EVERY_LAYER, "gradient", *UNITS.values()]

Batched = Callable[[Question, int], Prepared]


def further(explainer: Explainer, asked: Question) -> dict[str, Prepared]:
    """This project's call for each task, and for what they are held against."""
    x, seed, last, channel = asked.x, asked.seed, asked.layers[-1], strongest_channel(asked)
    room = int(explainer.module.room)
    images, seeds = (value.expand(room, *value.shape[1:]).contiguous() for value in (x, seed))
    steps = {"steps": STEPS}
    calls: dict[str, Prepared] = {
        "integrated_gradients": lambda: (
            explainer.ask(x, method="integrated_gradients", seed=seed, options=steps).values
        ),
        "smooth_grad": lambda: explainer.explain(x, seed, "smooth_grad"),
        "occlusion": lambda: explainer.explain(x, seed, "occlusion"),
        "ablation_cam": lambda: explainer.explain(x, seed, "ablation_cam", last),
        "hires_cam": lambda: explainer.explain(x, seed, "hires_cam", last),
        "layer_cam": lambda: explainer.explain(x, seed, "layer_cam", last),
        GRADIENTS: lambda: explainer.explain(images, seeds, "gradient"),
        GUIDED: lambda: explainer.explain(x, seed, "guided_backprop"),
    }
    for method in EVERY_LAYER:
        calls[f"{method}_layers"] = partial(explainer.sweep, x, seed, method)
    for task, method in UNITS.items():
        calls[task] = partial(explainer.explain_unit, x, last, channel, method=method)
    return calls


@torch.no_grad()
def strongest_channel(asked: Question) -> int:
    """The channel of the last layer with the largest value: of a silent one there is nothing to ask."""
    values: list[Tensor] = []
    part = asked.module.get_submodule(asked.layers[-1])
    handle = part.register_forward_hook(lambda part, args, value: values.append(value.clone()))
    asked.module(asked.x)
    handle.remove()
    return int(values[0][0].amax((1, 2)).argmax())


def captum_integrated_gradients(asked: Question, batch: int) -> Callable[[], Tensor]:
    """IntegratedGradients: [N, C, S, S]. Midpoints, as here; its own choice of points takes as long."""
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    tool = IntegratedGradients(asked.module)
    told = {"n_steps": STEPS, "method": "riemann_middle", "internal_batch_size": batch}
    return lambda: tool.attribute(asked.x.detach(), target=asked.targets, **told)


def captum_smooth_grad(asked: Question, batch: int, spread: float = SPREAD) -> Callable[[], Tensor]:
    """NoiseTunnel around Saliency with its signs: [N, C, S, S]."""
    from captum.attr import NoiseTunnel, Saliency

    tool, noise = NoiseTunnel(Saliency(asked.module)), spread * float(asked.x.max() - asked.x.min())
    told = {"nt_samples": SAMPLES, "nt_samples_batch_size": batch, "stdevs": noise, "abs": False}
    return lambda: tool.attribute(asked.x.detach().requires_grad_(), target=asked.targets, **told).detach()


def captum_occlusion(asked: Question, batch: int) -> Callable[[], Tensor]:
    """Occlusion of all channels at once, each of which has the map: [N, S, S]."""
    from captum.attr import Occlusion

    tool, window = Occlusion(asked.module), (asked.x.shape[1], *(side_of(0, side) for side in asked.size))
    told = {"sliding_window_shapes": window, "strides": window, "perturbations_per_eval": batch}
    return lambda: tool.attribute(asked.x, target=asked.targets, **told)[:, 0]


def grad_cam_ablation(asked: Question, batch: int) -> Prepared:
    """AblationCAM with all channels: [N, S, S], scaled to 0..1. The layer that it puts in is its own."""
    from pytorch_grad_cam.ablation_layer import AblationLayer  # type: ignore[import-untyped]

    return grad_cam_at(asked, asked.layers[-1:], "AblationCAM", batch_size=batch, ablation_layer=AblationLayer())


def captum_hires_cam(asked: Question, layers: list[str]) -> Callable[[], list[Tensor]]:
    """LayerGradientXActivation of all layers from one pass, and the two steps from it to HiResCAM: [N, h, w]."""
    from captum.attr import LayerGradientXActivation

    parts = [asked.module.get_submodule(layer) for layer in layers]
    tool = LayerGradientXActivation(asked.module, parts)

    def call() -> list[Tensor]:
        products = tool.attribute(asked.x, target=asked.targets)
        return [torch.relu(product.detach().sum(1)) for product in products]

    return call


def captum_unit(name: str) -> Tool:
    """One of captum's methods of a neuron, for the strongest channel of the last layer where it is strongest."""

    def make(asked: Question) -> Callable[[], Tensor]:
        from captum import attr  # type: ignore[import-untyped]

        tool = getattr(attr, name)(asked.module, asked.module.get_submodule(asked.layers[-1]))
        channel = strongest_channel(asked)

        def strongest(value: Tensor) -> Tensor:
            return value[:, channel].flatten(1).amax(1)

        return lambda: tool.attribute(asked.x.detach(), neuron_selector=strongest).detach()

    return make


def at_image_size(maps: list[Tensor], asked: Question) -> Tensor:
    """Maps of the layers' sizes at the image's, beside each other: [N, L, S, S]."""
    return torch.stack([F.interpolate(map[:, None], asked.size, mode="bilinear")[:, 0] for map in maps], 1)


def _torchcam_layers(method: str) -> Tool:
    def make(asked: Question) -> Prepared:
        call = torchcam_at(asked, asked.layers, method)
        return lambda: at_image_size(call(), asked)

    return make


def _captum_hires_layers(asked: Question) -> Prepared:
    call = captum_hires_cam(asked, asked.layers)
    return lambda: at_image_size(call(), asked)


# Those that may say how many inputs go through at once.
BATCHED_PEERS: dict[str, dict[str, Batched]] = {
    "integrated_gradients": {"captum": captum_integrated_gradients},
    "smooth_grad": {"captum": captum_smooth_grad},
    "occlusion": {"captum": captum_occlusion},
    "ablation_cam": {"grad-cam": grad_cam_ablation},
}
ONCE = {("ablation_cam", "grad-cam")}  # too slow for rounds
FURTHER_PEERS: Mapping[str, Mapping[str, Tool]] = {
    "hires_cam": {
        "grad-cam": lambda asked: grad_cam_at(asked, asked.layers[-1:], "HiResCAM"),
        "captum": lambda asked: captum_hires_cam(asked, asked.layers[-1:]),
    },
    "layer_cam": {
        "grad-cam": lambda asked: grad_cam_at(asked, asked.layers[-1:], "LayerCAM"),
        "torchcam": lambda asked: torchcam_at(asked, asked.layers[-1:], "LayerCAM"),
    },
    "grad_cam_layers": {
        "grad-cam": lambda asked: grad_cam_at(asked, asked.layers),
        "torchcam": _torchcam_layers("GradCAM"),
    },
    "hires_cam_layers": {
        "grad-cam": lambda asked: grad_cam_at(asked, asked.layers, "HiResCAM"),
        "captum": _captum_hires_layers,
    },
    "layer_cam_layers": {
        "grad-cam": lambda asked: grad_cam_at(asked, asked.layers, "LayerCAM"),
        "torchcam": _torchcam_layers("LayerCAM"),
    },
    "unit_deconvnet": {"captum": captum_unit("NeuronDeconvolution")},
    "unit_guided": {"captum": captum_unit("NeuronGuidedBackprop")},
}
