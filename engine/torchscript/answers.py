"""The methods that every compiled file carries: what a question is, and how an answer is put together.

TorchScript compiles this class too: see `network`.
"""

import torch
from torch import Tensor

from ..pictures.geometry import preprocess
from .alone import GoingAlone
from .overlay import overlay
from .resizing import enlarge, resize


class ScriptedExplainer(GoingAlone):
    """A classifier that explains itself."""

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
        and Guided Grad-CAM. `layer` counts from 0 (negative from the end) and is ignored by image methods; to
        those that are read throughout, as relevance is, -1 is the image.
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
        return self.one_attribution(x, seed, method, layer)

    def one_attribution(self, x: Tensor, seed: Tensor, method: str, layer: int) -> tuple[Tensor, Tensor]:
        """One attribution of one pass, with the logits, of a question that is checked."""
        if method in self.alone:
            place = self.layer_or_image(method, layer)
            logits, map, _ = self.ask_alone(x, seed, method, len(self.layers), place)
            return logits, map
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
        if method in self.alone:
            return self.throughout(x, seed, method)[2]
        return self.survey(x, seed, [method])[0]

    @torch.jit.export
    def survey(self, x: Tensor, seed: Tensor, methods: list[str]) -> list[Tensor]:
        """Several methods at once, from one forward pass and one backward pass per policy: for each method what
        `explain` gives for image methods and what `sweep` gives for layer methods. Those that go alone take both
        passes for themselves."""
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
            if method in self.reader_of and method not in self.alone:
                first, last = min(first, self.first_of[method]), max(last, self.last_of[method])
        return self.ask(x, seed, methods, first, last)

    @torch.jit.export
    def probe(self, x: Tensor, seed: Tensor, policy: str) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The raw values, nothing resized: logits, the primal and the cotangent of each layer, the cotangent at
        the image (empty where no method of this file reads it there)."""
        seed = self.as_seed(seed)
        self.check_question(x, seed, [])
        if policy not in self.policies:
            raise ValueError(f"no policy {policy}; this file has {', '.join(self.policies)}")
        depth = self.forward_only()
        depth[policy] = -1
        count = len(self.layers)
        apart = False
        for method in self.alone:
            apart = apart or self.policy_of[method] == policy
        if apart:
            logits, out, images, _ = self.walk_alone(policy, x, seed, depth, count, 0, count - 1, [self.hand_out])
        else:
            logits, out, images, _ = self.walk(x, seed, depth, count, 0, count - 1, [self.hand_out])
        primals: list[Tensor] = []
        cotangents: list[Tensor] = []
        for index in range(len(self.layers)):
            # The walk hands out a primal and a cotangent at each layer, from the last one to the first.
            at = 2 * (len(self.layers) - 1 - index)
            primals.append(out[self.hand_out][at])
            cotangents.append(out[self.hand_out][at + 1])
        return logits, primals, cotangents, images[0 if apart else self.policies.index(policy)]

    def ask(
        self, x: Tensor, seed: Tensor, methods: list[str], first: int, last: int
    ) -> tuple[Tensor, list[Tensor]]:
        """One walk from the logits for `methods` at layers first..last: logits, and the maps of each method."""
        logits, found, _ = self.ask_from(x, seed, methods, len(self.layers), first, last)
        return logits, found

    def ask_from(
        self, x: Tensor, asked: Tensor, methods: list[str], start: int, first: int, last: int
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """`methods` at layers first..last: logits, for each method its maps, resized, and the value and the seed
        of the layer that they start at; the number of layers means the logits, which have none. One walk for all
        but those that go alone, which are read at the image."""
        together: list[str] = []
        for method in methods:
            if method not in self.alone:
                together.append(method)
        if len(together) == len(methods):
            return self.ask_together(x, asked, methods, start, first, last)
        logits, maps, origin = x, [x], [x]
        if len(together) > 0:
            logits, maps, origin = self.ask_together(x, asked, together, start, first, last)
        found: list[Tensor] = []
        for method in methods:
            if method in together:
                found.append(maps[together.index(method)])
            else:
                logits, map, origin = self.ask_alone(x, asked, method, start, -1)
                found.append(map)
        return logits, found, origin

    def ask_together(
        self, x: Tensor, asked: Tensor, methods: list[str], start: int, first: int, last: int
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """`ask_from` in one walk."""
        # Each policy goes down once, as deep as any of the methods has it; each reader reads once for all like it.
        depth = self.forward_only()
        readers: list[str] = []
        for method in methods:
            if method not in self.reader_of:
                depth[self.policy_of[method]] = -1
                if self.at_of[method] == "calls" and "intercepts" not in readers:
                    readers.extend(["intercepts", "intercepts as maps"])
                continue
            if self.policy_of[method] in depth:
                down = max(first, self.first_of[method])
                depth[self.policy_of[method]] = min(depth[self.policy_of[method]], down)
            if self.reader_of[method] not in readers:
                readers.append(self.reader_of[method])
            if method in self.times_of:
                depth[self.policy_of[self.times_of[method]]] = -1
        # The start's own value must be there, so it counts as read, and is where the walk begins to read.
        upper = last if start == len(self.layers) else start
        logits, out, images, origin = self.walk(x, asked, depth, start, min(first, upper), upper, readers)
        found: list[Tensor] = []
        stacks: dict[str, Tensor] = {}
        for method in methods:
            if method not in self.reader_of:
                map = self.at_image(method, x, images)
                if self.at_of[method] == "calls":
                    map = self.with_intercepts(map, out["intercepts as maps"])
                found.append(map)
                continue
            reader = self.reader_of[method]
            if reader not in stacks:
                low, high = max(first, self.first_of[method]), min(last, self.last_of[method])
                # The walk reads from the last layer down to the first.
                maps = [out[reader][upper - layer].to(self.like.dtype) for layer in range(low, high + 1)]
                stacks[reader] = self.like.new_empty([x.shape[0], len(maps), self.size[0], self.size[1]])
                # One block of memory for all layers, into which each group of them is enlarged at its place.
                resize(maps, reader in self.rectified, stacks[reader])
            stack = stacks[reader]
            # The stack may serve another method still, so the product is a new one.
            if method in self.times_of:
                stack = stack[:, :, None] * self.at_image(self.times_of[method], x, images)[:, None]
            found.append(stack)
        return logits, found, origin

    @torch.jit.export
    def explain_whole(self, x: Tensor, seed: Tensor, method: str) -> tuple[Tensor, Tensor]:
        """A method that reads what each call adds: its map, as `explain` gives it, and how far the parts of all
        calls, and of the pixels, are from making up the score s, |Σ parts - s| / |s| of each image, [N]."""
        seed = self.as_seed(seed)
        self.check_question(x, seed, [method])
        if self.at_of[method] != "calls":
            raise ValueError(f"{method} does not read what each call adds; use explain")
        depth = self.forward_only()
        depth[self.policy_of[method]] = -1
        count = len(self.layers)
        readers = ["intercepts", "intercepts as maps"]
        logits, out, images, _ = self.walk(x, seed, depth, count, count, count - 1, readers)
        ct = images[self.policies.index(self.policy_of[method])]
        # Parts of both signs cancel: they are summed in double.
        whole = (x.double() * ct.double()).flatten(1).sum(1)
        for part in out["intercepts"]:
            whole = whole + part.double()
        score = (logits.double() * seed.double()).flatten(1).sum(1)
        map = self.with_intercepts(self.at_image(method, x, images), out["intercepts as maps"])
        return map, (whole - score).abs() / score.abs()

    def with_intercepts(self, map: Tensor, parts: list[Tensor]) -> Tensor:
        """A map [N, S, S] and what the calls add to it, [N, h, w] each: enlarged, those of one size at once."""
        start = 0
        for end in range(1, len(parts) + 1):
            if end == len(parts) or parts[end].shape != parts[start].shape:
                group = torch.stack(parts[start:end], 1).to(map.dtype).sum(1, keepdim=True)
                larger = map.new_empty([map.shape[0], 1, self.size[0], self.size[1]])
                enlarge(group, larger)
                map = map + larger[:, 0]
                start = end
        return map

    def at_image(self, method: str, x: Tensor, images: list[Tensor]) -> Tensor:
        """The reading of an image method."""
        ct = images[self.policies.index(self.policy_of[method])].contiguous()
        return self.read(method, x, ct).to(self.like.dtype)
