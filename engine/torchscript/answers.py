"""The methods that every compiled file carries: what a question is, and how an answer is put together.

TorchScript compiles this class as it stands, together with the listing that `lowering` generates for the network.
It therefore keeps to TorchScript's part of Python: typed containers, no defaults, no comprehensions
over mixed types, errors without formatting tricks.
"""

from typing import Final

import torch
from torch import Tensor, nn

from ..methods import PROBE
from ..pictures.geometry import preprocess
from .kernels import Kernels
from .overlay import overlay
from .resizing import resize


class ScriptedExplainer(nn.Module):
    """A classifier that explains itself. The generated subclass adds `forward`, `walk` and `read`."""

    hand_out: Final[str] = PROBE  # a constant of the class: TorchScript reads no global that is no function
    labels: list[str]
    layers: list[str]
    methods: list[str]
    gates: list[str]
    gates_at_image: list[str]  # those whose cotangent the file follows down to the image
    gate_of: dict[str, str]
    at_of: dict[str, str]  # the place, as people are told it
    first_of: dict[str, int]  # layer methods -> the first layer that they read, and the last
    last_of: dict[str, int]
    times_of: dict[str, str]
    reader_of: dict[str, str]  # layer methods -> the one that reads for them
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
    like: Tensor  # empty; tells where the weights are and in which precision
    fine: Tensor  # empty; has the precision of the image and of the stem
    stem: list[str]  # the weights that the stem reads
    colors: Tensor  # uint8 [256, 3]: the colormap of `overlay`

    def walk(
        self, image: Tensor, seed: Tensor, depth: dict[str, int], first: int, last: int, wanted: list[str]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Forward, then backward under each gate down to its depth. Generated.

        depth: gate -> index of the layer to go back to; the number of layers means not at all, -1 the image.
        Returns the logits, the readings of layers `last` down to `first`, and the cotangents at the image in the
        order of `gates` (empty where the gate did not go so far).
        """
        raise NotImplementedError

    @torch.jit.export
    def primals(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The forward half as it is listed: logits, and the primal of each layer. Generated."""
        raise NotImplementedError

    def resolve_seed(self, logits: Tensor, seed: Tensor) -> Tensor:
        """The seed, shaped like the logits, where it is one; of classes, int64 [N, 1], their one-hots, with -1 for
        the top ones. Of dense logits a class is asked for where it is the top one; if nowhere, everywhere."""
        if seed.dtype != torch.int64:
            return seed
        # Made of the logits, it lies where they are and has their precision.
        if logits.dim() == 2:
            index = torch.where(seed < 0, logits.argmax(1, keepdim=True), seed)
            return torch.zeros_like(logits).scatter(1, index, 1.0)
        flat = logits.flatten(2)
        tops = torch.zeros_like(flat).scatter(1, flat.argmax(1, keepdim=True), 1.0)
        index = torch.where(seed < 0, tops.sum(2).argmax(1, keepdim=True), seed)[:, :, None]
        index = index.expand([-1, -1, flat.shape[2]])
        places = tops.gather(1, index)
        places = torch.where(places.sum(2, keepdim=True) > 0, places, torch.ones_like(places))
        return torch.zeros_like(flat).scatter(1, index, places).view_as(logits)

    def as_seed(self, seed: Tensor) -> Tensor:
        """A seed of any type of numbers, in the precision of the weights and where they lie."""
        if seed.is_complex():
            raise ValueError("a seed is a cotangent of the logits, and those are no complex numbers")
        return seed.to(device=self.like.device, dtype=self.like.dtype)

    def read(self, method: str, primal: Tensor, ct: Tensor) -> Tensor:
        """The reading of an image method. Generated."""
        raise NotImplementedError

    @torch.jit.export
    def preprocess(self, image: Tensor) -> Tensor:
        """uint8 [H, W, 3] RGB -> [1, C, S, S], as the network was trained to see it."""
        x = preprocess(image, self.resize, self.size, self.interpolation, self.mean, self.std)
        return x.to(device=self.fine.device, dtype=self.fine.dtype)

    @torch.jit.export
    def one_hot(self, index: int) -> Tensor:
        """The seed that asks for one class: [1, K]; of dense logits, everywhere."""
        if index < 0 or index >= self.classes:
            raise ValueError(f"class {index} is not one of 0..{self.classes - 1}")
        shape = self.output.copy()
        shape.insert(0, 1)
        seed = torch.zeros(shape, device=self.like.device, dtype=self.like.dtype)
        seed[0, index] = 1.0
        return seed

    @torch.jit.export
    def contrast(self, a: int, b: int) -> Tensor:
        """The seed that asks why class a rather than class b: [1, K]."""
        return self.one_hot(a) - self.one_hot(b)

    @torch.jit.export
    def overlay(self, photo: Tensor, map: Tensor, strength: float) -> Tensor:
        """The map [S, S] of one image as a heatmap on its photo, uint8 [H, W, 3]; see `overlay`."""
        return overlay(photo, map, strength, self.colors, self.resize, self.size)

    @torch.jit.export
    def explain(self, x: Tensor, seed: Tensor, method: str, layer: int) -> Tensor:
        """One attribution: [N, S, S] for layer methods and saliency, [N, C, S, S] for the signed image methods
        and Guided Grad-CAM. `layer` counts from 0 (negative from the end) and is ignored by image methods.
        """
        return self.at_one_layer(x, self.as_seed(seed), method, layer)[1]

    @torch.jit.export
    def answer(self, x: Tensor, classes: Tensor, method: str, layer: int) -> tuple[Tensor, Tensor]:
        """Logits [N, K] and what `explain` gives, from one forward pass. classes: int64 [N, 1], -1 for the top one
        of an image."""
        return self.at_one_layer(x, classes, method, layer)

    def at_one_layer(self, x: Tensor, seed: Tensor, method: str, layer: int) -> tuple[Tensor, Tensor]:
        """One attribution, with the logits."""
        self.check_question(x, seed, [method])
        if method not in self.reader_of:
            logits, maps = self.ask(x, seed, [method], layer, layer)
            return logits, maps[0]
        first, last = self.first_of[method], self.last_of[method]
        # A negative one counts from the end of what the method reads, so that -1 is CAM's one layer too.
        index = layer + last + 1 if layer < 0 else layer
        if index < first or index > last:
            if first == last:
                raise ValueError(f"{method} has one layer, {self.layers[last]}; ask for it or for -1")
            raise ValueError(f"layer {layer} is not one of 0..{last}")
        logits, maps = self.ask(x, seed, [method], index, index)
        return logits, maps[0][:, 0]

    @torch.jit.export
    def sweep(self, x: Tensor, seed: Tensor, method: str) -> Tensor:
        """A layer method at every layer, from one pass: [N, L, S, S], or [N, L, C, S, S] for Guided Grad-CAM."""
        seed = self.as_seed(seed)
        self.check_question(x, seed, [method])
        if method not in self.reader_of:
            raise ValueError(f"{method} explains the image and has no layers; use explain")
        return self.survey(x, seed, [method])[0]

    @torch.jit.export
    def survey(self, x: Tensor, seed: Tensor, methods: list[str]) -> list[Tensor]:
        """Several methods at once, from one forward pass and one backward pass per gate: for each method what
        `explain` gives for image methods and what `sweep` gives for layer methods."""
        return self.at_all_layers(x, self.as_seed(seed), methods)[1]

    @torch.jit.export
    def answers(self, x: Tensor, classes: Tensor, methods: list[str]) -> tuple[Tensor, list[Tensor]]:
        """Logits [N, K] and what `survey` gives, from one forward pass. classes: as in `answer`."""
        return self.at_all_layers(x, classes, methods)

    def at_all_layers(self, x: Tensor, seed: Tensor, methods: list[str]) -> tuple[Tensor, list[Tensor]]:
        """Several methods, with the logits."""
        self.check_question(x, seed, methods)
        # No layer lies between these two: so it stays where only image methods are asked.
        first, last = len(self.layers), -1
        for method in methods:
            if method in self.reader_of:
                first, last = min(first, self.first_of[method]), max(last, self.last_of[method])
        return self.ask(x, seed, methods, first, last)

    @torch.jit.export
    def probe(self, x: Tensor, seed: Tensor, gate: str) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The raw values, nothing resized: logits, the primal and the cotangent of each layer, the cotangent at
        the image (empty where no method of this file reads it there)."""
        seed = self.as_seed(seed)
        self.check_question(x, seed, [])
        if gate not in self.gates:
            raise ValueError(f"no gate {gate}; this file has {', '.join(self.gates)}")
        depth = self.forward_only()
        depth[gate] = -1
        logits, out, images = self.walk(x, seed, depth, 0, len(self.layers) - 1, [self.hand_out])
        primals: list[Tensor] = []
        cotangents: list[Tensor] = []
        for index in range(len(self.layers)):
            # The walk hands out a primal and a cotangent at each layer, from the last one to the first.
            at = 2 * (len(self.layers) - 1 - index)
            primals.append(out[at])
            cotangents.append(out[at + 1])
        return logits, primals, cotangents, images[self.gates.index(gate)]

    def forward_only(self) -> dict[str, int]:
        """The depth of a walk that goes forward only."""
        depth: dict[str, int] = {}
        for gate in self.gates:
            depth[gate] = len(self.layers)
        return depth

    def ask(
        self, x: Tensor, seed: Tensor, methods: list[str], first: int, last: int
    ) -> tuple[Tensor, list[Tensor]]:
        """One walk for `methods` at layers first..last: logits, and for each method its maps, resized."""
        # Each gate goes down once, as deep as any of the methods has it; each reader reads once for all like it.
        depth = self.forward_only()
        readers: list[str] = []
        for method in methods:
            if method not in self.reader_of:
                depth[self.gate_of[method]] = -1
                continue
            down = max(first, self.first_of[method])
            depth[self.gate_of[method]] = min(depth[self.gate_of[method]], down)
            if self.reader_of[method] not in readers:
                readers.append(self.reader_of[method])
            if method in self.times_of:
                depth[self.gate_of[self.times_of[method]]] = -1
        logits, out, images = self.walk(x, seed, depth, first, last, readers)
        found: list[Tensor] = []
        stacks: dict[str, Tensor] = {}
        for method in methods:
            if method not in self.reader_of:
                found.append(self.at_image(method, x, images))
                continue
            reader = self.reader_of[method]
            if reader not in stacks:
                low, high = max(first, self.first_of[method]), min(last, self.last_of[method])
                maps = [
                    # The walk reads from the last layer down to the first, all readers at each.
                    out[(last - layer) * len(readers) + readers.index(reader)]
                    for layer in range(low, high + 1)
                ]
                stacks[reader] = self.like.new_empty([x.shape[0], len(maps), self.size[0], self.size[1]])
                # One block of memory for all layers, into which each group of them is enlarged at its place.
                resize(maps, reader in self.rectified, stacks[reader])
            stack = stacks[reader]
            # The stack may serve another method still, so the product is a new one.
            if method in self.times_of:
                stack = stack[:, :, None] * self.at_image(self.times_of[method], x, images)[:, None]
            found.append(stack)
        return logits, found

    def at_image(self, method: str, x: Tensor, images: list[Tensor]) -> Tensor:
        """The reading of an image method."""
        ct = images[self.gates.index(self.gate_of[method])].contiguous()
        return self.read(method, x, ct).to(self.like.dtype)

    def check_question(self, x: Tensor, seed: Tensor, methods: list[str]) -> None:
        """Raise unless the question fits the network."""
        if x.dim() != 4 or list(x.shape[1:]) != [len(self.mean), self.size[0], self.size[1]]:
            raise ValueError(f"x is {list(x.shape)}, this network takes [N, {len(self.mean)}, {self.size}]")
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
        for method in methods:
            if method not in self.methods:
                raise ValueError(f"no method {method}; this file has {', '.join(self.methods)}")
