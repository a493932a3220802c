"""What several test files share: compiled models, and the engine under its other name."""

import os
import signal
import threading
from pathlib import Path

import pytest

# Before torch is imported anywhere: pytest keeps all cores busy with a process each, and threads that wait for
# each other cost more than they bring on small networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background has Ctrl+C ignored, and with it all that a test starts and would end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process for each core, but for single files, which are over before others would have started."""
    if any(Path(argument.partition("::")[0]).is_file() for argument in config.args):
        config.option.dist = "no"
        return 0
    return None


# What takes longest begins first, so that no core waits at the end for the other's last file; the demo before the
# rest of it, whose compiled networks stay in memory beside its servers otherwise.
FIRST = ("test_readme.py", "demo", "whole", "commands", "examples", "files", "test_package.py", "conformance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within a file its tests stay as they are."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.relative_to(ROOT / "tests").parts[0], len(FIRST)))
    for item in items:
        # A browser beside a process that keeps the other core busy is late now and then. What fails is tried once
        # more, and the summary names it; what is broken fails again.
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def as_convlens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH in which the engine bears the name that it has where it is installed."""
    folder = tmp_path_factory.mktemp("as-convlens")
    (folder / "convlens").symlink_to(ROOT / "engine", target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled models, so that each is compiled once, whichever process of the run asks for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
