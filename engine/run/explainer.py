"""A scripted program with its manifest, as Python asks it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..methods import Place
from ..torchscript.overlay import check_overlay
from .asking import Asking
from .outputs import OUTPUTS as OUTPUTS
from .outputs import Answer, probabilities, ranked
from .redrawing import Redrawing
from .starting import Starting


class Explainer(Asking, Starting, Redrawing):
    """A classifier that explains itself, freshly compiled or loaded: the same questions either way.

    x: [N, C, H, W], preprocessed. seed: [N, K], the cotangent of the logits: a one-hot for a class, +1 and -1
    for a contrast, anything linear, of any type of numbers; of dense logits [N, K, …]. One of [1, K] serves all
    images. Answers are raw: scaling to 0..1 is the caller's choice.
    An explainer keeps no state between questions, so threads may share one.
    """

    def preprocess(self, image: Tensor) -> Tensor:
        """uint8 [H, W, 3] RGB -> [1, C, S, S]; of a network on other bands, images [H, W, C] of those.

        Raises ValueError for an image of other bands.
        """
        bands = len(self.geometry.mean)
        wanted = 3 if bands in (1, 3) else bands
        if image.ndim != 3 or image.shape[2] != wanted:
            told = "RGB" if wanted == 3 else f"{wanted} bands, and so no photos but tensors of as many"
            raise ValueError(f"the image is {list(image.shape)}, this network takes [H, W, {wanted}]: {told}")
        with self._without_weights() as net:
            return net.preprocess(image)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> logits [N, K]."""
        with self._asking(len(x)) as net:
            return net.forward(x)  # type: ignore[no-any-return]

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """The probabilities of logits [N, K, …], as the network means them: of a choice they sum to one over the
        classes, independent ones each lie between 0 and 1. None for values and embeddings, which have none."""
        ending = "" if self.manifest.get("below_softmax") else self.manifest.get("ending", "")
        return probabilities(logits, self.outputs, ending)

    def ranking(self, logits: Tensor) -> list[list[Answer]]:
        """For each image of logits [N, K, …] the classes from the first to the last, with what is said of each: a
        probability, a value as it is, or of dense logits the share of the places where it is the top one."""
        return ranked(logits, self.probabilities(logits), self.labels)

    def one_hot(self, target: int | str, region: Tensor | None = None) -> Tensor:
        """The seed for one class, by index or name: [1, K].

        Of dense logits [1, K, …]: everywhere, or weighed by region, shaped like the logits of a class.
        """
        seed: Tensor = self.module.one_hot(self.class_index(target))
        if region is None:
            return seed
        if list(region.shape) != list(seed.shape[2:]) or not region.ndim:
            raise ValueError(f"region is {list(region.shape)}, the logits of a class are {list(seed.shape[2:])}")
        return seed * region.to(seed)

    def where_seen(self, logits: Tensor, target: int | str) -> Tensor:
        """The seed of dense logits [N, K, …] for a class where the network sees it: at each place where it is the
        top one, and everywhere in an image where it is nowhere. Vinogradova et al. 2020, arXiv:2002.11434."""
        if logits.ndim < 3:
            raise ValueError(f"logits are {list(logits.shape)}, of one answer for an image: ask by one_hot")
        index = torch.full((len(logits), 1), self.class_index(target), device=logits.device)
        return self.module.resolve_seed(logits, index)  # type: ignore[no-any-return]

    def towards(self, direction: Tensor) -> Tensor:
        """The seed for how far the outputs [K] lie in a direction, as an embedding's towards another: [1, K], of
        length one."""
        if list(direction.shape) != self._output:
            raise ValueError(f"the direction is {list(direction.shape)}, the outputs are {self._output}")
        length = direction.double().norm()
        if not bool(length > 0):
            raise ValueError("the direction is zero everywhere, and points nowhere")
        seed: Tensor = (direction.double() / length)[None].to(self.module.like)
        return seed

    def contrast(self, a: int | str, b: int | str) -> Tensor:
        """The seed for "why a rather than b": [1, K]."""
        return self.module.contrast(self.class_index(a), self.class_index(b))  # type: ignore[no-any-return]

    def explain(self, x: Tensor, seed: Tensor, method: str, layer: int | str = -1) -> Tensor:
        """One attribution: [N, S, S] for layer methods and saliency, [N, C, S, S] for the signed image methods
        and Guided Grad-CAM.

        layer: index or name; image methods ignore it. Raises ValueError for unknown names and wrong shapes.
        """
        seed = self._seed(x, seed)
        self._check_question(x, [method])
        index = self._index(method, layer)
        return self._map(x, seed, method, index)

    def answer(
        self, x: Tensor, targets: Sequence[int | str] | None, method: str, layer: int | str = -1
    ) -> tuple[Tensor, Tensor]:
        """Logits [N, K] and what `explain` gives, from one forward pass.

        targets: the class of each image, by index or name, -1 for its top one; None for the top one of each.
        """
        self._check_question(x, [method])
        classes, index = self._classes(x, targets), self._index(method, layer)
        with self._asking(len(x)) as net:
            if method not in self.module.path_of:
                return net.answer(x, classes, method, index)  # type: ignore[no-any-return]
            logits = net.forward(x)
        return logits, self._map(x, self.module.resolve_seed(logits, classes), method, index)

    def answers(
        self, x: Tensor, targets: Sequence[int | str] | None, methods: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [N, K] and what `survey` gives, from one forward pass; targets as in `answer`."""
        self._check_question(x, methods)
        classes = self._classes(x, targets)
        with self._asking(len(x)) as net:
            logits, maps = net.answers(x, classes, self._of_a_pass(methods))
        found = dict(zip(self._of_a_pass(methods), maps, strict=True))
        settled = self.module.resolve_seed(logits, classes)
        return logits, {m: found[m] if m in found else self._map(x, settled, m, -1) for m in methods}

    def overlay(self, photo: Tensor, map: Tensor, strength: float = 0.85) -> Tensor:
        """A map [S, S] of `explain` as a heatmap on its photo, where the network saw it: uint8 [H, W, 3] both.

        strength: how opaque the strongest evidence is, 0 to 1. Raises ValueError for anything else.
        """
        check_overlay(photo, map, strength, list(self.geometry.crop))
        with self._without_weights() as net:
            return net.overlay(photo, map, float(strength))  # type: ignore[no-any-return]

    def sweep(self, x: Tensor, seed: Tensor, method: str) -> Tensor:
        """A layer method at every layer, from one pass: [N, L, S, S], or [N, L, C, S, S] for Guided Grad-CAM."""
        seed = self._seed(x, seed)
        self._check_question(x, [method])
        if not self._place(method).has_layers:
            raise ValueError(f"{method} explains the image and has no layers; use explain")
        if method in self.module.path_of:
            raise ValueError(f"{method} takes many passes, for one layer at a time; use explain")
        with self._asking(len(x)) as net:
            return net.sweep(x, seed, method)  # type: ignore[no-any-return]

    def explain_throughout(self, x: Tensor, seed: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor]:
        """A method that is read throughout, as relevance, from one pass: the map of the image [N, C, S, S], those
        of all layers [N, L, S, S], and what of the score came to the image and to each layer, [N, 1 + L].

        Raises ValueError for a method that is read elsewhere.
        """
        seed = self._seed(x, seed)
        self._check_question(x, [method])
        if self._place(method) is not Place.THROUGHOUT:
            raise ValueError(f"{method} is read {self._place(method).says}; use explain or sweep")
        with self._asking(len(x)) as net:
            return net.explain_throughout(x, seed, method)  # type: ignore[no-any-return]

    def survey(self, x: Tensor, seed: Tensor, methods: Sequence[str]) -> dict[str, Tensor]:
        """Several methods from one forward pass: for each what `explain` or `sweep` gives."""
        seed = self._seed(x, seed)
        self._check_question(x, methods)
        with self._asking(len(x)) as net:
            maps = net.survey(x, seed, self._of_a_pass(methods))
        found = dict(zip(self._of_a_pass(methods), maps, strict=True))
        return {m: found[m] if m in found else self._map(x, seed, m, -1) for m in methods}

    def probe(self, x: Tensor, seed: Tensor, policy: str) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The raw values: logits, primals and cotangents of the layers, and the cotangent at the image (empty
        where no method of this file reads it there)."""
        seed = self._seed(x, seed)
        self._check_question(x, [])
        self._check_policy(policy)
        with self._asking(len(x)) as net:
            return net.probe(x, seed, policy)  # type: ignore[no-any-return]

    def _of_a_pass(self, methods: Sequence[str]) -> list[str]:
        """Those of the methods that take one pass. Raises ValueError for others of one layer at a time."""
        many = [method for method in methods if method in self.module.path_of]
        if layered := [method for method in many if not self._place(method).at_image]:
            raise ValueError(f"{layered[0]} takes many passes, for one layer at a time; use explain")
        return [method for method in methods if method not in many]

    def _map(self, x: Tensor, seed: Tensor, method: str, index: int) -> Tensor:
        """One attribution; of many passes, with what holds where nothing is said of it."""
        many, none = method in self.module.path_of, torch.empty(0)
        with self._asking(self._at_once(len(x)) if many else len(x)) as net:
            if not many:
                return net.explain(x, seed, method, index)  # type: ignore[no-any-return]
            return net.explain_along(x, seed, method, index, {}, none, none)[0]  # type: ignore[no-any-return]
