"""Every method of one pass, each as a program of its own for torch.export: wherever it is read, from one pass."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from ..compiler.passes import Compiled, compile_program
from ..listing.names import DRAWN, INTERCEPTS
from ..listing.program import Program
from ..methods import METHODS, NO_POLICY, Method, Place
from ..torchscript.collecting import ScriptedReadings
from .exporting import exported, graph_module


class EveryPlace(nn.Module):
    """The listing of one method with its readings: (image, seed) -> logits, and its maps wherever it has some."""

    def __init__(self, compiled: Compiled, method: Method, size: Sequence[int]) -> None:
        super().__init__()
        self.method, self.size = method, list(size)
        program = compiled.program
        self.layers = list(method.at.layers(len(program.layers), compiled.pooled))
        self.added = program.intercepts[method.policy] if method.at is Place.CALLS else []
        outputs = [program.logits, *_at_image(program, method), *(program.primals[layer] for layer in self.layers)]
        if method.policy != NO_POLICY:
            outputs += [program.cotangents[method.policy][layer] for layer in self.layers]
        outputs += [node for one in self.added for node in (one.ct, one.value)]
        self.listing = graph_module(program, outputs)

    def forward(self, image: Tensor, seed: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] and the cotangent of the logits, [N, K] -> logits [N, K] and what `survey` gives: the map
        of the image or those of the layers; of relevance both."""
        logits, *rest = self.listing(image, seed)
        if not (self.method.at.at_image or self.method.times):
            return logits, self.at_layers(rest)
        image_ct, *rest = rest
        if self.method.times:
            factor = METHODS[self.method.times].read(image, image_ct)
            return logits, self.at_layers(rest)[:, :, None] * factor[:, None]
        map = self.method.read(image, image_ct)
        if self.method.at is Place.CALLS:
            return logits, map + self.of_calls(rest)
        return (logits, map, self.at_layers(rest)) if self.layers else (logits, map)

    def at_layers(self, values: Sequence[Tensor]) -> Tensor:
        """Primals, and cotangents where there are some -> the maps of all layers [N, L, S, S]."""
        count, read = len(self.layers), self.method.read_layers or self.method.read
        primals, cts = values[:count], values[count:] or [value.new_empty(0) for value in values]
        maps = grouped([read(*pair) for pair in zip(primals, cts, strict=True)])
        return torch.cat([enlarged(group, self.size) for group in maps], 1)

    def of_calls(self, values: Sequence[Tensor]) -> Tensor:
        """Cotangents and values of the calls that add something -> what all of them add, [N, S, S]."""
        out: dict[str, list[Tensor]] = {INTERCEPTS: [], DRAWN: []}
        for one, ct, value in zip(self.added, values[::2], values[1::2], strict=True):
            ScriptedReadings().intercept(one.how, one.drawn, ct, value, out)
        parts = [enlarged(group.sum(1, keepdim=True), self.size) for group in grouped(out[DRAWN])]
        return torch.cat(parts, 1).sum(1) if parts else values[0].new_zeros(())


def grouped(maps: Sequence[Tensor]) -> Iterator[Tensor]:
    """Maps [N, h, w], neighbours of one size together: [N, number, h, w]."""
    for _, group in groupby(maps, lambda map: map.shape[1:]):
        yield torch.stack(list(group), 1)


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps [N, L, h, w] at the image's size, as files bring them there."""
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False)


def export_programs(
    module: nn.Module,
    example: Tensor,
    methods: Sequence[str] | None = None,
    layers: str | Sequence[str] = "trunk",
    **options: Any,
) -> dict[str, ExportedProgram]:
    """The explicit programs of many methods, as torch.export keeps them, by the methods' names.

    Each takes (image [N, C, H, W], seed [N, K]), for any N, and gives the logits [N, K] and then

    - of a method of the image its map, as `Explainer.explain` gives it,
    - of a method of layers its maps [N, L, S, S], or [N, L, C, S, S] for Guided Grad-CAM, as `sweep` gives them;
      for CAM there is one layer,
    - of a method of relevance the image's map [N, C, S, S] and those of the layers [N, L, S, S].

    methods: names, or None for all that apply and take one pass. The rest is as in `compile_program`, which says
    what is raised; ValueError for a method of many passes.
    """
    for method in methods or ():
        if reason := left_out(method):
            raise ValueError(f"{method} can't be one program: {reason}; leave it out")
    with torch.inference_mode(False), torch.no_grad():
        compiled = compile_program(module, example, layers, methods, **options)
        return {
            method.name: exported(EveryPlace(compiled, method, example.shape[2:]), compiled.program, example)
            for method in compiled.methods
            if not left_out(method.name)
        }


def left_out(method: str) -> str:
    """Why a method is no program of its own; empty where it is one, or where there is no such method."""
    if method not in METHODS or not METHODS[method].path:
        return ""
    return "it takes many passes, whose number its options or the layer tell, and a program is one"


def _at_image(program: Program, method: Method) -> list[fx.Node]:
    """The cotangent at the image that a method reads there, or the one by which its maps are multiplied."""
    if method.times:
        return [program.image_cotangents[METHODS[method.times].policy]]
    return [program.image_cotangents[method.policy]] if method.at.at_image else []
