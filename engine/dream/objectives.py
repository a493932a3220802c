"""What a picture is optimised for: values of images, with their gradients from the file's own backward half.

An objective takes images as the network does, [N, C, S, S] and normalised, and returns its value for each,
[N], and the gradient of their sum, [N, C, S, S]. It is to grow.
"""

from collections.abc import Callable

from torch import Tensor

from ..run.explainer import Explainer

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


def of_class(explainer: Explainer, target: int | str) -> Objective:
    """The logit of a class, by index or name; of dense logits its sum over the places.

    Simonyan et al. 2014, arXiv:1312.6034: the logit and not the probability, which other classes' going down
    raises as well.
    """
    index, seed = explainer.class_index(target), explainer.one_hot(target)

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        if explainer.outputs == "dense":
            logits, gradient = explainer.forward(x), explainer.explain(x, seed, "gradient")
            return logits[:, index].flatten(1).sum(1), gradient
        logits, gradient = explainer.answer(x, [index] * len(x), "gradient")
        return logits[:, index], gradient

    return objective


def of_channel(explainer: Explainer, layer: int | str, channel: int) -> Objective:
    """The mean of a channel over a layer's places."""
    height, width = explainer.manifest["layers"][explainer.layer_index(layer)]["shape"][1:]

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        found = explainer.explain_unit(x, layer, channel, None, "gradient")
        return found.value / (height * width), found.map / (height * width)

    return objective


def of_unit(explainer: Explainer, layer: int | str, channel: int, at: tuple[int, int] | None = None) -> Objective:
    """The value of one unit: a channel at a row and a column, the layer's middle unless given."""
    height, width = explainer.manifest["layers"][explainer.layer_index(layer)]["shape"][1:]
    place = (height // 2, width // 2) if at is None else at

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        found = explainer.explain_unit(x, layer, channel, place, "gradient")
        return found.value, found.map

    return objective


def of_layer(explainer: Explainer, layer: int | str) -> Objective:
    """The mean of the squares of all of a layer's values: more of whatever it sees, which is deep dream's.

    Mordvintsev, Olah and Tyka 2015, "Inceptionism".
    """

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        value = explainer.layer_value(x, layer)
        gradient = explainer.explain_from(x, layer, 2 * value / value[0].numel(), "gradient")
        return value.square().flatten(1).mean(1), gradient

    return objective


def like_layer(explainer: Explainer, layer: int | str, wanted: Tensor) -> Objective:
    """-|A(x) - A₀|² / |A₀|², how far a layer's values are from others: Mahendran and Vedaldi 2015,
    arXiv:1412.0035.

    wanted: A₀, [1, C, h, w]. Raises ValueError where it is zero everywhere.
    """
    length = wanted.square().sum()
    if not bool(length > 0):
        raise ValueError(f"{layer} is zero everywhere on this photo: there is nothing to invert")

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        apart = explainer.layer_value(x, layer) - wanted
        gradient = explainer.explain_from(x, layer, -2 * apart / length, "gradient")
        return -apart.square().flatten(1).sum(1) / length, gradient

    return objective


class Natural:
    """What keeps a picture natural, to be subtracted: tv · TV + norm · mean |4 (p - ½)|⁶, of pixels p in 0..1.

    Mahendran and Vedaldi 2015, arXiv:1412.0035, with β = 2 and α = 6: TV is the mean over pixels and channels
    of the squared differences to the neighbours below and on the right, and |·|⁶ leaves a quarter to three
    quarters alone.
    """

    def __init__(self, tv: float = 0.0, norm: float = 0.0) -> None:
        self.tv, self.norm = tv, norm

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """The penalty of a picture [C, H, W], and its gradient, [C, H, W]."""
        count, centred = image.numel(), 4 * (image - 0.5)
        down, right = image.diff(dim=1), image.diff(dim=2)
        value = self.tv * (down.square().sum() + right.square().sum()) + self.norm * centred.pow(6).sum()
        gradient = self.norm * 24 * centred.pow(5)
        gradient[:, 1:] += 2 * self.tv * down
        gradient[:, :-1] -= 2 * self.tv * down
        gradient[:, :, 1:] += 2 * self.tv * right
        gradient[:, :, :-1] -= 2 * self.tv * right
        return float(value) / count, gradient / count
