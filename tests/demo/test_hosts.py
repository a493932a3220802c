"""What hosts rely on: nothing of visitors stays, refusals are sentences, strangers fill no disk."""

import importlib.util
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from engine import MODELS, PhotoError
from engine.demo import health, log
from engine.demo.app import MCP, main, stop
from engine.demo.controls import RefusalError
from engine.demo.cores import Cores
from engine.demo.desk import plainly
from engine.demo.language import LANGUAGES, say, speaking
from engine.demo.limits import OWN, PUBLIC, Limits
from engine.demo.programs import ENDPOINTS, Programs
from engine.demo.question import Question
from engine.demo.refusals import UNREADABLE
from engine.demo.studio import Studio
from tests.demo.hands import LITE, ROOT, SERVE, answers, free_port, post, served

SMALL = """
import sys
from pathlib import Path
from typing import Any
from engine.demo.app import build, launch
from engine.demo.limits import Limits
limits = Limits(uploads=400_000, random=False, largest=120e6)
launch(build(artifacts=Path(sys.argv[1]), limits=limits), limits, server_port=int(sys.argv[2]), quiet=True)
"""


@contextmanager
def started(folder: Path, artifacts: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`python app.py`, as a host starts it."""
    port = free_port()
    own = {"GRADIO_TEMP_DIR": str(folder / "temporary"), "CONVLENS_HOME": str(artifacts)}
    command = [sys.executable, "-W", "ignore", "app.py", "--port", str(port), *options]
    server = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        while not answers(url):
            assert server.poll() is None, server.stderr and server.stderr.read()
            time.sleep(0.2)
        yield url, server
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_photos_of_visitors_go_when_the_demo_goes(
    ending: signal.Signals, artifacts: Path, chelsea: Path, tmp_path: Path
) -> None:
    with started(tmp_path, artifacts) as (url, server):
        Client(url, verbose=False).predict(photo=handle_file(str(chelsea)), api_name="/explain")
        assert len([*(tmp_path / "temporary").rglob("chelsea.png")]) == 2  # the example, and the upload
        server.send_signal(ending)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []
    assert "Traceback" not in errors


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "app.py", "--port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == (
        f"can't serve at 127.0.0.1:{port}: Address already in use. Choose another --host or --port.\n"
    )


def test_a_page_for_strangers_offers_small_models_and_draws_no_weights(artifacts: Path, tmp_path: Path) -> None:
    studio = Studio(tmp_path, artifacts, PUBLIC)
    assert {name for name in MODELS if PUBLIC.offers(name)} >= {LITE, "resnet50", "squeezenet1_1"}
    assert not PUBLIC.offers("vgg16")
    assert OWN.offers("vgg16")
    with pytest.raises(RefusalError, match=r"VGG16 is too large for this page\. Choose a smaller model"):
        studio.open("vgg16", "default")
    with pytest.raises(RefusalError, match=r"draws no random weights for ShuffleNetV2 x0.5"):
        studio.open("shufflenet_v2_x0_5", "random")
    studio.open(LITE, "default")


def test_prepared_random_weights_stay_on_offer(artifacts: Path, tmp_path: Path) -> None:
    name = "squeezenet1_1"
    Studio(tmp_path / "own", artifacts, OWN).open(name, "random")
    assert Studio(tmp_path / "public", artifacts, PUBLIC).open(name, "random").labels


def test_a_full_disk_takes_no_further_model(artifacts: Path, tmp_path: Path) -> None:
    Studio(tmp_path, artifacts).open(LITE, "default")
    studio = Studio(tmp_path, artifacts, Limits(artifacts=1000))
    with pytest.raises(RefusalError, match=r"no room for another model. Choose one of EfficientNet-Lite0"):
        studio.open("mnasnet0_5", "random")
    studio.open(LITE, "default")  # what is there stays on offer


def test_models_in_memory_are_bounded_by_their_bytes(artifacts: Path, tmp_path: Path) -> None:
    studio = Studio(tmp_path, artifacts, Limits(memory=70e6))
    for name, weights in ((LITE, "default"), ("squeezenet1_1", "random"), (LITE, "default")):
        studio.open(name, weights)
        assert studio._models.total <= 70e6 or len(studio._models) == 1
    assert studio.open(LITE, "default").size > 40e6  # three times 18 MB: the two together would not fit


def test_pictures_are_bounded_by_their_bytes(artifacts: Path, chelsea: Path, tmp_path: Path) -> None:
    studio = Studio(tmp_path, artifacts, Limits(pictures=300_000))
    for target in range(6):
        scene = studio.scene(Question(chelsea, LITE, target=target))
        studio.picture(scene)
        studio.frames(scene)
        assert studio._homes.total <= 300_000 or len(studio._homes) == 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) <= 2


def test_uploads_beyond_the_bound_are_refused_in_a_sentence(
    artifacts: Path, chelsea: Path, tmp_path: Path
) -> None:
    """Posted to the route itself, as somebody would who wants to fill the disk."""
    with served(artifacts, tmp_path, SMALL) as site:
        photo, seen = chelsea.read_bytes(), set[int]()
        for number in range(12):
            files = {"files": (f"{number}.png", photo + bytes([number]))}
            answer = httpx.post(f"{site}gradio_api/upload", files=files)
            seen.add(answer.status_code)
        assert seen == {200, 507}
        assert answer.text == "The disk of this page is full of photos at the moment. Try again in some hours."
        unmeasured = httpx.post(f"{site}gradio_api/upload", content=iter([b"x" * 1000]))
        assert unmeasured.status_code == 411
        taken = sum(path.stat().st_size for path in tmp_path.rglob("*.png") if "examples" not in path.parts)
        assert taken <= 400_000


def test_the_api_of_a_page_for_strangers_refuses_what_the_page_does_not_offer(
    artifacts: Path, chelsea: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"  # without the random weights that another test has prepared
    models.mkdir()
    (models / f"{LITE}.pt").hardlink_to(artifacts / f"{LITE}.pt")
    (tmp_path / "site").mkdir()
    with served(models, tmp_path / "site", SMALL) as site:
        client = Client(site, verbose=False)
        with pytest.raises(AppError, match="VGG16 is too large for this page"):
            client.predict(photo=handle_file(str(chelsea)), model="vgg16", api_name="/explain")
        config = httpx.get(f"{site}config").json()
        models = [part["props"] for part in config["components"] if part["props"].get("elem_id") == "model"]
        assert len(models) == len(LANGUAGES)  # one on each page
        for model in models:
            offered = {name for _, name in model["choices"]}
            assert LITE in offered and "vgg16" not in offered
        labels = {
            part["props"].get("label") or "" for part in config["components"] if part["props"].get("visible")
        }
        for language in LANGUAGES:
            with speaking(language):
                assert say("Random weights, to try it without the download") not in labels
                assert say("Model") in labels


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("gradio_api/queue/join", {"fn_index": 10**9, "data": [], "session_hash": "x"}),
        ("gradio_api/api/predict", {"data": ["x"]}),
    ],
)
def test_what_gradios_own_routes_fail_at_is_a_sentence(site: str, path: str, body: dict[str, Any]) -> None:
    answer = httpx.post(f"{site}{path}", json=body, headers={"referer": f"{site}zh-CN"})
    assert answer.status_code == 400
    with speaking("zh-CN"):
        assert answer.json() == {"detail": say(UNREADABLE)}
    assert httpx.post(f"{site}{path}", json=body).json() == {"detail": UNREADABLE}


def test_the_page_tells_that_it_is_well(site: str) -> None:
    answer = httpx.get(f"{site}healthz")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.pop("models") >= 1
    assert told == {"status": "ok", "waiting": 0}
    assert httpx.head(f"{site}healthz").status_code == 200
    assert httpx.post(f"{site}healthz").status_code == 405


class Queued:
    """What `health` reads of a page: three questions wait."""

    _queue = (1, 2, 3)


def test_an_engine_that_does_not_answer_and_a_page_that_ends_are_not_well(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"models": studio.opened, "waiting": 3}
    assert health.health(Queued, studio) == (200, {"status": "ok"} | told)  # type: ignore[arg-type]
    monkeypatch.setattr(studio.cores, "answers", lambda: False)
    assert health.health(Queued, studio) == (503, {"status": "no answer"} | told)  # type: ignore[arg-type]
    monkeypatch.setattr(health, "stopping", threading.Event())
    with pytest.raises(KeyboardInterrupt):
        stop()
    assert health.health(Queued, studio) == (503, {"status": "stopping"} | told)  # type: ignore[arg-type]


def test_cores_answer_while_they_are_busy_but_not_for_ever() -> None:
    cores, end, begun = Cores(2), threading.Event(), threading.Barrier(3)

    def work() -> None:
        begun.wait()
        end.wait(60)

    with ThreadPoolExecutor(2) as visitors:
        assert cores.answers()
        asked = [visitors.submit(cores.run, work) for _ in range(2)]
        begun.wait()
        assert cores.answers(longest=60)
        assert not cores.answers(longest=0)
        end.set()
        wait(asked)
    assert cores.answers()
    for worker in cores._workers:
        worker.shutdown()
    assert not cores.answers()


LINE = re.compile(
    r"[\d-]{10}T[\d:]{8}Z (\w+) model=(\S+) method=(\S+) layers=(\S+) ms=\d+ "
    r"(ok|refused|photo|weights|\w+@\w+\.py:\d+)"
)


def test_one_line_for_each_question_and_nothing_of_visitors(
    artifacts: Path, chelsea: Path, tmp_path: Path
) -> None:
    written = tmp_path / "questions.log"
    (tmp_path / "my-diary.txt").write_text("not a photo")
    photo, other = handle_file(str(chelsea)), handle_file(str(tmp_path / "my-diary.txt"))
    with started(tmp_path, artifacts, "--log", str(written)) as (url, server):
        client = Client(url, verbose=False)
        client.predict(photo=photo, api_name="/classify")
        client.predict(photo=photo, layer=3, method="grad_cam", api_name="/explain")
        client.predict(photo=photo, api_name="/sweep")
        for given in ({"method": "rise\nforged ok"}, {"target": 1000}, {"photo": other}, {"model": "vgg16"}):
            with pytest.raises(AppError):
                client.predict(**({"photo": photo} | given), api_name="/explain")
        post(url, "explain_asked", [])  # a handler of the page
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    text = written.read_text()
    lines = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(lines), text
    assert [line.groups() for line in lines if line][:7] == [
        ("classify", LITE, "-", "-", "ok"),
        ("explain", LITE, "grad_cam", "3", "ok"),
        ("sweep", LITE, "hires_cam", "all", "ok"),
        ("explain", LITE, "-", "73", "refused"),
        ("explain", LITE, "-", "73", "refused"),
        ("explain", LITE, "-", "-", "photo"),
        ("explain", "vgg16", "-", "-", "weights"),
    ]
    for private in (str(tmp_path), "chelsea", "diary", "forged"):
        assert private not in text


def test_the_page_s_own_questions_are_told_too(caplog: pytest.LogCaptureFixture) -> None:
    def explain(refuse: bool) -> None:
        log.tell(model="my cats.pt", layers=4)
        if refuse:
            with plainly():
                raise PhotoError("cat.png is damaged")

    caplog.set_level("INFO", log.LOGGER.name)
    log.logged("explain_look", explain)(False)
    with pytest.raises(gr.Error):
        log.logged("explain_look", explain)(True)
    with pytest.raises(ZeroDivisionError):
        log.logged("explain_look", lambda: 1 // 0)()
    told = [re.sub(r"(ms=|py:)\d+", r"\g<1>0", record.getMessage()) for record in caplog.records]
    assert told == [
        "explain_look model=my_cats.pt method=- layers=4 ms=0 ok",
        "explain_look model=my_cats.pt method=- layers=4 ms=0 photo",
        "explain_look model=- method=- layers=- ms=0 ZeroDivisionError@test_hosts.py:0",
    ]


@pytest.mark.parametrize(
    ("options", "missing", "sentence"),
    [
        (["--log", "/no/such/folder/log"], "", "can't write the log to /no/such/folder/log: No such file"),
        (["--mcp"], "mcp", '--mcp needs a package that is not installed: pip install "gradio[mcp]>=6.31,<7"\n'),
    ],
)
def test_what_a_host_can_t_have_is_one_sentence(
    options: list[str],
    missing: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(sentence)


def test_the_tools_of_mcp_are_the_endpoints(artifacts: Path, tmp_path: Path) -> None:
    pytest.importorskip("mcp", reason='MCP is an extra: pip install "gradio[mcp]"', exc_type=ImportError)
    (project,) = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "gradio[mcp]" in line]
    assert MCP.split('"')[1] in project
    with served(artifacts, tmp_path, SERVE.replace("quiet=True", "quiet=True, mcp_server=True")) as site:
        tools = httpx.get(f"{site}gradio_api/mcp/schema").json()
    assert [tool["name"] for tool in tools] == [*ENDPOINTS]
    for tool in tools:
        assert tool["description"].startswith(inspect.getdoc(ENDPOINTS[tool["name"]]).partition("\n")[0])
        assert {*tool["inputSchema"]["properties"]} == {*inspect.signature(ENDPOINTS[tool["name"]]).parameters} - {
            "self"
        }
        assert all(part["description"] for part in tool["inputSchema"]["properties"].values())


SPACES = """
import pickle
asked = []
def GPU(function):
    def call(*given, **named):
        asked.append(given[0].__name__)
        given, named = pickle.loads(pickle.dumps((given, named)))
        return pickle.loads(pickle.dumps(function(*given, **named)))
    return call
"""


def test_where_there_is_zero_gpu_the_engine_runs_inside_of_it(
    artifacts: Path, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that goes there and comes back is pickled, as it is on its way to another process."""
    (tmp_path / "spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(tmp_path)
    studio = Studio(tmp_path / "views", artifacts)
    shutil.copy(chelsea, tmp_path / "cat.png")
    scene = studio.scene(Question(tmp_path / "cat.png", LITE, target=1, contrast=2))
    assert studio.picture(scene).is_file()
    programs, photo = Programs(studio, tmp_path, LITE), {"path": str(tmp_path / "cat.png")}
    programs.classify(photo)  # type: ignore[arg-type]
    assert programs.explain(photo, method="smooth_grad", options={"steps": 2})[3]["passes"] == 2  # type: ignore[arg-type]
    programs.unit(photo, layer=3, channel=0)  # type: ignore[arg-type]
    assert sys.modules.pop("spaces").asked == ["classify", "survey", "classify", "ask", "unit"]


def test_a_forked_process_computes_without_the_threads_that_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = Cores(2)
    monkeypatch.setattr(cores, "_process", -1)
    monkeypatch.setattr(cores, "_workers", [])
    threads = torch.get_num_threads()
    try:
        assert cores.run(torch.get_num_threads) == 1
    finally:
        torch.set_num_threads(threads)
