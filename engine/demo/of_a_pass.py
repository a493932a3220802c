"""Which methods a pass of the network answers."""

from .. import METHODS
from ..methods import Place
from .scene import Model, factors


def is_alone(model: Model, method: str) -> bool:
    """Does a method take a pass of its own: a heavy one, or a product of which the file has the factors not?"""
    row = METHODS[method]
    return not row.light or bool(row.times and not {*factors(method)} <= {*model.methods})


def methods_of_a_pass(model: Model, method: str) -> list[str]:
    """The methods that the pass for `method` answers: it alone, or with all those that are read on the way; none
    for one of many passes, and for relevance, which has more to tell than its map.

    Products of two are left out, and multiplied when they are looked at."""
    if METHODS[method].path or METHODS[method].at is Place.THROUGHOUT:
        return []
    if is_alone(model, method):
        return [method]
    return [name for name in model.methods if METHODS[name].light and not METHODS[name].times]
