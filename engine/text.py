"""Words for the people who read errors."""

import difflib
from collections.abc import Iterable

# What people type, as they have it: a package that was installed brings a command, a checkout does not.
COMMAND = "convlens" if __name__.startswith("convlens.") else "python -m engine"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names what a misspelt `name` may have meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3] + known[-1:]
    return f"the nearest are {', '.join(close)}" if close else "there are none"
