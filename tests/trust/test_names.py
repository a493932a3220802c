"""Names of `engine.trust` are where it says that they are."""

import ast
import importlib
from pathlib import Path

from engine import trust


def test_names_stand_where_they_are_said_to() -> None:
    tree = ast.parse(Path(trust.__file__).read_text())
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert typed == trust._ROOMS and sorted(typed) == sorted(trust.__all__)
    for name, room in typed.items():
        value = getattr(importlib.import_module(f"engine.trust.{room}"), name)
        assert getattr(trust, name) is value
