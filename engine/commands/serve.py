"""Serve a file to programs."""

import argparse
import json
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..batch.answering import Answering
from ..batch.on_ray import imported, join
from ..batch.questions import Questions
from ..files.artifact import load, save
from ..files.shelf import open_model
from ..run.explainer import Explainer
from ..serve.facts import facts_of
from ..serve.ports import try_port
from ..serve.settings import Settings

MISSING = 'a server is Ray\'s: pip install "convlens[serve]"'
FIRST_ANSWER = 60.0  # seconds after which a server that has started and does not answer is given up
STORE = 256 << 20  # bytes of shared memory for photos on their way; more of them lie on the disk


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl+C."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        _serve(options)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _end(*signal: object) -> None:
    """What SIGTERM does, as `docker stop` sends it: the same as Ctrl+C."""
    raise KeyboardInterrupt


def _serve(options: argparse.Namespace) -> None:
    ray = imported(options.address, MISSING)
    try:
        try_port(options.host, options.port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"{options.host}:{options.port}"
        raise ValueError(f"can't serve at {where}: {reason}. Choose another --host or --port.") from None
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        file = file_of(options.model, Path(folder))
        explainer = load(file)
        Answering(explainer, Questions((explainer.methods[0],)))  # a network without classes is told of now
        _on_ray(ray, options, file, explainer)


def file_of(model: str, folder: Path) -> Path:
    """The file that is named; of a model's name its own, written into a folder."""
    if model.endswith(".pt"):
        return Path(model)
    save(open_model(model), folder / "model.pt")
    return folder / "model.pt"


def settings_of(options: argparse.Namespace, cpus: int) -> Settings:
    """What is asked for, as far as so many CPUs go: as many replicas as there are CPUs for, unless it is said.
    Raises ValueError where they are too few."""
    threads = options.threads
    replicas = max(1, cpus // max(1, threads)) if options.replicas is None else options.replicas
    settings = Settings(replicas, threads, options.batch, options.queue, bytes=round(options.megabytes * 1e6))
    if replicas * threads > cpus:
        raise ValueError(f"{replicas} replicas of {threads} threads take more than the {cpus} CPUs there are")
    return settings


@contextmanager
def _signals_wait() -> Iterator[None]:
    """What would end this process meanwhile does so afterwards: Ray that is interrupted while it starts or ends
    leaves processes behind. Ray puts a handler of its own on SIGTERM, which goes here too."""
    came: list[int] = []
    ends = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _on_ray(ray: Any, options: argparse.Namespace, file: Path, explainer: Explainer) -> None:
    """Start Ray, or join it, and serve there until somebody ends it."""
    own = options.address == "local"
    store = {"object_store_memory": STORE} if own else {}
    try:
        with _signals_wait():
            join(ray, options.address, **store)
        from ..serve import on_ray

        settings = settings_of(options, int(ray.cluster_resources().get("CPU", 0)))
        try:
            facts = facts_of(explainer, settings)
            try:
                on_ray.start(file, facts, settings, options.host, options.port)
            except RuntimeError as error:  # with a traceback of the replica's in it
                raise ValueError(f"the server did not start: {str(error).strip().splitlines()[-1]}") from None
            told = _first_answer(options.host, options.port)
            print(_ready(told, settings, options), flush=True)
            while True:
                signal.pause()
        finally:
            with _signals_wait():
                on_ray.stop(own)
    finally:
        with _signals_wait():
            ray.shutdown()


def _first_answer(host: str, port: int) -> dict[str, Any]:
    """What the server tells of itself. Raises ValueError where it does not answer."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url, end = f"http://{f'[{here}]' if ':' in here else here}:{port}/healthz", time.monotonic() + FIRST_ANSWER
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with direct.open(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, ValueError):
            if time.monotonic() > end:
                raise ValueError(f"the server has started and does not answer at {url}") from None
            time.sleep(0.1)


def _ready(told: dict[str, Any], settings: Settings, options: argparse.Namespace) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    who = f"{settings.replicas} replica{'s' if settings.replicas > 1 else ''}"
    each = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    return f"{told['model']} at http://{host}:{options.port}: {who} of {each}. Ctrl+C ends it."
