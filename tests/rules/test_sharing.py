"""Relevance through what has no weights: each rule by its formula, written out for single values."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.rules import sharing
from engine.rules.pages import VJPS
from engine.rules.policy import Call
from engine.rules.registry import aten

G = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=G, dtype=torch.float64)


@pytest.fixture(autouse=True)
def exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stabiliser, so that what is conserved is conserved to the last digit."""
    monkeypatch.setattr(sharing, "stabilised", lambda z, *_: z)


def call(op: Any, *active: Any) -> Call:
    return Call(op, VJPS[op], active)


def shares(rule: Any, op: Any, relevance: Any, *args: Any, active: tuple[Any, ...] = (True, True)) -> tuple:
    return rule(call(op, *active), relevance, op(*args), *args)


def test_a_sum_shares_by_its_terms() -> None:
    a, b, r = drawn(2, 3), drawn(2, 3), drawn(2, 3)
    left, right = shares(sharing.by_terms, aten.add, r, a, b)
    torch.testing.assert_close(left, r * a / (a + b))
    torch.testing.assert_close(left + right, r)
    left, right = shares(sharing.by_terms, aten.sub, r, a, b)
    torch.testing.assert_close(right, -r * b / (a - b))
    # What falls on a constant is lost.
    alone = shares(sharing.by_terms, aten.add, r, a, b, active=(True, False))
    assert alone[1] is None
    torch.testing.assert_close(alone[0], r * a / (a + b))


def test_a_sum_shares_by_the_sizes_of_its_terms() -> None:
    a, b, r = drawn(2, 3), drawn(3), drawn(2, 3)
    left, right = shares(sharing.by_sizes, aten.add, r, a, b)
    size = a.abs() + b.abs()
    torch.testing.assert_close(left, r * a.abs() / size)
    torch.testing.assert_close(right, (r * b.abs() / size).sum(0))  # it was broadcast
    torch.testing.assert_close(left.sum() + right.sum(), r.sum())
    doubled = sharing.by_sizes(call(aten.add, True, True), r, a + 2 * b, a, b, 2)
    torch.testing.assert_close(doubled[0], r * a.abs() / (a.abs() + 2 * b.abs()))


def test_a_product_gives_to_the_signal_or_half_to_each() -> None:
    signal, gate, r = drawn(1, 4, 3, 3), drawn(1, 4, 1, 1), drawn(1, 4, 3, 3)
    for pair, wanted in (((signal, gate), (r, None)), ((gate, signal), (None, r))):
        found = shares(sharing.to_the_signal, aten.mul, r, *pair)
        assert all(one is other for one, other in zip(found, wanted, strict=True))
    a, b, r = drawn(2, 3), drawn(2, 3), drawn(2, 3)
    for rule in (sharing.to_the_signal, sharing.half_each):
        left, right = shares(rule, aten.mul, r, a, b)
        torch.testing.assert_close(left, r / 2)
        torch.testing.assert_close(right, r / 2)
        assert shares(rule, aten.mul, r, a, b, active=(True, False))[1] is None
        torch.testing.assert_close(shares(rule, aten.mul, r, a, b, active=(True, False))[0], r)
        divided = shares(rule, aten.div, r, a, b)
        assert divided[1] is None
        torch.testing.assert_close(divided[0], r)
    halves = shares(sharing.half_each, aten.mul, drawn(1, 4, 3, 3), signal, gate)
    assert halves[1].shape == gate.shape
    with pytest.raises(NotImplementedError, match=r"relevance through aten\.pow"):
        sharing.half_each(call(aten.pow, True, True), r, a, a, b)


def test_a_reduction_and_running_sums_share_in_proportion() -> None:
    x = drawn(2, 3, 4)
    r = drawn(2, 3)
    (found, *_) = shares(sharing.of_reduction, aten.mean, r, x, [2], active=(True,))
    torch.testing.assert_close(found, r[..., None] * x / x.sum(2, keepdim=True))
    r = drawn(2, 3, 4)
    (found, *_) = shares(sharing.of_cumulation, aten.cumsum, r, x, 2, active=(True,))
    wanted = torch.zeros_like(x)
    for last in range(4):  # each running sum goes to what it is the sum of
        wanted[:, :, : last + 1] += (
            r[:, :, last : last + 1] * x[:, :, : last + 1] / x.cumsum(2)[:, :, last : last + 1]
        )
    torch.testing.assert_close(found, wanted)
    with pytest.raises(NotImplementedError, match=r"relevance through aten\.amax"):
        sharing.of_reduction(call(aten.amax, True), r, x, x)


def test_a_norm_holds_its_deviation_constant() -> None:
    x, r, eps = drawn(2, 6, 5), drawn(2, 6, 5), 1e-5
    weight, bias = drawn(5), drawn(5)
    deviation = (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    leaf = x.clone().requires_grad_()
    y = (leaf - leaf.mean(-1, keepdim=True)) / deviation * weight + bias
    (wanted,) = torch.autograd.grad(y, leaf, r / y.detach())
    asked = ([5], weight, bias, eps)
    found = sharing.of_norm(
        call(aten.native_layer_norm, True), (r, None, None), aten.native_layer_norm(x, *asked), x, *asked
    )
    torch.testing.assert_close(found[0], x * wanted)

    root = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    leaf = x.clone().requires_grad_()
    y = leaf / root * weight
    (wanted,) = torch.autograd.grad(y, leaf, r / y.detach())
    found = sharing.of_norm(call(aten.rms_norm, True), r, aten.rms_norm(x, [5], weight, eps), x, [5], weight, eps)
    torch.testing.assert_close(found[0], x * wanted)
    torch.testing.assert_close(found[0], r)  # without a mean and a bias all of it stays where it is

    weight, bias = drawn(6), drawn(6)
    groups = x.reshape(2, 3, -1)
    deviation = (groups.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    leaf = x.clone().requires_grad_()
    grouped = leaf.reshape(2, 3, -1)
    y = ((grouped - grouped.mean(-1, keepdim=True)) / deviation).reshape(x.shape)
    y = y * weight[:, None] + bias[:, None]
    (wanted,) = torch.autograd.grad(y, leaf, r / y.detach())
    asked = (3, weight, bias, eps)
    found = sharing.of_norm(call(aten.group_norm, True), r, aten.group_norm(x, *asked), x, *asked)
    torch.testing.assert_close(found[0], x * wanted)


def test_a_softmax_is_expanded_at_its_input() -> None:
    x, r = drawn(2, 5), drawn(2, 5)
    (found,) = shares(sharing.of_softmax, aten.softmax, r, x, -1, active=(True,))
    wanted = torch.zeros_like(x)
    for image in range(2):
        y = x[image].softmax(0)
        for j in range(5):
            wanted[image, j] = x[image, j] * (r[image, j] - y[j] * r[image].sum())
    torch.testing.assert_close(found, wanted)


def test_an_activation_takes_none_and_a_glu_is_a_product() -> None:
    x, r = drawn(2, 3), drawn(2, 3)
    (found,) = shares(sharing.of_gate, aten.sigmoid, r, x, active=(True,))
    assert found is r
    (found,) = shares(sharing.of_gate, aten.glu, r, drawn(2, 6), active=(True,))
    torch.testing.assert_close(found, torch.cat([r, r], 1) / 2)
    with pytest.raises(NotImplementedError, match="of several values"):
        sharing.passed(call(aten.where, True, True), r, x, x, x)


def test_products_of_two_values_share_half_to_each_side() -> None:
    a, b, r = drawn(2, 3, 4), drawn(2, 4, 5), drawn(2, 3, 5)
    whole = sharing.of_matmul_whole(call(aten.matmul, True, True), r, a @ b, a, b)
    half = sharing.of_matmul(call(aten.matmul, True, True), r, a @ b, a, b)
    # What each term a_ik b_kj adds to y_ij, and so gets of R_ij.
    terms = a[:, :, :, None] * b[:, None, :, :] * (r / (a @ b))[:, :, None, :]
    for found, part in ((whole, 1.0), (half, 0.5)):
        torch.testing.assert_close(found[0], part * terms.sum(3))
        torch.testing.assert_close(found[1], part * terms.sum(1))
    alone = sharing.of_matmul(call(aten.matmul, True, False), r, a @ b, a, b)
    assert alone[1] is None
    torch.testing.assert_close(alone[0], terms.sum(3))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_two_products_and_the_softmax_between(causal: bool) -> None:
    query, key, value, r = (drawn(1, 2, 4, 3) for _ in range(4))
    asked = (None, 0.0, causal)
    y = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    attention = call(aten.scaled_dot_product_attention, True, True, True)
    scale, seen = 3**-0.5, torch.ones(4, 4, dtype=torch.bool)
    scores = query @ key.mT * scale
    weights = scores.masked_fill(~seen.tril() if causal else ~seen, -torch.inf).softmax(-1)

    none, nothing, values, _ = sharing.of_values_alone(attention, r, y, query, key, value, *asked)
    assert none is nothing is None
    terms = weights[..., None] * value[:, :, None] * (r / y)[:, :, :, None]  # [.., query, key, channel]
    torch.testing.assert_close(values, terms.sum(2))
    torch.testing.assert_close(values.sum(), r.sum())

    to_query, to_key, to_value, _ = sharing.of_attention(attention, r, y, query, key, value, *asked)
    torch.testing.assert_close(to_value, terms.sum(2) / 2)
    to_weights = terms.sum(4) / 2
    to_scores = scores * (to_weights - weights * to_weights.sum(-1, keepdim=True))
    terms = query[:, :, :, None] * key[:, :, None] * (scale * to_scores / scores)[..., None] / 2
    torch.testing.assert_close(to_query, terms.sum(3))
    torch.testing.assert_close(to_key, terms.sum(2))


def test_what_only_moves_moves_its_relevance() -> None:
    x, r = drawn(1, 1, 4, 4), drawn(1, 1, 2, 2)
    y = aten.max_pool2d_with_indices(x, [2, 2])
    wanted = torch.zeros(1, 1, 16, dtype=torch.float64).scatter_add(2, y[1].flatten(2), r.flatten(2))
    asked = ([2, 2], [2, 2])
    (found, *_) = sharing.moved(call(aten.max_pool2d_with_indices, True), (r, None), y, x, *asked)
    torch.testing.assert_close(found.flatten(2), wanted)
    assert sharing.nothing(call(aten.mul, True, True), r, x, x, x) == (None, None)
