"""The rules of products of two values that may both depend on the image: attention. See `registry`."""

import math

import torch

from . import kinds
from .registry import aten, defvjp, unbroadcast


@defvjp(aten.matmul, kind=kinds.MATMUL)
def matmul_vjp(ct, y, self, other):
    """ct B^T to the left, A^T ct to the right."""
    if len(self.shape) < 2 or len(other.shape) < 2:
        raise NotImplementedError("a product with a vector")
    left = aten.matmul(ct, aten.transpose(other, -2, -1))
    right = aten.matmul(aten.transpose(self, -2, -1), ct)
    return unbroadcast(left, self), unbroadcast(right, other)


@defvjp(aten.bmm, kind=kinds.MATMUL)
def bmm_vjp(ct, y, self, mat2):
    """As matmul."""
    return matmul_vjp(ct, y, self, mat2)


@defvjp(aten.einsum, kind=kinds.MATMUL)
def einsum_vjp(ct, y, equation, tensors, path=None):
    """The same sum, with the operand's letters and the result's exchanged."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != 2 or not output or "." in equation or any(len(set(part)) < len(part) for part in letters):
        raise NotImplementedError(f"einsum {equation!r}; two operands, an explicit result and no repeated letter")
    (a, b), (left, right) = letters, tensors
    if not set(a) <= {*b, *output} or not set(b) <= {*a, *output}:
        raise NotImplementedError(f"einsum {equation!r}, which sums a letter of one operand alone")
    return ([aten.einsum(f"{output},{b}->{a}", [ct, right]), aten.einsum(f"{output},{a}->{b}", [ct, left])],)


@defvjp(aten.scaled_dot_product_attention, kind=kinds.ATTENTION)
def attention_vjp(
    ct, y, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """softmax(Q K^T s) V by its parts: the weights are computed once more."""
    if is_causal or enable_gqa or dropout_p:
        raise NotImplementedError("attention that is causal, with grouped queries or dropout")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = aten.matmul(query, aten.transpose(key, -2, -1)) * scale
    if attn_mask is not None:
        allowed = attn_mask.dtype == torch.bool
        scores = aten.where(attn_mask, scores, -math.inf) if allowed else scores + attn_mask
    weights = aten.softmax(scores, -1)
    to_weights = aten.matmul(ct, aten.transpose(value, -2, -1))
    to_scores = weights * (to_weights - aten.sum(to_weights * weights, [-1], True)) * scale
    to_value = aten.matmul(aten.transpose(weights, -2, -1), ct)
    return aten.matmul(to_scores, key), aten.matmul(aten.transpose(to_scores, -2, -1), query), to_value, None
