"""The Dockerfile, as far as it can be held without docker: to the README and to the page's own options."""

import json
import re
import shlex
import stat
from pathlib import Path

import pytest

from engine.demo import health
from engine.demo.app import FIRST_PORT, options_parser
from tests.demo.hands import ROOT

README = (ROOT / "README.md").read_text()
FRONT = dict(re.findall(r"^(\w+): *\"?([^\"\n]+)\"?$", README.split("---")[1], re.MULTILINE))


@pytest.fixture
def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what follows each, in order, without comments."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(first, rest.strip()) for first, _, rest in (line.partition(" ") for line in lines)]


def only(steps: list[tuple[str, str]], instruction: str) -> str:
    (found,) = [rest for first, rest in steps if first == instruction]
    return found


def test_it_is_made_of_the_commands_of_the_readme(steps: list[tuple[str, str]]) -> None:
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    told = [part.strip() for line in shell.splitlines() for part in line.partition("#")[0].split("&&")]
    _, install, export = (rest for first, rest in steps if first == "RUN")
    assert install in told
    command, _, output = export.replace("python -m engine", "convlens").partition(" -o ")
    assert any(line.partition(" -o ")[0] == command for line in told)
    assert output == "exported_models/efficientnet_lite0.pt"  # where the page looks for it
    comments = re.findall(r"^# +(docker .*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert comments == [" && ".join(line for line in told if line.startswith("docker "))]


def test_it_starts_the_page_as_the_readme_does(steps: list[tuple[str, str]]) -> None:
    shell, flag, line = json.loads(only(steps, "CMD"))
    assert (shell, flag) == ("sh", "-c")
    start = shlex.split(line.rpartition("exec ")[2])  # so that SIGTERM reaches it
    assert start[:2] == ["python", "app.py"] and "python app.py" in README
    options = options_parser().parse_args(start[2:])
    assert options.public and options.host == "0.0.0.0" and options.log == "-"
    assert str(options.port) == only(steps, "EXPOSE") == str(FIRST_PORT)
    assert f"-p {options.port}:{options.port} " in README
    assert health.PATH in only(steps, "HEALTHCHECK") and f":{options.port}/" in only(steps, "HEALTHCHECK")


def test_it_runs_as_a_user_that_writes_below_tmp_only(steps: list[tuple[str, str]]) -> None:
    order = [first for first, _ in steps]
    assert only(steps, "USER") == "1000" and order.index("USER") > max(
        number for number, first in enumerate(order) if first in ("RUN", "COPY")
    )
    assert "--uid 1000" in dict(steps[:3])["RUN"]
    places = dict(pair.split("=") for first, rest in steps if first == "ENV" for pair in rest.split())
    for name in ("HOME", "CONVLENS_HOME", "TORCH_HOME", "GRADIO_TEMP_DIR"):
        assert Path(places[name]).is_relative_to("/tmp"), name
    assert "--read-only --tmpfs /tmp" in README


def test_it_is_the_python_of_the_space(steps: list[tuple[str, str]]) -> None:
    assert only(steps, "FROM") == f"python:{FRONT['python_version']}-slim"
    assert FRONT["sdk"] == "gradio" and FRONT["app_file"] == "app.py" and (ROOT / FRONT["app_file"]).is_file()
    (lowest,) = re.findall(r"^gradio>=([\d.]+),", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert FRONT["sdk_version"].startswith(f"{lowest}.")


def test_what_is_no_part_of_the_page_stays_outside() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", "tests", "exported_models/*.pt"} <= {*ignored}
    for needed in ("app.py", "engine", "requirements.txt", "exported_models"):
        assert needed not in ignored and (ROOT / needed).stat().st_mode & stat.S_IROTH
