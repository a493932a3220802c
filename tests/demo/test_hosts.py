"""What hosts rely on: nothing of visitors stays, refusals are sentences, strangers fill no disk."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from engine import MODELS
from engine.demo.limits import OWN, PUBLIC, Limits
from engine.demo.question import Question, RefusalError
from engine.demo.studio import Studio
from tests.demo.hands import LITE, ROOT, answers, free_port, served

SMALL = """
import sys
from pathlib import Path
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
        (model,) = [part for part in config["components"] if part["props"].get("elem_id") == "model"]
        offered = {name for _, name in model["props"]["choices"]}
        assert LITE in offered and "vgg16" not in offered
        labels = [
            part["props"].get("label") or "" for part in config["components"] if part["props"].get("visible")
        ]
        assert not any(label.startswith("Random weights") for label in labels)
