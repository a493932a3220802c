"""`convlens serve` as a host starts it: right rows, shared passes, back-pressure, and an end without leftovers."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import Explainer, save
from engine.batch.questions import Questions
from engine.batch.run import explain_folder
from engine.batch.store import rows_of
from tests.batch.test_batch import explainer, folder_of  # noqa: F401 - a fixture among them
from tests.serve.test_answers import same

ROOT = Path(__file__).parents[2]
MISSING = 'Ray is an extra: pip install "convlens[serve]"'
BATCH, QUEUE = 4, 4


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "engine", "serve", *arguments]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@dataclass
class Server:
    url: str
    process: "subprocess.Popen[str]"
    said: str = ""

    def ask(self, photo: bytes, accept: str = "*/*", route: str = "explain", **fields: str) -> httpx.Response:
        given = {"files": {"photo": photo}, "data": fields, "headers": {"accept": accept}}
        return httpx.post(f"{self.url}/{route}", timeout=60, trust_env=False, **given)

    def model(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/model", timeout=30, trust_env=False).json()

    def health(self) -> dict[str, Any]:
        found = httpx.get(f"{self.url}/healthz", timeout=30, trust_env=False)
        assert found.status_code == 200
        return found.json()

    def left(self) -> list[str]:
        """The processes of its session: itself, and all that it started."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue  # gone meanwhile
            if int(rest.split()[3]) == self.process.pid and rest.split()[0] != "Z":
                found.append(name)
        return found

    def ends(self) -> bool:
        """Is nothing of it left, within some seconds?"""
        end = time.monotonic() + 20
        while self.left() and time.monotonic() < end:
            time.sleep(0.2)
        return self.left() == []


@pytest.fixture(scope="module")
def file(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    pytest.importorskip("ray.serve", reason=MISSING)
    path = tmp_path_factory.mktemp("serve") / "net.pt"
    save(explainer, path)
    return path


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        command(
            str(file), "--port", str(port), "--replicas", "1", "--batch", str(BATCH), "--queue", str(QUEUE),
            "--megabytes", "0.1",
        ),
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stderr
    try:
        said = process.stdout.readline()
        assert said, process.stderr.read()
        yield Server(f"http://127.0.0.1:{port}", process, said)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("photos") / "photos", 12)


@pytest.mark.timeout(300)
def test_it_says_where_it_listens_once_it_answers(server: Server) -> None:
    assert f"at {server.url}: 1 replica of 1 thread" in server.said
    assert server.health() | {"status": "ok", "replicas": 1, "waiting": 0} == server.health()
    assert httpx.get(f"{server.url}/model", trust_env=False).json()["limits"]["requests"] == 2 * BATCH + QUEUE


def test_answers_are_the_rows_of_batch(
    server: Server,
    explainer: Explainer,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    for number, (asked, target) in enumerate([("hires_cam@1", "blue"), ("lrp_epsilon_plus", "top")]):
        out = tmp_path / str(number)
        explain_folder(folder, out, explainer, Questions((asked,), target), batch=1)
        method, _, layer = asked.partition("@")
        fields = {"method": method, "layer": layer, "target": "" if target == "top" else target}
        for row in list(rows_of(out))[:3]:
            found = server.ask((folder / row["path"]).read_bytes(), **fields)
            assert found.status_code == 200, found.text
            same(found.json(), row)


def test_the_other_questions_are_answered_too(server: Server, folder: Path) -> None:
    photo = next(folder.iterdir()).read_bytes()
    classes = server.ask(photo, route="classify", top="2").json()["classes"]
    assert len(classes) == 2 and classes[0]["probability"] >= classes[1]["probability"]
    unit = server.ask(photo, route="unit", layer="1", channel="0", method="saliency").json()
    assert unit["layer"] == "1" and len(unit["place"]) == 2
    trusted = server.ask(photo, route="trust", method="hires_cam", layer="1", target=classes[0]["label"]).json()
    assert trusted["asked"] == classes[0]["label"] and trusted["verdicts"]
    every = server.ask(photo, method="hires_cam", layer="all").json()["maps"]
    assert [map["layer"] for map in every] == [one["name"] for one in server.model()["layers"]]


def test_no_log_tells_what_was_asked(server: Server, folder: Path) -> None:
    photo = next(folder.iterdir()).read_bytes()
    assert server.ask(photo, target="nobody-asks-this").status_code == 422
    assert server.ask(photo, target="blue", contrast="red").status_code == 200
    logs = [path for path in Path("/tmp/ray/session_latest/logs").resolve().rglob("*") if path.is_file()]
    assert any("serve" in str(path) for path in logs)
    for path in logs:
        said = path.read_bytes()
        assert not any(word in said for word in (b"nobody-asks-this", b"blue", b"PNG", b"Choose saliency")), path


def test_people_who_ask_at_once_share_passes_and_a_broken_photo_costs_only_itself(
    server: Server, folder: Path
) -> None:
    photos = [path.read_bytes() for path in sorted(folder.iterdir())]
    photos[5] = b"\x89PNG not really"
    before = server.health()
    with ThreadPoolExecutor(len(photos)) as people:
        found = list(people.map(lambda photo: server.ask(photo, method="hires_cam"), photos))
    after = server.health()
    assert [one.status_code for one in found] == [200] * 5 + [422] + [200] * 6
    assert "not a photo" in found[5].json()["detail"]
    assert after["photos"] - before["photos"] == 11 and after["passes"] - before["passes"] < 11


def test_a_flood_is_told_to_come_again_and_health_is_answered(server: Server, folder: Path) -> None:
    photo = next(folder.iterdir()).read_bytes()
    with ThreadPoolExecutor(80) as people:
        asked = [people.submit(server.ask, photo, method="integrated_gradients") for _ in range(80)]
        server.health()
        found = [one.result() for one in asked]
    refused = [one for one in found if one.status_code != 200]
    assert {one.status_code for one in refused} == {503} and len(refused) < 80
    for one in refused:
        assert one.headers["retry-after"] == "1" and one.json()["detail"].endswith("second.")
    assert server.ask(photo).status_code == 200 and server.health()["waiting"] == 0


def test_what_is_refused_is_a_sentence(server: Server, folder: Path) -> None:
    photo = next(folder.iterdir()).read_bytes()
    for given, status, told in (
        ({"method": "lime"}, 422, "no method 'lime'"), ({"layer": "9"}, 422, "no layer 9"),
        ({"target": "violet"}, 422, "no class 'violet'"), ({"photo": bytes(200_000)}, 413, "0.1 MB at most"),
    ):  # fmt: skip
        found = server.ask(**{"photo": photo} | given)
        assert found.status_code == status and told in found.json()["detail"]
    assert server.ask(photo, accept="image/png").content.startswith(b"\x89PNG")
    lost = httpx.get(f"{server.url}/docs", trust_env=False)
    assert lost.status_code == 404 and "POST /classify, /explain" in lost.json()["detail"]


def test_the_pages_commands_are_answered(server: Server, folder: Path, tmp_path: Path) -> None:
    """Each line of curl, with this network's names in the place of EfficientNet's."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(next(folder.iterdir()), tmp_path / "cat.png")
    page = (ROOT / "docs" / "serving.md").read_text()
    lines = re.findall("^curl .*$", page, re.MULTILINE)
    assert len(lines) == 9
    names = {"http://127.0.0.1:8000": server.url, "blocks.4.2": "1", "Egyptian cat": "blue", "tiger cat": "red"}
    names |= {"deconvnet": "saliency", "guided_backprop": "saliency"}
    for line in lines:
        for name, other in names.items():
            line = line.replace(name, other)
        done = subprocess.run(
            ["sh", "-c", line.replace("curl ", "curl --noproxy '*' --silent --show-error --fail-with-body ")],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")
    found = server.ask((tmp_path / "cat.png").read_bytes()).json()
    told = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    assert {*found} <= {name for row in told for name in re.findall(r"`(\w+)`", row)}


def test_a_port_that_is_taken_is_one_sentence(server: Server, file: Path) -> None:
    port = server.url.rpartition(":")[2]
    done = subprocess.run(
        command(str(file), "--port", port), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: can't serve at 127.0.0.1:{port}: Address already in use.")


@pytest.mark.timeout(120)
def test_it_ends_by_sigterm_with_all_that_it_started(server: Server, folder: Path) -> None:
    photo = next(folder.iterdir()).read_bytes()
    assert len(server.left()) > 4
    with ThreadPoolExecutor(4) as people:
        asked = [people.submit(server.ask, photo, method="integrated_gradients") for _ in range(4)]
        while not server.health()["waiting"] and not all(one.done() for one in asked):
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert [one.result().status_code for one in asked] == [200] * 4  # what was asked is answered still
    _, errors = server.process.communicate(timeout=60)
    assert server.process.returncode == 0 and errors == ""
    assert server.ends(), server.left()


@pytest.mark.timeout(180)
def test_ctrl_c_while_it_starts_leaves_nothing(file: Path) -> None:
    process = subprocess.Popen(
        command(str(file), "--port", str(free_port())), cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    server = Server("", process)
    try:
        while not any("raylet" in name for name in server.left()):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all that stand in it
        process.communicate(timeout=120)
        assert server.ends(), server.left()
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate()
