"""The server's Dockerfile, as far as it can be held without docker: to the command's own options and the pages."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from engine.__main__ import _parser

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "Dockerfile.serve").read_text()
Steps = list[tuple[str, str]]


@pytest.fixture
def steps() -> Steps:
    """The instructions with what follows each, in order, without comments."""
    text = re.sub(r"^ *#.*\n", "", FILE, flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(first, rest.strip()) for first, _, rest in (line.partition(" ") for line in lines)]


def only(steps: Steps, instruction: str) -> str:
    (found,) = [rest for first, rest in steps if first == instruction]
    return found


def test_it_holds_what_a_server_takes_and_no_page(steps: Steps) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    _, install, export = (rest for first, rest in steps if first == "RUN")
    assert install == 'pip install ".[serve]"'
    asked = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    assert not [line for line in asked if "gradio" in line] and "gradio" not in re.sub("#.*", "", FILE)
    assert export == "convlens export efficientnet_lite0 -o /models/model.pt"
    copied = " ".join(rest for first, rest in steps if first == "COPY").split()[:-1]
    assert {"pyproject.toml", "engine"} <= {*copied} and "app.py" not in copied
    assert all((ROOT / name).exists() for name in copied)


def test_it_starts_the_command_as_the_page_tells(steps: Steps) -> None:
    program, *arguments = json.loads(only(steps, "CMD"))
    options = _parser().parse_args(arguments)  # no shell: SIGTERM reaches it
    assert program == "convlens" and options.run == "serve.run" and options.model == "/models/model.pt"
    port = only(steps, "EXPOSE")
    assert options.host == "0.0.0.0" and str(options.port) == port
    assert f":{port}/healthz" in only(steps, "HEALTHCHECK")
    page = (ROOT / "docs" / "serving.md").read_text()
    told = [line.strip() for line in page.splitlines() if line.startswith("docker ")]
    assert [line.removeprefix("# ") for line in re.findall("^#   ?(docker .*)$", FILE, re.MULTILINE)] == told
    assert f"-p 127.0.0.1:{port}:{port} " in told[1]


def test_it_runs_as_a_user_that_writes_below_tmp_only(steps: Steps) -> None:
    order = [first for first, _ in steps]
    last = max(number for number, first in enumerate(order) if first in ("RUN", "COPY"))
    assert only(steps, "USER") == "1000" and order.index("USER") > last
    assert "--uid 1000" in dict(steps[:3])["RUN"]
    places = dict(pair.split("=") for first, rest in steps if first == "ENV" for pair in rest.split())
    for name in ("HOME", "CONVLENS_HOME", "TORCH_HOME"):
        assert Path(places[name]).is_relative_to("/tmp"), name
    assert "--read-only --tmpfs /tmp" in FILE
