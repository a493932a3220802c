import pytest
import torch

from engine.rules import kinds
from engine.rules.pages import KINDS, VJPS, ops_of
from engine.rules.registry import defvjp, scalar

aten = torch.ops.aten


def test_every_rule_has_one_kind_of_the_list():
    assert set(KINDS) == set(VJPS)
    assert set(KINDS.values()) <= kinds.ALL


def test_every_kind_is_used():
    assert set(KINDS.values()) == kinds.ALL


def test_the_ops_of_all_kinds_are_all_ops_once():
    assert sum(len(ops_of(kind)) for kind in kinds.ALL) == len(VJPS)


def test_a_rule_without_a_kind_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"cumprod.*kind=.*kinds\.py"):
        defvjp(aten.cumprod)
    assert aten.cumprod not in VJPS


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'linear'.*dense"):
        defvjp(aten.cumprod, kind="linear")
    assert aten.cumprod not in VJPS


def test_ops_of_two_kinds_may_share_a_rule(monkeypatch):
    for table in (VJPS, KINDS):
        monkeypatch.setattr("engine.rules.registry." + ("VJPS" if table is VJPS else "KINDS"), dict(table))
    from engine.rules import registry

    @registry.defvjp(aten.digamma, kind=kinds.FLAT)
    @registry.defvjp(aten.lgamma, kind=kinds.ELEMENTWISE)
    def shared_vjp(ct, y, self):
        return (ct,)

    assert registry.VJPS[aten.digamma] is registry.VJPS[aten.lgamma] is shared_vjp
    assert (registry.KINDS[aten.digamma], registry.KINDS[aten.lgamma]) == (kinds.FLAT, kinds.ELEMENTWISE)


def test_a_scalar_rule_bears_the_name_of_its_op():
    assert VJPS[aten.sin].__name__ == "sin_vjp"
    with pytest.raises(ValueError, match="has a rule already: sin_vjp"):
        scalar(aten.sin, lambda ct, y, x: ct)
