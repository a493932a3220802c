"""All checks of one picture, in one call: for Python, the command line and programs. See `one_picture`."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..run.explainer import Explainer
from . import one_picture
from .curves import Curve
from .one_picture import Subject, Verdict


@dataclass(frozen=True, eq=False)
class Report:
    """What was found of a map.

    verdicts: in the order in which they were asked for. curves: "deletion" and "insertion" -> "map" or the name of
    a control -> curve. others: class -> its map [S, S]. hidden: what hiding each part of the photo costs, by
    occlusion; redrawn: the map of the network with redrawn weights; None where the file does not give them.
    """

    subject: Subject
    verdicts: list[Verdict]
    curves: dict[str, dict[str, Curve]]
    others: dict[int, Tensor]
    hidden: Tensor | None = None
    redrawn: Tensor | None = None

    @property
    def areas(self) -> dict[str, dict[str, float]]:
        """The areas under the curves."""
        return {name: {who: float(one.auc) for who, one in found.items()} for name, found in self.curves.items()}


def examine(asked: Subject, randomised: Callable[[], Explainer] | None = None) -> Report:
    """Put a map to every test that its network and its file allow; an empty one to none.

    asked: see `one_picture.subject`. randomised: gives the network with redrawn weights; its own unless given.
    """
    verdicts = one_picture.first_verdicts(asked)
    if not asked.map.any():
        return Report(asked, verdicts, {}, {})
    explainer, hidden, redrawn = asked.explainer, None, None
    others, found = one_picture.check_class(asked)
    verdicts += found
    curves, found = one_picture.check_curves(asked)
    verdicts += found
    if "occlusion" in explainer.methods:
        hidden, found = one_picture.check_hiding(asked)
        verdicts += found
    if "constants" in explainer.manifest:
        redrawn, found = one_picture.check_weights(asked, (randomised or explainer.randomised)())
        verdicts += found
    return Report(asked, verdicts, curves, others, hidden, redrawn)
