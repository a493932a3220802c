"""What every compiled file knows of its network, and what it asks of the generated code.

TorchScript compiles this class as it stands, together with the listing that `lowering` generates for the network.
It therefore keeps to TorchScript's part of Python: typed containers, no defaults, no comprehensions
over mixed types, errors without formatting tricks.
"""

import torch
from torch import Tensor, nn

from .collecting import Readings
from .entering import at_classes
from .kernels import Kernels


class ScriptedNetwork(nn.Module):
    """A network with its way back. The generated subclass adds `forward`, `tail_of`, `walk` and `read`."""

    # Names of readings: TorchScript reads no global that is no function. `Final` ones it would write in the order
    # of a hash, another one in each process.
    hand_out: str
    arrived: str
    labels: list[str]
    layers: list[str]
    shapes: list[list[int]]  # [C, h, w] of each layer
    starts: list[int]  # the layers on whose cotangent alone all hangs that lies below them
    tails: list[int]  # the layers whose value alone gives the logits
    methods: list[str]
    policies: list[str]
    alone: list[str]  # the methods that take a pass of their own, read at the image and at the layers
    from_logits: list[str]  # those of them that nothing but a logit starts
    ends: list[list[float]]  # the lowest and the highest values of an image's channels, as relevance has it
    policies_at_image: list[str]  # those whose cotangent the file follows down to the image
    policy_of: dict[str, str]
    at_of: dict[str, str]  # the place, as people are told it
    first_of: dict[str, int]  # layer methods -> the first layer that they read, and the last
    last_of: dict[str, int]
    times_of: dict[str, str]
    reader_of: dict[str, str]  # layer methods -> the one that reads for them
    path_of: dict[str, str]  # methods of many passes -> what they walk or hide
    finish_of: dict[str, str]  # -> how their maps become one
    base_of: dict[str, str]  # -> the method of one pass that they repeat
    options_of: dict[str, dict[str, float]]
    room: int  # how many images go through at once where many are to
    additive: list[str]  # of each call that may add something of its own: is that drawn, or counted?
    rectified: list[str]  # layer methods whose maps are cut below zero when all are read
    size: list[int]
    resize: list[int]  # the shorter side, or height and width to squash to
    interpolation: str
    mean: list[float]
    std: list[float]
    classes: int
    output: list[int]  # the shape of the logits of an image, [K] or, of dense ones, [K, …]
    pooled: int
    calls: int  # how many convolutions the listing has, by kernel and geometry
    kernels: Kernels
    readings: Readings
    like: Tensor  # empty; tells where the weights are and in which precision
    fine: Tensor  # empty; has the precision of the image and of the stem
    stem: list[str]  # the weights that the stem reads
    colors: Tensor  # uint8 [256, 3]: the colormap of `overlay`

    def walk(
        self,
        image: Tensor,
        asked: Tensor,
        depth: dict[str, int],
        start: int,
        first: int,
        last: int,
        wanted: list[str],
    ) -> tuple[Tensor, dict[str, list[Tensor]], list[Tensor], list[Tensor]]:
        """Forward, then backward under each policy from the start down to its depth. Generated.

        depth: policy -> index of the layer to go back to; the number of layers means not at all, -1 the image.
        start: the layer that `asked` is a seed at; the number of layers means the logits. It lies between `first`
        and `last`, for its value must be there.
        Returns the logits, by name of each reader its readings of layers `last` down to `first`, the cotangents at
        the image in the order of `policies` (empty where one did not go so far), and of a layer as the start its
        value and its seed.
        """
        raise NotImplementedError

    def tail_of(self, layer: int, image: Tensor) -> Tensor:
        """The logits from an image, layer -1, or from the value [N, C, h, w] of a layer. Generated."""
        raise NotImplementedError

    @torch.jit.export
    def primals(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The forward half as it is listed: logits, and the primal of each layer. Generated."""
        raise NotImplementedError

    def resolve_seed(self, logits: Tensor, seed: Tensor) -> Tensor:
        """The seed, shaped like the logits, where it is one; of classes, int64 [N, 1], their one-hots, with -1 for
        the top ones. Of dense logits a class is asked for where it is the top one; if nowhere, everywhere."""
        return at_classes(logits, seed)

    def seed_at_logits(self, logits: Tensor, asked: Tensor, start: int) -> Tensor:
        """What goes back from the logits: the seed that is asked for there, nothing from a start at a layer."""
        return self.resolve_seed(logits, asked) if start == len(self.layers) else torch.zeros_like(logits)

    def as_seed(self, seed: Tensor) -> Tensor:
        """A seed of any type of numbers, in the precision of the weights and where they lie."""
        if seed.is_complex():
            raise ValueError("a seed is a cotangent of the logits, and those are no complex numbers")
        return seed.to(device=self.like.device, dtype=self.like.dtype)

    def points(
        self, path: str, x: Tensor, reference: Tensor, options: dict[str, float], begin: int, end: int
    ) -> tuple[Tensor, Tensor]:
        """Steps begin..end of a path, see `methods.paths`. Generated."""
        raise NotImplementedError

    def finished(self, finish: str, mean: Tensor, variance: Tensor) -> Tensor:
        """The map that those of many passes become, see `methods.finishes`. Generated."""
        raise NotImplementedError

    def read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor:
        """The reading of an image method. Generated."""
        raise NotImplementedError

    def layer_at(self, layer: int) -> int:
        """The index of a layer, which may be counted from the end."""
        index = layer + len(self.layers) if layer < 0 else layer
        if index < 0 or index >= len(self.layers):
            raise ValueError(f"layer {layer} is not one of 0..{len(self.layers) - 1}")
        return index

    def forward_only(self) -> dict[str, int]:
        """The depth of a walk that goes forward only."""
        depth: dict[str, int] = {}
        for policy in self.policies:
            depth[policy] = len(self.layers)
        return depth

    def check_question(self, x: Tensor, seed: Tensor, methods: list[str]) -> None:
        """Raise unless the question fits the network."""
        self.check_image(x)
        if seed.dtype == torch.int64:
            if list(seed.shape) != [x.shape[0], 1]:
                raise ValueError(f"classes are {list(seed.shape)}, for these images they are [{x.shape[0]}, 1]")
            # Left to scatter, a class that is not there would end a whole process on a GPU.
            if int(seed.min()) < -1 or int(seed.max()) >= self.classes:
                raise ValueError(f"a class is none of -1..{self.classes - 1}")
            return
        wanted = self.output.copy()
        wanted.insert(0, x.shape[0])
        if list(seed.shape) != wanted:
            raise ValueError(f"seed is {list(seed.shape)}, for these images it is {wanted}")
        self.check_methods(methods)

    def check_image(self, x: Tensor) -> None:
        """Raise unless the images fit the network."""
        if x.dim() != 4 or list(x.shape[1:]) != [len(self.mean), self.size[0], self.size[1]]:
            raise ValueError(f"x is {list(x.shape)}, this network takes [N, {len(self.mean)}, {self.size}]")

    def check_methods(self, methods: list[str]) -> None:
        """Raise unless the file has the methods, and each takes one pass."""
        for method in methods:
            if method in self.path_of:
                raise ValueError(f"{method} takes many passes; use explain_along")
            if method not in self.methods:
                raise ValueError(f"no method {method}; this file has {', '.join(self.methods)}")
