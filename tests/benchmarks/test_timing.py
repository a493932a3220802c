"""How calls are timed and their times summed up; no test depends on a time."""

import time

import pytest

from benchmarks import timing


def test_rounds_are_interleaved_and_rare_calls_spread_evenly() -> None:
    asked: list[str] = []
    calls = {label: lambda label=label: asked.append(label) for label in ("often", "rarely")}
    times = timing.interleave(calls, {"often": 9, "rarely": 3})
    assert {label: len(found) for label, found in times.items()} == {"often": 9, "rarely": 3}
    assert asked.count("often") == 1 + 9
    thirds = [asked[start : start + 4] for start in (2, 6, 10)]
    assert [third.count("rarely") for third in thirds] == [1, 1, 1]


def test_a_time_is_that_of_its_call() -> None:
    calls = {"slow": lambda: time.sleep(0.02), "quick": lambda: None}
    times = timing.interleave(calls, {"slow": 3, "quick": 3})
    assert min(times["slow"]) >= 20 > min(times["quick"])


def test_a_first_round_is_not_counted() -> None:
    naps = iter([0.5] + [0.0] * 3)
    times = timing.interleave({"settling": lambda: time.sleep(next(naps))}, {"settling": 3})
    assert max(times["settling"]) < 500


def test_calls_share_the_time() -> None:
    counts = timing.shares({"quick": 1.0, "middling": 100.0, "slow": 10000.0}, 3.0, fewest=3, most=15)
    assert counts == {"quick": 15, "middling": 10, "slow": 3}


def test_summary() -> None:
    found = timing.summary([10.0, 12.0, 11.0, 30.0, 9.0])
    assert found == {"median": 11.0, "minimum": 9.0, "spread": pytest.approx(2 / 11), "calls": 5}
    assert timing.summary([7.0]) == {"median": 7.0, "minimum": 7.0, "spread": 0.0, "calls": 1}
