"""Relevance through linear maps: each rule by a second formula, over the single contributions of a matrix."""

import pytest
import torch
from torch import Tensor

from engine.rules import relevance
from engine.rules.pages import VJPS
from engine.rules.policy import Call
from engine.rules.registry import aten
from engine.rules.relevance import AlphaBeta, Contrasted, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus

LOW, HIGH = -2.0, 3.0
RULES = {
    "epsilon": Epsilon(),
    "z+": ZPlus(),
    "z+ without bias": ZPlus(bias=False),
    "alpha 2 beta 1": AlphaBeta(2, 1),
    "alpha 1 beta 0": AlphaBeta(1, 0),
    "gamma .25": Gamma(0.25),
    "gamma 3": Gamma(3),
    "flat": Flat(),
    "w-square": WSquare(),
    "z-B": ZBox(),
    "contrasted": Contrasted(),
}
G = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=G, dtype=torch.float64)


CALLS = {
    "linear": (aten.linear, (drawn(2, 7), drawn(5, 7), drawn(5))),
    "linear without bias": (aten.linear, (drawn(2, 3, 7), drawn(5, 7))),
    "conv2d": (aten.conv2d, (drawn(2, 4, 6, 5), drawn(6, 2, 3, 2), drawn(6), [2, 1], [1, 1], [1, 2], 2)),
    "conv2d, a stride that leaves rows out": (aten.conv2d, (drawn(1, 2, 6, 6), drawn(3, 2, 3, 3), None, [2, 2])),
    "conv1d": (aten.conv1d, (drawn(2, 3, 8), drawn(4, 3, 3), drawn(4), [1], [1])),
    "conv_transpose2d": (aten.conv_transpose2d, (drawn(1, 3, 4, 4), drawn(3, 2, 3, 3), drawn(2), [2, 2], [1, 1])),
}


def matrix_of(op, input: Tensor, weight: Tensor, steps: list) -> Tensor:
    """The map of one image as a matrix [outputs, inputs], from what it makes of each basis image."""
    basis = torch.eye(input[0].numel(), dtype=torch.float64).reshape(-1, *input.shape[1:])
    return op(basis, weight, None, *steps).flatten(1).T


def contributions(name: str, jacobian: Tensor, ones: Tensor, x: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """c_ij, what input j adds to unit i, and z_i that it is a share of; x [n], b [m]."""
    z = jacobian * x
    if name in ("epsilon", "z+", "z+ without bias"):
        kept = z if name == "epsilon" else z.clamp(min=0)
        bias = {"epsilon": b, "z+": b.clamp(min=0), "z+ without bias": 0 * b}[name]
        return kept, kept.sum(1) + bias
    if name.startswith("gamma"):
        gamma, sign = float(name[6:]), torch.sign(z.sum(1) + b)[:, None]
        kept = z + gamma * sign * (sign * z).clamp(min=0)
        return kept, kept.sum(1) + b + gamma * (sign[:, 0] * (sign[:, 0] * b).clamp(min=0))
    kept = {
        "flat": ones,
        "w-square": jacobian**2,
        "z-B": z - jacobian.clamp(min=0) * LOW - jacobian.clamp(max=0) * HIGH,
    }[name]
    return kept, kept.sum(1)


def by_contributions(name: str, jacobian: Tensor, ones: Tensor, x: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """R_j = Σ_i c_ij R_i / z_i."""
    z = jacobian * x
    if name.startswith("alpha"):
        alpha, beta = (2, 1) if "2" in name else (1, 0)
        speaks, against = (
            torch.nan_to_num(c / (c.sum(1, keepdim=True) + o[:, None]))
            for c, o in ((z.clamp(min=0), b.clamp(min=0)), (z.clamp(max=0), b.clamp(max=0)))
        )
        return r @ (alpha * speaks - beta * against)
    if name == "contrasted":
        speaks, against = (
            torch.nan_to_num(c / c.sum(1, keepdim=True)) for c in (z.clamp(min=0), (-z).clamp(min=0))
        )
        return r @ (speaks - against)
    kept, whole = contributions(name, jacobian, ones, x, b)
    return r @ torch.nan_to_num(kept / whole[:, None])


@pytest.mark.parametrize("positive", [False, True], ids=["of any sign", "behind a ReLU"])
@pytest.mark.parametrize("called", CALLS)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_shares_out_by_contributions(monkeypatch, name: str, called: str, positive: bool) -> None:
    monkeypatch.setattr(relevance, "EPSILON", 0.0)
    op, (input, weight, *rest) = CALLS[called]
    input = input.abs() if positive else input
    bias, steps = (rest[0] if rest else None), rest[1:]
    y = op(input, weight, bias, *steps)
    r = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bounds = torch.full_like(input[:1], LOW), torch.full_like(input[:1], HIGH)
    call = Call(op, VJPS[op], (True, False, False), (positive, False, False), bounds=bounds)
    found, *others = RULES[name](call, r, y, input, weight, bias, *steps)
    assert others == [None, None]
    as_images = (lambda v: v.flatten(0, -2)) if op is aten.linear else (lambda v: v.flatten(1))
    jacobian, ones = (
        w if op is aten.linear else matrix_of(op, input, w, steps) for w in (weight, torch.ones_like(weight))
    )
    own = torch.zeros(y[0].shape if op is not aten.linear else y.shape[-1:], dtype=torch.float64)
    if bias is not None:
        own = own + (bias if op is aten.linear else bias.reshape(-1, *[1] * (y.dim() - 2)))
    wanted = [
        by_contributions(name, jacobian, ones, x, own.flatten(), one)
        for x, one in zip(as_images(input), as_images(r), strict=True)
    ]
    torch.testing.assert_close(as_images(found), torch.stack(wanted), rtol=1e-9, atol=1e-9)


def test_what_is_not_there_is_proven_away() -> None:
    """Of an input that is never negative half of z+ is left out, and nothing changes."""
    calls = []

    def counted(*args):
        calls.append(args)
        return aten.conv2d(*args)

    counted.__name__ = "conv2d"
    x, w, b = drawn(1, 3, 5, 5).abs(), drawn(4, 3, 3, 3), drawn(4)
    y = aten.conv2d(x, w, b)
    r = drawn(*y.shape)
    found = []
    for positive in (True, False):
        calls.clear()
        call = Call(counted, VJPS[aten.conv2d], (True, False, False), (positive, False, False))
        found.append(ZPlus()(call, r, y, x, w, b, [1, 1])[0])
        assert len(calls) == (1 if positive else 2)
    torch.testing.assert_close(*found, rtol=1e-14, atol=0)


def test_the_stabiliser_grows_with_the_values() -> None:
    """An absolute one keeps nothing of the relevance of tiny activations: so the whole of it arrives here."""
    x, w = drawn(2, 6), drawn(5, 6)
    shares = []
    for scale in (1.0, 1e-6, 1e-12):
        y = aten.linear(x * scale, w)
        r = torch.ones_like(y)
        shares.append(Epsilon()(Call(aten.linear, VJPS[aten.linear]), r, y, x * scale, w)[0])
    for other in shares[1:]:
        torch.testing.assert_close(other, shares[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shares[0].sum(1), torch.full([2], 5.0).double(), rtol=1e-3, atol=0)


def test_images_do_not_share_a_stabiliser() -> None:
    x = torch.cat([drawn(1, 3, 4, 4), drawn(1, 3, 4, 4) * 1e6])
    together = relevance.stabilised(x)
    assert torch.equal(together[:1], relevance.stabilised(x[:1]))
    tokens = torch.stack([drawn(5, 6), drawn(5, 6) * 1e6], 1)  # [tokens, images, channels], as attention has it
    assert torch.equal(relevance.stabilised(tokens)[:, :1], relevance.stabilised(tokens[:, :1]))


def test_zero_has_a_side() -> None:
    z = torch.tensor([[0.0, -0.0, 3.0, -4.0]])
    found = relevance.stabilised(z) - z
    assert found.tolist() == [pytest.approx([2.5e-6, 2.5e-6, 2.5e-6, -2.5e-6], rel=0.2)]
    assert (
        relevance.stabilised(torch.zeros(1, 4)).tolist() == [[relevance.LEAST] * 4]
        or (relevance.stabilised(torch.zeros(1, 4)) > 0).all()
    )


def test_a_kernel_that_depends_on_the_image_is_refused() -> None:
    x, w = drawn(1, 3), drawn(2, 3)
    call = Call(aten.linear, VJPS[aten.linear], (True, True, False))
    for rule in RULES.values():
        with pytest.raises(NotImplementedError, match="a kernel that depends on the image"):
            rule(call, drawn(1, 2), aten.linear(x, w), x, w)


def test_alpha_and_beta_conserve() -> None:
    with pytest.raises(ValueError, match=r"alpha is 2 and beta 2: alpha - beta is one"):
        AlphaBeta(2, 2)
    with pytest.raises(ValueError, match="beta >= 0"):
        AlphaBeta(0, -1)


def test_a_box_is_for_what_comes_first() -> None:
    x, w = drawn(1, 3), drawn(2, 3)
    with pytest.raises(NotImplementedError, match="z-B between unknown bounds"):
        ZBox()(Call(aten.linear, VJPS[aten.linear]), drawn(1, 2), aten.linear(x, w), x, w)
