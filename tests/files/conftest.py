"""A small artifact on the disk."""

from pathlib import Path

import pytest

from engine.files.artifact import save
from tests.files.small import compiled


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "small.pt"
    save(compiled(), path)
    return path
