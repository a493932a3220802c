"""`convlens dream`, as people type it."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine import save
from engine.__main__ import main
from tests.dream.small import tiny

RAMPS = np.meshgrid(np.linspace(20, 230, 30), np.linspace(230, 30, 20))
PHOTO = np.stack([*RAMPS, np.full((20, 30), 100.0)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dream") / "tiny.pt"
    save(tiny(dtype=torch.float32), path)
    return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cv2.imwrite(str(tmp_path / "p.png"), PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    return main(["dream", *map(str, arguments)]), *capsys.readouterr()


@pytest.mark.parametrize(
    ("asked", "told", "shape"),
    [
        ("--target dog", "dog", (16, 20, 3)),
        ("--target 2 --as pixels", "owl", (16, 20, 3)),
        ("--target dog --as maco --photo p.png", "dog", (16, 20, 3)),
        ("--layer inner --channel 3", "channel 3 of inner", (16, 20, 3)),
        ("--layer inner --channel 3 --at 2,5", "channel 3 of inner at 2, 5", (16, 20, 3)),
        ("--layer inner --photo p.png --octaves 2", "inner, dreaming", (16, 24, 3)),
        ("--layer inner --photo p.png --invert --as maco", "inner, inverted", (16, 20, 3)),
    ],
)
def test_the_picture_is_written(
    file: Path, desk: Path, asked: str, told: str, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "-o", "out.png", "--model", file, "--steps", 12, *asked.split())
    assert (status, err) == (0, "")
    first, last = re.search(rf"^{told}: (\S+) at first, (\S+) in the picture$", out, re.MULTILINE).groups()
    assert float(last) > float(first)
    assert f"{told} -> out.png ({shape[1]} × {shape[0]})" in out
    picture = cv2.imread("out.png")
    assert picture.shape == shape and picture.std() > 1
    run(capsys, "-o", "again.png", "--model", file, "--steps", 12, *asked.split())
    run(capsys, "-o", "other.png", "--model", file, "--steps", 12, "--seed", 5, *asked.split())
    assert np.array_equal(cv2.imread("again.png"), picture)
    assert not np.array_equal(cv2.imread("other.png"), picture)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "give --target CLASS or --layer NAME"),
        ("--target dog --layer inner", "give --target CLASS or --layer NAME"),
        ("--target hen", "no class is called 'hen'"),
        ("--target dog --channel 3", "--channel is of a layer"),
        ("--target dog --at 2,5", "--at is a unit's place"),
        ("--target dog --invert", "--invert is of all of a layer"),
        ("--target dog --octaves 2", "--octaves are a deep dream's"),
        ("--target dog --photo p.png", "--photo gives --as maco its magnitudes"),
        ("--target dog --steps 0", "steps is 0"),
        ("--target dog --as maco --photo gone.png", "gone.png"),
        ("--layer inner", "a layer's deep dream takes one photo"),
        ("--layer inner --invert", "inverting a layer takes one photo"),
        ("--layer inner --photo p.png --as fourier", "a deep dream changes a photo's pixels"),
        ("--layer inner --channel 8", "channel 8 of inner is not one of 0..7"),
        ("--layer outer --channel 3", "outer"),
    ],
)
def test_a_refusal_is_one_line(
    file: Path, desk: Path, asked: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "-o", "out.png", "--model", file, *asked.split())
    assert status == 1
    assert told in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (desk / "out.png").exists()


def test_a_name_that_is_no_pictures_is_refused_first(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "-o", "out.txt", "--model", "gone.pt", "--target", "dog")
    assert (status, err) == (1, "error: out.txt: no picture format; use .png or .jpg\n")
