"""Downloads: into the cache, shown, checked, shared, and given up in time."""

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import WeightsError
from engine.models import loading
from engine.models import weights as weights_room
from tests.models.conftest import TINY, Publish


@contextmanager
def serve(body: bytes, *, status: int = 200, stall: bool = False, announce: int | None = None) -> Iterator[str]:
    """A server that is asked for `body` once, and then falls silent if told to `stall`.

    `announce` is the length that it promises.
    """
    done, sent = threading.Event(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announce is None else announce))
            self.end_headers()

        def do_GET(self) -> None:
            sent.append(self.path)
            self.do_HEAD()
            self.wfile.write(body)
            self.wfile.flush()
            if stall:
                done.wait(20)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        done.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(sent) == 1


def test_download_lands_in_torch_home_with_a_progress_bar(
    cache: Path, publish: Publish, tiny_file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(tiny_file) as base:
        file = publish(TINY, tiny_file, base)
        loading.load_model(TINY)
    assert (cache / file).read_bytes() == tiny_file
    assert "100%" in capsys.readouterr().err
    assert socket.getdefaulttimeout() is None
    loading.load_model(TINY, progress=False)  # the server is gone: from the cache
    assert capsys.readouterr() == ("", "")


def failure(name: str = TINY) -> str:
    """Load, expect a WeightsError; return its text."""
    socket.setdefaulttimeout(77.0)
    try:
        with pytest.raises(WeightsError) as caught:
            loading.load_model(name, progress=False)
        assert socket.getdefaulttimeout() == 77.0
        return str(caught.value)
    finally:
        socket.setdefaulttimeout(None)


def nothing_left(cache: Path) -> bool:
    return not any(cache.iterdir())


def test_refused_connection_says_what_to_do(cache: Path, publish: Publish) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        file = publish(TINY, b"x", f"http://127.0.0.1:{unused.getsockname()[1]}")
        text = failure()
    assert "Connection refused" in text
    assert file in text
    assert "$TORCH_HOME/hub/checkpoints" in text
    assert str(cache.parent) not in text
    assert "efficientnet_lite0" in text
    assert nothing_left(cache)


def test_models_that_work_now_include_the_cached(cache: Path, publish: Publish) -> None:
    cache.mkdir(parents=True)
    (cache / publish("resnet18", b"y")).write_bytes(b"y")
    publish(TINY, b"x")
    text = failure()
    assert "(efficientnet_lite0, resnet18)" in text


@pytest.mark.timeout(15)  # the other side would wait for ever
def test_silent_server_is_given_up(cache: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        publish(TINY, b"x", f"http://127.0.0.1:{silent.getsockname()[1]}")
        text = failure()
    assert "timed out" in text
    assert nothing_left(cache)


@pytest.mark.timeout(15)  # the other side would wait for 20 seconds
@pytest.mark.usefixtures("cache")
def test_name_server_that_hangs_is_given_up(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    publish(TINY, b"x", "http://weights.invalid")
    text = failure()
    released.set()
    assert "timed out" in text


@pytest.mark.timeout(15)  # the other side would wait for 20 seconds
def test_server_that_stops_half_way_is_given_up(
    cache: Path, publish: Publish, tiny_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    with serve(tiny_file[:100_000], stall=True, announce=len(tiny_file)) as base:
        publish(TINY, tiny_file, base)
        text = failure()
    assert "timed out" in text
    assert nothing_left(cache)


@pytest.mark.parametrize("kind", ["truncated", "changed"])
def test_wrong_body_is_told_and_not_kept(kind: str, cache: Path, publish: Publish, tiny_file: bytes) -> None:
    body = tiny_file[:100_000] if kind == "truncated" else tiny_file + b"!"
    with serve(body, announce=len(tiny_file) if kind == "truncated" else None) as base:
        publish(TINY, tiny_file, base)
        text = failure()
    assert "cut off or not the published file" in text
    assert hashlib.sha256(tiny_file).hexdigest()[:8] in text
    assert nothing_left(cache)


def test_missing_file_on_the_server_is_told(cache: Path, publish: Publish) -> None:
    with serve(b"gone", status=404) as base:
        publish(TINY, b"x", base)
        text = failure()
    assert "the server answers 404 Not Found" in text
    assert nothing_left(cache)


def test_unwritable_torch_home_is_told(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    publish(TINY, b"x")
    text = failure()
    assert "Not a directory" in text
    assert str(tmp_path) not in text


def test_changed_file_in_the_cache_is_told(cache: Path, publish: Publish, tiny_file: bytes) -> None:
    file = publish(TINY, tiny_file)
    cache.mkdir(parents=True)
    (cache / file).write_bytes(tiny_file[:-1])
    text = failure()
    assert f"{file} is cut off or not the published file" in text
    assert str(cache) not in text


def test_two_threads_share_one_download(cache: Path, publish: Publish, tiny_file: bytes) -> None:
    loaded: list[loading.Model] = []

    def load() -> None:
        loaded.append(loading.load_model(TINY, progress=False))

    with serve(tiny_file) as base:
        publish(TINY, tiny_file, base)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(loaded) == 4
    assert len(list(cache.iterdir())) == 1
    assert socket.getdefaulttimeout() is None
