"""Where other tools are right, this project gives the same numbers."""

import pytest

from tests.conformance.adapters import ADAPTERS, MODULES
from tests.conformance.peers import AGREEMENTS, FAULTS, LARGE, RELEVANCE_CASES, Case, ours, theirs
from tests.oracle import deviation


def needs(tool: str) -> None:
    """Skip the test where a tool is not installed."""
    if tool in MODULES:
        files = "-r {}/requirements.txt"
        pytest.importorskip(
            MODULES[tool], reason=f"{tool} is not installed: pip install {files.format('tests/conformance')}"
        )


CASES = [pytest.param(case, marks=pytest.mark.sweep if case.network in LARGE else ()) for case in AGREEMENTS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.network}, {case.tool}, {case}, {case.dtype}")
def test_same_numbers(case: Case) -> None:
    needs(case.tool)
    found = deviation(ours(case), theirs(case))
    assert found < case.bound
    if case in RELEVANCE_CASES and not case.loose:
        assert found < 1e-12


def test_every_adapter_is_asked() -> None:
    cases = AGREEMENTS + [fault.case for fault in FAULTS]
    assert set(ADAPTERS) == {(case.tool, case.method, case.usage) for case in cases}
