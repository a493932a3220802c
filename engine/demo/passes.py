"""What the page and programs ask of the engine. Each takes and gives what can be pickled, but for the explainer.

pixels: a photo, uint8 [H, W, 3]. Maps are float32, of the one photo: [S, S], [C, S, S] or, of layers, [L, …].
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import Explainer
from ..methods import METHODS
from ..pictures.render import Picture
from ..run.starting import Position
from ..trust import one_picture
from ..trust.curves import Curve
from ..trust.one_picture import Subject
from ..trust.report import examine

Values = NDArray[np.float32]
Attributions = dict[str, Values]
AT_LAYERS = "at the layers"  # among the maps: those of all layers, of a method that is read at the image too
ARRIVED = "arrived"  # and the share of the score that came to the image and to each layer, [1 + L]


def classify(
    explainer: Explainer, pixels: Picture, target: int | None, methods: Sequence[str]
) -> tuple[Values, int, Attributions]:
    """The probabilities [K], or what stands for them; the top class; and the maps of `methods` for a class, from
    the same pass. target None: the top one."""
    x = explainer.preprocess(torch.from_numpy(pixels))
    if methods:
        logits, maps = explainer.answers(x, [-1 if target is None else target], methods)
    else:
        logits, maps = explainer.forward(x), {}
    return _chances(explainer, logits), int(logits[0].argmax()), _arrays(maps)


def survey(
    explainer: Explainer, pixels: Picture, target: int, contrast: int | None, methods: Sequence[str]
) -> Attributions:
    """The maps of methods of one pass, for a class, or for it rather than another."""
    x = explainer.preprocess(torch.from_numpy(pixels))
    return _arrays(explainer.survey(x, _seed(explainer, target, contrast), methods))


def throughout(
    explainer: Explainer, pixels: Picture, target: int | None, contrast: int | None, method: str
) -> Attributions:
    """A method that is read throughout: its maps of the image and of all layers, and what arrived [1 + L]."""
    x = explainer.preprocess(torch.from_numpy(pixels))
    map, maps, arrived = explainer.explain_throughout(x, _seed(explainer, target or 0, contrast), method)
    return _arrays({method: map, AT_LAYERS: maps, ARRIVED: arrived})


def ask(explainer: Explainer, pixels: Picture, **question: Any) -> tuple[Values, dict[str, Any]]:
    """`Explainer.ask` of one photo: its values, and all else that the answer says, by its names there.

    "probabilities": [K]. Raises ValueError as `ask` does.
    """
    answer = explainer.ask(pixels, **question)
    completeness = None if answer.completeness is None else float(answer.completeness[0])
    facts = {
        "method": answer.method,
        "title": answer.title,
        "layers": list(answer.layers),
        "signed": answer.signed,
    }
    arrived = None if answer.arrived is None else float(answer.arrived[0, 0])
    facts |= {"asked": answer.asked[0], "completeness": completeness, "passes": answer.passes, "arrived": arrived}
    facts |= {"notes": list(answer.notes), "probabilities": _chances(explainer, answer.logits)}
    return answer.values[0].float().numpy(), facts


def believed(
    explainer: Explainer,
    pixels: Picture,
    check: str,
    method: str,
    layer: int,
    target: int,
    contrast: int | None,
    *,
    values: Values,
    chances: Values,
    arrived: float | None = None,
    options: dict[str, float] | None = None,
) -> tuple[Any, ...]:
    """One of the checks of `trust.one_picture`: what it says, its curves, the names of the maps that it compares,
    and then those.

    check: "first", whose map is that of the question, "class", "weights", "curves" or "hiding". values, chances:
    of the question, [S, S] or [C, S, S] and [K].
    """
    x = explainer.preprocess(torch.from_numpy(pixels))
    own = one_picture.flat(torch.from_numpy(values)[None], method, METHODS[method].at)[0]
    scores = torch.from_numpy(chances).double()
    it = Subject(explainer, x, method, layer, target, contrast, options, own, scores, arrived)
    maps, curves = {"map": it.map}, dict[str, dict[str, Curve]]()
    if check == "first":
        verdicts = one_picture.first_verdicts(it)
    elif check == "class":
        others, verdicts = one_picture.check_class(it)
        maps = {str(index): map for index, map in others.items()}
    elif check == "weights":
        maps["map"], verdicts = one_picture.check_weights(it, _redrawn(explainer))
    elif check == "curves":
        curves, verdicts = one_picture.check_curves(it)
    else:
        maps["map"], verdicts = one_picture.check_hiding(it)
    return verdicts, curves, list(maps), *(map.cpu().numpy() for map in maps.values())


def examined(explainer: Explainer, pixels: Picture, **question: Any) -> dict[str, Any]:
    """All checks of `trust.report` of a map: its layer, its class and rather than which, by number; verdicts, each
    with its sentence and what it follows from; and the areas under the curves.

    question: as `trust.one_picture.subject` has it. Raises ValueError as that does.
    """
    asked = one_picture.subject(explainer, pixels, **question)
    report = examine(asked, lambda: _redrawn(explainer))
    verdicts = [{"name": one.name, "good": one.good, "text": str(one), **one.fields} for one in report.verdicts]
    facts = {"method": asked.method, "layer": asked.place or None, "target": asked.target}
    facts["contrast"] = asked.contrast
    return facts | {"verdicts": verdicts, "areas": report.areas}


_OTHERS: "WeakKeyDictionary[Explainer, Explainer]" = WeakKeyDictionary()


def _redrawn(explainer: Explainer) -> Explainer:
    """The network with its weights redrawn, made once for each that is open."""
    if explainer not in _OTHERS:
        _OTHERS[explainer] = explainer.randomised()
    return _OTHERS[explainer]


def terms(
    explainer: Explainer, pixels: Picture, target: int, contrast: int | None, layer: int
) -> tuple[Values, Values]:
    """The values of a layer, [C, h, w], and what each of them adds to the score of a class, or of it rather than
    another: activation times gradient, HiResCAM's own terms before they are summed over the channels."""
    x = explainer.preprocess(torch.from_numpy(pixels))
    value, ct = explainer.probe_layer(x, _seed(explainer, target, contrast), layer)
    return value[0].float().numpy(), (value * ct)[0].float().numpy()


def unit(
    explainer: Explainer, pixels: Picture, layer: int, channel: int, position: Position, method: str
) -> tuple[Values, tuple[int, int], float]:
    """`Explainer.explain_unit` of one photo: the map, the place (row, column) and the value there."""
    x = explainer.preprocess(torch.from_numpy(pixels))
    answer = explainer.explain_unit(x, layer, channel, position, method)
    row, column = (int(number) for number in answer.place[0])
    return answer.map[0].float().numpy(), (row, column), float(answer.value[0])


def _seed(explainer: Explainer, target: int, contrast: int | None) -> Tensor:
    return explainer.one_hot(target) if contrast is None else explainer.contrast(target, contrast)


def _chances(explainer: Explainer, logits: Tensor) -> Values:
    chances = explainer.probabilities(logits)
    return np.asarray((logits if chances is None else chances)[0].float().numpy())


def _arrays(maps: dict[str, Tensor]) -> Attributions:
    return {name: values[0].float().numpy() for name, values in maps.items()}
