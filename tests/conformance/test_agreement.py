"""Where other tools are right, this project gives the same numbers."""

import pytest

from tests.conformance.adapters import ADAPTERS, MODULES
from tests.conformance.peers import AGREEMENTS, FAULTS, Case, ours, theirs
from tests.oracle import deviation


def needs(tool: str) -> None:
    """Skip the test where a tool is not installed."""
    if tool in MODULES:
        files = "-r {}/requirements.txt"
        pytest.importorskip(
            MODULES[tool], reason=f"{tool} is not installed: pip install {files.format('tests/conformance')}"
        )


@pytest.mark.parametrize("case", AGREEMENTS, ids=lambda case: f"{case.network}, {case.tool}, {case}, {case.dtype}")
def test_same_numbers(case: Case) -> None:
    needs(case.tool)
    assert deviation(ours(case), theirs(case)) < case.bound


def test_every_adapter_is_asked() -> None:
    cases = AGREEMENTS + [fault.case for fault in FAULTS]
    assert set(ADAPTERS) == {(case.tool, case.method, case.usage) for case in cases}
