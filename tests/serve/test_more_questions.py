"""Classes, units and trust: the page's other questions, answered as the engine answers them."""

import json
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from engine import Explainer
from engine.methods import METHODS
from engine.serve.answers import Answers
from engine.serve.facts import facts_of
from engine.serve.messages import Request
from engine.serve.more_questions import READERS, Classes, Trust, Unit
from engine.serve.question import Question, RefusedError
from engine.serve.settings import Settings
from engine.trust import one_picture
from engine.trust.report import examine
from tests.batch.test_batch import LABELS, drawn, explainer  # noqa: F401 - a fixture among them
from tests.serve.test_answers import values_of

PIXELS = [drawn(number)[:, :, ::-1].copy() for number in range(3)]
PHOTOS = [cv2.imencode(".png", drawn(number))[1].tobytes() for number in range(3)]


@pytest.fixture
def answers(explainer: Explainer) -> Answers:  # noqa: F811
    return Answers(explainer, passes=600)


@pytest.fixture(scope="module")
def facts(explainer: Explainer) -> dict:  # noqa: F811
    return facts_of(explainer, Settings())


def test_classes_are_the_networks_own(answers: Answers) -> None:
    asked = [Request(photo, Classes(number + 1)) for number, photo in enumerate(PHOTOS)]
    for number, (answer, pixels) in enumerate(zip(answers.of(asked), PIXELS, strict=True)):
        x = answers.explainer.preprocess(torch.from_numpy(pixels))
        chances = answers.explainer.forward(x).softmax(1)[0]
        order = chances.argsort(descending=True)[: number + 1].tolist()
        told = answer.content["classes"]
        assert answer.together == 3 and [one["index"] for one in told] == order
        assert [one["label"] for one in told] == [LABELS[index] for index in order]
        assert [one["probability"] for one in told] == pytest.approx(chances[order].tolist(), abs=1e-6)


@pytest.mark.parametrize("place", [None, (1, 2)])
def test_units_of_several_people_share_a_pass(answers: Answers, place: tuple[int, int] | None) -> None:
    layer = answers.explainer.layers[0]
    asked = [Request(photo, Unit(layer, channel, "saliency", place)) for channel, photo in enumerate(PHOTOS)]
    found = answers.of(asked)
    assert [answer.together for answer in found] == [3, 3, 3]
    for channel, (answer, pixels) in enumerate(zip(found, PIXELS, strict=True)):
        x = answers.explainer.preprocess(torch.from_numpy(pixels))
        own = answers.explainer.explain_unit(x, layer, channel, place or "strongest", "saliency")
        content = answer.content
        assert (content["layer"], content["channel"], content["method"]) == (layer, channel, "saliency")
        assert content["place"] == own.place[0].tolist() and content["value"] == pytest.approx(float(own.value))
        largest = float(own.map.max())
        assert np.allclose(values_of(content), own.map[0], rtol=0, atol=1e-4 * largest + 1e-9)
        # The input is square and the photo is not: it is 40 by 36, squeezed to none of its sides.
        window, entry = answers.explainer.geometry.window(40, 36), answers.explainer.manifest["layers"][0]
        for axis, (first, length) in enumerate([(window.top, window.height), (window.left, window.width)]):
            at = (entry["offset"][axis] + entry["stride"][axis] * content["place"][axis]) / 32
            assert content["pixel"][axis] == int(np.floor(first + at * length))


def test_a_unit_is_drawn_where_a_picture_is_asked_for(answers: Answers) -> None:
    layer = answers.explainer.layers[0]
    (answer,) = answers.of([Request(PHOTOS[0], Unit(layer, 0, "saliency"), picture=True)])
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1).shape == (40, 36, 3)
    # Relevance is that of a pixel, on the photo; a gradient would be the network's input, 32 by 32.
    (answer,) = answers.of([Request(PHOTOS[0], Unit(layer, 0, "lrp_epsilon_plus"), picture=True)])
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1).shape == (40, 36, 3)
    (answer,) = answers.of([Request(PHOTOS[0], Unit(layer, 0, "saliency", listed=True))])
    assert np.shape(answer.content["values"]) == tuple(answer.content["shape"])
    for wrong, why in (
        (Unit(layer, 99, "saliency"), "channel 99"),
        (Unit(layer, 0, "saliency", (99, 0)), "lies outside of"),
    ):
        (answer,) = answers.of([Request(PHOTOS[0], wrong)])
        assert answer.status == 422 and why.lower() in answer.content["detail"].lower()


@patch.dict(METHODS)  # whose order is told: what is deleted and set again would come last
def test_a_method_of_ones_own_is_known_by_its_file(answers: Answers, facts: dict) -> None:
    """Whoever serves a file has not registered what its author had."""
    layer = answers.explainer.layers[0]
    for method in ("saliency", "hires_cam"):
        del METHODS[method]
    question = READERS["unit"]({"layer": layer, "channel": "0", "method": "saliency"}, facts)
    unit, drawn_unit = answers.of([Request(PHOTOS[0], question), Request(PHOTOS[1], question, picture=True)])
    assert unit.content["method"] == "saliency" and drawn_unit.content.startswith(b"\x89PNG")
    (sheet,) = answers.of([Request(PHOTOS[0], Question("hires_cam", "all"), picture=True)])
    assert sheet.content.startswith(b"\x89PNG")


def test_a_map_is_put_to_the_test(answers: Answers) -> None:
    question = Trust("hires_cam", "0", target=2, contrast=1)
    (answer,) = answers.of([Request(PHOTOS[0], question)])
    content = json.loads(json.dumps(answer.content, allow_nan=False))
    assert content["asked"] == "blue rather than green" and content["layer"] == "0"
    report = examine(one_picture.subject(answers.explainer, PIXELS[0], 2, "hires_cam", "0", 1))
    assert [one["text"] for one in content["verdicts"]] == [str(one) for one in report.verdicts]
    assert content["areas"]["deletion"]["map"] == pytest.approx(report.areas["deletion"]["map"], abs=1e-5)
    few = Answers(answers.explainer, passes=3).of([Request(PHOTOS[0], Trust("integrated_gradients"))])[0]
    assert few.status == 422 and "this server gives 3" in few.content["detail"]


def test_what_may_be_asked(facts: dict) -> None:
    assert READERS["classify"]({}, facts) == Classes() and READERS["classify"]({"top": "2"}, facts) == Classes(2)
    layer = facts["layers"][0]["name"]
    given = {"layer": "1", "channel": "7", "method": "saliency", "place": "[1, 2]", "values": "list"}
    assert READERS["unit"](given, facts) == Unit("1", 7, "saliency", (1, 2), True)
    assert READERS["trust"]({"layer": layer, "target": "red"}, facts) == Trust("hires_cam", layer, 0)


@pytest.mark.parametrize(
    ("route", "given", "told"),
    [
        ("classify", {"top": "0"}, "at least 1"),
        ("classify", {"top": "few"}, "how many classes are told, as 5; got 'few'"),
        ("classify", {"method": "saliency"}, "no field 'method': top"),
        ("unit", {"channel": "1"}, "say which layer"),
        ("unit", {"layer": "1"}, "say which channel"),
        ("unit", {"layer": "1", "channel": "-1"}, "which channel, from 0; got '-1'"),
        ("unit", {"layer": "all", "channel": "1"}, "A unit lies in one layer"),
        ("unit", {"layer": "1", "channel": "1", "method": "occlusion"}, "Occlusion takes many passes"),
        ("unit", {"layer": "1", "channel": "1", "method": "guided_backprop"}, "no method 'guided_backprop'"),
        ("unit", {"layer": "1", "channel": "1", "method": "saliency", "place": "3,5"}, "such as .3, 5."),
        ("unit", {"layer": "1", "channel": "1", "method": "saliency", "place": "[1, 2, 3]"}, "got '.1, 2, 3.'"),
        ("unit", {"layer": "1", "channel": "1", "method": "saliency", "place": "[1, -2]"}, "a row and a column"),
        ("unit", {"layer": "1", "channel": "1", "method": "saliency", "place": "[true, 2]"}, "a row and a column"),
        ("trust", {"layer": "all"}, "name one layer"),
        ("trust", {"smooth": "3"}, "no field 'smooth'"),
    ],
)
def test_what_there_is_not_is_refused(facts: dict, route: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(RefusedError, match=told) as refused:
        READERS[route](given, facts)
    assert refused.value.status == 422
