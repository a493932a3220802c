"""A checkpoint read as data: what lies beside the weights is stood in for, and nothing of the file runs."""

import argparse
import datetime
import enum
import pathlib
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.errors import WeightsError
from engine.models.reading import read_checkpoint

WEIGHTS = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.tensor([1.0, -1.0])}
ran: list[str] = []


class Options(dict[str, Any]):
    """A dictionary of a trainer's own kind, as yacs and Lightning have them."""


class Log:
    """An object with values and a bound method, as mmengine's history has."""

    def __init__(self) -> None:
        self.values = np.arange(3.0)
        self.best = self.largest

    def largest(self) -> float:
        return float(self.values.max())


class Schedule(enum.Enum):
    COSINE = 1


def runs(path: str) -> str:
    ran.append(path)
    return path


class Calls:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


BESIDE = {
    "options of argparse": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs")),
    "a dictionary of one's own": Options(width=3),
    "a log": Log(),
    "an enum": Schedule.COSINE,
    "a module": nn.CrossEntropyLoss(weight=torch.ones(2)),
    "a class": nn.ReLU,
    "a date": datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC),
    "a defaultdict": defaultdict(list, {"loss": [1.0]}),
    "a call of somebody's": Calls(runs, "stranger"),
}


# Whose modules an old torch.save kept apart, with their source; such a file is refused.
ZIPPED = ("a module", "a class")


@pytest.mark.parametrize(
    ("kind", "zipped"),
    [(kind, zipped) for kind in BESIDE for zipped in (True, False) if zipped or kind not in ZIPPED],
)
def test_weights_are_read_beside(kind: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"args": BESIDE[kind], "model": WEIGHTS}, path, _use_new_zipfile_serialization=zipped)
    ran.clear()
    read = read_checkpoint(path, published=False)
    assert ran == []
    assert all(torch.equal(read.content["model"][name], WEIGHTS[name]) for name in WEIGHTS)
    assert type(read.content["args"]) is OrderedDict or kind == "a class"


def test_all_of_them_at_once_and_nothing_global_is_changed(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    torch.save({"model": WEIGHTS, "more": [BESIDE]}, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth", published=False)
    assert torch.equal(read.content["model"]["fc.bias"], WEIGHTS["fc.bias"])
    assert read.name == "c.pth"
    assert "argparse.Namespace" in read.objects
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("generation", [b"numpy.core", b"numpy._core"])
def test_arrays_and_numbers_of_numpy_are_read(generation: bytes, tmp_path: Path) -> None:
    arrays = {"half": np.arange(4, dtype=np.float16), "long": np.arange(6).reshape(2, 3), "best": np.float64(0.5)}
    path = tmp_path / "c.pth"
    torch.save(arrays, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", generation))
    found = read_checkpoint(path, published=False).content
    assert found["best"] == 0.5
    for name in ("half", "long"):
        assert found[name].dtype == arrays[name].dtype
        assert np.array_equal(found[name], arrays[name])


@pytest.mark.parametrize("function", [open, eval, pathlib.os.system, torch.hub.load, sys.exit])
def test_a_call_of_python_or_torch_is_refused_though_weights_lie_beside_it(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    path = tmp_path / "c.pth"
    torch.save({"model": WEIGHTS, "more": Calls(function, str(trap), "w")}, path)
    with pytest.raises(
        WeightsError, match=r"^c.pth holds more than numbers: loading it would run code \(.*refused"
    ):
        read_checkpoint(path, published=False)
    assert not trap.exists()


def test_a_file_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_file(WEIGHTS, path)
    path = path.rename(tmp_path / "weights.bin")  # by what stands in it, not by its name
    read = read_checkpoint(path, published=False)
    assert all(torch.equal(read.content[name], WEIGHTS[name]) for name in WEIGHTS)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"^weights.bin is a file of safetensors that was cut off"):
        read_checkpoint(path, published=False)


def test_a_file_of_safetensors_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(WEIGHTS, tmp_path / "c.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(WeightsError, match=r"^c.safetensors is .* pip install safetensors$"):
        read_checkpoint(tmp_path / "c.safetensors", published=False)


def test_what_can_not_be_read_is_told_without_its_folder(tmp_path: Path) -> None:
    for content in (b"", b"text", b"PK\x03\x04", b"\x80\x02}q"):
        (tmp_path / "c.pth").write_bytes(content)
        with pytest.raises(WeightsError, match=r"^c.pth is no PyTorch checkpoint, or it is cut off$"):
            read_checkpoint(tmp_path / "c.pth", published=False)
    with pytest.raises(WeightsError, match=r"^can't open gone.pth: No such file"):
        read_checkpoint(tmp_path / "gone.pth", published=False)
