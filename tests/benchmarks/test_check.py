"""The check against the baseline, on invented ratios."""

from pathlib import Path

import pytest

from benchmarks import check, tools
from tests.benchmarks.small import GUIDED

BASELINE = {"vgg16": {"grad_cam": 1.0, GUIDED: 2.0}}


def test_check_accepts_what_is_equal_or_a_little_slower() -> None:
    asked = []

    def measure(name: str) -> check.Ratios:
        asked.append(name)
        return {"grad_cam": 1.14, GUIDED: 1.5, "every_layer": 9.0}

    text, well = check.check(BASELINE, measure, ["vgg16"])
    assert well and asked == ["vgg16"]
    assert "All is well" in text and "+14%" in text and "new" in text


def test_check_finds_what_is_slower_twice() -> None:
    runs = iter([{"grad_cam": 1.0, GUIDED: 2.4}, {"grad_cam": 1.3, GUIDED: 2.36}])
    text, well = check.check(BASELINE, lambda name: next(runs), ["vgg16"])
    assert not well
    assert text.endswith("vgg16, guided backprop: 2.36 F, 18% more than 2.00 F")


def test_check_forgives_what_is_slower_once() -> None:
    runs = iter([{"grad_cam": 1.0, GUIDED: 2.4}, {"grad_cam": 1.3, GUIDED: 2.0}])
    assert check.check(BASELINE, lambda name: next(runs), ["vgg16"])[1]


def test_check_says_which_networks_the_baseline_has() -> None:
    with pytest.raises(ValueError, match=r"has no resnet50, only vgg16.*--update --models resnet50"):
        check.check(BASELINE, lambda name: {}, ["resnet50"])


def test_the_baseline_is_kept_for_the_same_machine_only(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(ValueError, match="--check --update"):
        check.read(path)
    check.write("a CPU", BASELINE, path)
    check.write("a CPU", {"resnet50": {GUIDED: 2.12345}}, path)
    assert check.read(path) == ("a CPU", BASELINE | {"resnet50": {GUIDED: 2.123}})
    check.write("another", {"resnet50": {GUIDED: 3.0}}, path)
    assert check.read(path) == ("another", {"resnet50": {GUIDED: 3.0}})


def test_the_committed_baseline_has_the_networks_of_the_check() -> None:
    _, ratios = check.read()
    assert set(check.MODELS) <= set(ratios)
    assert all(set(row) == set(tools.TASKS) for row in ratios.values())
