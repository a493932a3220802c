"""Where methods read: what a place knows of its layers, and that the table is its only home."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from engine.methods import METHODS, NO_POLICY, Place, policies_at_image, policies_of
from engine.methods.formulas import FORMULAS

ENGINE = Path(__file__).parents[1] / "engine"


@pytest.mark.parametrize(
    ("place", "layers"), [(Place.IMAGE, []), (Place.LAYER, [0, 1, 2, 3, 4]), (Place.POOLED, [3])]
)
def test_a_place_knows_which_layers_it_reads(place: Place, layers: list[int]) -> None:
    assert list(place.layers(5, 3)) == layers
    assert place.at_image == (not layers)
    assert place.at_every_layer == (len(layers) == 5)


def test_a_network_without_layers_has_none_at_any_place() -> None:
    assert not any(place.layers(0, -1) for place in (Place.IMAGE, Place.LAYER))


def test_a_place_is_the_word_that_files_hold() -> None:
    for method in METHODS.values():
        word = json.loads(json.dumps(method.at))
        assert type(word) is str and word == method.at
        assert Place(word) is method.at


def test_a_method_may_name_its_place_by_the_word() -> None:
    assert replace(METHODS["grad_cam"], at="pooled").at is Place.POOLED
    with pytest.raises(ValueError, match="'everywhere' is not a valid Place"):
        replace(METHODS["grad_cam"], at="everywhere")


def test_gates_come_in_the_order_of_the_table() -> None:
    backwards = list(METHODS.values())[::-1]
    assert (
        policies_of(backwards)
        == policies_of(backwards[::-1])
        == list(dict.fromkeys(m.policy for m in METHODS.values() if m.policy != NO_POLICY))
    )
    assert policies_of([METHODS["eigen_cam"]]) == []
    assert policies_of([METHODS["guided_grad_cam"]]) == ["gradient", "guided"]
    assert policies_at_image([METHODS["guided_grad_cam"]]) == {"guided"}
    assert policies_at_image([METHODS["grad_cam"]]) == set()


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: str(path.relative_to(ENGINE)))
def test_a_place_is_asked_and_no_word_compared(path: Path) -> None:
    words = r'["\'](image|layer|pooled)["\']|\b(IMAGE|LAYER|POOLED)\b'
    # A control of the page is called "layer" too, and no place is compared where its name is read.
    text = path.read_text().replace('for name in ("layer", "target", "contrast")', "")
    assert not re.search(rf"[!=]= ({words})|\bin \(({words})", text)


def test_every_method_has_a_formula_without_words() -> None:
    assert {*FORMULAS} == {*METHODS}
    for formula in FORMULAS.values():
        assert formula.count("{") == formula.count("}")
        assert "\\text" not in formula
