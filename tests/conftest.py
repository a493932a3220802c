"""What several test files share: compiled models, and the demo as visitors reach it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

# Before torch is imported anywhere: pytest keeps all cores busy with a process each, and threads that wait for
# each other cost more than they bring on small networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent
SERVE = """
import sys, app
from pathlib import Path
app.launch(app.build(artifacts=Path(sys.argv[1])), server_port=int(sys.argv[2]), quiet=True)
"""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process for each core, but for single files, which are over before others would have started."""
    if any(Path(argument.partition("::")[0]).is_file() for argument in config.args):
        config.option.dist = "no"
        return 0
    return None


@pytest.fixture(scope="session")
def as_convlens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH in which the engine bears the name that it has where it is installed."""
    folder = tmp_path_factory.mktemp("as-convlens")
    (folder / "convlens").symlink_to(ROOT / "engine", target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled models, so that each is compiled once."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def site(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo's address, ending in a slash. It is a process of its own, where no test turns warnings into errors.

    Its downloads go nowhere: there is no proxy at port 9.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("site")
    cut_off = {"TORCH_HOME": str(folder), "https_proxy": "http://127.0.0.1:9", "GRADIO_TEMP_DIR": str(folder)}
    command = [sys.executable, "-c", SERVE, str(artifacts), str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | cut_off, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        while not _answers(url):
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        urlopen(url).close()
    except URLError:
        return False
    return True
