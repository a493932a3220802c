"""What the certificate says of methods of many passes, of starts at a layer and of tails: formulas stated anew.

The reference's gradients are autograd's, as in `reference`; the points of a path are the file's own, few of them,
for one image. What is to be found out is what the file makes of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..methods.masks import cells
from ..rules.policies import POLICIES
from .reference import CANCELLED, layer_reference, plainly, reference, start_reference
from .relevance import relevance_reference

STEPS = 2  # of a path
THE_COTANGENT = ("gradient", "deconvnet", "guided_backprop")  # methods whose map is it
MOST_WAYS = 4  # in which a layer is changed
# From the maps at the points, each with the way from its origin to the image, [M, …] both.
JOINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": lambda maps, ways: torch.einsum("m...->...", maps) / len(maps),
    "mean_square": lambda maps, ways: torch.linalg.vector_norm(maps, dim=0) ** 2 / len(maps),
    "variance": lambda maps, ways: torch.var(maps, dim=0, correction=0),
    # Of two: e^a / (e^a + e^b) = 1 / (1 + e^(b - a)).
    "competition": lambda maps, ways: (
        maps[0] / (1 + ((maps[1] - maps[0]) / (0.1 * maps.abs().max().clamp_min(1e-30))).exp())
    ),
    "difference": lambda maps, ways: torch.einsum("m...,m...->...", maps, ways) / len(maps),
}


class Compared(NamedTuple):
    """A map of the file beside what it should be. natural: its size where terms do not cancel."""

    found: Tensor
    wanted: Tensor
    natural: float = 0.0

    @property
    def deviation(self) -> float:
        """The largest difference over the largest value, or over the natural size where that is larger."""
        scale = max(float(self.wanted.abs().max()), self.natural, torch.finfo(self.found.dtype).tiny)
        return float((self.found.double() - self.wanted.double()).abs().max()) / scale


def deviations_of_many(module: Any, x: Tensor, seed: Tensor) -> dict[str, float]:
    """The deviation of each method of many passes, relative to the reference's largest value."""
    x, seed = x[:1], seed[:1]
    found: dict[str, float] = {}
    known: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    with torch.no_grad(), plainly():
        for name, path in module.path_of.items():
            base = module.base_of.get(name)
            if path == "classes":
                compared = _of_classes(module, x, seed, name)
            elif path == "pairs":
                compared = _of_pairs(module, x, seed, name, module.policy_of[base])
            elif base is None:
                compared = _of_scores(module, x, seed, path)
            else:
                compared = _of_points(module, x, seed, name, path, module.policy_of[base], known)
            if compared is not None:
                found[name] = compared.deviation
    return found


def _of_points(
    module: Any,
    x: Tensor,
    seed: Tensor,
    name: str,
    path: str,
    policy: str,
    known: dict[tuple[str, str], tuple[Tensor, Tensor]],
) -> Compared:
    """The file's map and the reference's, of a path with two steps from a blurred image."""
    options = module.options(name) | {"steps": float(STEPS)}
    none = torch.empty(0)
    origin = module.baseline(x, "blur")
    answer, _ = module.explain_along(x, seed, name, -1, options, origin, none)
    if (path, policy) not in known:
        points, origins = module.points(path, x, origin, options, 0, STEPS)
        # As many at once as the file takes: kernels of another batch round otherwise, and at a kink that is seen.
        groups = points.split(min(STEPS, max(1, module.room)))
        maps = torch.cat(
            [
                reference(module, group[:, 0], seed.expand(len(group), *seed.shape[1:]), policy)[1]
                for group in groups
            ]
        )[:, None]
        known[path, policy] = maps, (x - origins).expand_as(maps)
    maps, ways = known[path, policy]
    return Compared(answer, JOINED[module.finish_of[name]](maps, ways))


def _of_pairs(module: Any, x: Tensor, seed: Tensor, name: str, policy: str) -> Compared:
    """The file's map and the reference's, of an image and a blurred one."""
    origin = module.baseline(x, "blur")
    answer, _ = module.explain_along(x, seed, name, -1, {}, origin, torch.empty(0))
    pair = torch.cat([x, origin])
    multipliers = reference(module, pair, seed.expand(2, *seed.shape[1:]), policy)[1]
    return Compared(answer, torch.einsum("nchw,nchw->nchw", pair[:1] - pair[1:], multipliers[:1]))


def _of_classes(module: Any, x: Tensor, seed: Tensor, name: str) -> Compared | None:
    """Of two classes, at the last layer."""
    if seed.ndim != 2 or seed.shape[1] < 2 or not module.layers:
        return None
    index, options = len(module.layers) - 1, {"classes": 2.0, "temperature": 0.1}
    none = torch.empty(0)
    answer, _ = module.explain_along(x, seed, name, index, options, none, none)
    runner_up = module.forward(x).argsort(1, descending=True)
    runner_up = F.one_hot(next(c for c in runner_up[0] if not seed[0, c]), seed.shape[1])[None].to(seed)
    maps = []
    for asked in (seed, runner_up):
        value, ct = layer_reference(module, x, asked)[index]
        map = torch.einsum("nchw,nchw->nhw", value, ct).clamp(min=0)
        maps.append(F.interpolate(map[:, None], module.size, mode="bilinear")[:, 0])
    stacked = torch.stack(maps)
    natural = float(torch.einsum("nchw,nchw->nhw", value.abs(), ct.abs()).max()) * CANCELLED
    return Compared(answer, JOINED[module.finish_of[name]](stacked, stacked), natural)


def _of_scores(module: Any, x: Tensor, seed: Tensor, path: str) -> Compared | None:
    """What a method that looks at scores alone gives, and what it should; None where no layer has a tail."""
    if path in ("windows", "cells"):
        return _by_hiding(module, x, seed, path)
    return _by_layer(module, x, seed, path, module.tails[-1]) if module.tails else None


def _by_hiding(module: Any, x: Tensor, seed: Tensor, path: str) -> Compared:
    score = partial(_score, module.forward, seed)
    height, width = module.size
    zero, none, whole = torch.zeros_like(x), torch.empty(0), score(x)
    wanted = x.new_zeros(1, height, width, dtype=torch.float64)
    if path == "windows":
        side = (max(height, width) + 1) // 2
        options = {"window": float(side), "stride": float(side)}
        for top in range(0, height, side):
            for left in range(0, width, side):
                hidden = x.clone()
                hidden[:, :, top : top + side, left : left + side] = 0
                wanted[:, top : top + side, left : left + side] = whole - score(hidden)
    else:
        options = {"steps": float(STEPS), "cells": 3.0, "keep": 0.5}
        for mask in cells(height, width, options, 0, STEPS):
            wanted += score(x * mask.to(x)) * mask.to(x.device) / (STEPS * 0.5)
    # Scores that hardly differ leave rounding in their difference, which is a share of the scores.
    return Compared(
        module.by_hiding(x, seed, path, options, module.steps_of(path, 0, options), zero, none),
        wanted,
        float(whole.abs()) * CANCELLED,
    )


def _by_layer(module: Any, x: Tensor, seed: Tensor, path: str, layer: int) -> Compared:
    """Of the first few places or channels of a layer."""
    value, zero = module.primals(x)[1][layer], torch.zeros_like(x)
    score, tail = partial(_score, module.forward, seed), partial(_score, partial(module.tail, layer), seed)
    whole, natural = tail(value), float(value.abs().max()) * CANCELLED
    map = value.new_zeros(value[:, 0].shape, dtype=torch.float64)
    ways = min(MOST_WAYS, map.numel() if path == "places" else value.shape[1])
    scores = []
    for way in range(ways):
        if path == "places":
            row, column = divmod(way, value.shape[3])
            alone = torch.zeros_like(value)
            alone[:, :, row, column] = value[:, :, row, column]
            map[:, row, column] = tail(alone)
        elif path == "channels":
            without = value.clone()
            without[:, way] = 0
            map += ((whole - tail(without)) / whole if whole.any() else 0 * whole) * value[:, way].double()
        else:
            mask = F.interpolate(value[:, way : way + 1], module.size, mode="bilinear")
            mask = (mask - mask.min()) / (mask.max() - mask.min()).clamp_min(1e-12)
            scores.append(score(x * mask) - score(zero))
    if path == "channels":
        natural *= 10  # a weight is a difference of scores over a score, rounded as those are
    if path == "places":
        natural = float(whole.abs()) * CANCELLED
    if path == "activations":
        weights = torch.cat(scores).softmax(0)
        map = torch.einsum("c,nchw->nhw", weights, value[:, :ways].double())
        natural *= max(1.0, float(torch.cat(scores).abs().max()))  # an exponential has its argument's rounding
    map = map if path == "places" else map.clamp(min=0)
    map = F.interpolate(map[:, None], module.size, mode="bilinear")[:, 0]
    return Compared(module.by_layer(x, seed, path, layer, ways, zero, torch.empty(0)), map, natural)


def _score(network: Callable[[Tensor], Tensor], seed: Tensor, given: Tensor) -> Tensor:
    """Σ seed · logits: float64 [N]."""
    return (network(given).double() * seed.double()).flatten(1).sum(1)


def deviations_of_starts(module: Any, x: Tensor) -> dict[str, float]:
    """The deviation of the cotangent at the image, per policy, of a seed at the middle one of the layers that a
    question may start at; empty where there is none."""
    if not module.starts:
        return {}
    layer, found = module.starts[len(module.starts) // 2], {}
    x = x[:1]
    readers = {
        module.policy_of[name]: name
        for name in module.policy_of
        if name in module.methods
        and (name in THE_COTANGENT or name in module.alone)
        and name not in module.from_logits
    }
    for policy in module.policies_at_image:
        if policy not in readers:
            continue
        with torch.no_grad(), plainly():
            value = module.primals(x)[1][layer]
            seed = torch.randn(value.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            seed = seed.to(value)
            answer = module.explain_from(x, layer, seed, readers[policy])
        if POLICIES[policy].relevance:
            wanted = relevance_reference(module, x, seed, policy, layer)[0]
        else:
            wanted = start_reference(module, x, layer, seed, policy)
        found[policy] = float((answer - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30))
    return found


def deviation_of_tails(module: Any, x: Tensor) -> float:
    """The largest deviation of the logits by the tail of the first, a middle and the last layer that has one."""
    x, tails, found = x[:1], list(module.tails), [0.0]
    with torch.no_grad(), plainly():
        logits, primals = module.primals(x)
        for layer in {*tails[:1], *tails[len(tails) // 2 : len(tails) // 2 + 1], *tails[-1:]}:
            found.append(float((module.tail(layer, primals[layer]) - logits).abs().max() / logits.abs().max()))
    return max(found)
