"""What visitors take away: names, cards, animations and archives, and that the values can be made again."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from engine.demo.controls import RefusalError
from engine.demo.names import LONGEST, file_name, safe, slug
from engine.demo.question import Question
from engine.demo.scene import Model, Scene
from engine.demo.studio import Studio
from engine.demo.take import FILM_BYTES, abridged, animation, archive, card
from engine.pictures.card import _at_most, share_card, wrapped
from engine.pictures.render import text_width
from tests.demo.hands import EGYPTIAN_CAT, LITE, OpenPage, asks, changed, choose_method, picture


def called(scene: Scene, target: str, contrast: str) -> Scene:
    """The scene with its two classes called otherwise."""
    model = Model(scene.model.explainer)
    labels = list(model.labels)
    labels[scene.question.target or 0], labels[EGYPTIAN_CAT] = target, contrast
    vars(model)["labels"] = labels
    return replace(asks(scene, contrast=EGYPTIAN_CAT), model=model)


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


def test_names_tell_what_is_in_a_file(scene: Scene) -> None:
    assert file_name(scene, "-card.png", 72) == "tiger-cat-hires-cam-73-bn2.act-efficientnet-lite0-card.png"
    both = asks(scene, contrast=EGYPTIAN_CAT, weights="random")
    assert file_name(both, ".zip") == "tiger-cat-not-egyptian-cat-hires-cam-efficientnet-lite0-random.zip"


@pytest.mark.parametrize(
    "label", ["虎斑猫", "CON / PRN: *?", "é" * 300, "../../etc/passwd", "a" * 300, "<b>\n\0.."]
)
def test_names_are_safe_and_differ_by_layer(scene: Scene, label: str) -> None:
    names = [file_name(called(scene, label, label), "_large.jpg", layer) for layer in scene.layers]
    assert len({name.lower() for name in names}) == len(scene.layers)
    for name in names:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*_large\.jpg", name) and len(name) <= LONGEST
    assert names[0].startswith("class-282-not-class-285-") is (label == "虎斑猫")
    assert re.fullmatch(r"[\w.-]{1,100}", safe(f"{label}.pt".replace("/", "")), re.ASCII)


def test_a_file_keeps_a_name_that_is_safe() -> None:
    assert safe("efficientnet_lite0-random.pt") == "efficientnet_lite0-random.pt"
    assert slug("Größe & São", dots=True) == "grosse-sao"


@pytest.mark.parametrize("method", ["hires_cam", "guided_backprop", "occlusion"])
def test_a_card_is_what_link_previews_ask_for(studio: Studio, scene: Scene, method: str) -> None:
    drawn = Image.open(io.BytesIO(card(studio.scene(asks(scene, method=method, contrast=EGYPTIAN_CAT).question))))
    assert (drawn.format, drawn.size) == ("PNG", (1200, 630))
    assert np.unique(np.asarray(drawn).reshape(-1, 3), axis=0).shape[0] > 1000


def test_a_card_differs_by_its_sentence_alone(scene: Scene) -> None:
    plain = np.asarray(Image.open(io.BytesIO(card(scene))))
    other = np.asarray(Image.open(io.BytesIO(card(called(scene, "虎斑猫", "dog")))))
    assert (plain[:100] != other[:100]).any()


@pytest.mark.parametrize("size", [(900, 300), (300, 900), (64, 2000), (2000, 64), (1, 1)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_card_keeps_its_margin(size: tuple[int, int], count: int) -> None:
    red = np.full((*size, 3), (255, 0, 0), np.uint8)
    long = "虎斑猫" * 40 + " and a word of its own " + "w" * 200
    drawn = share_card([(red, long)] * count, f"Why {long}?", [long, long, long])
    assert drawn.shape == (630, 1200, 3)
    for edge in (drawn[:30], drawn[-30:], drawn[:, :30], drawn[:, -30:]):
        assert (edge == edge[0, 0]).all()
    assert (drawn == (255, 0, 0)).all(axis=2).any()


def test_a_card_holds_two_sentences_of_a_fact() -> None:
    """As what a map's range is, and what of the score arrived: nothing in the middle goes."""
    begin = "Range 4.94e-10 to 5.84e-07; colours are scaled to its largest."
    facts = [
        f"{begin} {word} 1 % of the score arrived; biases and stabilisers took it." for word in ("Over", "Near")
    ]
    panels = [(np.zeros((300, 451, 3), np.uint8), "map")] * 2
    cards = [share_card(panels, "Why?", [fact]) for fact in facts]
    assert (cards[0] != cards[1]).any()


def test_what_is_one_line_again_has_no_blanks_between_chinese_letters() -> None:
    text = "虎斑猫" * 20
    assert _at_most(wrapped(text, 200, 30, 600), 2)[1] == text[len(wrapped(text, 200, 30, 600)[0]) :]
    assert _at_most(["a", "b c", "d"], 2) == ["a", "b c d"]


def test_a_card_needs_a_picture() -> None:
    with pytest.raises(ValueError, match="needs a picture"):
        share_card([], "Why?", [])


def test_lines_break_at_blanks_and_chinese_anywhere() -> None:
    text = "Why tiger cat rather than 虎斑猫虎斑猫虎斑猫虎斑猫?"
    lines = wrapped(text, 200, 30, 600)
    assert all(text_width(line, 30, 600) <= 200 for line in lines) and len(lines) > 3
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[0] == "Why tiger"


def test_long_names_lose_their_middle() -> None:
    assert abridged("tiger cat") == "tiger cat"
    assert abridged("a" * 30 + "b" * 30, 10) == "aaaaa…bbbb"
    assert abridged("猫" * 30, 10) == "猫猫…猫猫"


def test_the_layers_as_an_animation(scene: Scene) -> None:
    content = animation(scene)
    assert len(content) <= FILM_BYTES
    with Image.open(io.BytesIO(content)) as film:
        assert film.format == "WEBP" and film.n_frames == len(scene.layers)
        lasts = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            lasts.append(film.info["duration"])
    assert lasts[-1] > 2000 > 5 * lasts[0]
    with pytest.raises(RefusalError, match="single map"):
        animation(asks(scene, method="gradient"))


@pytest.mark.parametrize(
    ("method", "layer"),
    [
        ("hires_cam", 40),
        ("guided_grad_cam", 20),
        *(
            pytest.param(name, 72, marks=pytest.mark.sweep)
            for name in ("grad_cam", "gradient", "integrated_gradients")
        ),
    ],
)
def test_the_values_are_made_again(
    studio: Studio, chelsea: Path, as_convlens: Path, artifacts: Path, tmp_path: Path, method: str, layer: int
) -> None:
    """By the line and by the lines that the archive has. They ask one method at one layer, the page asks all at
    once: sums may be added in another order, which is seen in the last digits of float32."""
    scene = studio.scene(Question(chelsea, LITE, method=method, layer=layer, contrast=EGYPTIAN_CAT))
    with zipfile.ZipFile(io.BytesIO(archive(scene))) as packed:
        packed.extractall(tmp_path)
    values = np.load(tmp_path / "map.npy")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, scene.attribution(scene.layer))
    told = (tmp_path / "again.txt").read_text()
    line = next(line for line in told.splitlines() if line.startswith("convlens "))
    lines = told[told.index("import convlens, numpy\n") :]
    assert len(lines.splitlines()) == 4
    environment = os.environ | {"PYTHONPATH": str(as_convlens), "CONVLENS_HOME": str(artifacts)}
    for command in (["-m", *shlex.split(line)], ["-c", lines]):
        subprocess.run(
            [sys.executable, "-W", "ignore", *command], cwd=tmp_path, env=environment, check=True, timeout=300
        )
        again = np.load(tmp_path / "again.npy")
        (tmp_path / "again.npy").unlink()
        assert again.shape == values.shape
        np.testing.assert_allclose(again, values, rtol=1e-4, atol=1e-6 * float(np.abs(values).max()))


def test_an_archive_says_what_is_in_it(scene: Scene) -> None:
    one = asks(scene, contrast=EGYPTIAN_CAT)
    files = unpacked(archive(one, "somebody"))
    assert {*files} == {"map.npy", "picture.png", "photo.png", "settings.json", "again.txt"}
    assert archive(one, "somebody") == archive(one, "somebody")
    photo = cv2.imdecode(np.frombuffer(files["photo.png"], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(photo, scene.photo.pixels)
    drawn = cv2.imdecode(np.frombuffer(files["picture.png"], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(drawn, scene.draw(scene.layer, 1024))
    told, manifest = json.loads(files["settings.json"]), scene.model.explainer.manifest
    assert told["target"] == {"name": "tiger cat", "index": 282}
    assert told["contrast"] == {"name": "Egyptian cat", "index": EGYPTIAN_CAT}
    assert told["layer"] == {"name": "bn2.act", "index": 72}
    assert told["model"]["program"] == manifest["program"] and "Apache" in told["model"]["licence"]
    assert told["map"]["range"] == [*scene.range(72)] and told["photo"]["credit"] == "somebody"


def test_each_button_gives_a_file_that_opens(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    name = "tiger-cat-hires-cam-73-bn2.act-efficientnet-lite0"
    for button, wanted in (
        ("Share card", f"{name}-card.png"),
        ("Animation", "tiger-cat-hires-cam-efficientnet-lite0-every-layer.webp"),
        ("Everything as ZIP", f"{name}.zip"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == wanted
        download.value.save_as(tmp_path / wanted)
    with Image.open(tmp_path / f"{name}-card.png") as drawn:
        assert drawn.size == (1200, 630)
    with Image.open(tmp_path / "tiger-cat-hires-cam-efficientnet-lite0-every-layer.webp") as film:
        assert film.is_animated
    files = unpacked((tmp_path / f"{name}.zip").read_bytes())
    assert np.load(io.BytesIO(files["map.npy"])).shape == (224, 224)
    assert "Stéfan van der Walt" in json.loads(files["settings.json"])["photo"]["credit"]
    before = picture(page)
    choose_method(page, "guided_backprop")
    changed(page, before)
    expect(page.get_by_role("button", name="Animation")).to_be_hidden()
    expect(page.get_by_role("button", name="Share card")).to_be_visible()
