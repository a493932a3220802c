"""The page and the plot, of invented figures."""

import re
from pathlib import Path

from benchmarks import plot, report
from tests.benchmarks.invented import result


def test_the_page_renders() -> None:
    page = report.page(result(), "performance.png")
    for wanted in (
        "VGG16 | 1 | 100.0 ms | **1.05 F**, 1.43 times as fast as captum",
        "| every layer | **ConvLens** | 300.0 | 270.0 | 5% | 9 | 3.00 | 0.50 | 0, of it 0 |",
        "≈ 9000.0",
        "| occlusion, 7 × 7 windows | captum, contiguous, 4 at once | 75.0 | 67.5 | 5% | 9 | 1.00 | 0.9999 |",
        "| integrated gradients, 32 steps | **ConvLens** | 210.0 | 189.0 | 5% | 9 | 0.70 |  |",
        "(performance.png)",
        "| **no** |",
    ):
        assert wanted in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
    assert len(rows) > 50


def test_what_was_tried_is_told_on_the_main_page() -> None:
    main, other = report.page(result(), "a.png"), report.page(result(), "a.png", main=False)
    assert "What was tried" in main and "(performance.md)" not in main
    assert "What did not help" not in other and "(performance.md)" in other


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    plot.draw(result(), path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
