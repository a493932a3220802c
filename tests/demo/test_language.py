"""The languages of the page: what is said in each, and that nothing is left out."""

import ast
import json
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import gradio as gr
import pytest

from engine import PhotoError, WeightsError, load_photo
from engine.demo import method_list, words
from engine.demo.desk import plainly
from engine.demo.language import (
    ENGLISH,
    LANGUAGES,
    TEXTS,
    language,
    retold,
    retold_error,
    say,
    speaking,
    spoken_in,
    texts,
)
from engine.demo.names import spoken
from engine.demo.notes import coverage
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from engine.files.stages import Stage
from engine.rules.policies import Coverage
from tests.demo.texts import DEMO, ENGINE, all_texts, calls

CHINESE = "zh-CN"
OTHERS = [name for name in LANGUAGES if name != ENGLISH]


def fields(text: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(text) if name}


@pytest.mark.parametrize("name", OTHERS)
def test_every_text_is_there_and_none_is_unused(name: str) -> None:
    known, wanted = set(texts(name)), all_texts()
    assert sorted(wanted - known) == []
    assert sorted(known - wanted) == []


@pytest.mark.parametrize("name", OTHERS)
def test_both_sides_have_the_same_fields(name: str) -> None:
    assert [text for text, told in texts(name).items() if fields(text) != fields(told)] == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_table_names_each_text_once(name: str) -> None:
    pairs = json.loads((TEXTS / f"{name}.json").read_text(encoding="utf-8"), object_pairs_hook=list)
    assert len(pairs) == len({text for text, _ in pairs})
    assert all(text.strip() and told.strip() for text, told in pairs)


def test_the_chinese_is_chinese() -> None:
    """But for the names of methods, and with the marks of a Chinese sentence at its end."""
    left = {text for text, told in texts(CHINESE).items() if not re.search("[\u4e00-\u9fff]", told)}
    assert left - {"; "} == {text for text, told in texts(CHINESE).items() if text == told}
    assert all(re.fullmatch(r"[\w+² -]+", text) and len(text) < 30 for text in left - {"; "})
    ended = [told for text, told in texts(CHINESE).items() if text.endswith(".") and told[-1] not in "。）"]
    assert ended == []


def test_no_text_is_made_of_pieces() -> None:
    for path in [*DEMO, *ENGINE]:
        pieces = [
            ast.unparse(given)
            for who, given in calls(path)
            if isinstance(given, ast.JoinedStr | ast.BinOp) and path.stem not in ("choice", "answers", "programs")
        ]
        assert pieces == [], path.name


def test_what_has_no_translation_stays_english() -> None:
    with speaking(CHINESE):
        assert say("tiger cat") == "tiger cat"
        assert say("Why {target}?", target="tiger cat") == "为什么是 tiger cat？"
    assert say("Why {target}?", target="{braces}") == "Why {braces}?"


def test_a_language_is_spoken_by_one_visitor_and_not_by_another() -> None:
    heard: list[str] = []
    with speaking(CHINESE):
        other = threading.Thread(target=lambda: heard.append(language()))
        other.start()
        other.join()
        assert language() == CHINESE
    assert heard == [ENGLISH] and language() == ENGLISH


def test_a_handler_speaks_at_each_of_its_steps() -> None:
    def steps(count: int) -> Iterator[str]:
        for number in range(count):
            yield say("stage {number}", number=number)

    answers = spoken_in(CHINESE, steps)(2)
    assert next(answers) == "阶段 0"
    assert say("stem") == "stem"  # between two steps others speak
    assert [*answers] == ["阶段 1"]
    assert spoken_in(CHINESE, lambda text: say(text))("head") == "头部"


def test_an_error_is_told_anew_with_its_parts() -> None:
    inner = WeightsError("{file} could not be fetched from {url}: {reason}. Put …", file="a", url="b", reason="c")
    outer = WeightsError(
        "{model}: {complaint}, or choose a model whose weights are here ({here}), or random weights",
        model="VGG16", complaint=inner, here="x",
    )  # fmt: skip
    assert str(outer).startswith("VGG16: a could not be fetched from b: c.")
    again = pickle.loads(pickle.dumps(outer))
    assert str(again) == str(outer) and again.fields.keys() == outer.fields.keys()
    with speaking(CHINESE):
        assert retold_error(outer).startswith("VGG16：a could not")  # which has no translation
        assert retold_error(outer).endswith("（x），或使用随机权重")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "文件是空的。请选择另一张照片。"),
        (b"%PDF-1.7" + bytes(600), "这是 PDF 文档，不是可以读取的照片。请将页面或其中的图像导出为 PNG 或 JPEG。"),
        (b"<html>" + bytes(600), "这是网页，不是可以读取的照片。请单独保存其中的图像。"),
        (b"\xff\xd8\xff\xe0" + bytes(600), "这不是可以读取的照片，或者已损坏。请使用以下格式之一：JPEG, PNG,"),
    ],
)
def test_a_photo_that_is_none_is_refused_in_the_language(content: bytes, told: str) -> None:
    with pytest.raises(PhotoError) as refused:
        load_photo(content)
    with speaking(CHINESE), pytest.raises(gr.Error) as toast, plainly():
        raise refused.value
    assert str(toast.value.message).startswith(told)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Coverage(replaced={"rectifier": {"relu": 9}}), "9 个激活中有 9 个受门控"),
        (
            Coverage(replaced={"rectifier": {"relu": 5}, "smooth": {"silu": 2, "gelu": 1}}),
            "8 个激活中有 8 个受门控，其中 3 个是平滑激活（silu, gelu）",
        ),
        (Coverage(kept={"softmax": {"softmax": 2}, "clamp": {"clamp": 1}}), None),
        (
            Coverage(replaced={"rectifier": {"relu": 1}}, detached=("fc (own.py:3)", "head")),
            "1 个激活中有 1 个受门控；被网络自身从梯度中切断：fc (own.py:3), head",
        ),
    ],
)
def test_how_far_gates_reach_is_told_anew(found: Coverage, told: str | None) -> None:
    manifest = {"coverage": {"text": str(found)}}
    assert coverage(manifest) == str(found)
    told = told or "没有可门控的激活：导向反向传播和反卷积网络等同于梯度；3 次 softmax/clamp 调用保留其导数"
    with speaking(CHINESE):
        assert coverage(manifest) == told


def test_a_sentence_that_fits_no_pattern_stays() -> None:
    with speaking(CHINESE):
        assert retold("33 of them", "{calls} of {all} activations gated") == "33 of them"


def test_files_with_words_tell_their_language(scene: Scene, studio: Studio) -> None:
    assert spoken("-card.png") == "-card.png"
    sheet = studio.sheet(scene, "")
    with speaking(CHINESE):
        assert spoken("-card.png") == "-card-zh-CN.png" and spoken(".zip") == "-zh-CN.zip"
        chinese = studio.sheet(scene, "")
        assert studio.picture(scene).parent == sheet.parent == chinese.parent  # pictures have no words in them
        assert all(line.endswith("/73 层") for _, line in studio.frames(scene))
    assert sheet.name != chinese.name and sheet.read_bytes() != chinese.read_bytes()
    assert all(line.endswith("of 73") for _, line in studio.frames(scene))


def test_a_sentence_in_chinese_has_no_english_around_the_names(scene: Scene) -> None:
    manifest: dict[str, Any] = scene.model.explainer.manifest
    with speaking(CHINESE):
        absent = {"cam": "CAM needs the layer that the head pools, and that layer was not asked for"}
        line = method_list.method_line("grad_cam", absent)
        trust = words.trust_line(manifest, "grad_cam", True, False)
        bar = words.stage_bar([Stage("stage 2", 3, 9, ())], manifest["layers"], [True] * len(manifest["layers"]))
    told = re.sub("<math.*?</math>|<[^>]*>", " ", line + trust)
    names = {"Grad", "CAM", "HiResCAM", "Selvaraju", "et", "al", "logits"}
    assert set(re.findall(r"[A-Za-z]{3,}", told)) <= names
    assert 'title="阶段 2：第 4 至 9 层"' in bar


def test_tables_lie_beside_the_code() -> None:
    assert {path.stem for path in TEXTS.glob("*.json")} == set(OTHERS)
    assert Path(TEXTS).name == "texts"
