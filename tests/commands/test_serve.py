"""What `convlens serve` refuses before Ray is started."""

import argparse
import builtins
from typing import Any

import pytest

from engine.__main__ import main
from engine.commands.serve import settings_of


def test_a_ray_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name == "ray" or name.startswith("ray."):
            raise ModuleNotFoundError(name, name=name)
        return found(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["serve", "nothing.pt"]) == 1
    assert 'pip install "convlens[serve]"' in capsys.readouterr().err


def options(**given: Any) -> argparse.Namespace:
    named = {"replicas": None, "threads": 1, "batch": 8, "queue": 32, "megabytes": 20.0}
    return argparse.Namespace(**named | given)


def test_replicas_are_as_many_as_there_are_cpus_for() -> None:
    assert settings_of(options(), 4).replicas == 4
    assert settings_of(options(threads=2), 5).replicas == 2
    assert settings_of(options(megabytes=0.5), 1).bytes == 500_000
    with pytest.raises(ValueError, match="3 replicas of 2 threads take more than the 4 CPUs there are"):
        settings_of(options(replicas=3, threads=2), 4)
    with pytest.raises(ValueError, match="1 replicas of 8 threads"):
        settings_of(options(threads=8), 4)
    with pytest.raises(ValueError, match="threads is 0: it is at least 1"):
        settings_of(options(threads=0), 4)
