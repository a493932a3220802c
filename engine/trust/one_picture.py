"""How far the map of one photo can be believed: the checks that take seconds and no ground truth, with verdicts.

Four questions, each asked beside what a map would score that knows nothing:

    class     is it another map for another class?            the runner-up's, and that of a class in the middle
    weights   is it another map for a network that learnt nothing?    the same network with its weights redrawn
    curves    does the class hang on what the map marks?      deletion and insertion, beside three controls
    hiding    does it agree with hiding parts of the photo?   occlusion, which takes no gradient

Each verdict follows from a threshold that stands below. The runner-up decides nothing: two cats may well be seen
by the same pixels. For a class that the network finds neither likely nor unlikely, a map that knows its class is
another one: on four photos with EfficientNet-Lite0, deconvnet's and guided backprop's stay the same to .99, all
others' to .61, but for Eigen-CAM's, which asks for no class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..methods import METHODS, Place
from ..run.explainer import Explainer
from .agreement import spearman
from .controls import beside_controls, random_map
from .curves import STEPS, Curve, deletion, insertion

SAME = 0.9  # of Spearman's correlation with the map of a middling class: it does not know its class
UNLEARNT = 0.5  # with that of the redrawn network: it shows the photo more than what was learnt
AGREES = 0.3  # with occlusion's
MARGIN = 0.02  # of a probability, that an area is better by than any control's
DRAWS = 3  # maps by chance, of which the luckiest counts: their areas differ by several hundredths
COMPLETE = 0.05  # what may be missing of the score
UNSURE = 0.2  # the probability below which the network itself is not sure
# Methods whose values are parts of the score, which the channels of a pixel sum up; of others the largest counts.
PARTS = ("input_x_gradient", "integrated_gradients", "expected_gradients", "deep_lift")
# What is said, in English, with the names of its fields in braces.
SENTENCES = {
    "unsure": "The network gives {label} only {share}: there is little to explain.",
    "ignores the class": (
        "It does not know the class: for {other}, which has nothing to do with it here, the map is {likeness} the "
        "same."
    ),
    "knows the class": "It knows the class: for {other} the map is another one ({likeness} alike).",
    "like the runner-up": (
        "For {other}, which comes next, it is {likeness} alike: it does not tell the two apart. Ask for one "
        "rather than the other."
    ),
    "unlike the runner-up": "For {other}, which comes next, it is {likeness} alike.",
    "without learning": (
        "It looks {likeness} the same where the network's weights are redrawn: it shows the photo rather than "
        "what the network learnt."
    ),
    "by learning": "Where the network's weights are redrawn it is another map ({likeness} alike).",
    "deletion good": "The class falls faster where the map's pixels are taken away than by any control.",
    "deletion bad": "Taking its pixels away costs the class no more than a map that knows nothing ({control}).",
    "insertion good": "The map's own pixels bring the class back sooner than any control's.",
    "insertion bad": "Its pixels bring the class back no sooner than a map that knows nothing ({control}).",
    "hiding agrees": "It agrees with hiding parts of the photo ({likeness} alike).",
    "hiding differs": "It hardly agrees with hiding parts of the photo ({likeness} alike).",
    "complete": "Its values make up the score but for {share}.",
    "incomplete": "Its values miss the score by {share}: read the colours, not the numbers.",
    "arrived": "{share} of the score arrived here; biases and stabilisers make up the difference.",
    "empty": "Nothing in the map speaks for the class, so there is nothing to check.",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A sentence that follows from a measurement. good: None where it is neither for nor against the map. fields:
    of the sentence; numbers are a `share`, 0..1, and a `likeness`, -1..1."""

    name: str
    good: bool | None
    fields: Mapping[str, str | float] = field(default_factory=dict)

    def __str__(self) -> str:
        written = {"share": share, "likeness": alike}
        told = {
            name: value if isinstance(value, str) else written[name](value) for name, value in self.fields.items()
        }
        return SENTENCES[self.name].format(**told)


@dataclass(frozen=True, eq=False)
class Subject:
    """A map that is put to the test, and what it takes to ask for another like it.

    x: [1, C, S, S]. map: [S, S], see `flat`. target, contrast: the class that it is of, and rather than which.
    layer: as `Explainer.ask` has it. probabilities: [K]; the logits where the network has no such. arrived,
    missing: of the score, where the method tells. place: the name of the layer; empty at the image.
    """

    explainer: Explainer
    x: Tensor
    method: str
    layer: int | str
    target: int
    contrast: int | None
    options: Mapping[str, float] | None
    map: Tensor
    probabilities: Tensor
    arrived: float | None = None
    missing: float | None = None
    place: str = ""

    @property
    def certain(self) -> bool:
        """Does the network give probabilities?"""
        return self.explainer.probabilities(self.probabilities[None]) is not None

    @property
    def second(self) -> int:
        """The class that comes next."""
        return self._others[0]

    @property
    def middle(self) -> int:
        """A class that is neither likely nor unlikely; where there is but one other, that."""
        return self._others[len(self._others) // 2]

    @property
    def _others(self) -> list[int]:
        ranked = self.probabilities.argsort(descending=True, stable=True).tolist()
        return [index for index in ranked if index not in (self.target, self.contrast)]

    def score(self, images: Tensor) -> Tensor:
        """The probability of the class, or its logit, of images [M, C, S, S]: [M]."""
        logits = self.explainer.forward(images)
        chances = self.explainer.probabilities(logits)
        return (logits if chances is None else chances)[:, self.target]

    def label(self, index: int) -> str:
        """What a class is called."""
        return self.explainer.labels[index]

    def map_of(self, target: int, explainer: Explainer | None = None) -> Tensor:
        """The map [S, S] of another class, or of another network, asked in the same way."""
        asked = (explainer or self.explainer).ask(
            self.x, target, self.method, self.layer, contrast=self.contrast, options=self.options
        )
        return flat(asked.values, self.method, asked.at)[0]


def subject(
    explainer: Explainer,
    photo: Any,
    target: int | str | None = None,
    method: str | None = None,
    layer: int | str = -1,
    contrast: int | str | None = None,
    options: Mapping[str, float] | None = None,
) -> Subject:
    """Ask for the map of a photo, uint8 [H, W, 3], or of one image [1, C, S, S]; arguments as `Explainer.ask` has
    them. Raises ValueError as that does, for several images or layers, and for fewer than three classes."""
    x = photo if isinstance(photo, Tensor) and photo.ndim == 4 else explainer.preprocess(torch.as_tensor(photo))
    answer = explainer.ask(x, target, method, layer, contrast=contrast, options=options)
    if len(answer.values) != 1 or len(answer.layers) > 1:
        raise ValueError("one map is put to the test: give one photo, and one layer")
    if answer.logits.ndim != 2 or answer.logits.shape[1] < 3:
        raise ValueError(
            f"the network answers {list(answer.logits.shape[1:])}: a map is held against those of other classes, "
            "of which it takes three"
        )
    chances = explainer.probabilities(answer.logits)
    scores = (answer.logits if chances is None else chances)[0].double().cpu()
    came, missing = answer.arrived, answer.completeness
    place = next(iter(answer.layers), "")
    came_to = 1 + explainer.layers.index(place) if place else 0
    return Subject(
        explainer, x, answer.method, layer,
        int(scores.argmax()) if target is None else explainer.class_index(target),
        None if contrast is None else explainer.class_index(contrast), options,
        flat(answer.values, answer.method, answer.at)[0], scores,
        None if came is None else float(came[0, came_to]), None if missing is None else float(missing[0]), place,
    )  # fmt: skip


def flat(values: Tensor, method: str, at: Place) -> Tensor:
    """One value for each pixel, [N, S, S]: what the channels of a pixel sum up to where they are parts of the
    score, and else the largest of them, up or down. at: where the method is read, as its file tells."""
    values = values.float()
    if values.ndim == 3:
        return values
    parts = method in PARTS or at is Place.THROUGHOUT
    return values.sum(1) if parts else values.abs().amax(1)


def has_signs(map: Any, method: str) -> bool:
    """Do values below zero mean something in a map that `flat` gave, an array or a tensor? In one of relevance
    they do, where there are none as well; in one that was stored smaller they may be rounding."""
    row = METHODS.get(method)
    if row is not None and row.at is Place.THROUGHOUT:
        return True
    return (row is None or row.signed) and bool(map.min() < -1e-6 * abs(map).max())


def likeness(a: Tensor, b: Tensor) -> float:
    """Spearman's correlation of two maps [S, S]; 0 where one is the same everywhere, and has no order."""
    found = float(spearman(a[None], b[None]))
    return found if found == found else 0.0


def check_class(asked: Subject) -> tuple[dict[int, Tensor], list[Verdict]]:
    """The maps of the runner-up and of a middling class, and whether they are others."""
    maps = {index: asked.map_of(index) for index in dict.fromkeys((asked.second, asked.middle))}
    found = {index: likeness(asked.map, map) for index, map in maps.items()}
    fields: dict[int, dict[str, str | float]] = {
        index: {"other": asked.label(index), "likeness": found[index]} for index in maps
    }
    if found[asked.middle] >= SAME:
        return maps, [Verdict("ignores the class", False, fields[asked.middle])]
    name = "like the runner-up" if found[asked.second] >= SAME else "unlike the runner-up"
    knows = Verdict("knows the class", True, fields[asked.middle])
    return maps, [knows, Verdict(name, None, fields[asked.second])]


def check_weights(asked: Subject, redrawn: Explainer) -> tuple[Tensor, list[Verdict]]:
    """The map of the network with redrawn weights, see `Explainer.randomised`, and whether it is another."""
    other = asked.map_of(asked.target, redrawn)
    found = likeness(asked.map, other)
    learnt = found < UNLEARNT
    return other, [Verdict("by learning" if learnt else "without learning", learnt, {"likeness": found})]


def check_curves(asked: Subject, steps: int = STEPS) -> tuple[dict[str, dict[str, Curve]], list[Verdict]]:
    """Deletion (to the mean colour) and insertion (from a blur) of the map and of the controls: "deletion" or
    "insertion" -> "map" or the name of a control -> curve."""
    curves, verdicts = dict[str, dict[str, Curve]](), list[Verdict]()
    for name, metric, sign in (("deletion", deletion, -1), ("insertion", insertion, 1)):
        walk = partial(metric, asked.score, asked.x, steps=steps)
        curves[name] = beside_controls(walk, asked.x, asked.map[None])
        areas = {who: float(curve.auc) for who, curve in curves[name].items()}
        others = [float(walk(random_map(asked.x, draw)).auc) for draw in range(1, DRAWS)]
        areas["random"] = sign * max(sign * area for area in (areas["random"], *others))
        best = max((who for who in areas if who != "map"), key=lambda who: sign * areas[who])
        # Of scores that are no probabilities, as a share of how far they go.
        reach = 1.0 if asked.certain else float(torch.stack([c.values for c in curves[name].values()]).abs().max())
        good = sign * (areas["map"] - areas[best]) > MARGIN * reach
        verdicts.append(Verdict(f"{name} {'good' if good else 'bad'}", good, {} if good else {"control": best}))
    return curves, verdicts


def check_hiding(asked: Subject) -> tuple[Tensor, list[Verdict]]:
    """Occlusion's map, and whether the two agree. Raises ValueError where the file has not that method."""
    hidden = asked.explainer.ask(asked.x, asked.target, "occlusion", contrast=asked.contrast).values.float()[0]
    found = likeness(asked.map, hidden)
    # Of six methods on four photos none agrees: that is told, and held against none.
    agrees = found >= AGREES
    name = "hiding agrees" if agrees else "hiding differs"
    return hidden, [Verdict(name, True if agrees else None, {"likeness": found})]


def first_verdicts(asked: Subject) -> list[Verdict]:
    """What is known before anything is checked."""
    verdicts = []
    chance = float(asked.probabilities[asked.target])
    if not bool(asked.map.any()):
        verdicts.append(Verdict("empty", False))
    if asked.certain and chance < UNSURE:
        verdicts.append(Verdict("unsure", None, {"label": asked.label(asked.target), "share": chance}))
    if asked.missing is not None:
        complete = asked.missing <= COMPLETE
        verdicts.append(Verdict("complete" if complete else "incomplete", complete, {"share": asked.missing}))
    if asked.arrived is not None:
        verdicts.append(Verdict("arrived", None, {"share": asked.arrived}))
    return verdicts


def alike(likeness: float) -> str:
    """A correlation as people write it: "0.98"."""
    return f"{likeness:.2f}".replace("-", "\u2212")


def share(number: float) -> str:
    """A share as people write it: "39.4 %"."""
    return f"{100 * number:.1f} %" if abs(number) >= 0.0005 else "less than 0.1 %"
