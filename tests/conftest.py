"""What several test files share: compiled models."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled models, so that each is compiled once."""
    return tmp_path_factory.mktemp("artifacts")
