"""Questions that start at a layer."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..methods import PROBE
from .opened import Opened

Position = Literal["strongest"] | tuple[int, int] | None


class UnitAnswer(NamedTuple):
    """What made a unit fire: the map, as `explain` gives it; where it lies in the layer, row and column, int64
    [N, 2]; and its value, [N]. Of a whole channel the place is (-2, -2) and the value the sum."""

    map: Tensor
    place: Tensor
    value: Tensor


class Starting(Opened):
    """What an explainer answers of its layers' own values, in the place of the logits."""

    def explain_unit(
        self,
        x: Tensor,
        layer: int | str,
        channel: int | Sequence[int],
        position: Position = "strongest",
        method: str = "guided_backprop",
        at: int | str | None = None,
    ) -> UnitAnswer:
        """What made a unit of a layer fire, brought back to the pixels.

        With deconvnet and the strongest position it is Zeiler and Fergus's own use of it (2014, arXiv:1311.2901),
        with guided backprop Springenberg et al.'s (2015, arXiv:1412.6806); both start from one.
        x: [N, C, S, S]. channel: one for all images, or one each.
        position: "strongest", where the channel is largest, by image; a row and a column; None for all of it.
        at: of layer methods the layer that is read, the start itself unless given.
        Raises ValueError for a layer, a channel or a place that is not there, and for a layer beside other paths.
        """
        self._check_question(x, [method])
        index = self._start(layer)
        channels, *size = self.manifest["layers"][index]["shape"]
        asked = [channel] * len(x) if isinstance(channel, int) else [int(one) for one in channel]
        if len(asked) != len(x):
            raise ValueError(f"{len(asked)} channels for {len(x)} images")
        if wrong := [one for one in asked if not 0 <= one < channels]:
            raise ValueError(f"channel {wrong[0]} of {self.layers[index]} is not one of 0..{channels - 1}")
        if position is None:
            row, column = -2, 0
        elif isinstance(position, str):
            row, column = -1, 0
        else:
            row, column = position
            if not (0 <= row < size[0] and 0 <= column < size[1]):
                told = f"{self.layers[index]}, which is {size[0]} by {size[1]}"
                raise ValueError(f"({row}, {column}) lies outside of {told}")
        units = torch.tensor([[one, row, column] for one in asked], device=x.device)
        with self._asking(len(x)) as net:
            return UnitAnswer(*net.explain_unit(x, index, units, method, self._read_at(method, at)))

    def explain_from(
        self, x: Tensor, layer: int | str, seed: Tensor, method: str, at: int | str | None = None
    ) -> Tensor:
        """`explain`, started at a layer with a seed there: [N, C, h, w], or [1, C, h, w] for all images.

        A seed is anything linear in the layer's values: a unit, a channel, a direction at each place.
        Raises ValueError as `explain_unit` does, and for a seed of another shape.
        """
        self._check_question(x, [method])
        index, seed = self._start(layer), torch.as_tensor(seed)
        wanted = [len(x), *self.manifest["layers"][index]["shape"]]
        if list(seed.shape) not in (wanted, [1, *wanted[1:]]):
            raise ValueError(f"seed is {list(seed.shape)}, at {self.layers[index]} of these images it is {wanted}")
        if seed.is_complex():
            raise ValueError("seed is complex: it is a cotangent of the layer's values, and those are real")
        seed = seed.to(self.module.like).expand(wanted)
        with self._asking(len(x)) as net:
            return net.explain_from(x, index, seed, method, self._read_at(method, at))  # type: ignore[no-any-return]

    def layer_value(self, x: Tensor, layer: int | str) -> Tensor:
        """The value of a layer: [N, C, h, w]. Raises ValueError for images of another shape and unknown names."""
        self._check_question(x, [])
        index = self.layer_index(layer) % len(self.layers)
        with self._asking(len(x)) as net:
            return net.primals(x)[1][index]  # type: ignore[no-any-return]

    def probe_layer(
        self, x: Tensor, seed: Tensor, layer: int | str, policy: str = "gradient"
    ) -> tuple[Tensor, Tensor]:
        """The value of a layer and its cotangent under a policy, [N, C, h, w] both: what `probe` says of one
        layer, from a walk that goes no deeper. Their product is what each value adds to the score, to first order:
        its sum over the channels, cut below zero, is HiResCAM.

        Raises ValueError as `probe` does, and for a layer that is not there.
        """
        seed = self._seed(x, seed)
        self._check_question(x, [])
        self._check_policy(policy)
        index, count = self.layer_index(layer) % len(self.layers), len(self.layers)
        depth = {name: index if name == policy else count for name in self.policies}
        with self._asking(len(x)) as net:
            _, read, _, _ = net.walk(x, seed, depth, count, index, index, [PROBE])
        value, ct = read[PROBE]
        return value, ct

    def tail(self, layer: int | str, value: Tensor) -> Tensor:
        """Logits [N, K] from the value [N, C, h, w] of a layer, by the rest of the network alone.

        Raises ValueError where the logits hang on more than that value: beside other paths, or where a class token
        stands beside the pixels.
        """
        index = self.layer_index(layer) % len(self.layers)
        if index not in self.module.tails:
            raise ValueError(f"the logits hang on more than the values of {self.layers[index]}")
        wanted = self.manifest["layers"][index]["shape"]
        if value.ndim != 4 or list(value.shape[1:]) != wanted:
            raise ValueError(f"value is {list(value.shape)}, that of {self.layers[index]} is [N, {wanted}]")
        with self._asking(len(value)) as net:
            return net.tail(index, value)  # type: ignore[no-any-return]

    def _start(self, layer: int | str) -> int:
        index = self.layer_index(layer) % len(self.layers)
        if index not in self.module.starts:
            raise ValueError(
                f"{self.layers[index]} lies beside other paths, and nothing starts there: ask at a layer that all "
                "paths pass, as those of layers='trunk' are"
            )
        return index

    def _read_at(self, method: str, at: int | str | None) -> int:
        return -1 if at is None or self._place(method).at_image else self.layer_index(at) % len(self.layers)
