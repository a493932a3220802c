"""Convolutional networks forward and backward in plain numpy: a page of calculus, without torch and autograd.

An op takes its inputs and returns (y, pullback). A pullback takes the cotangent of y and gives one for each input;
that of an activation takes the policy as well. Arrays are [N, C, H, W] or [N, K].
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray
Op = Callable[..., tuple[Array, Callable[..., tuple[Array, ...]]]]
erf = np.vectorize(math.erf)


class Network:
    """A forward pass that remembers its ops; `backward` walks them from the last to the first.

    call: network(name, op, *names of its inputs, **arguments); the image is called "image".
    """

    def __init__(self, image: Array) -> None:
        self.values = {"image": image}
        self.steps: list[tuple[str, tuple[str, ...], Callable[..., tuple[Array, ...]], bool]] = []

    def __call__(self, name: str, op: Op, *sources: str, **arguments: Any) -> None:
        self.values[name], pullback = op(*(self.values[source] for source in sources), **arguments)
        self.steps.append((name, sources, pullback, op in ACTIVATIONS))

    def backward(self, seed: Array, policy: str) -> dict[str, Array]:
        """The cotangent of each value: those from all of its readers, added up."""
        cts = {name: np.zeros_like(value) for name, value in self.values.items()}
        cts[self.steps[-1][0]] = seed
        for name, sources, pullback, gated in reversed(self.steps):
            found = pullback(cts[name], policy) if gated else pullback(cts[name])
            for source, ct in zip(sources, found, strict=True):
                cts[source] = cts[source] + ct
        return cts


def windows(x: Array, kernel: int, stride: int) -> Iterator[tuple[int, int, Array]]:
    """For each place (k, m) of a kernel, the pixels that it meets: a view of x, [..., rows, columns]."""
    rows, columns = ((side - kernel) // stride + 1 for side in x.shape[-2:])
    for k in range(kernel):
        for m in range(kernel):
            yield k, m, x[..., k : k + stride * rows : stride, m : m + stride * columns : stride]


def padded(x: Array, padding: int, value: float = 0.0) -> Array:
    border = [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2
    return np.pad(x, border, constant_values=value)


def cropped(x: Array, padding: int) -> Array:
    return x[..., padding : x.shape[-2] - padding, padding : x.shape[-1] - padding]


def conv2d(x, weight, bias=None, stride=1, padding=0, groups=1):
    """y[o, i, j] = b[o] + Σ w[o, c, k, m] x[c, s i + k - p, s j + m - p], in each group of channels."""
    n, channels, height, width = x.shape
    wide = padded(x.reshape(n, groups, channels // groups, height, width), padding)
    w = weight.reshape(groups, -1, *weight.shape[1:])
    y = sum(np.einsum("goc,ngcij->ngoij", w[..., k, m], seen) for k, m, seen in windows(wide, w.shape[-1], stride))
    shape = n, len(weight), *y.shape[-2:]

    def pullback(ct):
        back = np.zeros_like(wide)
        for k, m, met in windows(back, w.shape[-1], stride):
            met += np.einsum("goc,ngoij->ngcij", w[..., k, m], ct.reshape(y.shape))
        return (cropped(back, padding).reshape(x.shape),)

    return y.reshape(shape) + (0 if bias is None else bias[:, None, None]), pullback


def batch_norm(x, weight, bias, running_mean, running_var, eps=1e-5):
    """γ (x - μ) / √(σ² + ε) + β, with the statistics that were learnt."""
    slope = (weight / np.sqrt(running_var + eps))[:, None, None]
    return slope * (x - running_mean[:, None, None]) + bias[:, None, None], lambda ct: (slope * ct,)


def activation(f: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Op:
    """f(x) elementwise, and what each policy lets through on the way back."""

    def op(x):
        def pullback(ct, policy):
            up = np.maximum(ct, 0)
            passed = {"gradient": slope(x) * ct, "deconvnet": up, "guided": slope(x) * up * (x > 0)}
            return (passed[policy],)

        return f(x), pullback

    return op


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normal_cdf(x: Array) -> Array:
    return (1 + erf(x / math.sqrt(2))) / 2


def normal_pdf(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


relu = activation(lambda x: np.maximum(x, 0), lambda x: x > 0)
relu6 = activation(lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6))
silu = activation(lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))))
gelu = activation(lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * normal_pdf(x))
ACTIVATIONS = (relu, relu6, silu, gelu)


def max_pool(x, kernel, stride, padding=0):
    """The largest pixel of each window; the cotangent goes to the first one that is as large."""
    wide = padded(x, padding, -np.inf)
    y = np.max([seen for _, _, seen in windows(wide, kernel, stride)], axis=0)

    def pullback(ct):
        back, open_ = np.zeros_like(wide), np.ones_like(y, dtype=bool)
        for (_, _, seen), (_, _, met) in zip(
            windows(wide, kernel, stride), windows(back, kernel, stride), strict=True
        ):
            won = open_ & (seen == y)
            met += won * ct
            open_ &= ~won
        return (cropped(back, padding),)

    return y, pullback


def avg_pool(x, kernel, stride, padding=0):
    """The mean of each window, the border of zeros counted."""
    wide = padded(x, padding)
    y = np.mean([seen for _, _, seen in windows(wide, kernel, stride)], axis=0)

    def pullback(ct):
        back = np.zeros_like(wide)
        for _, _, met in windows(back, kernel, stride):
            met += ct / kernel**2
        return (cropped(back, padding),)

    return y, pullback


def add(a, b):
    return a + b, lambda ct: (ct, ct)


def concat(*parts):
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    return np.concatenate(parts, axis=1), lambda ct: tuple(np.split(ct, ends, axis=1))


def global_average(x):
    """[N, C, H, W] -> [N, C]: each pixel has its share of the cotangent."""
    pixels = x.shape[2] * x.shape[3]
    return x.mean((2, 3)), lambda ct: (np.broadcast_to(ct[..., None, None] / pixels, x.shape),)


def flatten(x):
    return x.reshape(len(x), -1), lambda ct: (ct.reshape(x.shape),)


def linear(x, weight, bias):
    return x @ weight.T + bias, lambda ct: (ct @ weight,)


def grad_cam(primal: Array, ct: Array) -> Array:
    """max(0, Σ_c α_c A_c) with α_c the mean over the pixels of the cotangent: [N, h, w]."""
    return np.maximum(np.einsum("nc,nchw->nhw", ct.mean((2, 3)), primal), 0)


def resized(maps: Array, side: int) -> Array:
    """Bilinear, [N, h, w] -> [N, side, side]: pixels are squares, and their values stand in the middle."""
    rows, columns = (between(cells, side) for cells in maps.shape[1:])
    return np.einsum("yi,nij,xj->nyx", rows, maps, columns)


def between(cells: int, side: int) -> Array:
    """[side, cells]: how much of each cell every new pixel takes."""
    share = np.zeros((side, cells))
    for pixel in range(side):
        middle = (pixel + 0.5) * cells / side - 0.5
        left = math.floor(middle)
        for cell, part in ((left, left + 1 - middle), (left + 1, middle - left)):
            share[pixel, min(max(cell, 0), cells - 1)] += part
    return share


def guided_grad_cam(primal: Array, ct: Array, guided: Array) -> Array:
    """Grad-CAM at a layer, at the size of the image, times guided backprop: [N, C, H, W]."""
    return resized(grad_cam(primal, ct), guided.shape[-1])[:, None] * guided
