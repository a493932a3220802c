"""The rules of ops that choose between values, or reorder them by size. See `registry` for what a rule is."""

from . import kinds
from .registry import aten, defvjp, scalar, unbroadcast


@defvjp(aten.where, kind=kinds.CHOICE)
def where_vjp(ct, y, condition, self, other):
    """To the side that was chosen."""
    sides = (aten.where(condition, ct, 0), self), (aten.where(condition, 0, ct), other)
    return None, *(unbroadcast(share, side) for share, side in sides if hasattr(side, "shape"))


@defvjp(aten.maximum, kind=kinds.CHOICE)
def maximum_vjp(ct, y, self, other):
    """To the larger; half to each of two equals."""
    half = aten.eq(self, other) * 0.5
    return unbroadcast(ct * (half + (self > other)), self), unbroadcast(ct * (half + aten.lt(self, other)), other)


@defvjp(aten.minimum, kind=kinds.CHOICE)
def minimum_vjp(ct, y, self, other):
    """To the smaller; half to each of two equals."""
    half = aten.eq(self, other) * 0.5
    return unbroadcast(ct * (half + aten.lt(self, other)), self), unbroadcast(ct * (half + (self > other)), other)


@defvjp(aten.max, kind=kinds.EXTREME)
def max_vjp(ct, y, self, dim=None, keepdim=False):
    """Of two values as `maximum`; along an axis to the element that won."""
    if hasattr(dim, "shape"):
        return maximum_vjp(ct, y, self, dim)
    return _to_the_chosen(ct, y, self, dim, keepdim)


@defvjp(aten.min, kind=kinds.EXTREME)
def min_vjp(ct, y, self, dim=None, keepdim=False):
    """Of two values as `minimum`; along an axis to the element that won."""
    if hasattr(dim, "shape"):
        return minimum_vjp(ct, y, self, dim)
    return _to_the_chosen(ct, y, self, dim, keepdim)


@defvjp(aten.sort, kind=kinds.REORDER)
def sort_vjp(ct, y, self, dim=-1, descending=False):
    """Each back to where it came from."""
    return _to_the_chosen(ct, y, self, dim, True)


@defvjp(aten.topk, kind=kinds.REORDER)
def topk_vjp(ct, y, self, k, dim=-1, largest=True, sorted=True):
    """Each back to where it came from, zero to the others."""
    return _to_the_chosen(ct, y, self, dim, True)


@defvjp(aten.median, aten.nanmedian, kind=kinds.EXTREME)
def median_vjp(ct, y, self, dim=None, keepdim=False):
    """To the element that is in the middle."""
    return _to_the_chosen(ct, y, self, dim, keepdim)


@defvjp(aten.mode, kind=kinds.EXTREME)
def mode_vjp(ct, y, self, dim=-1, keepdim=False):
    """To the last of those that are most frequent."""
    return _to_the_chosen(ct, y, self, dim, keepdim)


@defvjp(aten.kthvalue, kind=kinds.EXTREME)
def kthvalue_vjp(ct, y, self, k, dim=-1, keepdim=False):
    """To the element of that rank."""
    return _to_the_chosen(ct, y, self, dim, keepdim)


@defvjp(aten.cummax, aten.cummin, kind=kinds.CUMULATION)
def cummax_vjp(ct, y, self, dim):
    """Added up where the extreme so far was."""
    return (aten.scatter_add(aten.zeros_like(self), dim, y[1], ct[0]),)


@defvjp(aten.masked_fill, kind=kinds.CHOICE)
def masked_fill_vjp(ct, y, self, mask, value):
    """To what was not filled; to a value that is none, what was."""
    filled = unbroadcast(aten.where(mask, ct, 0), value) if hasattr(value, "shape") else None
    return unbroadcast(aten.where(mask, 0, ct), self), None, filled


scalar(aten.abs, lambda ct, y, x: ct * aten.sgn(x))


@defvjp(aten.sign, aten.sgn, aten.floor, aten.ceil, aten.round, aten.trunc, kind=kinds.FLAT)
def flat_vjp(ct, y, self):
    """Zero: flat wherever there is a slope."""
    return (aten.zeros_like(self),)


@defvjp(aten.gather, kind=kinds.REORDER)
def gather_vjp(ct, y, self, dim, index, sparse_grad=False):
    """Added up where it was read."""
    return aten.scatter_add(aten.zeros_like(self), dim, index, ct), None


@defvjp(aten.scatter, kind=kinds.REORDER)
def scatter_vjp(ct, y, self, dim, index, src):
    """What was written over gets nothing; what was written, of values, reads its place."""
    kept = aten.scatter(ct, dim, index, 0)
    return (kept, None, aten.gather(ct, dim, index)) if hasattr(src, "shape") else (kept, None)


@defvjp(aten.scatter_add, kind=kinds.REORDER)
def scatter_add_vjp(ct, y, self, dim, index, src):
    """Unchanged, and read where it was added."""
    return ct, None, aten.gather(ct, dim, index)


@defvjp(aten.index_select, kind=kinds.REORDER)
def index_select_vjp(ct, y, self, dim, index):
    """Added up where it was read."""
    return aten.index_add(aten.zeros_like(self), dim, index, ct), None


@defvjp(aten.index, kind=kinds.REORDER)
def index_vjp(ct, y, self, indices):
    """Added up where it was read."""
    return aten.index_put(aten.zeros_like(self), indices, ct, True), None


def _to_the_chosen(ct, y, x, dim, keepdim):
    """Scatter the cotangent of the values by the indices that the op returned with them."""
    if dim is None:
        raise NotImplementedError("an extreme over everything: images of a batch must not mix")
    values, places = ct[0], y[1]
    if not keepdim:
        values, places = aten.unsqueeze(values, dim), aten.unsqueeze(places, dim)
    return (aten.scatter(aten.zeros_like(x), dim, places, values),)
