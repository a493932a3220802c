"""Files of one's own on the page: first in the list, with their own titles, classes, layers and methods."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect
from torch import nn

from engine import compile_model, save
from engine.demo.app import model_of
from engine.demo.controls import RefusalError
from engine.demo.limits import PUBLIC
from engine.demo.offer import Offer, OwnModel, find
from engine.demo.question import Question, read_question
from engine.demo.state import offered, shown
from engine.demo.studio import Studio
from engine.models.zoo import DEFAULT_MODEL
from engine.pictures.geometry import Geometry
from tests.demo.hands import ROOT, changed, picture, served

LABELS = ["虎斑猫", "кошка", "<b>cão & gato</b>", "قطة"]
SERVE = """
import sys
from pathlib import Path
from engine.demo.app import build, launch
from engine.demo.limits import PUBLIC
from engine.demo.offer import find
own, _ = find([sys.argv[1]])
launch(build(own[0].name, Path(sys.argv[1]), PUBLIC, own), PUBLIC, server_port=int(sys.argv[2]), quiet=True)
"""


def write(
    path: Path, channels: int = 3, classes: int = 4, size: tuple[int, int] = (48, 64), **options: object
) -> None:
    torch.manual_seed(len(path.name))
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    ).eval()  # fmt: skip
    geometry = Geometry(size, size, "bilinear", (0.5,) * channels, (0.5,) * channels)
    source = {"name": path.stem, "title": f"Titel von {path.stem}"}
    given = {"labels": LABELS[:classes], "preprocess": geometry, "source": source} | options
    save(compile_model(network, torch.zeros(1, channels, *size), **given), path)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as people have them: two good ones, one with a single method, and several that can't be shown."""
    folder = tmp_path_factory.mktemp("models")
    write(folder / "cats.pt")
    write(folder / "gray.pt", channels=1)
    write(folder / "product.pt", methods=["guided_grad_cam"])
    write(folder / "bands.pt", channels=5)
    write(folder / "values.pt", classes=1)
    torch.save({"weight": torch.zeros(3)}, folder / "checkpoint.pt")
    (folder / "text.pt").write_text("Dear cat,")
    (folder / "cut.pt").write_bytes((folder / "cats.pt").read_bytes()[:9000])
    return folder


@pytest.fixture
def own(folder: Path) -> list[OwnModel]:
    return find([folder])[0]


@pytest.fixture
def studio(own: list[OwnModel], folder: Path, tmp_path: Path) -> Studio:
    return Studio(tmp_path / "views", folder, PUBLIC, own)


def test_what_can_be_shown_is_found_and_the_rest_named_with_the_reason(folder: Path) -> None:
    own, complaints = find([folder])
    assert [(model.name, model.title) for model in own] == [
        (f"{name}.pt", f"Titel von {name}") for name in ("cats", "gray", "product")
    ]
    told = dict(zip(("bands", "checkpoint", "cut", "text", "values"), complaints, strict=True))
    assert told["bands"] == "bands.pt takes images of 5 channels, and the page shows photos: ask it from Python"
    assert told["values"].startswith("values.pt answers with values, and the page shows classes")
    assert told["checkpoint"].startswith("checkpoint.pt is a checkpoint of torch.save: ")
    assert told["text"].startswith("text.pt is ") and "cut.pt" in told["cut"]
    assert not [line for line in complaints if str(folder) in line]


def test_files_and_folders_in_any_order_and_each_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cats.pt").write_bytes((folder / "gray.pt").read_bytes())
    own, complaints = find([folder / "gray.pt", folder / "cats.pt", tmp_path, folder / "gray.pt"])
    assert [model.name for model in own] == ["gray.pt", "cats.pt", "cats-2.pt"]
    assert complaints == []
    (tmp_path / "empty").mkdir()
    _, complaints = find([tmp_path / "empty", tmp_path / "none.pt"])
    assert complaints[0].startswith("empty has no .pt file in it")
    assert complaints[1].startswith("there is no file none.pt")


def test_they_are_first_in_the_list_and_a_question_may_name_no_others(own: list[OwnModel], tmp_path: Path) -> None:
    offer = Offer(PUBLIC, own)
    labels, names = zip(*offer.choices(), strict=True)
    assert names[:4] == ("cats.pt", "gray.pt", "product.pt", DEFAULT_MODEL)
    assert labels[0] == "Titel von cats  ·  cats.pt"
    (tmp_path / "photo.png").write_bytes(b"a photo")
    fields = {"photo": {"path": str(tmp_path / "photo.png")}, "model": "cats.pt"}
    assert read_question(fields, tmp_path, offer).model == "cats.pt"
    with pytest.raises(RefusalError, match=r"There is no model 'cats\.pt'"):
        read_question(fields, tmp_path)  # on a page where nobody put it
    for name in ("../cats.pt", str(own[0].path), "bands.pt"):
        with pytest.raises(RefusalError, match="There is no model"):
            read_question(fields | {"model": name}, tmp_path, offer)


def test_which_one_the_page_opens_with(own: list[OwnModel]) -> None:
    assert model_of(None, own) == "cats.pt"
    assert model_of(None, []) == DEFAULT_MODEL
    assert model_of("gray", own) == model_of("gray.pt", own) == "gray.pt"
    assert model_of("resnet50", own) == "resnet50"
    with pytest.raises(ValueError, match=r"invalid choice: 'grey\.pt'; the nearest are gray\.pt"):
        model_of("grey.pt", own)


@pytest.mark.parametrize("name", ["cats.pt", "gray.pt", "product.pt"])
def test_a_file_has_its_own_classes_layers_and_methods(studio: Studio, chelsea: Path, name: str) -> None:
    model = studio.open(name, "default")
    scene = studio.scene(Question(chelsea, name, method=model.method("hires_cam"), target=0))
    props = offered(scene, studio.offer)
    assert shown(scene, studio.picture(scene))["heading"]["labels"] == list(LABELS)
    methods = model.methods
    assert methods == ["guided_grad_cam"] if name == "product.pt" else "hires_cam" in methods
    assert props["layer"]["maximum"] == len(model.explainer.layers) < 10
    for method in methods:
        scene = studio.scene(Question(chelsea, name, method=method, target=1))
        told = shown(scene, studio.picture(scene))
        assert re.sub("<.*?>", "", told["heading"]["value"]).startswith(f"Why {LABELS[1]}?")
        assert f"Titel von {name.removesuffix('.pt')}" in told["heading"]["value"]
        assert len(studio.frames(scene)) == (len(scene.layers) if len(scene.layers) > 1 else 0)


def test_the_one_method_of_a_file_is_what_the_engine_answers(studio: Studio, chelsea: Path) -> None:
    model = studio.open("product.pt", "default")
    scene = studio.scene(Question(chelsea, "product.pt", method="guided_grad_cam", target=2))
    x = model.explainer.preprocess(torch.from_numpy(scene.photo.pixels))
    wanted = model.explainer.sweep(x, model.explainer.one_hot(2), "guided_grad_cam")[0]
    assert np.allclose(scene.attribution(1), wanted[1].numpy(), atol=1e-5)


def test_what_a_file_has_not_is_a_sentence(studio: Studio, chelsea: Path, folder: Path) -> None:
    with pytest.raises(RefusalError, match=r"Titel von cats has weights of its own, and no random ones"):
        studio.open("cats.pt", "random")
    with pytest.raises(RefusalError, match=r"There is no method 'grad_cam'\. Choose guided_grad_cam"):
        studio.scene(Question(chelsea, "product.pt", method="grad_cam"))
    content = (folder / "gray.pt").read_bytes()
    (folder / "gray.pt").write_bytes(content[:-400])  # changed while the page was open
    try:
        with pytest.raises(RefusalError, match=r"Titel von gray can't be opened: gray\.pt") as error:
            studio.open("gray.pt", "default")
        assert str(folder) not in str(error.value)
    finally:
        (folder / "gray.pt").write_bytes(content)


@pytest.fixture(scope="module")
def own_site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(folder, tmp_path_factory.mktemp("own"), SERVE) as url:
        yield url


def test_visitors_of_a_public_page_ask_what_its_host_put_there(own_site: str, chelsea: Path) -> None:
    client, photo = Client(own_site, verbose=False), handle_file(str(chelsea))
    seen = client.predict(photo=photo, api_name="/classify")
    assert (seen["model"], seen["title"]) == ("cats.pt", "Titel von cats")
    assert {one["label"] for one in seen["classes"]} == {*LABELS}
    asked = client.predict(photo=photo, model="gray.pt", target="кошка", layer=2, api_name="/explain")[3]
    assert asked["asked"] == "кошка" and asked["shape"] == [48, 64]
    assert client.predict(photo=photo, target="قطة", api_name="/sweep")[2]["asked"] == "قطة"
    for name in ("bands.pt", "/etc/passwd", str(chelsea)):
        with pytest.raises(AppError, match="There is no model"):
            client.predict(photo=photo, model=name, api_name="/classify")


def test_labels_of_other_languages_show(own_site: str, open_at: Callable[..., Page]) -> None:
    page = open_at(own_site)
    expect(page.get_by_label("Model", exact=True)).to_have_value("Titel von cats  ·  cats.pt")
    for label in LABELS:
        expect(page.locator("#classes").get_by_text(label, exact=True)).to_be_visible()
        before = picture(page)
        if label not in page.locator("#heading h2").inner_text():
            page.locator("#classes").get_by_text(label, exact=True).click()
            changed(page, before)
        expect(page.locator("#heading h2")).to_have_text(f"Why {label}?")
    before = picture(page)
    page.get_by_label("Model", exact=True).click()
    page.keyboard.type("product")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading p")).to_contain_text("Guided Grad-CAM · Titel von product")


def test_on_the_command_line_a_wrong_file_is_named(folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "app.py", "--models", str(folder / "text.pt"), "--model", "text.pt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    named, *_, last = done.stderr.splitlines()
    assert named.startswith("text.pt is ") and named.endswith(". The page opens without it.")
    assert "argument --model: invalid choice: 'text.pt'" in last
