"""Every snippet of the README works when it is pasted, in order, without a network."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Run by .ci/run as they stand, in an environment of its own.
ELSEWHERE = ("pip install", "python -m pytest", "bash .ci/run", "docker ")
# Not to be pasted after the others: a listing, and what tests/demo/test_programs.py asks.
APART = ("def program", "from gradio_client")


def snippets(language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines of the shell, each with those that go on from it."""
    lines = [line for block in snippets("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader works: one folder for all of the snippets."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def environment(as_convlens: Path, desk: Path) -> dict[str, str]:
    """What an installed package brings: the module and the command. Its downloads go nowhere."""
    script = as_convlens / "convlens-command" / "convlens"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W ignore -m convlens "$@"\n')
    script.chmod(0o755)
    path = os.pathsep.join((str(script.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    cut_off = {"TORCH_HOME": str(desk), "https_proxy": "http://127.0.0.1:9", "CONVLENS_HOME": str(desk / "models")}
    return os.environ | cut_off | {"PYTHONPATH": str(as_convlens), "PATH": path}


def test_the_lines_of_python_run_in_order_and_give_what_they_tell(environment: dict[str, str], desk: Path) -> None:
    """`explainer.explain(...)  # [1, 3, 224, 224]`: the comment is what comes out."""
    blocks = [block for block in snippets("python") if not block.startswith(APART)]
    told = re.findall(r"^(explainer\.(?:explain|sweep).*?\)) +# (\[[\d, ]+\])", blocks[0], re.MULTILINE)
    assert len(told) == 3
    blocks[0] += "".join(f"\nassert list({call}.shape) == {shape}" for call, shape in told)
    source = "\n".join(blocks)
    assert "convlens.build" in source and "torch.jit.load" in source and "compile_model" in source
    (desk / "pasted.py").write_text(source + '\nassert "of 33 activations" in explainer.coverage\n')
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "pasted.py"],
        cwd=desk, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr


def test_the_commands_run_in_order(environment: dict[str, str], desk: Path) -> None:
    told = ""
    assert len(commands()) >= 10
    for line in commands():
        done = subprocess.run(
            line, shell=True, cwd=desk, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        told += done.stdout
    assert {"out.png", "lite.pt", "models", "squeezenet.pt2"} <= {path.name for path in desk.iterdir()}
    assert "tiger cat" in told and "kept" in told and "all within the bound" in told
