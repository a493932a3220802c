"""Weights of one's own on the command line: what is said of them is what the file tells and does."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.models import squeezenet1_1
from torchvision.models.squeezenet import SqueezeNet

from engine.__main__ import main
from engine.files.artifact import load

OWN = ["--labels", "names.json", "--mean", "0.5", "--std", "0.2,0.3,0.4", "--size", "48x64", "--fit", "squash"]


@pytest.fixture(scope="module")
def net() -> SqueezeNet:
    torch.manual_seed(0)
    return squeezenet1_1(num_classes=3).eval()


@pytest.fixture
def desk(net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, its labels and a long photo, white on its right, in the folder that commands are typed in."""
    averaged = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plain = {name: tensor + 0.01 for name, tensor in averaged.items()}
    torch.save({"state_dict": plain, "state_dict_ema": averaged}, tmp_path / "c.pth")
    (tmp_path / "names.json").write_text(json.dumps({"0": "cat", "1": "dog", "2": "owl"}))
    photo = np.zeros((40, 160, 3), np.uint8)
    photo[:, 120:] = 255
    cv2.imwrite(str(tmp_path / "p.png"), photo)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return main(list(arguments)), *capsys.readouterr()


def test_an_exported_file_does_as_was_said(net: nn.Module, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["export", "squeezenet1_1", "-o", "m.pt", "--weights", "c.pth", "--methods", "grad_cam", *OWN]
    status, out, err = run(capsys, *asked)
    assert (status, err) == (0, "")
    assert re.search(r"^note: the checkpoint has more weights that fit: state_dict; ", out, re.MULTILINE)
    explainer = load("m.pt")
    assert explainer.labels == ["cat", "dog", "owl"]
    photo = np.array(cv2.imread("p.png"))
    steps = [transforms.ToPILImage(), transforms.Resize((48, 64)), transforms.ToTensor()]
    x = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.2, 0.3, 0.4])])(photo)[None]
    assert (explainer.preprocess(torch.from_numpy(photo)) - x).abs().max() < 2.01 / 255 / 0.2
    with torch.no_grad():
        torch.testing.assert_close(explainer.forward(x), net(x), rtol=1e-4, atol=1e-5)
    told = run(capsys, "info", "m.pt")[1]
    assert "weights   checkpoint c.pth, its EMA weights (state_dict_ema)\n" in told
    assert "\nnote      the checkpoint has more weights that fit: state_dict; " in told
    assert (
        "input     RGB, a photo squashed to 48 × 64 (bilinear), mean [0.5, 0.5, 0.5], std [0.2, 0.3, 0.4]\n"
        in told
    )
    status, out, _ = run(capsys, "check", "m.pt")
    assert (status, out.endswith("\nkept\n")) == (0, True)


def test_heat_lies_on_all_of_a_squashed_photo(desk: Path) -> None:
    main(["export", "squeezenet1_1", "-o", "m.pt", "--weights", "c.pth", "--methods", "grad_cam", *OWN])
    explainer = load("m.pt")
    photo = torch.zeros(40, 160, 3, dtype=torch.uint8)
    corner = torch.zeros(48, 64)
    corner[-12:, -16:] = 1  # a quarter of each side is one of the photo too
    drawn = explainer.overlay(photo, corner, 1.0)
    cold, hot = drawn[0, 0], drawn[-1, -1]
    assert not torch.equal(cold, hot)
    assert (drawn[32:, 124:] == hot).all()
    assert (drawn[:28] == cold).all()
    assert (drawn[:, :116] == cold).all()


def test_explain_takes_a_checkpoint_with_all_that_is_said_of_it(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", "squeezenet1_1", "-o", "m.pt", "--weights", "c.pth", "--methods", "grad_cam", *OWN])
    _, wanted, _ = run(capsys, "explain", "p.png", "-o", "file.png", "--model", "m.pt", "--target", "owl")
    asked = [
        "explain",
        "p.png",
        "-o",
        "now.png",
        "--model",
        "squeezenet1_1",
        "--target",
        "owl",
        "--weights",
        "c.pth",
    ]
    status, out, _ = run(capsys, *asked, *OWN)
    assert status == 0
    note, *rest = out.splitlines()
    assert note.startswith("note: ")
    assert rest == wanted.replace("file.png", "now.png").splitlines()
    assert np.array_equal(cv2.imread("now.png"), cv2.imread("file.png"))
    assert run(capsys, *asked, *OWN, "--key", "state_dict")[1] != out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "gone.txt"], "can't read the labels gone.txt"),
        (["--mean", "0.5,0.5"], "mean has 2 numbers, the network takes 3 channels"),
        (["--std", "0"], "std must be 3 positive numbers"),
        (["--key", "ema"], "c.pth has no tensors under 'ema'; the nearest are state_dict"),
        (
            ["--transform-input", "yes"],
            "transform_input is of GoogLeNet and Inception v3; SqueezeNet 1.1 has none",
        ),
    ],
)
def test_a_refusal_is_one_line(
    arguments: list[str], message: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "export", "squeezenet1_1", "-o", "m.pt", "--weights", "c.pth", *arguments)
    assert status == 1
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert not (desk / "m.pt").exists()


def test_a_compiled_file_takes_none_of_it(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "explain", "p.png", "-o", "o.png", "--model", "m.pt", "--weights", "c.pth", *OWN)
    said = "--labels, --mean, --std, --fit, --size, --weights"
    assert (status, err) == (1, f"error: m.pt is compiled already; {said} belong to export\n")


@pytest.mark.parametrize("wrong", [["--size", "0"], ["--size", "1x2x3"], ["--mean", "a,b"], ["--fit", "stretch"]])
def test_what_is_no_size_and_no_number_is_told_by_its_option(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["export", "squeezenet1_1", "-o", "m.pt", *wrong])
    assert f"argument {wrong[0]}: invalid" in capsys.readouterr().err
