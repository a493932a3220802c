import pytest
import torch

from engine import check_rule
from engine.rules.registry import VJPS

aten = torch.ops.aten

X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))


def test_a_right_rule_passes_and_the_argument_stays_as_it_was():
    before = X.clone()
    check_rule(aten.tanh, X)
    check_rule(aten.cat, [X, X], 1)
    check_rule(aten.gather, X, 1, torch.zeros(2, 1, 4, dtype=torch.int64))
    check_rule(aten.split, X, 2, 2, read=(1,))
    check_rule(aten.linear, X, torch.randn(5, 4), None)
    assert torch.equal(X, before) and not X.requires_grad and X.dtype == torch.float32


WRONG = {
    "another formula": (
        lambda ct, y, self, other: (ct * other, ct * other),
        r"aten\.mul, argument 'other': off by",
    ),
    "slightly off": (lambda ct, y, self, other: (ct * other * (1 + 1e-8), ct * self), "argument 'self': off by"),
    "another shape": (lambda ct, y, self, other: (ct[0], ct * self), r"its cotangent is .* \[3, 4\]"),
    "another precision": (lambda ct, y, self, other: ((ct * other).float(), ct), "its cotangent is torch.float32"),
    "not a number": (lambda ct, y, self, other: (ct * float("nan"), ct * self), "off by nan"),
    "one too few": (lambda ct, y, self, other: (ct * other,), "1 cotangents for 2 arguments"),
    "nothing": (lambda ct, y, self, other: (None, None), "no cotangent at all"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_named_with_its_argument_and_deviation(name, monkeypatch):
    rule, message = WRONG[name]
    monkeypatch.setitem(VJPS, aten.mul, rule)
    with pytest.raises(AssertionError, match=message):
        check_rule(aten.mul, X, X + 1)


def test_an_op_without_a_rule_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"cumprod has no rule; `engine\.rules\.pages` tells how"):
        check_rule(aten.cumprod, X, 0)
