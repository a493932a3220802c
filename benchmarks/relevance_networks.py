"""What `python -m engine verify --relevance` printed, as a page of its own, and as one table for `relevance`."""

from collections.abc import Sequence

from benchmarks.markdown import table


def verified(printed: str) -> tuple[str, list[list[str]], str]:
    """What `verify --relevance` printed: its first line, the cells of each row, and its last line."""
    head, rows, verdict = printed.strip().split("\n\n")
    cells = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows.splitlines()]
    return head, cells, verdict


def summary(rows: Sequence[Sequence[str]]) -> str:
    """Of each composite: networks, the largest deviation, what arrived at the image, and how many are refused.

    rows: those of `verified`, the head first.
    """
    names, lines = rows[0][2:-1], []
    for column, name in enumerate(names, 2):
        cells = [row[column] for row in rows[2:]]
        told = [tuple(map(float, cell.split(", "))) for cell in cells if not cell.startswith("refused")]
        arrived = sorted(share for _, share in told)
        lines.append(
            [
                f"`{name}`", str(len(told)), f"{max((one for one, _ in told), default=0):.0e}",
                f"{arrived[0]:.3g}, {arrived[len(arrived) // 2]:.3g}, {arrived[-1]:.3g}" if arrived else "",
                str(len(cells) - len(told)),
            ]
        )  # fmt: skip
    return table(["method", "networks", "largest deviation", "arrived: least, median, most", "refused"], lines)


NETWORKS = """# Relevance, network by network

Made by `python -m benchmarks.relevance`, of `python -m engine verify --relevance --all --side 64`: {head}.
Of each composite its largest deviation from the reference, and which share of the score came to the image; see
[the page](../relevance.md#on-whole-networks).

{rows}
"""
