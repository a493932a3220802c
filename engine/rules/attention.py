"""The rules of products of two values that may both depend on the image: attention. See `registry`."""

import math

import torch

from . import kinds
from .registry import aten, defvjp, unbroadcast


@defvjp(aten.matmul, kind=kinds.MATMUL)
def matmul_vjp(ct, y, self, other):
    """ct B^T to the left, A^T ct to the right; a vector is a matrix of one row or column."""
    if len(self.shape) == 1 and len(other.shape) == 1:
        return ct * other, ct * self
    if len(self.shape) == 1:
        left, right = matmul_vjp(aten.unsqueeze(ct, -2), y, aten.unsqueeze(self, 0), other)
        return aten.reshape(left, self.shape), right
    if len(other.shape) == 1:
        left, right = matmul_vjp(aten.unsqueeze(ct, -1), y, self, aten.unsqueeze(other, 1))
        return left, aten.reshape(right, other.shape)
    left = aten.matmul(ct, aten.transpose(other, -2, -1))
    right = aten.matmul(aten.transpose(self, -2, -1), ct)
    return unbroadcast(left, self), unbroadcast(right, other)


@defvjp(aten.mm, aten.bmm, kind=kinds.MATMUL)
def bmm_vjp(ct, y, self, mat2):
    """As matmul."""
    return matmul_vjp(ct, y, self, mat2)


@defvjp(aten.addmm, aten.baddbmm, kind=kinds.MATMUL)
def addmm_vjp(ct, y, self, mat1, mat2, beta=1, alpha=1):
    """As a sum and a product."""
    left, right = matmul_vjp(ct if alpha == 1 else ct * alpha, y, mat1, mat2)
    return unbroadcast(ct if beta == 1 else ct * beta, self), left, right


@defvjp(aten._cdist_forward, kind=kinds.MATMUL)
def cdist_vjp(ct, y, x1, x2, p, compute_mode):
    """Along the difference of two rows, to either end. The distance does not change where they change places."""
    turned = aten.contiguous(aten.transpose(ct, -2, -1)), aten.contiguous(aten.transpose(y, -2, -1))
    left = aten._cdist_backward(aten.contiguous(ct), x1, x2, p, y)
    return left, aten._cdist_backward(turned[0], x2, x1, p, turned[1])


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
    if enable_gqa or dropout_p:
        raise NotImplementedError("attention with grouped queries or dropout")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = aten.matmul(query, aten.transpose(key, -2, -1)) * scale
    if is_causal:  # a token sees those before it, and itself
        scores = aten.where(aten.tril(aten.ones_like(scores)) > 0, scores, -math.inf)
    if attn_mask is not None:
        allowed = attn_mask.dtype == torch.bool
        scores = aten.where(attn_mask, scores, -math.inf) if allowed else scores + attn_mask
    weights = aten.softmax(scores, -1)
    to_weights = aten.matmul(ct, aten.transpose(value, -2, -1))
    to_scores = weights * (to_weights - aten.sum(to_weights * weights, [-1], True)) * scale
    to_value = aten.matmul(aten.transpose(weights, -2, -1), ct)
    return aten.matmul(to_scores, key), aten.matmul(aten.transpose(to_scores, -2, -1), query), to_value, None
