"""What programs ask: classes and layers by name, maps as files, a sentence for whatever does not fit."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from engine import Explainer, load, load_photo
from engine.demo.answers import check_passes, class_of, layer_of, sentence
from engine.demo.controls import RefusalError
from engine.demo.limits import PUBLIC
from engine.demo.programs import ENDPOINTS
from engine.demo.scene import Scene
from engine.trust.one_picture import subject
from engine.trust.report import examine
from tests.demo.hands import EGYPTIAN_CAT, LITE, ROOT, TIGER_CAT

Ask = Callable[..., Any]
LAYER = "blocks.4.2"


@pytest.fixture(scope="module")
def program(client: Client, chelsea: Path) -> Ask:
    def program(endpoint: str, **given: Any) -> Any:
        return client.predict(**({"photo": handle_file(str(chelsea))} | given), api_name=f"/{endpoint}")

    return program


@pytest.fixture(scope="module")
def explainer(site: str, artifacts: Path) -> Explainer:
    return load(artifacts / f"{LITE}.pt")


@pytest.fixture(scope="module")
def x(explainer: Explainer, chelsea: Path) -> torch.Tensor:
    return explainer.preprocess(torch.from_numpy(load_photo(chelsea)))


def same(values: np.ndarray, wanted: torch.Tensor) -> bool:
    return np.allclose(values, wanted.numpy(), atol=1e-4 * float(wanted.abs().max()))


def test_what_a_model_sees(program: Ask) -> None:
    seen = program("classify", top=3)
    assert (seen["model"], seen["title"]) == (LITE, "EfficientNet-Lite0")
    assert [one["label"] for one in seen["classes"]] == ["tiger cat", "Egyptian cat", "tabby"]
    assert seen["classes"][0]["index"] == TIGER_CAT
    assert 0.3 < seen["classes"][0]["probability"] < 0.5
    assert len(program("classify")["classes"]) == 5
    assert math.isclose(
        sum(one["probability"] for one in program("classify", top=5000)["classes"]), 1, abs_tol=1e-4
    )


def test_a_map_is_the_engines_own(program: Ask, explainer: Explainer, x: torch.Tensor) -> None:
    picture, classes, map, facts = program("explain", layer=LAYER, target="Egyptian cat")
    values = np.load(map)
    seed = explainer.one_hot(EGYPTIAN_CAT)
    assert same(values, explainer.explain(x, seed, "hires_cam", LAYER)[0])  # which knows the class there
    assert Path(picture).suffix == ".png" and cv2.imread(picture).shape == (300, 451, 3)
    assert list(classes)[:2] == ["tiger cat", "Egyptian cat"]
    assert (facts["method"], facts["layer"], facts["asked"]) == ("hires_cam", LAYER, "Egyptian cat")
    assert facts["range"] == [float(values.min()), float(values.max())] and facts["shape"] == [224, 224]
    assert facts["completeness"] is None and facts["passes"] == 1 and facts["notes"] == []


def test_layers_and_classes_have_names_and_numbers(program: Ask, explainer: Explainer) -> None:
    number = explainer.layers.index(LAYER) + 1
    asked = [
        {"layer": LAYER, "target": "tiger CAT", "contrast": "Egyptian cat"},
        {"layer": number, "target": TIGER_CAT, "contrast": EGYPTIAN_CAT},
        {"layer": str(number), "target": str(TIGER_CAT), "contrast": EGYPTIAN_CAT},
        {"layer": LAYER, "contrast": "Egyptian cat"},  # rather than which the top class is explained
    ]
    answers = [program("explain", **given) for given in asked]
    assert {answer[3]["asked"] for answer in answers} == {"tiger cat rather than Egyptian cat"}
    assert len({np.load(answer[2]).tobytes() for answer in answers}) == 1
    alone = program("explain", layer=LAYER, target="tabby", contrast="tabby")[3]  # as on the page
    assert alone["asked"] == "tabby"


@pytest.mark.parametrize(
    ("given", "facts", "shape"),
    [
        ({"method": "guided_backprop", "smooth": 3}, {"passes": 3, "signed": True}, [3, 224, 224]),
        ({"method": "smooth_grad", "options": {"steps": 4}}, {"passes": 4}, [3, 224, 224]),
        ({"method": "integrated_gradients", "baseline": "black", "options": {"steps": 8}}, {}, [3, 224, 224]),
        ({"method": "occlusion", "options": {"window": 112, "stride": 112}}, {"passes": 4}, [224, 224]),
        ({"method": "recipro_cam"}, {"passes": 49, "layer": "bn2.act"}, [224, 224]),
        ({"method": "cam"}, {"layer": "bn2.act"}, [224, 224]),
        ({"method": "full_grad"}, {"layer": None}, [224, 224]),
        ({"method": "guided_grad_cam", "layer": LAYER}, {"layer": LAYER, "signed": True}, [3, 224, 224]),
    ],
    ids=lambda value: value.get("method") if isinstance(value, dict) else None,
)
def test_any_method_of_the_file(
    program: Ask, given: dict[str, Any], facts: dict[str, Any], shape: list[int]
) -> None:
    _, _, map, told = program("explain", **given)
    assert told["shape"] == shape == [*np.load(map).shape]
    assert told["method"] == given["method"] and told.items() >= facts.items()
    if given["method"] in ("integrated_gradients", "full_grad"):
        assert 0 <= told["completeness"] < 1
    if given["method"] == "guided_grad_cam":
        assert told["notes"][0].startswith("Not class-specific here")


def test_every_layer_at_once(program: Ask, explainer: Explainer, x: torch.Tensor) -> None:
    picture, maps, facts = program("sweep", method="grad_cam", target="lynx")
    values = np.load(maps)
    assert same(values, explainer.sweep(x, explainer.one_hot("lynx"), "grad_cam")[0])
    assert [layer["name"] for layer in facts["layers"]] == explainer.layers
    assert facts["layers"][-1]["range"] == [float(values[-1].min()), float(values[-1].max())]
    assert Path(picture).suffix == ".png" and cv2.imread(picture).shape[1] > 1000


def test_relevance_is_of_the_image_or_of_layers(program: Ask, explainer: Explainer, x: torch.Tensor) -> None:
    seed = explainer.one_hot("tiger cat")
    image, layers, _ = explainer.explain_throughout(x, seed, "lrp_epsilon_plus")
    _, _, map, facts = program("explain", method="lrp_epsilon_plus", target="tiger cat")
    assert facts["layer"] is None and 0 <= facts["arrived"] < 1
    assert same(np.load(map), image[0])
    _, _, map, facts = program("explain", method="lrp_epsilon_plus", target="tiger cat", layer=40)
    assert facts["layer"] == explainer.layers[39] and same(np.load(map), layers[0, 39])
    _, map, facts = program("sweep", method="lrp_epsilon_plus", target="tiger cat")
    assert len(facts["layers"]) == 73 and same(np.load(map), layers[0])


def test_how_far_a_map_can_be_believed(program: Ask, explainer: Explainer, x: torch.Tensor) -> None:
    found = program("trust", method="guided_backprop")
    told = {one["name"]: one for one in found["verdicts"]}
    assert (found["asked"], found["layer"]) == ("tiger cat", None)
    assert told["ignores the class"]["good"] is False and told["ignores the class"]["likeness"] > 0.9
    assert told["ignores the class"]["text"].startswith("It does not know the class: for ")
    assert {who for curves in found["areas"].values() for who in curves} == {"map", "random", "centre", "sobel"}
    report = examine(subject(explainer, x, layer=LAYER, contrast="Egyptian cat", target="tiger cat"))
    found = program("trust", layer=LAYER, contrast="Egyptian cat")
    assert (found["method"], found["layer"]) == ("hires_cam", LAYER)
    assert found["asked"] == "tiger cat rather than Egyptian cat"
    assert [one["name"] for one in found["verdicts"]] == [verdict.name for verdict in report.verdicts]
    for name, areas in report.areas.items():
        assert found["areas"][name] == pytest.approx(areas, abs=1e-3)
    found = program("trust", method="occlusion")  # which agrees with itself
    assert next(one for one in found["verdicts"] if one["name"] == "hiding agrees")["likeness"] > 0.99


def test_what_made_a_unit_fire(program: Ask, explainer: Explainer, x: torch.Tensor) -> None:
    picture, map, facts = program("unit", layer=LAYER, channel=7, method="deconvnet")
    wanted, place, value = explainer.explain_unit(x, LAYER, 7, method="deconvnet")
    assert same(np.load(map), wanted[0])
    assert facts["place"] == place[0].tolist() and math.isclose(facts["value"], float(value), rel_tol=1e-4)
    assert cv2.imread(picture).shape == (224, 224, 3)
    # The network sees the middle 224 of 256 pixels of the photo's 300, in 14 rows and columns of this layer.
    seen, (row, column) = 300 * 224 / 256, facts["place"]
    middle = [(300 - seen) / 2 + (row + 0.5) * seen / 14, (451 - seen) / 2 + (column + 0.5) * seen / 14]
    assert np.abs(np.subtract(facts["pixel"], middle)).max() <= 2
    there = program("unit", layer=LAYER, channel=7, method="grad_cam", place=[3, 4])[2]
    assert there["place"] == [3, 4] and there["value"] < facts["value"] and there["shape"] == [224, 224]


def test_the_examples_of_the_readme(
    site: str, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (source,) = [block for block in blocks if block.startswith("from gradio_client")]
    assert "http://127.0.0.1:7860" in source
    (tmp_path / "cat.png").write_bytes(chelsea.read_bytes())
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    exec(source.replace("http://127.0.0.1:7860", site), told)
    assert told["facts"]["channel"] == 7 and np.load(told["maps"]).shape == (73, 224, 224)
    first = '["label"]  # "tiger cat"'
    (line,) = [line for line in source.splitlines() if line.endswith(first)]
    assert eval(line.removesuffix('  # "tiger cat"'), told) == "tiger cat"


@pytest.mark.parametrize(
    ("endpoint", "given", "complaint"),
    [
        ("classify", {"top": 0}, "The number of classes is a whole number from 1 on; got 0."),
        ("classify", {"model": ["vgg16"]}, "There is no model"),
        ("explain", {"method": "lime"}, "There is no method 'lime'. Choose gradient, saliency"),
        ("explain", {"method": ["rise"]}, "There is no method"),
        ("explain", {"layer": "blocks.99"}, "There is no layer 'blocks.99'; the nearest are blocks"),
        ("explain", {"layer": 0}, "There is no layer 0: this model has 73, counted from 1."),
        ("explain", {"layer": 2.5}, "The layer is a whole number"),
        ("explain", {"target": "cat"}, "There is no class 'cat'; the nearest are"),
        ("explain", {"target": True}, "The class is a whole number"),
        ("explain", {"target": -1}, "The class is a whole number from 0 on; got -1."),
        ("explain", {"contrast": 1000}, "There is no class 1000"),
        ("explain", {"smooth": -1}, "The number of noisy copies is a whole number from 0 on; got -1."),
        ("explain", {"smooth": 3, "method": "rise"}, "Smooth repeats a method of one pass"),
        ("explain", {"baseline": "white"}, "The baseline is one of mean, black, blur; got 'white'."),
        ("explain", {"baseline": {"path": "/etc/passwd"}}, "The baseline is one of"),
        ("explain", {"options": ["steps"]}, "The options are numbers by their names"),
        ("explain", {"method": "grad_cam", "options": {"steps": 3}}, "grad_cam takes one pass and has no options"),
        ("explain", {"method": "smooth_grad", "options": {"bteps": 3}}, "smooth_grad has no option 'bteps'"),
        ("explain", {"method": "smooth_grad", "options": {"steps": 2.5}}, "Steps is 2.5: it is a whole number."),
        ("sweep", {"method": "gradient"}, "Gradient is not read at every layer in one pass. Use /explain."),
        ("sweep", {"method": "recipro_cam"}, "Recipro-CAM is not read at every layer in one pass."),
        ("unit", {"layer": 3, "channel": 99}, "Channel 99 of bn1.batch_norm is not one of 0..31."),
        ("unit", {"layer": 3, "channel": 0, "place": [1]}, "The place is a row and a column"),
        ("unit", {"layer": 3, "channel": 0, "place": [500, 0]}, "lies outside of bn1.batch_norm"),
        ("unit", {"layer": 3, "channel": 0, "method": "rise"}, "There is no method 'rise'"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    program: Ask, endpoint: str, given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(AppError) as error:
        program(endpoint, **given)
    assert complaint in str(error.value)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_endpoint_reads_a_file_of_the_host(client: Client, endpoint: str) -> None:
    given = {"layer": 1, "channel": 0} if endpoint == "unit" else {}
    with pytest.raises(AppError, match="was not uploaded here"):
        client.predict(photo={"path": "/etc/passwd"}, **given, api_name=f"/{endpoint}")


def test_a_page_for_strangers_bounds_the_passes_of_a_question(scene: Scene) -> None:
    given = {"layer": 72, "smooth": 0, "baseline": "mean", "options": None, "method": "rise"}
    with pytest.raises(
        RefusalError, match="up to 4000 passes of the network, and this page gives 600 to a question"
    ):
        check_passes(scene.model, given, PUBLIC.passes)
    check_passes(scene.model, given, math.inf)
    check_passes(scene.model, given | {"options": {"steps": 600}}, PUBLIC.passes)
    with pytest.raises(RefusalError, match="up to 601 passes"):
        check_passes(scene.model, given | {"method": None, "smooth": 601}, PUBLIC.passes)
    with pytest.raises(RefusalError, match="at most 1000"):  # a grid of so many cells, in memory
        check_passes(scene.model, given | {"options": {"steps": 9, "cells": 100_000}}, PUBLIC.passes)


def test_several_classes_of_one_name() -> None:
    class Named:
        explainer = type("Explainer", (), {"labels": ["Katze", "crane", "crane", "7"]})
        labels = ("Katze", "crane (1)", "crane (2)", "7")

    asked = ("crane (2)", "crane", "KATZE", "3", 3, None)
    assert [class_of(Named, name) for name in asked] == [2, 1, 0, 3, 3, None]  # type: ignore[arg-type]


def test_a_layer_that_is_called_like_a_number_is_meant_by_its_name(scene: Scene) -> None:
    manifest = {"layers": [{"name": name, "aliases": []} for name in ("0", "3", "1")]}

    class Named:
        explainer = type("Explainer", (), {"manifest": manifest})

    assert [layer_of(Named, layer) for layer in ("3", 3, "2")] == [1, 2, 1]  # type: ignore[arg-type]


def test_a_method_keeps_its_name_in_a_sentence() -> None:
    assert sentence(ValueError("seed is [3]")) == "Seed is [3]."
    assert sentence(ValueError("grad_cam takes one pass.")) == "grad_cam takes one pass."


def test_the_interface_is_told_in_plain_words(client: Client) -> None:
    told = str(client.view_api(return_format="str", print_info=False))
    api = client.view_api(return_format="dict")["named_endpoints"]
    assert list(api) == [f"/{name}" for name in ENDPOINTS]
    assert (
        'target, contrast, smooth, baseline, options, api_name="/explain") -> (picture, classes, map, facts)'
        in told
    )
    assert "layer: int | str | None (not required" in told and "None | " not in told
    for endpoint in api.values():
        assert endpoint["description"].endswith(".")
        for part in (*endpoint["parameters"], *endpoint["returns"]):
            assert part["python_type"]["description"], part
            assert part["label"].isidentifier()
