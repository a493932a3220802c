"""What a method is: one row of `table`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .formulas import FORMULAS
from .masks import windows_along
from .places import IMAGE, Place

Reading = Callable[[Tensor, Tensor], Tensor]  # (primal, what is carried back) -> map
NO_POLICY = ""  # of a method that reads the layer's values alone: nothing is carried back for it
PROBE = "probe"  # among the methods of a walk: hand out what is read, at each layer, as it is


@dataclass(frozen=True, eq=False)
class Method:
    """How an attribution is made: a policy for the backward pass, a place, a reading, and its paper.

    The policy is NO_POLICY where the reading takes the values of a layer alone; its cotangent is empty then.
    `times` names an image method whose map multiplies the layer's map, brought to the image's size.
    `weigh` gives the weights w, [N, C] or [N, C, h, w], of a reading that is Σ_c w_c A_c, linear in the cotangent
    of A: such a sum serves the layer before a folded BatchNorm and the one behind it, and needs no value given
    back. Its part below zero is cut where it is `rectified`.
    Where there is a `path`, the method takes many passes: those of the method `of` at each of the path's points,
    whose maps become one by `finish`; or, where there is no such method, forward ones alone, of images or layers
    of which the path hides something. `options` are what may be said of it, with what holds where nothing is.
    It is `signed` where values below zero mean something.
    `inner` is what whoever reads it below the last layer has to know.
    `read_layers` is the reading at a layer of a method that is read throughout, at the image and at the layers.
    It goes `alone` where its policy takes a pass of its own, which serves no other one. What is `chosen` is in a
    file where it is named, and not among all.
    `says` is one sentence for whoever looks at its pictures, `asks` the question that it belongs to, one of ASKS.
    """

    name: str
    policy: str
    at: Place
    read: Reading
    title: str
    cite: str
    says: str = ""
    times: str = ""
    weigh: Callable[[Tensor], Tensor] | None = None
    rectified: bool = False
    of: str = ""
    path: str = ""
    finish: str = ""
    options: Mapping[str, float] = field(default_factory=dict)
    inner: str = ""
    signed: bool = False
    asks: str = "which pixels"
    read_layers: Reading | None = None
    alone: bool = False
    chosen: bool = False

    @property
    def formula(self) -> str:
        """Its formula, in LaTeX; empty of a method of one's own."""
        return FORMULAS.get(self.name, "")

    @property
    def light(self) -> bool:
        """Is it read beside others at hardly any cost: at the image, or as a weighted sum?"""
        return not self.path and not self.alone and (self.at is IMAGE or self.weigh is not None)

    def passes(self, size: Sequence[int]) -> int | None:
        """How many passes of one image of that size [H, W] it takes at most; None where the layer tells."""
        if self.path in ("places", "channels", "activations"):
            return None
        if self.path == "windows":
            options = {name: float(value) for name, value in self.options.items()}
            return windows_along(options, size[0]) * windows_along(options, size[1])
        if self.path == "pairs":
            return 2
        steps = self.options.get("steps", self.options.get("classes", 1))
        return int(steps) or 2 * int(self.options["most"])

    def __post_init__(self) -> None:
        """A place may be given by its word. Raises ValueError for another one."""
        object.__setattr__(self, "at", Place(self.at))
