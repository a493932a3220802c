"""The report of a data set that was explained."""

import argparse
from pathlib import Path

from ..batch.report import write_report


def run(options: argparse.Namespace) -> int:
    """Write it, and print what is suspected."""
    if Path(options.output).suffix not in (".html", ".htm"):
        raise ValueError(f"{options.output}: the report is HTML; name it .html")
    found = write_report(options.rows, options.output, options.asked, options.boxes)
    for one in found:
        for strategy in one.suspected:
            print(f"shortcut suspected: {one.label}, {len(strategy.members)} of {len(one.maps)} photos")
        if one.outside and one.within:
            told = f"{one.within.share:.0%} of the maps lie in the boxes, which take {one.within.room:.0%}"
            print(f"shortcut suspected: {one.label}, {told}")
    print(f"{sum(len(one.maps) for one in found)} photos of {len(found)} classes -> {options.output}")
    return 0
