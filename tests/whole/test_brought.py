"""What people bring is right, or refused in a sentence that helps; docs/exactness.md lists it."""

import re
from pathlib import Path

import pytest
import torch

from tests.whole.brought import SECTIONS, Row, answer

ROWS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}
PAGE = Path(__file__).parents[2] / "docs" / "exactness.md"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_is_exact_or_refused_by_name(row: Row) -> None:
    deviation, refusal = answer(row)
    wanted = row.by_2_9 if row.by_2_9 and torch.__version__.startswith("2.9.") else row.refused
    if wanted:
        assert re.search(wanted, refusal), refusal
    else:
        assert not refusal
        assert deviation < 1e-12


def test_the_page_lists_all_of_it() -> None:
    told = PAGE.read_text()
    for name, row in ROWS.items():
        (line,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", told, re.MULTILINE)
        assert bool(re.fullmatch(r"\d(\.\d)?e[-+]\d\d", line)) != bool(row.refused), name
