"""Answers are the rows of `convlens batch`, from passes that are shared, and none costs another."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine import Explainer
from engine.batch.questions import Questions
from engine.batch.reading import read_maps
from engine.batch.run import explain_folder
from engine.batch.store import rows_of
from engine.serve.answers import LONGEST, Answers, alike
from engine.serve.messages import Answer, Request
from engine.serve.question import Question
from tests.batch.test_batch import drawn, explainer, folder_of  # noqa: F401 - a fixture among them

Photos = list[bytes]


def values_of(content: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(content["values"]), "<f4").reshape(content["shape"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("serve") / "photos", 5)


@pytest.fixture(scope="module")
def photos(folder: Path) -> Photos:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.fixture
def answers(explainer: Explainer) -> Answers:  # noqa: F811
    return Answers(explainer, passes=600)


def same(content: dict, row: dict) -> None:
    """Is an answer what a row of `batch` is?"""
    (map,) = row["maps"]
    assert (content["height"], content["width"]) == (row["height"], row["width"])
    assert [one["index"] for one in content["classes"]] == [one["index"] for one in row["top"]]
    for one, other in zip(content["classes"], row["top"], strict=True):
        assert one["label"] == other["label"] and one["probability"] == pytest.approx(
            other["probability"], abs=1e-6
        )
    assert [content[name] for name in ("method", "layer", "target", "stride", "offset")] == [
        map[name] for name in ("method", "layer", "target", "stride", "offset")
    ]
    values = np.asarray(map["values"], np.float32).reshape(map["rows"], map["columns"])
    assert np.allclose(values_of(content), values, rtol=0, atol=1e-5 * np.abs(values).max() + 1e-12)
    assert len(content["boxes"]) == len(map["boxes"])
    for box, other in zip(content["boxes"], map["boxes"], strict=True):
        assert list(box.values()) == pytest.approx([other[name] for name in box], abs=1e-3)
    for name in ("arrived", "missing"):
        assert content[name] == (None if map[name] is None else pytest.approx(map[name], abs=1e-5))


@pytest.mark.parametrize(
    ("question", "questions"),
    [
        (Question("hires_cam"), Questions(("hires_cam",))),
        (Question("hires_cam", "1", target=2), Questions(("hires_cam@1",), "blue")),
        (Question("saliency", threshold=0.6), Questions(("saliency",), threshold=0.6)),
        (Question("lrp_epsilon_plus", target=0), Questions(("lrp_epsilon_plus",), "red")),
        (Question("lrp_epsilon_plus", "2"), Questions(("lrp_epsilon_plus@2",))),
        (Question("integrated_gradients", target=3), Questions(("integrated_gradients",), "dark")),
        (
            Question("integrated_gradients", baseline="blur", options=(("steps", 8.0),)),
            Questions(("integrated_gradients",), options={"integrated_gradients": {"steps": 8}}, baseline="blur"),
        ),
        (Question("saliency", target=1, smooth=5), Questions(("saliency",), "green", smooth=5)),
    ],
    ids=str,
)
def test_an_answer_is_the_row_of_batch(
    answers: Answers, photos: Photos, folder: Path, tmp_path: Path, question: Question, questions: Questions
) -> None:
    explain_folder(folder, tmp_path, answers.explainer, questions)
    found = answers.of([Request(photo, question) for photo in photos])
    for answer, row in zip(found, rows_of(tmp_path), strict=True):
        assert answer.status == 200 and answer.together == 5
        same(answer.content, row)
    assert [answer.first for answer in found] == [True] + [False] * 4


def test_a_contrast_is_the_runner_ups_row(answers: Answers, photos: Photos, folder: Path, tmp_path: Path) -> None:
    explain_folder(folder, tmp_path, answers.explainer, Questions(("hires_cam",), "runner-up"))
    rows = list(rows_of(tmp_path))
    asked = [
        Request(photo, Question("hires_cam", contrast=row["top"][1]["index"]))
        for photo, row in zip(photos, rows, strict=True)
    ]
    for answer, row in zip(answers.of(asked), rows, strict=True):
        same(answer.content, row)
        assert answer.content["asked"] == f"{row['top'][0]['label']} rather than {row['top'][1]['label']}"
    plain = answers.of([Request(photos[0], Question("hires_cam"))])[0].content
    top = plain["classes"][0]["index"]
    itself = answers.of([Request(photos[0], Question("hires_cam", contrast=top))])[0].content
    assert itself["asked"] == plain["asked"] and np.allclose(values_of(itself), values_of(plain), atol=1e-6)


def test_classes_of_several_people_share_a_pass(answers: Answers, photos: Photos) -> None:
    questions = [Question("hires_cam", target=target) for target in (None, 0, 3, 1, None)]
    together = answers.of([Request(photo, question) for photo, question in zip(photos, questions, strict=True)])
    assert [answer.together for answer in together] == [5] * 5
    for photo, question, answer in zip(photos, questions, together, strict=True):
        (alone,) = answers.of([Request(photo, question)])
        assert alone.together == 1
        largest = float(values_of(alone.content).max())
        assert np.allclose(values_of(alone.content), values_of(answer.content), atol=1e-4 * largest + 1e-9)
        assert alone.content["target"] == answer.content["target"]
        assert question.target in (None, answer.content["target"])


def test_questions_of_other_kinds_go_apart(answers: Answers, photos: Photos) -> None:
    questions = [Question("hires_cam"), Question("grad_cam"), Question("hires_cam"), Question("hires_cam", "0")]
    found = answers.of([Request(photos[0], question) for question in questions])
    assert [answer.together for answer in found] == [2, 1, 2, 1]
    assert [answer.first for answer in found] == [True, True, False, True]
    assert [(one.content["method"], one.content["layer"]) for one in found][3] == ("hires_cam", "0")
    assert alike("abcab") == [[0, 3], [1, 4], [2]]


def test_a_broken_photo_is_refused_alone(answers: Answers, photos: Photos) -> None:
    sent = [b"\x89PNG not really", photos[0], b"", photos[1]]
    found = answers.of([Request(photo, Question("hires_cam")) for photo in sent])
    assert [answer.status for answer in found] == [422, 200, 422, 200]
    assert "photo" in found[0].content["detail"] and "empty" in found[2].content["detail"]
    assert found[1].together == found[3].together == 2 and [one.first for one in found] == [
        False,
        True,
        False,
        False,
    ]


def test_a_pass_that_fails_costs_only_whom_it_fails_for(
    answers: Answers, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, preprocess = drawn(1).mean(), type(answers.explainer).preprocess

    def fails(self: Explainer, image: torch.Tensor) -> torch.Tensor:
        if float(image.float().mean()) == pytest.approx(bad):
            raise RuntimeError("no memory at /home/somebody")
        return preprocess(self, image)

    monkeypatch.setattr(type(answers.explainer), "preprocess", fails)
    found = answers.of([Request(photo, Question("hires_cam")) for photo in photos])
    assert [answer.status for answer in found] == [200, 500, 200, 200, 200]
    assert "/home" not in found[1].content["detail"] and "failed" in found[1].content["detail"]


def test_what_the_engine_refuses_is_a_sentence(answers: Answers, photos: Photos) -> None:
    def told(question: Question, passes: int = 600) -> Answer:
        return Answers(answers.explainer, passes).of([Request(photos[0], question)])[0]

    few = told(Question("integrated_gradients"), passes=3)
    assert few.status == 422 and "this server gives 3." in few.content["detail"]
    assert told(Question("occlusion")).status == 200
    assert "takes 601 passes" in told(Question("saliency", smooth=601)).content["detail"]
    for refused, why in (
        (
            Question("occlusion", smooth=3),
            "Smooth repeats a method of one pass at one layer, and occlusion is asked",
        ),
        (Question("saliency", options=(("steps", 3.0),)), "Saliency takes one pass and has no options"),
        (Question("saliency", baseline="blur"), "The baseline blur is of methods of many passes"),
        (Question("occlusion", options=(("stepps", 3.0),)), "no option 'stepps'; it has "),
        (Question("integrated_gradients", options=(("steps", -3.0),)), "between 0 and"),
        (Question("saliency", "all"), "explains the image"),
    ):
        answer = told(refused)
        assert answer.status == 422 and why in answer.content["detail"], answer
    wrong = told(Question("nothing"))
    assert wrong.status in (422, 500) and wrong.content["detail"].endswith(".")


def test_every_layer_comes_from_one_pass(answers: Answers, photos: Photos) -> None:
    layers = answers.explainer.layers
    for method in ("hires_cam", "lrp_epsilon_plus"):
        (every,) = answers.of([Request(photos[0], Question(method, "all", listed=True))])
        assert [map["layer"] for map in every.content["maps"]] == layers and len(every.content["classes"]) == 4
        for layer, map in zip(layers, every.content["maps"], strict=True):
            (one,) = answers.of([Request(photos[0], Question(method, layer, listed=True))])
            assert map["shape"] == one.content["shape"] and map["target"] == one.content["target"]
            largest = np.abs(one.content["values"]).max()
            assert np.allclose(map["values"], one.content["values"], rtol=0, atol=1e-4 * largest + 1e-9)
    (sheet,) = answers.of([Request(photos[0], Question("hires_cam", "all"), picture=True)])
    drawn_sheet = cv2.imdecode(np.frombuffer(sheet.content, np.uint8), cv2.IMREAD_COLOR)
    assert drawn_sheet.shape[1] > 224 * 2


def test_a_picture_is_the_maps_own(answers: Answers, photos: Photos, folder: Path, tmp_path: Path) -> None:
    explain_folder(folder, tmp_path, answers.explainer, Questions(("hires_cam",)))
    answer = answers.of([Request(photos[0], Question("hires_cam"), picture=True)])[0]
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    wanted = next(read_maps(tmp_path)).overlay().astype(int)
    assert np.abs(shown.astype(int) - wanted).max() <= 1
    large = cv2.imencode(".png", drawn(3, (40, LONGEST + 300)))[1].tobytes()
    (answer,) = answers.of([Request(large, Question("saliency"), picture=True)])
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR).shape[1] == LONGEST


def test_numbers_in_lists_know_no_infinity(answers: Answers, photos: Photos) -> None:
    plain, listed = (answers.of([Request(photos[0], Question("hires_cam", listed=n))])[0].content for n in (0, 1))
    assert np.asarray(listed["values"], np.float32).tolist() == values_of(plain).tolist()
