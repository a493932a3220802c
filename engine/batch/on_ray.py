"""The same rows by many processes, on one machine or a cluster: Ray's actors answer, this process writes.

Each actor loads the file once and answers batches that it reads itself; what it answers comes back and becomes
parts of the same store as the plain loop's, so nothing is written twice whatever dies: an actor's batch that
was lost with its node is answered by another one, and if this process is killed the same command goes on. (Ray
Data's own checkpoints know paths alone, and a resumed run of it can wait for ever for a CPU.)

Whoever has a Ray cluster's token can run any code on it, and older versions have none: keep its ports to a network
of your own.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .answering import Answering
from .questions import Questions, opened
from .run import BATCH, Progress, asked_of, keep, told_of, what_is_left
from .sources import Photo
from .store import Store

PACKAGE = Path(__file__).parents[1]
IN_FLIGHT = 2  # batches that each actor has been given
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 otherwise, and the machine's other work goes first
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "45",  # 5 otherwise, too little for a machine that has much to do
}
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
MISSING = 'more processes are Ray\'s: pip install "convlens[ray]"'


class Answerer:
    """What an actor is: a file that is loaded, and questions."""

    def __init__(self, file: bytes, questions: Questions, threads: int) -> None:
        import cv2
        import torch

        from ..files.artifact import load

        torch.set_num_threads(threads)
        cv2.setNumThreads(1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.pt"
            path.write_bytes(file)
            self.answering = Answering(load(path), questions)

    def rows(self, photos: Sequence[Photo]) -> list[dict[str, Any]]:
        """The rows of some photos, which are read here."""
        return self.answering.rows([(photo, opened(photo)) for photo in photos])


def explain_on_ray(
    source: str | Path,
    out: str | Path,
    file: str | Path,
    questions: Questions | None = None,
    retry_errors: bool = False,
    batch: int = BATCH,
    progress: Callable[[Progress], object] | None = None,
    actors: int | None = None,
    threads: int = 1,
    address: str = "local",
) -> Progress:
    """As `explain_folder`, of a file, by `actors` processes of so many threads each; as many as there are CPUs for
    them unless given.

    address: of a cluster ("auto" finds a running one, "ray://host:10001" another), "local" for one of this machine
    that ends with the call. The file and this code travel there; torch and what else is required is installed
    there. Photos are read there too, so they lie on a shared disk or at an address, see `places`.
    Raises ValueError for what `explain_folder` does, where Ray is missing, and where the CPUs are too few.
    """
    ray = imported(address)
    from ..files.artifact import load

    if batch < 1 or threads < 1 or (actors is not None and actors < 1):
        raise ValueError(f"batch is {batch}, actors {actors}, threads {threads}: each is at least 1")
    questions, explainer = questions or Questions(), load(file)
    Answering(explainer, questions)  # what the file has not is told before anything starts
    store = Store(out, asked_of(explainer, questions), told_of(explainer, source))
    with store.writing():
        photos, left = what_is_left(store, source, explainer, again=False)
        if not left and not retry_errors:
            return keep(store, photos, left, [], progress)
        own = not ray.is_initialized()
        if own:
            join(ray, address)
        try:
            cpus = int(ray.cluster_resources().get("CPU", 0))
            count = max(1, cpus // threads) if actors is None else actors
            if count * threads > cpus:
                raise ValueError(f"{count} actors of {threads} threads take more than the {cpus} CPUs there are")
            if retry_errors:  # which takes their rows away, so it waits for those that make others
                photos, left = what_is_left(store, source, explainer, again=True)
            answers = _answers(ray, Path(file).read_bytes(), questions, left, batch, count, threads)
            return keep(store, photos, left, answers, progress)
        finally:
            if own:
                ray.shutdown()


def imported(address: str, missing: str = MISSING) -> Any:
    """Ray. Raises ValueError, with `missing`, where it is not installed.

    What it starts here asks for a token, which it writes into the home; where it can't, the environment holds one.
    """
    home = Path(os.environ.get("HOME", "/"))
    known = any(os.environ.get(name) for name in TOKENS) or (home / ".ray" / "auth_token").is_file()
    if address == "local" and not known and not os.access(home, os.W_OK):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError(missing) from None
    return ray


def join(ray: Any, address: str, **more: Any) -> None:
    """Start Ray, where the address is "local", or join a cluster, to which this code travels: what actors run is
    the same, on machines that have another version of it too. more: for `ray.init`."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    there = {"py_modules": [str(PACKAGE)], "env_vars": {name: os.environ[name] for name in SETTINGS}}
    here = {} if address == "local" else {"runtime_env": there}
    told = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **told, **here, **more)
    except ConnectionError as error:
        raise ValueError(
            f"{error}: is it there? One that `ray start` began asks for its token: set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN, or have it in ~/.ray/auth_token"
        ) from None


def _answers(
    ray: Any, file: bytes, questions: Questions, photos: Sequence[Photo], batch: int, actors: int, threads: int
) -> Iterator[list[dict[str, Any]]]:
    """The rows of all photos, as they come. An actor that dies is begun anew, and asked again."""
    kind = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=-1)(Answerer)
    program = ray.put(file)
    pool = [kind.remote(program, questions, threads) for _ in range(actors)]
    groups = iter([photos[first : first + batch] for first in range(0, len(photos), batch)])
    asked: dict[Any, Any] = {}

    def ask(actor: Any) -> None:
        group = next(groups, None)
        if group is not None:
            asked[actor.rows.remote(list(group))] = actor

    for _ in range(IN_FLIGHT):
        for actor in pool:
            ask(actor)
    while asked:
        (first, *_), _ = ray.wait(list(asked), num_returns=1)
        actor = asked.pop(first)
        ask(actor)
        yield ray.get(first)
