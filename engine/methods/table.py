"""The table of methods: which gate, where, and what is read there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..text import nearest
from .finishes import mean_map, mean_square, spread
from .masks import windows_along
from .paths import noisy_copies, references, straight_line
from .places import IMAGE, LAYER, POOLED, Place
from .readings import (
    class_activation,
    eigen_cam,
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

NO_GATE = ""  # of a method that reads the layer's values alone: nothing is carried back for it
PROBE = "probe"  # among the methods of a walk: hand out what is read, at each layer, as it is


@dataclass(frozen=True, eq=False)
class Method:
    """How an attribution is made: a gate for the backward pass, a place, a reading, and its paper.

    The gate is NO_GATE where the reading takes the values of a layer alone; its cotangent is empty then.
    `times` names an image method whose map multiplies the layer's map, brought to the image's size.
    `weigh` gives the weights w, [N, C] or [N, C, h, w], of a reading that is Σ_c w_c A_c, linear in the cotangent
    of A: such a sum serves the layer before a folded BatchNorm and the one behind it, and needs no value given
    back. Its part below zero is cut where it is `rectified`.
    Where there is a `path`, the method takes many passes: those of the method `of` at each of the path's points,
    whose maps become one by `finish`; or, where there is no such method, forward ones alone, of images or layers
    of which the path hides something. `options` are what may be said of it, with what holds where nothing is.
    It is `signed` where values below zero mean something.
    `inner` is what whoever reads it below the last layer has to know.
    `says` is one sentence for whoever looks at its pictures.
    """

    name: str
    gate: str
    at: Place
    read: Callable[[Tensor, Tensor], Tensor]
    title: str
    cite: str
    says: str = ""
    times: str = ""
    weigh: Callable[[Tensor], Tensor] | None = None
    rectified: bool = False
    of: str = ""
    path: str = ""
    finish: str = ""
    options: Mapping[str, float] = field(default_factory=dict)
    inner: str = ""
    signed: bool = False

    @property
    def light(self) -> bool:
        """Is it read beside others at hardly any cost: at the image, or as a weighted sum?"""
        return not self.path and (self.at.at_image or self.weigh is not None)

    def passes(self, size: Sequence[int]) -> int | None:
        """How many passes of one image of that size [H, W] it takes at most; None where the layer tells."""
        if self.path in ("places", "channels", "activations"):
            return None
        if self.path == "windows":
            options = {name: float(value) for name, value in self.options.items()}
            return windows_along(options, size[0]) * windows_along(options, size[1])
        steps = self.options.get("steps", self.options.get("classes", 1))
        return int(steps) or 2 * int(self.options["most"])

    def __post_init__(self) -> None:
        """A place may be given by its word. Raises ValueError for another one."""
        object.__setattr__(self, "at", Place(self.at))


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
            "cam", "gradient", POOLED, class_activation, "CAM", "Zhou et al. 2016, arXiv:1512.04150",
            "The last feature maps, each weighted as the classifier weights it for the class.",
            weigh=total, signed=True,
        ),
        Method(
            "grad_cam", "gradient", LAYER, grad_cam, "Grad-CAM", "Selvaraju et al. 2017, arXiv:1610.02391",
            "A layer's feature maps, each weighted by its mean gradient: warm regions speak for the class.",
            weigh=mean, rectified=True, inner=NOT_OF_THE_CLASS,
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
            weigh=itself, rectified=True,
        ),
        Method(
            "layer_cam", "gradient", LAYER, layer_cam, "LayerCAM",
            "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
            "A layer's values, each times its own gradient where that is positive.",
        ),
        Method(
            "grad_cam_plus_plus", "gradient", LAYER, grad_cam_plus_plus, "Grad-CAM++",
            "Chattopadhay et al. 2018, arXiv:1710.11063",
            "Grad-CAM with more weight on the few places that raise the score: several objects of one class.",
        ),
        Method(
            "xgrad_cam", "gradient", LAYER, xgrad_cam, "XGrad-CAM", "Fu et al. 2020, arXiv:2008.02312",
            "Grad-CAM with each feature map weighted by its gradient where the map is active.",
        ),
        Method(
            "eigen_cam", NO_GATE, LAYER, eigen_cam, "Eigen-CAM", "Muhammad and Yeasin 2020, arXiv:2008.00299",
            "The pattern that a layer's feature maps have most in common. It is blind to the class: it shows what "
            "is there, not what speaks for anything.", signed=True,
        ),
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
            "class_competition", "gradient", LAYER, hires_cam, "Class competition",
            "HiResCAM under a softmax over classes, after the idea of arXiv:2503.07346",
            "HiResCAM where the class wins against those that come next: what it shares with them is left out.",
            of="hires_cam", path="classes", finish="competition", options={"classes": 4, "temperature": 0.1},
        ),
        Method(
            "occlusion", NO_GATE, IMAGE, of_scores, "Occlusion", "Zeiler and Fergus 2014, arXiv:1311.2901",
            "What the score loses where a window hides the photo. It takes no gradient, only answers.",
            path="windows", options={"window": 0, "stride": 0}, signed=True,
        ),
        Method(
            "rise", NO_GATE, IMAGE, of_scores, "RISE", "Petsiuk et al. 2018, arXiv:1806.07421",
            "What the network scores under thousands of random masks, each pixel by the masks that show it. Slow.",
            path="cells", options={"steps": 4000, "cells": 7, "keep": 0.5},
        ),
        Method(
            "recipro_cam", NO_GATE, LAYER, of_scores, "Recipro-CAM", "Byun and Lee 2022, arXiv:2209.14074",
            "What the rest of the network says of each place of a layer alone. It takes no gradient.",
            path="places", signed=True,
        ),
        Method(
            "ablation_cam", NO_GATE, LAYER, of_scores, "Ablation-CAM",
            "Ramaswamy et al. 2020, doi:10.1109/WACV45572.2020.9093360",
            "A layer's feature maps, each weighted by what the score loses without it. It takes no gradient.",
            path="channels",
        ),
        Method(
            "score_cam", NO_GATE, LAYER, of_scores, "Score-CAM", "Wang et al. 2020, arXiv:1910.01279",
            "A layer's feature maps, each weighted by what the photo scores under it as a mask. Slow: a pass for "
            "each map.",
            path="activations",
        ),
    )
}  # fmt: skip


def choose_methods(names: str | Sequence[str] | None, absent: dict[str, str]) -> list[Method]:
    """The methods asked for; None asks for all that apply to the network.

    absent: name -> reason, for methods that do not apply. Raises ValueError for a name that is unknown, and for
    one that does not apply, with the reason.
    """
    if names is None:
        return [method for method in METHODS.values() if method.name not in absent]
    chosen = [names] if isinstance(names, str) else list(names)
    if not chosen:
        raise ValueError("no method is asked for; leave methods out for all that apply")
    for name in chosen:
        if name not in METHODS:
            raise ValueError(f"no method is called {name!r}; {nearest(name, METHODS)}. All: {', '.join(METHODS)}")
        if name in absent:
            raise ValueError(f"{name} does not apply to this network: {absent[name]}")
    return [method for method in METHODS.values() if method.name in chosen]


def gates_of(methods: Sequence[Method]) -> list[str]:
    """The gates that `methods` take, in the order of the table."""
    taken = {method.gate for method in with_factors(methods)} - {NO_GATE}
    return [gate for gate in dict.fromkeys(method.gate for method in METHODS.values()) if gate in taken]


def with_factors(methods: Sequence[Method]) -> list[Method]:
    """The methods, those whose maps multiply theirs, and those that they repeat."""
    parts = [METHODS[name] for method in methods for name in (method.times, method.of) if name]
    return list(dict.fromkeys([*methods, *parts]))


def gates_at_image(methods: Sequence[Method]) -> set[str]:
    """The gates whose cotangent some method reads at the image; the others stop at the first layer."""
    return {method.gate for method in with_factors(methods) if method.at.at_image}
