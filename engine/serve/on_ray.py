"""The server as processes of Ray: replicas that compute, and one door that they stand behind.

    HTTP ──► Ray's proxy ──► door (web) ──► queue ──► replica: joins what came together ──► Answers

The door computes nothing, so it tells of health and refuses what is too much while all replicas are busy. A
replica that dies is begun anew by Ray.
"""

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.schema import LoggingConfig

from .answers import Answers
from .messages import Answer, Request
from .question import Facts, RefusedError
from .settings import Settings
from .web import AGAIN, Door, web

APP, REPLICAS = "convlens", "Replicas"
ENDING = 10.0  # seconds in which what has been asked is answered still
LAST_BYTES = 0.3  # seconds in which the last answer has left
FRESH = 1.0  # seconds for which it is remembered how many replicas are ready
QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)  # what people ask stands in no file


class Replica:
    """A process that answers. path: of the file, digest: of its bytes, so that no other one takes its place."""

    def __init__(self, path: str, digest: str, settings: Settings) -> None:
        self.worker = ThreadPoolExecutor(1, initializer=_in_worker, initargs=(settings.threads,))
        self.answers = self.worker.submit(_opened, path, digest, settings.passes).result()
        self.joined = serve.batch(
            max_batch_size=settings.batch, batch_wait_timeout_s=settings.wait, max_concurrent_batches=1
        )(self._together)

    async def answer(self, asked: Request) -> Answer:
        """The answer to one request, from a pass that others may share."""
        found: Answer = await self.joined(asked)
        return found

    async def _together(self, requests: list[Request]) -> list[Answer]:
        """In a thread of its own, so that this one takes in what comes meanwhile, and answers Ray."""
        return await asyncio.get_running_loop().run_in_executor(self.worker, self.answers.of, requests)


class ByReplicas:
    """Replicas, asked from the door."""

    def __init__(self) -> None:
        self.replicas = serve.get_deployment_handle(REPLICAS, APP)
        self._ready, self._asked = 0, float("-inf")

    async def answer(self, asked: Request) -> Answer:
        """An answer. Raises RefusedError where the queue is full, or the replica died over it."""
        try:
            found: Answer = await self.replicas.answer.remote(asked)
            return found
        except BackPressureError:
            raise RefusedError(503, "The queue is full at the moment. Ask again in a second.", AGAIN) from None
        except (RayServeException, RayError):
            raise RefusedError(503, "Nobody could answer that. Ask again in a moment.", AGAIN) from None

    async def ready(self) -> int:
        """How many replicas take questions, asked anew once in FRESH seconds."""
        now = asyncio.get_running_loop().time()
        if now - self._asked > FRESH:
            self._asked, self._ready = now, await asyncio.wait_for(asyncio.to_thread(running), 5)
        return self._ready


class Front:
    """The process of the door, which `routes` puts here, so that it can be told to close."""

    door: Door | None = None

    def __init__(self, replicas: Any) -> None:
        self.replicas = replicas  # bound, so that Ray starts them first

    async def close(self) -> None:
        """Let nobody in any more, and return once all have their answer, or ENDING seconds later."""
        if Front.door is not None:
            await asyncio.wait_for(Front.door.close(), ENDING)
            await asyncio.sleep(LAST_BYTES)


def running() -> int:
    """How many replicas take questions."""
    deployments = serve.status().applications[APP].deployments
    return int(deployments[REPLICAS].replica_states.get("RUNNING", 0))


def start(path: Path, facts: Facts, settings: Settings, host: str, port: int) -> None:
    """Serve a file on the Ray that this process has joined; returns once questions are answered.

    Raises RuntimeError where the replicas don't start, or nothing can listen there.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # the command tells what there is to tell
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host=host, port=port), logging_config=QUIET)
    replicas = serve.deployment(
        name=REPLICAS, num_replicas=settings.replicas, ray_actor_options={"num_cpus": settings.threads},
        max_ongoing_requests=settings.ongoing, max_queued_requests=settings.queue, logging_config=QUIET,
        graceful_shutdown_timeout_s=ENDING, graceful_shutdown_wait_loop_s=0.2, max_constructor_retry_count=2,
    )(Replica).bind(str(path.resolve()), digest, settings)  # fmt: skip

    def routes() -> Any:
        Front.door = Door(ByReplicas(), facts, settings)
        return web(Front.door)

    # Whoever finds no place is told so by the door itself, so it takes in all who come.
    door = serve.deployment(
        name="Door", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=10_000, logging_config=QUIET,
        graceful_shutdown_timeout_s=ENDING, graceful_shutdown_wait_loop_s=0.2,
    )(serve.ingress(routes)(Front))  # fmt: skip
    serve.run(door.bind(replicas), name=APP, route_prefix="/", logging_config=QUIET)


def stop(own: bool) -> None:
    """End it, with an answer to what has been asked. own: is all of Serve this server's?"""
    with suppress(Exception):  # it may not have come so far, or be past answering: it ends all the same
        serve.get_app_handle(APP).close.remote().result(timeout_s=ENDING + LAST_BYTES + 1)
    if own:
        serve.shutdown()
    else:
        serve.delete(APP)


def _in_worker(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(1)


def _opened(path: str, digest: str, passes: int) -> Answers:
    """The answers of a file, which has answered once. Raises ValueError where it is another one by now."""
    import torch

    from ..files.artifact import load

    if hashlib.sha256(Path(path).read_bytes()).hexdigest() != digest:
        raise ValueError(f"{Path(path).name} is another file than when the server was started")
    explainer = load(path)
    # Its kernels are laid out at the first question: nobody waits for that.
    explainer.forward(torch.zeros(1, len(explainer.geometry.mean), *explainer.geometry.crop))
    return Answers(explainer, passes)
