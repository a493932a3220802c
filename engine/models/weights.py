"""Published weights as files: fetched into torch's cache and checked by their hash."""

import queue
import socket
import threading
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch

from ..errors import WeightsError

TIMEOUT = 10.0  # seconds of silence after which a download is given up
_ONE_DOWNLOAD = threading.Lock()


def cache_path(url: str) -> Path:
    """Return where torch and torchvision keep the file, and look for it."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def fetch(url: str, progress: bool) -> Path:
    """Return the cached file, downloaded first if need be; WeightsError soon after a server falls silent."""
    path = cache_path(url)
    if path.is_file():
        return path
    # torch.hub takes no timeout, so the one for all new sockets is set meanwhile: by one download at a time.
    with _ONE_DOWNLOAD:
        before = socket.getdefaulttimeout()
        try:
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                _reach(url)
                socket.setdefaulttimeout(TIMEOUT)
                torch.hub.download_url_to_file(url, str(path), hash_in_name(path), progress)
        except (OSError, HTTPException, RuntimeError) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise WeightsError(
                "{file} could not be fetched from {url}: {reason}. Put the file into $TORCH_HOME/hub/checkpoints "
                "(TORCH_HOME is ~/.cache/torch where it is not set)",
                file=path.name, url=url, reason=reason(error),
            ) from error  # fmt: skip
        finally:
            socket.setdefaulttimeout(before)
    return path


def arrived(url: str) -> int:
    """How many bytes of a file have come so far, of a download that is on its way; 0 where there is none.

    torch writes them beside the file, under its name and one more: NAME.SOMETHING.partial.
    """
    path = cache_path(url)
    sizes = [part.stat().st_size for part in path.parent.glob(f"{path.name}.*.partial") if part.exists()]
    return max(sizes, default=0)


def _reach(url: str) -> None:
    """Raise OSError unless the server answers in time.

    A socket's timeout counts anew for each address of a host, and never for the name server; a thread can be
    left behind.
    """
    failures: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            urlopen(Request(url, method="HEAD"), timeout=TIMEOUT).close()
            failures.put(None)
        except HTTPError as error:
            error.close()
            failures.put(None)  # an answer, if not a nice one: the download will tell
        except Exception as error:
            failures.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        failure = failures.get(timeout=TIMEOUT)
    except queue.Empty:
        failure = TimeoutError("timed out")
    if failure:
        raise failure


def hash_in_name(path: Path) -> str:
    """Return the start of the file's SHA-256, which publishers put last in its name."""
    return path.stem.rpartition("-")[2]


def reason(error: BaseException) -> str:
    """Return the cause without paths of this machine, which an OSError's own text may carry."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, RuntimeError):
        return f"what arrived is cut off or not the published file ({cause})"
    return str(cause)
