"""Attribution methods as declarations: which gate, where, and what is read there.

A reading is `(primal, cotangent) -> map`, a plain function that TorchScript takes as it is. A new CAM variant is
one reading and one line of METHODS; `trust.certificate` states its formula anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from .text import nearest

PROBE = "probe"  # among the methods of a walk: hand out what is read, at each layer, as it is


class Place(StrEnum):
    """Where a method reads its maps. Files and manifests hold the word."""

    IMAGE = "image", "at the image"  # one map
    LAYER = "layer", "at every layer"  # one map for each
    POOLED = "pooled", "at the pooled layer"  # one map, at the layer that a global-pooling + linear head pools

    says: str

    def __new__(cls, word: str, says: str = "") -> "Place":
        """A place is its word, and knows how people say it."""
        place = str.__new__(cls, word)
        place._value_, place.says = word, says
        return place

    @property
    def at_image(self) -> bool:
        """Is the map one of the image itself? Then it has no layer."""
        return self is Place.IMAGE

    @property
    def at_every_layer(self) -> bool:
        """Does whoever asks choose the layer?"""
        return self is Place.LAYER

    def layers(self, count: int, pooled: int) -> range:
        """Which of so many layers it reads. pooled: the layer that the head pools, -1 where there is none."""
        return {Place.IMAGE: range(0), Place.LAYER: range(count), Place.POOLED: range(pooled, pooled + 1)}[self]


IMAGE, LAYER, POOLED = Place


def signed(primal: Tensor, ct: Tensor) -> Tensor:
    """∂ logit / ∂ x as it is: [N, C, H, W], signed."""
    return ct


def largest_absolute(primal: Tensor, ct: Tensor) -> Tensor:
    """max_c |∂ logit / ∂ x_c|: [N, H, W], never negative."""
    return ct.abs().amax(1)


def input_times(primal: Tensor, ct: Tensor) -> Tensor:
    """x · ∂ logit / ∂ x: [N, C, H, W]; on a ReLU network its sum and the bias terms make up the logit."""
    return primal * ct


def class_activation(primal: Tensor, ct: Tensor) -> Tensor:
    """Σ_c w_c A_c with the head's weights w: [N, h, w], signed.

    Behind a global average, the cotangent of A_c is w_c / (h w) at each pixel, so its sum is the weight itself.
    """
    return weighted(primal, total(ct))


def grad_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c α_c A_c) with α_c the mean of the cotangent over the pixels: [N, h, w]."""
    return torch.relu(weighted(primal, mean(ct)))


def total(ct: Tensor) -> Tensor:
    """The sum over the pixels: [N, C]."""
    return ct.permute(0, 2, 3, 1).flatten(1, 2).sum(1) if ct.stride(1) == 1 else ct.sum([2, 3])


def mean(ct: Tensor) -> Tensor:
    """The mean over the pixels: [N, C]. Of channels that lie together it is faster over pixels as one axis."""
    return ct.permute(0, 2, 3, 1).flatten(1, 2).mean(1) if ct.stride(1) == 1 else ct.mean([2, 3])


def weighted(primal: Tensor, weights: Tensor) -> Tensor:
    """Σ_c w_c A_c, with weights [N, C]: [N, h, w]. As a product it reads the primal once and keeps nothing.

    Where channels lie together, it is one product for each row of pixels, which all threads share. Laid out as
    [1, C], the weights of a row are a vector to the product even when transposed, which halves its time.
    """
    images, channels, height, width = primal.shape
    if primal.stride(1) != 1:
        return torch.bmm(weights.unsqueeze(1), primal.flatten(2)).view(images, height, width)
    rows = primal.permute(0, 2, 3, 1).reshape(images * height, width, channels)
    vectors = weights.unsqueeze(1).expand(images, height, channels).reshape(images * height, 1, channels)
    return torch.bmm(rows, vectors.transpose(1, 2)).view(images, height, width)


def minus_shift(sums: Tensor, weights: Tensor, shift: Tensor) -> Tensor:
    """Σ_c w_c (A_c - shift_c), from Σ_c w_c A_c: [N, h, w]."""
    return sums - torch.mv(weights, shift.flatten().to(weights.dtype)).view(-1, 1, 1)


@dataclass(frozen=True)
class Method:
    """How an attribution is made: a gate for the backward pass, a place, a reading, and its paper.

    `times` names an image method whose map multiplies the layer's map, brought to the image's size.
    `weigh` gives the weights w [N, C] of a reading that is Σ_c w_c A_c, linear in the cotangent of A: such a sum
    serves the layer before a folded BatchNorm and the one behind it, and needs no value given back. Its part below
    zero is cut where it is `rectified`. `says` is one sentence for whoever looks at its pictures.
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

    def __post_init__(self) -> None:
        """A place may be given by its word. Raises ValueError for another one."""
        object.__setattr__(self, "at", Place(self.at))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gradient", "gradient", IMAGE, signed, "Gradient", "Simonyan et al. 2014, arXiv:1312.6034",
            "How the score of the class changes with each pixel: light raises it, dark lowers it.",
        ),
        Method(
            "saliency", "gradient", IMAGE, largest_absolute, "Saliency", "Simonyan et al. 2014, arXiv:1312.6034",
            "Where changing a pixel would change the score of the class most, up or down.",
        ),
        Method(
            "input_x_gradient", "gradient", IMAGE, input_times, "Input × gradient",
            "Shrikumar et al. 2016, arXiv:1605.01713",
            "The gradient times the pixel itself: what each pixel adds to the score, to first order.",
        ),
        Method(
            "deconvnet", "deconvnet", IMAGE, signed, "Deconvnet", "Zeiler and Fergus 2014, arXiv:1311.2901",
            "A gradient that only carries what speaks for the class, back through every activation.",
        ),
        Method(
            "guided_backprop", "guided", IMAGE, signed, "Guided backprop",
            "Springenberg et al. 2015, arXiv:1412.6806",
            "Deconvnet through active units only: crisp edges and textures, less tied to the class.",
        ),
        Method(
            "cam", "gradient", POOLED, class_activation, "CAM", "Zhou et al. 2016, arXiv:1512.04150",
            "The last feature maps, each weighted as the classifier weights it for the class.",
            weigh=total,
        ),
        Method(
            "grad_cam", "gradient", LAYER, grad_cam, "Grad-CAM", "Selvaraju et al. 2017, arXiv:1610.02391",
            "A layer's feature maps, each weighted by its mean gradient: warm regions speak for the class.",
            weigh=mean, rectified=True,
        ),
        Method(
            "guided_grad_cam", "gradient", LAYER, grad_cam, "Guided Grad-CAM",
            "Selvaraju et al. 2017, arXiv:1610.02391",
            "Guided backprop where the layer's Grad-CAM is warm: the details that speak for the class.",
            times="guided_backprop", weigh=mean, rectified=True,
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
    taken = {method.gate for method in with_factors(methods)}
    return [gate for gate in dict.fromkeys(method.gate for method in METHODS.values()) if gate in taken]


def with_factors(methods: Sequence[Method]) -> list[Method]:
    """The methods, and those whose maps multiply theirs."""
    return [*methods, *(METHODS[method.times] for method in methods if method.times)]


def gates_at_image(methods: Sequence[Method]) -> set[str]:
    """The gates whose cotangent some method reads at the image; the others stop at the first layer."""
    return {method.gate for method in with_factors(methods) if method.at.at_image}
