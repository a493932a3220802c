"""The questions that start at a layer, and the network from there on; TorchScript compiles it, as `answers`."""

import torch
from torch import Tensor

from .answers import ScriptedExplainer


class StartingAnywhere(ScriptedExplainer):
    """What a file answers of its layers' own values."""

    @torch.jit.export
    def tail(self, layer: int, value: Tensor) -> Tensor:
        """Logits from the value [N, C, h, w] of a layer, without the network below it."""
        index = self.layer_at(layer)
        if index not in self.tails:
            raise ValueError(f"the logits hang on more than the values of layer {index}, {self.layers[index]}")
        if list(value.shape[1:]) != self.shapes[index] or value.dim() != 4:
            raise ValueError(f"value is {list(value.shape)}, layer {index} has [N, {self.shapes[index]}]")
        return self.tail_of(index, value)

    @torch.jit.export
    def explain_from(self, x: Tensor, layer: int, seed: Tensor, method: str, at: int = -1) -> Tensor:
        """What made a layer take its values, in the place of a logit: `explain`, started at a layer.

        seed: shaped like the layer's value, [N, C, h, w]: a unit's one-hot, a channel, a direction at each place.
        method: of the image, or of a layer, which is read at layer `at`, no later than the start; -1 is the start,
        or the image for a method that is read throughout.
        """
        start = self.layer_at(layer)
        wanted = self.shapes[start].copy()
        wanted.insert(0, x.shape[0])
        if list(seed.shape) != wanted:
            raise ValueError(f"seed is {list(seed.shape)}, at layer {start} of these images it is {wanted}")
        return self.at_start(x, self.as_seed(seed), method, start, at)[0]

    @torch.jit.export
    def explain_unit(
        self, x: Tensor, layer: int, units: Tensor, method: str, at: int = -1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What made a unit of a layer fire: `explain_from` a one at it, its row and column, int64 [N, 2], and its
        value, [N].

        units: int64 [N, 3], channel, row and column; row -1 for the place where the channel is strongest, and -2
        for the whole channel, whose value is its sum and whose row and column are -2.
        """
        start = self.layer_at(layer)
        if list(units.shape) != [x.shape[0], 3] or units.dtype != torch.int64:
            raise ValueError(f"units are {list(units.shape)}, for these images they are int64 [{x.shape[0]}, 3]")
        shape = self.shapes[start]
        channel, row, column = units[:, 0], units[:, 1], units[:, 2]
        if bool(((channel < 0) | (channel >= shape[0])).any()):
            raise ValueError(f"a channel is none of 0..{shape[0] - 1}, which layer {start} has")
        placed = (row < 0) | (column >= 0) & (column < shape[2])
        if bool(((row < -2) | (row >= shape[1]) | ~placed).any()):
            raise ValueError(f"a place lies outside of layer {start}, which is {shape[1]} by {shape[2]}")
        map, origin = self.at_start(x, units, method, start, at)
        value, seed = origin[0], origin[1]
        place = seed.flatten(2).sum(1).argmax(1)
        places = torch.stack([place.div(shape[2], rounding_mode="floor"), place.remainder(shape[2])], 1)
        places = torch.where((row == -2)[:, None], torch.full_like(places, -2), places)
        return map, places, (value * seed).flatten(1).sum(1)

    def at_start(self, x: Tensor, asked: Tensor, method: str, start: int, at: int) -> tuple[Tensor, list[Tensor]]:
        """One attribution from a layer on, with the layer's value and seed."""
        self.check_image(x)
        self.check_methods([method])
        if method in self.from_logits:
            raise ValueError(f"{method} weighs by the gradient of a logit, and starts at the logits alone")
        if start not in self.starts:
            raise ValueError(
                f"layer {start}, {self.layers[start]}, lies beside other paths, and nothing starts there: ask at "
                'a layer that all paths pass, as those of layers="trunk" are'
            )
        if method in self.alone:
            place = self.layer_or_image(method, at)
            if place > start:
                raise ValueError(f"layer {place} lies above the start, layer {start}: its values don't lead there")
            _, map, origin = self.ask_alone(x, asked, method, start, place)
            return map, origin
        if method not in self.reader_of:
            _, maps, origin = self.ask_from(x, asked, [method], start, start, start)
            return maps[0], origin
        index = start if at < 0 else at
        if index > start:
            raise ValueError(f"layer {index} lies above the start, layer {start}: its values do not lead there")
        if index < self.first_of[method] or index > self.last_of[method]:
            raise ValueError(f"{method} is not read at layer {index}")
        _, maps, origin = self.ask_from(x, asked, [method], start, index, index)
        return maps[0][:, 0], origin
