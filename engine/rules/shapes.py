"""The rules of ops that only move values: reshape, permute, join, split, cut, pad. Their adjoints move them back.

See `registry` for what a rule is.
"""

from . import kinds
from .registry import aten, defvjp, is_complex, real_part, unbroadcast


@defvjp(aten.reshape, aten.view, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze, kind=kinds.RESHAPE)
def reshape_vjp(ct, y, self, *shape):
    """Back to the shape it had."""
    return (aten.reshape(ct, self.shape),)


@defvjp(aten.clone, aten.contiguous, kind=kinds.IDENTITY)
def clone_vjp(ct, y, self, memory_format=None):
    """Unchanged."""
    return (ct,)


@defvjp(aten.expand, kind=kinds.COPY)
def expand_vjp(ct, y, self, size, implicit=False):
    """Summed over the copies."""
    return (unbroadcast(ct, self),)


@defvjp(aten.permute, kind=kinds.PERMUTE)
def permute_vjp(ct, y, self, dims):
    """The inverse permutation."""
    dims = [d % len(dims) for d in dims]
    return (aten.permute(ct, [dims.index(d) for d in range(len(dims))]),)


@defvjp(aten.transpose, kind=kinds.PERMUTE)
def transpose_vjp(ct, y, self, dim0, dim1):
    """A transposition is its own inverse."""
    return (aten.transpose(ct, dim0, dim1),)


@defvjp(aten.swapaxes, kind=kinds.PERMUTE)
def swapaxes_vjp(ct, y, self, axis0, axis1):
    """As transpose."""
    return transpose_vjp(ct, y, self, axis0, axis1)


@defvjp(aten.cat, kind=kinds.JOIN)
def cat_vjp(ct, y, tensors, dim=0):
    """Each part gets its slice."""
    lengths = [part.shape[dim] for part in tensors]
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    return ([aten.narrow(ct, dim, s, n) for s, n in zip(starts, lengths, strict=True)],)


@defvjp(aten.stack, kind=kinds.JOIN)
def stack_vjp(ct, y, tensors, dim=0):
    """Each part gets its own."""
    return ([aten.select(ct, dim, index) for index in range(len(tensors))],)


@defvjp(aten.unbind, kind=kinds.CUT)
def unbind_vjp(ct, y, self, dim=0):
    """The parts stacked again, zero where nobody read one."""
    parts = [aten.zeros_like(y[index]) if part is None else part for index, part in enumerate(ct)]
    return (aten.stack(parts, dim),)


@defvjp(aten.split, aten.split_with_sizes, aten.chunk, kind=kinds.CUT)
def split_vjp(ct, y, self, split_size, dim=0):
    """The parts joined again, zero where nobody read one."""
    parts = [aten.zeros_like(y[index]) if part is None else part for index, part in enumerate(ct)]
    return (aten.cat(parts, dim),)


@defvjp(aten.slice, kind=kinds.CUT)
def slice_vjp(ct, y, self, dim=0, start=None, end=None, step=1):
    """Zero outside the slice."""
    length = self.shape[dim]
    if not isinstance(length, int):
        # Whole batches beside each other, as of images and their mirror images, may part again.
        if step != 1 or not (_of_the_batch(start) and _of_the_batch(end)):
            raise NotImplementedError("a slice along the batch: images of a batch must not mix")
        return (aten.slice_scatter(aten.zeros_like(self), ct, dim, start, end),)
    start, end, step = slice(start, end, step).indices(length)
    return (aten.slice_backward(ct, self.shape, dim, start, end, step),)


def _of_the_batch(end):
    """Is this end of a slice an end of the axis, or a multiple of the number of images?"""
    return end is None or not isinstance(end, int) or end == 0 or end >= 2**62


@defvjp(aten.select, kind=kinds.CUT)
def select_vjp(ct, y, self, dim, index):
    """Zero outside the one that was selected."""
    return (aten.select_backward(ct, self.shape, dim, index),)


@defvjp(aten.slice_scatter, kind=kinds.JOIN)
def slice_scatter_vjp(ct, y, self, src, dim=0, start=None, end=None, step=1):
    """What was written over gets nothing; what was written gets its slice."""
    left = aten.slice_scatter(ct, aten.zeros_like(src), dim, start, end, step)
    return left, aten.slice(ct, dim, start, end, step)


@defvjp(aten.select_scatter, kind=kinds.JOIN)
def select_scatter_vjp(ct, y, self, src, dim, index):
    """As slice_scatter, of one."""
    return aten.select_scatter(ct, aten.zeros_like(src), dim, index), aten.select(ct, dim, index)


@defvjp(aten.constant_pad_nd, kind=kinds.PAD)
def constant_pad_vjp(ct, y, self, pad, value=0):
    """Padding by a constant, backwards: cut it off. What a negative width cut off is zero."""
    sides = list(zip(pad[::2], pad[1::2], strict=True))
    for dim, (before, after) in enumerate(sides, start=1):
        if before > 0 or after > 0:
            kept = ct.shape[-dim] - max(before, 0) - max(after, 0)
            ct = aten.narrow(ct, len(ct.shape) - dim, max(before, 0), kept)
    if min(pad) < 0:
        ct = aten.constant_pad_nd(ct, [max(-width, 0) for width in pad], 0.0)
    return (ct,)


_MIRRORS = {
    "reflect": (
        aten.reflection_pad1d_backward, aten.reflection_pad2d_backward, aten.reflection_pad3d_backward,
    ),
    "replicate": (
        aten.replication_pad1d_backward, aten.replication_pad2d_backward, aten.replication_pad3d_backward,
    ),
}  # fmt: skip


@defvjp(aten.pad, kind=kinds.PAD)
def pad_vjp(ct, y, self, pad, mode="constant", value=None):
    """As constant_pad_nd, or back to the pixels that were mirrored or repeated."""
    axes = len(pad) // 2
    if mode in _MIRRORS and len(self.shape) == axes + 2:
        return (_MIRRORS[mode][axes - 1](ct, self, pad),)
    if mode == "circular":
        return (_wrapped(ct, self, pad),)
    if mode != "constant":
        raise NotImplementedError(f"padding {list(pad)} in mode {mode!r}")
    return constant_pad_vjp(ct, y, self, pad)


@defvjp(aten.expand_as, kind=kinds.COPY)
def expand_as_vjp(ct, y, self, other):
    """Summed over the copies."""
    return unbroadcast(ct, self), None


@defvjp(aten.roll, kind=kinds.ROLL)
def roll_vjp(ct, y, self, shifts, dims=()):
    """Rolled back."""
    if not dims:
        raise NotImplementedError("a roll over everything: images of a batch must not mix")
    if not all(isinstance(shift, int) for shift in ([shifts] if isinstance(shifts, int) else shifts)):
        raise NotImplementedError("a roll by the number of images: images of a batch must not mix")
    return (aten.roll(ct, [-shift for shift in shifts], dims),)


@defvjp(aten.flip, kind=kinds.REORDER)
def flip_vjp(ct, y, self, dims):
    """A mirror image is its own inverse."""
    return (aten.flip(ct, dims),)


@defvjp(aten.repeat, aten.tile, kind=kinds.COPY)
def repeat_vjp(ct, y, self, repeats):
    """Summed over the copies."""
    missing = len(repeats) - len(self.shape)
    if missing < 0:
        repeats, missing = [1] * -missing + list(repeats), 0
    lengths = [1] * missing + list(self.shape)
    split = [part for times, length in zip(repeats, lengths, strict=True) for part in (times, length)]
    return (aten.reshape(_summed_copies(ct, split, repeats), self.shape),)


@defvjp(aten.repeat_interleave, kind=kinds.COPY)
def repeat_interleave_vjp(ct, y, self, repeats, dim=None, output_size=None):
    """Summed over the copies, which are neighbours."""
    if not isinstance(repeats, int) or dim is None:
        raise NotImplementedError("copies of uneven number, or of a flattened batch")
    dim = dim % len(self.shape)
    split = [*self.shape[: dim + 1], repeats, *self.shape[dim + 1 :]]
    return (aten.sum(aten.reshape(ct, split), [dim + 1]),)


@defvjp(aten._to_copy, aten.to, kind=kinds.IDENTITY)
def to_vjp(ct, y, self, dtype=None, *others, **options):
    """In the precision that it had; a real value that became complex has no imaginary part to move."""
    if is_complex(ct) and not is_complex(self):
        ct = real_part(ct)
    return (aten.to(ct, self.dtype),)


@defvjp(aten.type_as, kind=kinds.IDENTITY)
def type_as_vjp(ct, y, self, other):
    """In the precision that it had."""
    return aten.type_as(ct, self), None


def _wrapped(ct, x, pad):
    """The adjoint of padding by what lies at the other end: each margin added where it was read, axis by axis."""
    for place, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), start=1):
        axis, length = len(x.shape) - place, x.shape[-place]
        if min(before, after) < 0 or not isinstance(length, int):
            raise NotImplementedError(f"padding {list(pad)} in mode 'circular'")
        body, inner = aten.narrow(ct, axis, before, length), [0] * (2 * (place - 1))
        if before:
            body = body + aten.constant_pad_nd(aten.narrow(ct, axis, 0, before), [*inner, length - before, 0])
        if after:
            end = aten.narrow(ct, axis, before + length, after)
            body = body + aten.constant_pad_nd(end, [*inner, 0, length - after])
        ct = body
    return ct


def _summed_copies(ct, split, repeats):
    copied = [2 * axis for axis, times in enumerate(repeats) if times != 1]
    # An axis that was not copied keeps one step of its own, so that a symbolic batch is never divided.
    ct = aten.reshape(ct, split)
    return aten.sum(ct, copied) if copied else ct
