"""The table of methods: which policy, where, and what is read there."""

from collections.abc import Sequence

from ..text import nearest
from .finishes import mean_map, mean_square, spread
from .method import NO_POLICY, Method
from .paths import noisy_copies, references, straight_line
from .places import CALLS, IMAGE, LAYER, POOLED
from .readings import (
    class_activation,
    eigen_cam,
    full_gradient,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    input_times,
    itself,
    largest_absolute,
    layer_cam,
    mean,
    of_scores,
    signed,
    total,
    xgrad_cam,
)
from .relevance import RELEVANCE

# What methods answer, in the order in which people ask it.
ASKS = {
    "where": "Where did it look?",
    "which pixels": "Which pixels count?",
    "what if": "What if they were hidden?",
}

# Of mosaics of four photos: the share of a map's energy on the photo of the class, with EfficientNet-Lite0.
NOT_OF_THE_CLASS = (
    "Not class-specific here: below the last layer .19 to .31 of Grad-CAM's energy lies on the right photo of "
    "four, where chance is .25; of HiResCAM's .37 to .46."
)
PATHS = {"noise": noisy_copies, "line": straight_line, "references": references}
FINISHES = {"mean": mean_map, "mean_square": mean_square, "variance": spread}
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gradient", "gradient", IMAGE, signed, "Gradient", "Simonyan et al. 2014, arXiv:1312.6034",
            "How the score of the class changes with each pixel: light raises it, dark lowers it.", signed=True,
        ),
        Method(
            "saliency", "gradient", IMAGE, largest_absolute, "Saliency", "Simonyan et al. 2014, arXiv:1312.6034",
            "Where changing a pixel would change the score of the class most, up or down.",
        ),
        Method(
            "input_x_gradient", "gradient", IMAGE, input_times, "Input × gradient",
            "Shrikumar et al. 2016, arXiv:1605.01713",
            "The gradient times the pixel itself: what each pixel adds to the score, to first order.", signed=True,
        ),
        Method(
            "deconvnet", "deconvnet", IMAGE, signed, "Deconvnet", "Zeiler and Fergus 2014, arXiv:1311.2901",
            "A gradient that only carries what speaks for the class, back through every activation.", signed=True,
        ),
        Method(
            "guided_backprop", "guided", IMAGE, signed, "Guided backprop",
            "Springenberg et al. 2015, arXiv:1412.6806",
            "Deconvnet through active units only: crisp edges and textures, less tied to the class.", signed=True,
        ),
        Method(
            "full_grad", "gradient", CALLS, full_gradient, "FullGrad",
            "Srinivas and Fleuret 2019, arXiv:1905.00780",
            "What the pixels and all biases inside of the network add to the score, wherever in it they do.",
        ),
        Method(
            "cam", "gradient", POOLED, class_activation, "CAM", "Zhou et al. 2016, arXiv:1512.04150",
            "The last feature maps, each weighted as the classifier weights it for the class.",
            weigh=total, signed=True,
            asks="where",
        ),
        Method(
            "grad_cam", "gradient", LAYER, grad_cam, "Grad-CAM", "Selvaraju et al. 2017, arXiv:1610.02391",
            "A layer's feature maps, each weighted by its mean gradient: warm regions speak for the class.",
            weigh=mean, rectified=True, inner=NOT_OF_THE_CLASS,
            asks="where",
        ),
        Method(
            "guided_grad_cam", "gradient", LAYER, grad_cam, "Guided Grad-CAM",
            "Selvaraju et al. 2017, arXiv:1610.02391",
            "Guided backprop where the layer's Grad-CAM is warm: the details that speak for the class.",
            times="guided_backprop", weigh=mean, rectified=True, inner=NOT_OF_THE_CLASS, signed=True,
        ),
        Method(
            "hires_cam", "gradient", LAYER, hires_cam, "HiResCAM", "Draelos and Carin 2020, arXiv:2011.08891",
            "A layer's values, each times its own gradient: what this place of the layer adds to the score.",
            weigh=itself, rectified=True, asks="where",
        ),
        Method(
            "layer_cam", "gradient", LAYER, layer_cam, "LayerCAM",
            "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
            "A layer's values, each times its own gradient where that is positive.",
            asks="where",
        ),
        Method(
            "grad_cam_plus_plus", "gradient", LAYER, grad_cam_plus_plus, "Grad-CAM++",
            "Chattopadhay et al. 2018, arXiv:1710.11063",
            "Grad-CAM with more weight on the few places that raise the score: several objects of one class.",
            asks="where",
        ),
        Method(
            "xgrad_cam", "gradient", LAYER, xgrad_cam, "XGrad-CAM", "Fu et al. 2020, arXiv:2008.02312",
            "Grad-CAM with each feature map weighted by its gradient where the map is active.",
            asks="where",
        ),
        Method(
            "eigen_cam", NO_POLICY, LAYER, eigen_cam, "Eigen-CAM", "Muhammad and Yeasin 2020, arXiv:2008.00299",
            "The pattern that a layer's feature maps have most in common. It is blind to the class: it shows what "
            "is there, not what speaks for anything.", signed=True,
            asks="where",
        ),
        *RELEVANCE,
        Method(
            "smooth_grad", "gradient", IMAGE, signed, "SmoothGrad", "Smilkov et al. 2017, arXiv:1706.03825",
            "The gradient, averaged over copies of the photo with noise: what flickers from copy to copy is gone.",
            of="gradient", path="noise", finish="mean", options={"steps": 25, "spread": 0.15}, signed=True,
        ),
        Method(
            "smooth_grad_squared", "gradient", IMAGE, signed, "SmoothGrad²",
            "Hooker et al. 2019, arXiv:1806.10758",
            "The square of the gradient, averaged over noisy copies: how much a pixel matters, whichever way.",
            of="gradient", path="noise", finish="mean_square", options={"steps": 25, "spread": 0.15},
        ),
        Method(
            "var_grad", "gradient", IMAGE, signed, "VarGrad", "Adebayo et al. 2018, arXiv:1810.03307",
            "How much the gradient varies from noisy copy to noisy copy.",
            of="gradient", path="noise", finish="variance", options={"steps": 25, "spread": 0.15},
        ),
        Method(
            "integrated_gradients", "gradient", IMAGE, signed, "Integrated gradients",
            "Sundararajan et al. 2017, arXiv:1703.01365",
            "What each pixel adds on the way from a plain image to the photo; all parts make up the score.",
            of="gradient", path="line", finish="difference", signed=True,
            options={"steps": 0, "error": 0.05, "most": 256},
        ),
        Method(
            "expected_gradients", "gradient", IMAGE, signed, "Expected gradients",
            "Erion et al. 2021, arXiv:1906.10670",
            "Integrated gradients from many other photos in turn, in the place of a plain image.",
            of="gradient", path="references", finish="difference", options={"steps": 64}, signed=True,
        ),
        Method(
            "deep_lift_multipliers", "deep_lift", IMAGE, signed, "DeepLIFT multipliers",
            "Shrikumar et al. 2017, arXiv:1704.02685",
            "What DeepLIFT multiplies differences by, each image of a batch with its baseline at the mirrored "
            "place. Of one image alone it is the gradient.", signed=True, chosen=True,
        ),
        Method(
            "deep_lift", "gradient", IMAGE, signed, "DeepLIFT", "Shrikumar et al. 2017, arXiv:1704.02685",
            "What each pixel adds to the difference from a plain image, by differences in the place of slopes.",
            of="deep_lift_multipliers", path="pairs", finish="difference", signed=True, chosen=True,
        ),
        Method(
            "class_competition", "gradient", LAYER, hires_cam, "Class competition",
            "HiResCAM under a softmax over classes, after the idea of arXiv:2503.07346",
            "HiResCAM where the class wins against those that come next: what it shares with them is left out.",
            of="hires_cam", path="classes", finish="competition", options={"classes": 4, "temperature": 0.1},
            asks="where",
        ),
        Method(
            "occlusion", NO_POLICY, IMAGE, of_scores, "Occlusion", "Zeiler and Fergus 2014, arXiv:1311.2901",
            "What the score loses where a window hides the photo. It takes no gradient, only answers.",
            path="windows", options={"window": 0, "stride": 0}, signed=True,
            asks="what if",
        ),
        Method(
            "rise", NO_POLICY, IMAGE, of_scores, "RISE", "Petsiuk et al. 2018, arXiv:1806.07421",
            "What the network scores under thousands of random masks, each pixel by the masks that show it. Slow.",
            path="cells", options={"steps": 4000, "cells": 7, "keep": 0.5},
            asks="what if",
        ),
        Method(
            "recipro_cam", NO_POLICY, LAYER, of_scores, "Recipro-CAM", "Byun and Lee 2022, arXiv:2209.14074",
            "What the rest of the network says of each place of a layer alone. It takes no gradient.",
            path="places", signed=True,
            asks="what if",
        ),
        Method(
            "ablation_cam", NO_POLICY, LAYER, of_scores, "Ablation-CAM",
            "Ramaswamy et al. 2020, doi:10.1109/WACV45572.2020.9093360",
            "A layer's feature maps, each weighted by what the score loses without it. It takes no gradient.",
            path="channels",
            asks="what if",
        ),
        Method(
            "score_cam", NO_POLICY, LAYER, of_scores, "Score-CAM", "Wang et al. 2020, arXiv:1910.01279",
            "A layer's feature maps, each weighted by what the photo scores under it as a mask. Slow: a pass for "
            "each map.",
            path="activations",
            asks="what if",
        ),
    )
}  # fmt: skip


def choose_methods(names: str | Sequence[str] | None, absent: dict[str, str]) -> list[Method]:
    """The methods asked for; None asks for all that apply to the network, but for those that are to be chosen.

    absent: name -> reason, for methods that do not apply. Raises ValueError for a name that is unknown, and for
    one that does not apply, with the reason.
    """
    if names is None:
        return [method for method in METHODS.values() if method.name not in absent and not method.chosen]
    chosen = [names] if isinstance(names, str) else list(names)
    if not chosen:
        raise ValueError("no method is asked for; leave methods out for all that apply")
    for name in chosen:
        if name not in METHODS:
            raise ValueError(f"no method is called {name!r}; {nearest(name, METHODS)}. All: {', '.join(METHODS)}")
        if name in absent:
            raise ValueError(f"{name} does not apply to this network: {absent[name]}")
    return [method for method in METHODS.values() if method.name in chosen]


def policies_of(methods: Sequence[Method]) -> list[str]:
    """The policies that `methods` take, in the order of the table."""
    taken = {method.policy for method in with_factors(methods)} - {NO_POLICY}
    return [policy for policy in dict.fromkeys(method.policy for method in METHODS.values()) if policy in taken]


def with_factors(methods: Sequence[Method]) -> list[Method]:
    """The methods, those whose maps multiply theirs, and those that they repeat."""
    parts = [METHODS[name] for method in methods for name in (method.times, method.of) if name]
    return list(dict.fromkeys([*methods, *parts]))


def one_pass_methods(methods: Sequence[Method]) -> list[Method]:
    """Those that take one pass, among the methods and all that they are made of."""
    return [method for method in with_factors(methods) if not method.path]


def policies_at_image(methods: Sequence[Method]) -> set[str]:
    """The policies whose cotangent some method reads at the image; the others stop at the first layer."""
    return {method.policy for method in with_factors(methods) if method.at.at_image}


def policies_of_calls(methods: Sequence[Method]) -> set[str]:
    """The policies of which some method reads what each call adds."""
    return {method.policy for method in with_factors(methods) if method.at is CALLS}
