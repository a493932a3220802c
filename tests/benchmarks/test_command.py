"""The command, whose processes are answered at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import check, further, machine, networks
from tests.benchmarks.invented import result
from tests.benchmarks.small import GUIDED


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"vectors": "AVX512"}, "performance.md"),
        ({"vectors": "AVX2"}, "performance-avx2.md"),
        ({"vectors": "AVX512", "device": "Some GPU"}, "performance-some-gpu.md"),
    ],
)
def test_each_kind_of_processor_has_its_page(facts: dict[str, str], name: str) -> None:
    found = result()
    found["machine"] |= facts
    assert command._page(found).name == name


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every process that the command starts is answered at once, and kept here."""
    invented, started = result(), []
    answers = {
        networks.compiled: invented["networks"]["vgg16"]["file"],
        networks.measured: invented["networks"]["vgg16"]["batches"]["1"],
        further.measured: invented["further"]["vgg16"],
    }

    def answer(function: Any, *arguments: Any) -> Any:
        started.append((function.__name__, *arguments))
        return answers[function]

    monkeypatch.setattr(command, "fresh", answer)
    return started


def test_the_command_measures_writes_and_reads(measurements, tmp_path: Path, capsys: Any) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "plot.png"
    options = ["--quick", "--models", "vgg16", "--json", str(figures), "--plot", str(picture)]
    assert command.main(options) == 0
    assert [call[0] for call in measurements] == ["compiled", "measured"]
    printed = capsys.readouterr().out
    assert "**1.05 F**" in printed and picture.is_file()
    assert list(json.loads(figures.read_text())["networks"]["vgg16"]["batches"]) == ["1"]
    assert command.main(["--read", str(figures)]) == 0
    assert capsys.readouterr().out == printed
    assert len(measurements) == 2


def test_further_questions_alone_and_beside_what_is_known(measurements, tmp_path: Path, capsys: Any) -> None:
    figures, known = tmp_path / "figures.json", tmp_path / "known.json"
    options = ["--only", "further", "--models", "vgg16,densenet121", "--json", str(figures)]
    assert command.main(options) == 0
    assert [(call[0], call[1]) for call in measurements] == [("compiled", "vgg16"), ("measured", "vgg16")]
    printed = capsys.readouterr().out
    assert "a unit's deconvnet" in printed and "What was tried" not in printed
    alone = json.loads(figures.read_text())
    assert not alone["networks"] and list(alone["further"]) == ["vgg16"]
    earlier = result() | {"machine": machine.facts(), "further": {"resnet50": alone["further"]["vgg16"]}}
    known.write_text(json.dumps(earlier))
    assert command.main([*options, "--read", str(known)]) == 0
    both = json.loads(figures.read_text())
    assert both["networks"] == earlier["networks"] and sorted(both["further"]) == ["resnet50", "vgg16"]
    earlier["machine"]["cpu"] = "another"
    known.write_text(json.dumps(earlier))
    capsys.readouterr()
    assert command.main([*options, "--read", str(known)]) == 2 and "another machine" in capsys.readouterr().err


def test_a_part_is_no_page(measurements, capsys: Any) -> None:
    for option in ("--docs", "--plot=plot.png"):
        with pytest.raises(SystemExit):
            command.main(["--only", "further", option])
        assert "--read" in capsys.readouterr().err
    assert not measurements


def test_the_commands_exit_status_tells_of_a_regression(
    measurements, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(check, "BASELINE", path)
    for function in (check.read, check.write):
        monkeypatch.setattr(function, "__defaults__", (path,))
    options = ["--check", "--quick", "--models", "vgg16"]
    assert command.main(options) == 2 and "--check --update" in capsys.readouterr().err
    assert command.main([*options, "--update"]) == 0
    assert command.main(options) == 0 and "All is well" in capsys.readouterr().out
    slowed = json.loads(path.read_text())
    slowed["forward passes"]["vgg16"][GUIDED] /= 1.2
    path.write_text(json.dumps(slowed | {"machine": "another"}))
    assert command.main(options) == 1
    printed = capsys.readouterr().out
    assert "vgg16, guided backprop: 2.00 F, 20% more than 1.67 F" in printed and "another machine" in printed
