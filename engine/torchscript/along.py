"""The questions that take many passes, along a path of inputs or by hiding; TorchScript compiles it too.

Several steps go through the network as one batch, as many as `room` allows. What a caller may watch and end is
`progress`, int64 [3]: steps done, steps in all, and whether to stop; an empty one is not looked at.
"""

import torch
from torch import Tensor

from ..methods.baselines import black, blurred
from ..methods.finishes import competing
from ..methods.masks import windows_along
from ..methods.options import refused
from .hiding import Hiding


class AlongPaths(Hiding):
    """What a file answers by many passes."""

    @torch.jit.export
    def options(self, method: str) -> dict[str, float]:
        """What may be said of a method of many passes, with what holds where nothing is said."""
        self.check_many(method)
        return self.options_of[method].copy()

    @torch.jit.export
    def passes(self, method: str, layer: int, options: dict[str, float]) -> int:
        """How many passes of one image a question takes, at most; a forward one alone counts as one too."""
        if method not in self.path_of:
            return 1
        return self.steps_of(self.path_of[method], layer, self.settled(method, options))

    @torch.jit.export
    def baseline(self, x: Tensor, kind: str) -> Tensor:
        """An image that shows nothing, for each of x [N, C, S, S]: "mean" is the mean colour, which is zero to the
        network, "black", and "blur" the image itself without its details."""
        if kind == "mean":
            return torch.zeros_like(x)
        if kind == "black":
            return black(x, self.mean, self.std)
        if kind == "blur":
            return blurred(x)
        raise ValueError(f"no baseline {kind}; there are mean, black, blur, or any images of one's own")

    @torch.jit.export
    def explain_along(
        self,
        x: Tensor,
        seed: Tensor,
        method: str,
        layer: int,
        options: dict[str, float],
        reference: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """A method of many passes: its map, as `explain` gives it, and how far it is from complete.

        options: what differs from `options`. reference: where a path begins, or what hidden pixels show: images
        like x, [1, C, S, S] for all, for expected gradients any number; an empty one is the mean colour.
        The second answer is |Σ map - (f(x) - f(reference))| / |f(x) - f(reference)| of each image, [N], where the
        method says so, else NaN.
        """
        seed = self.as_seed(seed)
        no_methods: list[str] = []
        self.check_question(x, seed, no_methods)
        self.check_many(method)
        return self.along(x, seed, method, layer, options, reference, progress)

    @torch.jit.export
    def explain_smooth(
        self, x: Tensor, seed: Tensor, method: str, layer: int, steps: int, spread: float, progress: Tensor
    ) -> Tensor:
        """Any method of one pass, as the mean over noisy copies of the images: SmoothGrad of it.

        spread: the noise's standard deviation as a share of an image's range.
        """
        seed = self.as_seed(seed)
        self.check_question(x, seed, [method])
        if steps < 1 or not spread >= 0:
            raise ValueError("a mean takes one step or more, and a spread is no less than zero")
        options = {"steps": float(steps), "spread": spread}
        mean, _ = self.moments(x, seed, method, layer, "noise", False, options, torch.zeros_like(x[:1]), progress)
        return mean

    def along(
        self,
        x: Tensor,
        seed: Tensor,
        method: str,
        layer: int,
        options: dict[str, float],
        reference: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """As `explain_along`, of a question that is checked and a seed that is settled."""
        options = self.settled(method, options)
        reference = torch.zeros_like(x[:1]) if reference.numel() == 0 else reference.to(x)
        if list(reference.shape[1:]) != list(x.shape[1:]):
            raise ValueError(f"reference is {list(reference.shape)}, the images are {list(x.shape)}")
        path, undefined = self.path_of[method], torch.full([x.shape[0]], float("nan"), device=x.device)
        if path != "references" and reference.shape[0] != 1 and reference.shape[0] != x.shape[0]:
            raise ValueError(f"there are {reference.shape[0]} references for {x.shape[0]} images")
        if path == "windows" or path == "cells":
            return self.by_hiding(
                x, seed, path, options, self.steps_of(path, 0, options), reference, progress
            ), undefined
        if path == "places" or path == "channels" or path == "activations":
            index = self.layer_at(layer)
            steps = self.steps_of(path, index, options)
            return self.by_layer(x, seed, path, index, steps, reference, progress), undefined
        base = self.base_of[method]
        if path == "classes":
            return self.by_classes(x, seed, base, layer, options, progress), undefined
        if path == "pairs":
            return self.by_pairs(x, seed, base, layer, reference, progress)
        if self.finish_of[method] != "difference":
            mean, variance = self.moments(x, seed, base, layer, path, False, options, reference, progress)
            return self.finished(self.finish_of[method], mean, variance), undefined
        # From a baseline: the parts make up what the score has gained on the way, up to the error of the sum.
        logits = self.forward(torch.cat([x, reference]))
        began = self.of_references(logits[x.shape[0] :], seed, path == "references").mean(0)
        gained = self.scored(logits[: x.shape[0]], seed)[0] - began
        count = options["steps"] if options["steps"] > 0 else float(16)
        map, error = torch.empty(0), undefined
        going = True
        while going:
            now = options.copy()
            now["steps"] = count
            map, _ = self.moments(x, seed, base, layer, path, True, now, reference, progress)
            error = (map.flatten(1).double().sum(1) - gained).abs() / gained.abs()
            # Steps that are left open are doubled until the parts make up the whole, up to a limit.
            going = options["steps"] == 0 and count < options["most"] and bool((error > options["error"]).any())
            count = min(2 * count, options["most"]) if going else count
        return map, error

    def by_pairs(
        self, x: Tensor, seed: Tensor, method: str, layer: int, reference: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the multipliers of a method make of the differences, in one pass of the images and, mirrored behind
        them, their baselines; and how far that is from what the score gained."""
        images, origins = x.shape[0], reference.expand_as(x)
        seeds = torch.cat([seed, seed.flip(0)])
        logits, multipliers = self.one_attribution(torch.cat([x, origins.flip(0)]), seeds, method, layer)
        map = (x - origins) * multipliers[:images]
        scores = self.scored(logits, seeds)[0]
        gained = scores[:images] - scores[images:].flip(0)
        self.tell(progress, 2, 2)
        return map, (map.flatten(1).double().sum(1) - gained).abs() / gained.abs()

    def moments(
        self,
        x: Tensor,
        seed: Tensor,
        method: str,
        layer: int,
        path: str,
        times_way: bool,
        options: dict[str, float],
        reference: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of a method's maps over the points of a path, each map times the way from its origin
        to the image where `times_way`."""
        images, steps = x.shape[0], int(options["steps"])
        mean, squares = torch.empty(0), torch.empty(0)
        part = self.part_of(steps, max(1, self.room // images))
        done = 0
        while done < steps:
            end = min(steps, done + part)
            points, origins = self.points(path, x, reference, options, done, end)
            maps = self.one_attribution(points.flatten(0, 1), self.repeated(seed, end - done), method, layer)[1]
            shape = [end - done, images]
            shape.extend(maps.shape[1:])
            maps = maps.view(shape)
            if times_way:
                maps = maps * (x[None] - origins)
            # Chan et al. 1983: means and squared distances of two groups, joined without cancellation.
            own = maps.mean(0)
            around = (maps - own).square().sum(0)
            if done == 0:
                mean, squares = own, around
            else:
                share = float(end - done) / end
                apart = own - mean
                squares = squares + around + apart.square() * (done * share)
                mean = mean + apart * share
            done = end
            self.tell(progress, done, steps)
        return mean, squares / steps

    def by_classes(
        self, x: Tensor, seed: Tensor, method: str, layer: int, options: dict[str, float], progress: Tensor
    ) -> Tensor:
        """The map of what is asked, at each place times its share in the softmax over all maps that compete:
        it, and the top classes besides.

        temperature: of the softmax, as a share of the largest value of all maps of an image.
        """
        if seed.dim() != 2:
            raise ValueError(
                "classes compete where an image has one answer, and this network answers at each place"
            )
        count = min(int(options["classes"]), self.classes)
        if count < 2:
            raise ValueError("two classes or more compete")
        others = self.forward(x).masked_fill(seed > 0, -float("inf")).topk(count - 1, 1).indices
        maps: list[Tensor] = []
        for index in range(count):
            asked = seed if index == 0 else torch.zeros_like(seed).scatter(1, others[:, index - 1 : index], 1.0)
            maps.append(self.one_attribution(x, asked, method, layer)[1])
            self.tell(progress, index + 1, count)
        return competing(torch.stack(maps), options["temperature"])

    def check_many(self, method: str) -> None:
        """Raise unless it is a method of many passes that the file has."""
        if method not in self.path_of:
            known = ", ".join(list(self.path_of.keys()))
            raise ValueError(f"{method} is no method of many passes; this file has {known}")

    def repeated(self, seed: Tensor, times: int) -> Tensor:
        """The seeds of a batch for so many copies of it, one copy behind the other."""
        return torch.stack([seed for _ in range(times)]).flatten(0, 1)

    def settled(self, method: str, options: dict[str, float]) -> dict[str, float]:
        """A method's options where those given take their place. Raises for one that is not there or can't be."""
        known = self.options_of[method].copy()
        for name in list(options.keys()):
            if name not in known:
                raise ValueError(f"{method} has no option {name}; it has {', '.join(known.keys())}")
            why = refused(name, options[name], known[name])
            if len(why) > 0:
                raise ValueError(why)
            known[name] = options[name]
        return known

    def steps_of(self, path: str, layer: int, options: dict[str, float]) -> int:
        """How many points a path has."""
        if path == "windows":
            return windows_along(options, self.size[0]) * windows_along(options, self.size[1])
        if path == "places":
            shape = self.shapes[self.layer_at(layer)]
            return shape[1] * shape[2]
        if path == "channels" or path == "activations":
            return self.shapes[self.layer_at(layer)][0]
        if path == "classes":
            return int(options["classes"])
        if path == "pairs":
            return 2
        steps = int(options["steps"])
        return int(options["most"]) * 2 if steps == 0 and "most" in options else steps
