"""The page of docs/reliability.md: every bound is held against its figure, and what failed is named."""

from typing import Any

import pytest

from benchmarks.reliability import HOSTILE, PRIVATE, hostile, page

KEPT: dict[str, Any] = {
    "machine": {
        "cpu": "CPU", "cores": 2, "threads": 2, "vectors": "AVX2", "bfloat16": False, "memory": 2**34,
        "device": "cpu", "python": "3.11", "versions": {},
    },
    "crowd": {"seconds": 120.0, "answered": 900, "busy": 3, "failed": [], "median": 4e3, "p95": 6e3, "own": 9.0},
    "left": {"asked": 24, "computed": 2},
    "attack": {"asked": 200, "told": {"refused": 150, "404": 50}, "faults": [], "traces": 0, "after": 40},
    "memory": 2.5e9,
}  # fmt: skip


def test_a_page_that_stands_all_of_it() -> None:
    text = page(KEPT)
    assert "**no**" not in text and "What failed" not in text
    assert "0.83: 7.5 of 9.0 a second" in text  # 900 / 120 / 9


@pytest.mark.parametrize(
    ("part", "worse"),
    [
        ("crowd", {"failed": ["explain failed"]}),
        ("crowd", {"answered": 500}),
        ("left", {"computed": 20}),
        ("attack", {"faults": ["null: POST /x"]}),
        ("attack", {"traces": 1}),
        ("attack", {"after": 0}),
    ],
)
def test_each_bound_that_is_missed_is_told(part: str, worse: dict[str, Any]) -> None:
    text = page(KEPT | {part: KEPT[part] | worse})
    assert text.count("**no**") == 1
    assert ("What failed" in text) == bool(worse.get("failed") or worse.get("faults"))


def test_memory_has_a_bound() -> None:
    assert page(KEPT | {"memory": 9e9}).count("**no**") == 1


def test_requests_are_hostile_in_many_ways() -> None:
    handlers = [{"id": number, "backend_fn": True, "inputs": [1, 2], "api_name": "x"} for number in range(20)]
    asked = list(hostile({"dependencies": handlers}))
    assert len(asked) >= HOSTILE * 0.9
    assert len({(method, path) for method, path, _ in asked}) > 25


@pytest.mark.parametrize("told", ["/home/someone/x", "Traceback (most recent call last)", 'File "a.py", line 3'])
def test_what_no_answer_may_tell(told: str) -> None:
    assert PRIVATE.search(told) and not PRIVATE.search("That photo was not uploaded here, or it is gone by now.")
