"""The command line, as people type it."""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torchvision.models import squeezenet1_1

from engine.__main__ import main
from engine.files import shelf
from engine.files.artifact import Explainer, load
from engine.files.manifest import disagreements
from tests.pictures.written import page, tiff


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def cat(folder: Path) -> Path:
    cv2.imwrite(str(folder / "cat.png"), cv2.cvtColor(skimage.data.chelsea(), cv2.COLOR_RGB2BGR))
    return folder / "cat.png"


@pytest.fixture(scope="module")
def lite(folder: Path) -> Path:
    assert main(["export", "efficientnet_lite0", "-o", str(folder / "lite.pt")]) == 0
    return folder / "lite.pt"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_list_tells_models_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert re.search(r"efficientnet_lite0 .* embedded", out)
    assert re.search(r"vgg16 .* VGG16 .* 138\.4 M .*(download 528 MB|cached)", out)
    assert re.search(r"grad_cam +at every layer +Selvaraju", out)


def test_layers_tells_the_trunk(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "layers", "squeezenet1_1")
    assert status == 0
    assert re.search(r"features\.12 +512 × 13 × 13", out)
    assert "26 of 26 activations gated" in out
    assert len(run(capsys, "layers", "squeezenet1_1", "--all")[1].splitlines()) > len(out.splitlines())


def test_show_prints_what_a_method_needs(capsys: pytest.CaptureFixture[str]) -> None:
    _, forward, _ = run(capsys, "show", "alexnet")
    _, guided, _ = run(capsys, "show", "alexnet", "--method", "guided_backprop")
    assert forward.count("conv2d(") == 5
    assert "conv_transpose2d" not in forward
    assert guided.count("aten.conv_transpose2d(") == 5
    assert guided.count("aten.threshold_backward(aten.relu") == 0
    assert guided.count("aten.threshold_backward(") == 7
    assert guided.count("guided_ct_features_0 = aten.threshold_backward") == 1


def test_an_exported_file_keeps_its_certificate(lite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", lite)
    assert status == 0
    assert "bound 1e-05" in out
    measured = re.findall(r"^  (policy|method) +(\w+) +(\S+), written (\S+)$", out, re.MULTILINE)
    assert [name for kind, name, *_ in measured if kind == "method"] == load(lite).methods
    assert [name for kind, name, *_ in measured if kind == "policy"] == [
        "gradient", "deconvnet", "guided", "lrp_epsilon_plus",
    ]  # fmt: skip
    assert out.endswith("\nkept\n")


def test_info_tells_what_is_in_a_file(lite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "info", lite)
    assert status == 0
    for line in (
        "model     EfficientNet-Lite0",
        r"sha256    [0-9a-f]{64}",
        "licence   Apache-2.0; trained on ImageNet.*",
        r"input     RGB, the middle 224 × 224 of a photo brought to 256 on its shorter side \(bicubic\), mean .*",
        "classes   1000",
        r"gates     (\d+) of \1 activations gated",
        f"program   {load(lite).manifest['program']}",
        r"measured  deviation from autograd in float32, bound 1e-05; 2 standard normal images .*",
        r"  grad_cam +\d\.\de-\d\d  Selvaraju et al\. 2017.*",
        r" +1 conv_stem +32 × 112 × 112 +2 × 2",
        r" +\d+ bn2\.act +1280 × 7 × 7 +32 × 32.*",
    ):
        assert re.search(rf"^{line}$", out, re.MULTILINE), (line, out)
    (tmp_path / "notes.pt").write_text("hello")
    assert run(capsys, "info", tmp_path / "notes.pt")[::2] == (
        1,
        "error: notes.pt is a text: python -m engine export MODEL -o FILE.pt makes an artifact\n",
    )
    (tmp_path / "damaged.pt").write_bytes(lite.read_bytes().replace(b"Egyptian", b"Aegyptia", 1))
    status, _, err = run(capsys, "info", tmp_path / "damaged.pt")
    assert status == 1
    assert err.startswith("error: damaged.pt is damaged: python -m engine export efficientnet_lite0 -o damaged.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["layers"].pop(), "layers: the manifest tells"),
        (lambda m: m["layers"][0].update(name="stem"), "layers: the manifest tells ['stem'"),
        (lambda m: m["layers"][3].update(shape=[1, 2, 3]), "shapes: the manifest tells"),
        (lambda m: m["layers"][3].update(stride=[1.0, 1.0]), "cells: the manifest tells"),
        (lambda m: m["methods"].pop(), "methods: the manifest tells"),
        (lambda m: m["methods"][3].update(policy="guided"), "methods: the manifest tells"),
        (lambda m: m.update(classes=10), "classes: the manifest tells 10, the program has 1000"),
        (lambda m: m.update(pooled=3), "pooled: the manifest tells 3"),
        (lambda m: m["geometry"].update(resize=300), "resize: the manifest tells 300, the program has 256"),
        (lambda m: m["geometry"].update(mean=[0.0] * 3), "mean: the manifest tells"),
        (lambda m: m["certificate"].update(dtype="float64"), "dtype: the manifest tells float64"),
    ],
)
def test_a_manifest_that_tells_otherwise_does_not_pass(
    lite: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    explainer = load(lite)
    assert disagreements(explainer.manifest, explainer.module) == []
    manifest = copy.deepcopy(explainer.manifest)
    change(manifest)
    assert any(line.startswith(said) for line in disagreements(manifest, explainer.module))


def test_the_check_fails_where_manifest_and_program_differ(
    lite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load(lite)
    other.manifest["geometry"]["resize"] = 300
    monkeypatch.setattr("engine.commands.files.load", lambda path: other)
    status, out, _ = run(capsys, "check", lite)
    assert status == 1
    assert "resize: the manifest tells 300, the program has 256\nNOT kept" in out


CONSUMER = """
import sys, torch
net = torch.jit.load(sys.argv[1])
x = net.preprocess(torch.load(sys.argv[2], weights_only=True))
seed = net.one_hot(282)
answers = [net.forward(x), net.explain(x, seed, "grad_cam", -1), net.explain(x, seed, "guided_backprop", -1)]
torch.save(answers, sys.argv[3])
assert not {"engine", "torchvision", "timm"} & {name.split(".")[0] for name in sys.modules}
"""


def test_the_exported_file_needs_torch_alone(lite: Path, tmp_path: Path) -> None:
    photo = torch.from_numpy(skimage.data.chelsea())
    torch.save(photo, tmp_path / "photo")
    (tmp_path / "consumer.py").write_text(CONSUMER)
    command = [sys.executable, "-W", "ignore", "consumer.py", str(lite), "photo", "answers"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    logits, cam, guided = torch.load(tmp_path / "answers", weights_only=True)
    explainer = load(lite)
    x, seed = explainer.preprocess(photo), explainer.one_hot("tiger cat")
    torch.testing.assert_close(logits, explainer.forward(x), rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # by the kernels that the file holds: this processor's own round otherwise
        wanted = [explainer.module.explain(x, seed, method, -1) for method in ("grad_cam", "guided_backprop")]
    torch.testing.assert_close([cam, guided], wanted, rtol=1e-5, atol=1e-6)


def test_a_file_whose_maps_are_off_does_not_pass_the_check(
    lite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off by one part in a thousand, against a reference that does not know."""
    module = load(lite).module

    class Off:
        def __getattr__(self, name: str) -> object:
            return getattr(module, name)

        def probe(self, *question: object) -> tuple[object, ...]:
            *rest, image = module.probe(*question)
            return *rest, image * 1.001

    monkeypatch.setattr("engine.commands.files.load", lambda path: Explainer(Off(), load(path).manifest))
    status, out, _ = run(capsys, "check", lite)
    assert status == 1
    assert out.count(" is off by 1.0e-03, which is above 1e-05") == 3
    assert "NOT kept" in out


@pytest.mark.parametrize(
    ("arguments", "shape", "said"),
    [
        (["--layer", "blocks.3.2"], (300, 451, 3), "HiResCAM: tiger cat, blocks.3.2"),
        (["--contrast", "Egyptian cat"], (300, 451, 3), "Grad-CAM: tiger cat rather than Egyptian cat, bn2.act"),
        (["--method", "cam", "--target", "285"], (300, 451, 3), "CAM: Egyptian cat"),
        (["--method", "saliency"], (300, 451, 3), "Saliency: tiger cat"),
        (["--method", "lrp_epsilon_plus"], (300, 451, 3), "LRP epsilon-plus: tiger cat"),
        (
            ["--method", "guided_backprop", "--view", "positive", "--gray"],
            (224, 224, 3),
            "Guided backprop: tiger cat",
        ),
        (["--method", "guided_grad_cam", "--layer", "last"], (224, 224, 3), "Guided Grad-CAM: tiger cat, bn2.act"),
    ],
)
def test_explain_writes_the_picture(
    lite: Path, cat: Path, tmp_path: Path, arguments: list[str], shape: tuple[int, ...], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    status, out, _ = run(capsys, "explain", cat, "-o", tmp_path / "out.png", "--model", lite, *arguments)
    assert status == 0
    assert said in out
    assert re.search(r"^ +\d\d\.\d% +282 +tiger cat", out)
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture.shape == shape
    assert picture.std() > 1
    if "--gray" in arguments:
        assert np.array_equal(picture[..., 0], picture[..., 2])


def test_explain_draws_and_tells_boxes(
    lite: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = []
    for arguments in ([], ["--boxes"], ["--boxes", "--threshold", "0.6"], ["--boxes", "--several"]):
        out = tmp_path / f"{len(pictures)}.png"
        question = ["explain", cat, "-o", out, "--model", lite, "--layer", "blocks.4.2", *arguments]
        status, text, _ = run(capsys, *question)
        assert status == 0
        boxes = re.findall(
            r"^box (\d+): tiger cat: (\S+), (\S+) to (\S+), (\S+) \(.*\), \d+% of the map$", text, re.M
        )
        pictures.append((cv2.imread(str(out)), [[float(number) for number in box[1:]] for box in boxes]))
    (plain, none), (drawn, (box,)), (_, (tighter,)), (_, several) = pictures
    assert none == [] and len(several) > 1
    left, top, right, bottom = box
    assert 0 <= left < right <= 451 and 0 <= top < bottom <= 300
    assert (tighter[2] - tighter[0]) * (tighter[3] - tighter[1]) < (right - left) * (bottom - top)
    changed = np.argwhere((plain != drawn).any(2))
    assert changed.min(0) == pytest.approx([top, left], abs=5)
    assert changed.max(0) == pytest.approx([bottom, right], abs=5)


def test_trust_tells_what_a_map_is_worth(
    lite: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "trust.html"
    status, text, _ = run(capsys, "trust", cat, "-o", out, "--model", lite, "--method", "deconvnet")
    assert status == 0 and f"Deconvnet for tiger cat -> {out}" in text
    assert re.search(r"^- It does not know the class: .* the map is (1\.00|0\.99) the same\.$", text, re.M)
    page = out.read_text(encoding="utf-8")
    assert page.count("<polyline") == 8 and page.count("data:image/png;base64") == 5
    assert "<script" not in page and "://" not in page
    status, _, err = run(capsys, "trust", cat, "-o", tmp_path / "trust.png", "--model", lite)
    assert status == 1 and "the page is HTML; name it .html" in err


def test_evaluate_writes_a_table_and_goes_on(
    lite: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "tiger_cat").mkdir(parents=True)
    shutil.copy(cat, photos / "tiger_cat" / cat.name)
    (photos / "tiger_cat" / "empty.png").touch()
    asked = [
        "-o",
        out,
        "--model",
        lite,
        "--methods",
        "hires_cam@blocks.4.2,deconvnet",
        "--columns",
        "gini,deletion",
    ]
    status, text, _ = run(capsys, "evaluate", photos, *asked)
    assert status == 0 and "Classes are those of the folders." in text and "1 could not be read" in text
    assert "| HiResCAM, blocks.4.2 |" in text and "control: by chance" in text
    table = json.loads((out / "table.json").read_text())["table"]
    assert table["deconvnet"]["gini"]["count"] == 1 and table["sobel"]["deletion"]["mean"] > 0
    assert "<script" not in (out / "table.html").read_text()
    rows = (out / "rows.jsonl").read_bytes()
    assert run(capsys, "evaluate", photos, *asked)[1] == text and (out / "rows.jsonl").read_bytes() == rows
    status, _, err = run(capsys, "evaluate", photos, *asked[:-1], "road")
    assert status == 1 and "with other columns: choose another folder" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threshold", "0.3"], "give --boxes too"),
        (["--boxes", "--layer", "all"], "--boxes are of one layer"),
        (["--boxes", "--threshold", "20"], "threshold is a share between 0 and 1; got 20.0"),
        (["--boxes", "--method", "guided_backprop"], "guided_backprop has a value for each channel"),
    ],
)
def test_boxes_that_fit_nothing_are_refused(
    lite: Path, cat: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "explain", cat, "-o", tmp_path / "out.png", "--model", lite, *arguments)
    assert status == 1 and said in err and err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_explain_takes_colours_and_one_scale_for_all_layers(
    lite: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(*arguments: str) -> Any:
        out = tmp_path / "out.png"
        assert run(capsys, "explain", cat, "-o", out, "--model", lite, *arguments)[0] == 0
        return cv2.imread(str(out))

    viridis, turbo = drawn(), drawn("--colours", "turbo")
    assert (viridis != turbo).any() and np.array_equal(drawn("--colours", "viridis"), viridis)
    own, common = drawn("--layer", "all"), drawn("--layer", "all", "--scale", "common")
    assert own.shape == common.shape and (own != common).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--colours", "coolwarm"], "--colours coolwarm: choose one of viridis, turbo"),
        (["--scale", "common"], "give --layer all"),
    ],
)
def test_looks_that_fit_nothing_are_refused(
    lite: Path, cat: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "explain", cat, "-o", tmp_path / "out.png", "--model", lite, *arguments)
    assert status == 1 and said in err and err.count("\n") == 1


def test_explain_takes_a_page_and_bands(lite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cat = skimage.data.chelsea()
    cube = np.dstack([255 - cat[:, :, 1], cat[:, :, ::-1], cat[:, :, 0]])  # blue, green and red are 2, 3 and 4
    (tmp_path / "cube.tif").write_bytes(tiff(page(np.zeros((9, 9), np.uint16)), page(cube)))
    arguments = ["explain", tmp_path / "cube.tif", "-o", tmp_path / "out.png", "--model", lite, "--page", 2]
    status, out, _ = run(capsys, *arguments, "--bands", "4,3,2")
    assert status == 0
    assert re.search(r"^ +\d\d\.\d% +282 +tiger cat", out)
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert re.fullmatch(r"error: The photo has 5 bands .* `--bands 3,2,1`.*\n", err)
    status, _, err = run(capsys, *arguments[:-1], 3)
    assert (status, err) == (1, "error: There is no page 3: the file has 2 pages, counted from 1.\n")


def test_every_layer_makes_a_contact_sheet(
    lite: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.jpg"
    assert run(capsys, "explain", cat, "-o", out, "--model", lite, "--layer", "all")[0] == 0
    height, width, _ = cv2.imread(str(out)).shape
    assert min(height, width) > 8 * 160


def test_a_checkpoint_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    torch.save(squeezenet1_1(num_classes=7).state_dict(), tmp_path / "mine.pth")
    file = tmp_path / "mine.pt"
    arguments = ["--weights", tmp_path / "mine.pth", "--methods", "grad_cam", "--layers", "features.12,features.5"]
    assert run(capsys, "export", "squeezenet1_1", "-o", file, *arguments)[0] == 0
    explainer = load(file)
    assert explainer.layers == ["features.5", "features.12"]
    assert explainer.methods == ["grad_cam"]
    assert len(explainer.labels) == 7
    assert explainer.manifest["model"]["sha256"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "vgg61"], "there is no model 'vgg61'; did you mean vgg19, vgg16"),
        (["check", "nothing.pt"], "there is no file nothing.pt"),
        (["explain", "nothing.jpg", "-o", "out.png"], "nothing.jpg"),
        (["export", "alexnet", "-o", "a.pt", "--weights", "gone.pth"], "gone.pth"),
        (
            ["export", "alexnet", "-o", "a.pt", "--weights", "random", "--methods", "gradcam"],
            "the nearest are grad_cam",
        ),
        (["export", "alexnet", "-o", "a.pt", "--weights", "random", "--methods", "cam"], "cam does not apply"),
        (["export", "alexnet", "-o", "a.pt", "--weights", "random", "--layers", "features.99"], "the nearest are"),
    ],
)
def test_a_refusal_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "a.pt").exists()


def test_the_shelf_builds_once_and_again_for_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shelf.build

    def small(name: str, weights: str) -> Explainer:
        return build(name, weights, ["features.12"], ["grad_cam"], (64, 64))

    monkeypatch.setattr(shelf, "build", small)
    first = shelf.open_model("squeezenet1_1", "random", tmp_path)
    path = tmp_path / "squeezenet1_1-random.pt"
    made = path.stat().st_mtime_ns
    assert shelf.open_model("squeezenet1_1", "random", tmp_path).manifest == first.manifest
    assert path.stat().st_mtime_ns == made
    monkeypatch.setattr(shelf, "COMPILER", "another")
    shelf.open_model("squeezenet1_1", "random", tmp_path)
    assert path.stat().st_mtime_ns > made
    path.write_bytes(b"half")
    assert shelf.open_model("squeezenet1_1", "random", tmp_path).layers == first.layers
