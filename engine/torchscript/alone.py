"""The methods that go alone: a pass of their own, read at the image and at the layers. TorchScript compiles it."""

import torch
from torch import Tensor

from .network import ScriptedNetwork
from .resizing import resize


class GoingAlone(ScriptedNetwork):
    """What a file answers by a walk that serves one policy."""

    def walk_alone(
        self,
        policy: str,
        image: Tensor,
        asked: Tensor,
        depth: dict[str, int],
        start: int,
        first: int,
        last: int,
        wanted: list[str],
    ) -> tuple[Tensor, dict[str, list[Tensor]], list[Tensor], list[Tensor]]:
        """As `walk`, under the one policy, which goes alone. Generated."""
        raise NotImplementedError

    def ask_alone(
        self, x: Tensor, asked: Tensor, method: str, start: int, layer: int
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """One walk from `start`: logits, the map of a layer [N, S, S], or at -1 of the image [N, C, S, S], and the
        value and the seed of the layer that it starts at."""
        depth = self.forward_only()
        policy = self.policy_of[method]
        depth[policy] = layer
        readers: list[str] = []
        first, upper = len(self.layers), -1
        if layer >= 0:
            readers.append(self.reader_of[method])
            first, upper = layer, layer
        if start < len(self.layers):
            # The start's own value must be there, so it counts as read.
            first, upper = min(first, start), start
        logits, out, images, origin = self.walk_alone(policy, x, asked, depth, start, first, upper, readers)
        if layer < 0:
            return logits, self.read(method, x, images[0].contiguous()).to(self.like.dtype), origin
        stack = self.like.new_empty([x.shape[0], 1, self.size[0], self.size[1]])
        # The walk reads from the last layer down to the first.
        maps = [out[self.reader_of[method]][upper - layer].to(self.like.dtype)]
        resize(maps, method in self.rectified, stack)
        return logits, stack[:, 0], origin

    def throughout(self, x: Tensor, seed: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One walk from the logits: logits, the map of the image [N, C, S, S], those of all layers [N, L, S, S],
        and what of the score came to the image and to each layer, its first number being the image's, [N, 1 + L].
        """
        depth = self.forward_only()
        policy = self.policy_of[method]
        depth[policy] = -1
        count = len(self.layers)
        readers = [self.reader_of[method], self.arrived] if count > 0 else [self.arrived]
        logits, out, images, _ = self.walk_alone(policy, x, seed, depth, count, 0, count - 1, readers)
        score = (logits.double() * self.resolve_seed(logits, seed).double()).flatten(1).sum(1)
        came = [images[0].flatten(1).double().sum(1) / score]
        maps: list[Tensor] = []
        for layer in range(count):
            came.append(out[self.arrived][count - 1 - layer] / score)
            maps.append(out[self.reader_of[method]][count - 1 - layer].to(self.like.dtype))
        stack = self.like.new_empty([x.shape[0], count, self.size[0], self.size[1]])
        if count > 0:
            resize(maps, method in self.rectified, stack)
        map = self.read(method, x, images[0].contiguous()).to(self.like.dtype)
        return logits, map, stack, torch.stack(came, 1)

    @torch.jit.export
    def explain_throughout(self, x: Tensor, seed: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor]:
        """A method that carries relevance, wherever it is read, from one pass: the map of the image [N, C, S, S],
        those of all layers [N, L, S, S], and the share of the score that came to the image and to each layer,
        [N, 1 + L], the image's first. What is missing of one was lost to biases and stabilisers on the way; of a
        layer beside other paths it is the share that came by there."""
        seed = self.as_seed(seed)
        self.check_question(x, seed, [method])
        if method not in self.alone:
            known = ", ".join(self.alone)
            raise ValueError(f"{method} carries no relevance; in this file do: {known}")
        _, map, maps, came = self.throughout(x, seed, method)
        return map, maps, came

    def layer_or_image(self, method: str, layer: int) -> int:
        """The layer that a method is asked at which is read throughout; -1 is the image."""
        if layer < -1 or layer >= len(self.layers):
            raise ValueError(f"layer {layer} is not one of 0..{len(self.layers) - 1}, and -1 is the image")
        return layer
