"""What a request may ask, and what is said to one that asks for something else."""

import pytest

from engine import Explainer
from engine.serve.facts import facts_of
from engine.serve.question import Question, RefusedError, read_question
from engine.serve.settings import Settings
from tests.batch.test_batch import LABELS, explainer  # noqa: F401 - a fixture

Facts = dict


@pytest.fixture(scope="module")
def facts(explainer: Explainer) -> Facts:  # noqa: F811
    return facts_of(explainer, Settings())


def test_what_is_left_out_stands_as_on_the_page(explainer: Explainer, facts: Facts) -> None:  # noqa: F811
    layers = explainer.layers
    assert read_question({}, facts) == Question("grad_cam")  # at the last layer, and below it:
    assert read_question({"layer": layers[0]}, facts) == Question("hires_cam", layers[0])
    assert read_question({"method": "", "target": ""}, facts) == Question("grad_cam")


def test_classes_and_layers_have_names_and_numbers(explainer: Explainer, facts: Facts) -> None:  # noqa: F811
    assert facts["classes"] == LABELS
    for told in ("2", "blue", "BLUE"):
        assert read_question({"target": told}, facts).target == 2
    asked = read_question({"target": "blue", "contrast": "0", "threshold": "0.5", "values": "list"}, facts)
    assert asked == Question("grad_cam", None, 2, 0, 0.5, True)
    assert read_question({"target": "blue", "contrast": "2"}, facts).contrast is None
    named = {**facts, "layers": [{**one, "name": f"stage{n}"} for n, one in enumerate(facts["layers"])]}
    assert read_question({"layer": "1"}, named).layer == "stage0"  # a number counts from 1
    assert read_question({"layer": "1"}, facts).layer == "1"  # unless a layer is called so
    alias = {**facts, "layers": [{**facts["layers"][0], "aliases": ["stem"]}]}
    assert read_question({"layer": "stem"}, alias).layer == explainer.layers[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"methd": "grad_cam"}, "There is no field 'methd': method?"),
        ({"zzz": "1"}, "There is no field 'zzz': method, layer, target"),
        ({"method": "lime"}, "There is no method 'lime'. Choose .*hires_cam"),
        ({"layer": "blocks.9"}, "There is no layer 'blocks.9'; the nearest are"),
        ({"layer": "99"}, "There is no layer 99: this model has"),
        ({"method": "saliency", "layer": "1"}, "saliency explains the image and is read at no layer"),
        ({"target": "violet"}, "There is no class 'violet'; the nearest are"),
        ({"target": "4"}, "There is no class 4: this model has 4, counted from 0"),
        ({"target": "9" * 5000}, "There is no class 9+: this model has 4"),
        ({"target": "-1"}, "There is no class '-1'"),
        ({"contrast": "viole"}, "There is no class 'viole'"),
        ({"threshold": "2"}, "share of the map's maximum, 0 to 1; got '2'"),
        ({"threshold": "nan"}, "got 'nan'"),
        ({"threshold": "half"}, "got 'half'"),
        ({"values": "yaml"}, "base64 or list"),
        ({"smooth": "-1"}, "how many noisy copies, as 25; got '-1'"),
        ({"smooth": "many"}, "got 'many'"),
        ({"baseline": "white"}, "no baseline 'white'. Choose mean, black, blur"),
        ({"options": "steps=50"}, "numbers by name, as {\"steps\": 50}; got 'steps=50'"),
        ({"options": "[1]"}, "numbers by name"),
        ({"options": '{"steps": true}'}, "numbers by name"),
        ({"options": '{"steps": null}'}, "numbers by name"),
        ({"options": '{"steps": 1' + "0" * 400 + "}"}, "far too large"),
        ({"options": "[" * 100_000}, "numbers by name"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(facts: Facts, given: dict, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as refused:
        read_question(given, facts)
    assert refused.value.status == 422 and len(str(refused.value)) < 500


def test_a_method_that_does_not_apply_says_why(facts: Facts) -> None:
    with pytest.raises(RefusedError, match="CAM does not apply here: there is no such head"):
        read_question({"method": "cam"}, {**facts, "absent": {"cam": "there is no such head"}})


def test_questions_of_one_kind_differ_in_their_classes_only(facts: Facts) -> None:
    kinds = [
        read_question(given, facts).kind
        for given in (
            {}, {"target": "red"}, {"target": "blue", "values": "list"}, {"contrast": "red"},
            {"contrast": "blue", "target": "red"}, {"layer": "1"}, {"method": "hires_cam"}, {"threshold": "0.3"},
            {"smooth": "5"}, {"baseline": "blur"}, {"options": '{"steps": 8}'}, {"layer": "all"},
        )
    ]  # fmt: skip
    assert kinds[0] == kinds[1] == kinds[2] and kinds[3] == kinds[4]
    assert len({*kinds}) == 9


def test_settings_that_make_no_server() -> None:
    assert Settings(replicas=2, batch=4, queue=3).room == 2 * 8 + 3
    for name in ("replicas", "threads", "batch", "bytes", "passes"):
        with pytest.raises(ValueError, match=f"{name} is 0: it is at least 1"):
            Settings(**{name: 0})
    with pytest.raises(ValueError, match="queue is -1"):
        Settings(queue=-1)
