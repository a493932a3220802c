"""The demo: a photo in, what a network saw in it out, at every layer. `python app.py --help` tells the options."""

# ruff: noqa: E402 - what is imported below reads what `prepare` sets
import argparse
import contextlib
import errno
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import start

start.prepare()

import gradio as gr
import skimage.data
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from .. import EXPORTED_MODELS, MODELS, WeightsError
from ..models.zoo import DEFAULT_MODEL
from . import look, words
from .desk import Desk
from .layout import Parts, lay_out
from .limits import OWN, PUBLIC, Limits, Uploads
from .question import Question, RefusalError
from .state import merge, offered, shown
from .studio import Studio
from .wiring import wire

__all__ = ["EXAMPLES", "Parts", "build", "launch", "lay_out", "main", "wire", "write_examples"]

EXAMPLES = ("chelsea.png", "coffee.png", "camera.png", "rocket.jpg")  # the page opens with the first one explained
MAX_UPLOAD = "20mb"
HOUR, DAY = 3600, 86400  # seconds
FIRST_PORT = 7860  # gradio's own


def write_examples(folder: Path) -> list[Path]:
    """Copy scikit-image's photos where visitors may fetch them. Its own loader takes a third of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(Path(skimage.data.data_dir, name), folder / name)) for name in EXAMPLES]


def build(model: str = DEFAULT_MODEL, artifacts: Path = EXPORTED_MODELS, limits: Limits = OWN) -> Any:
    """Make the page, with the first example explained.

    Raises WeightsError where the model can't be had, RefusalError where `limits` do not offer it.
    """
    uploads = Path(get_upload_folder())
    studio = Studio(uploads / "views", artifacts, limits)
    examples = write_examples(uploads / "examples")
    scene = studio.scene(Question(examples[0], model))
    studio.pinned.add(studio.home(scene))
    props = merge(shown(scene, studio.picture(scene)), offered(scene, limits))
    random = limits.random or any(artifacts.glob("*-random.pt"))
    frames = [(str(path), line) for path, line in studio.frames(scene)]
    ranges = [scene.range_told(layer) for layer in scene.layers]
    with gr.Blocks(title=words.TITLE, delete_cache=(HOUR, DAY)) as demo:
        part = lay_out(props, frames, ranges, model, examples, random)
        wire(demo, part, props, Desk(part, studio, uploads, examples))
    # One more than there are cores, so that none waits while a question is read or its answer is on the way. Those
    # who wait are told their place each second, and not after each question.
    demo.queue(api_open=False, max_size=64, default_concurrency_limit=studio.cores.count + 1, status_update_rate=1)
    return demo


def launch(demo: gr.Blocks, limits: Limits = OWN, **options: Any) -> Any:
    """Serve the page with its looks and limits; `options` as gradio's `launch` takes them."""
    uploads = Middleware(Uploads, folder=Path(get_upload_folder()), bound=limits.uploads)
    return demo.launch(
        theme=look.THEME, css=look.CSS, head=look.HEAD, max_file_size=MAX_UPLOAD, ssr_mode=False,
        footer_links=["api"], app_kwargs={"middleware": [uploads]}, **options,
    )  # fmt: skip


def free_port(host: str | None, port: int | None) -> int:
    """The port that is asked for, or the first free one from 7860 on. Raises OSError where there is none.

    Tried before anything is built: a page takes seconds to build, and gradio tells of a taken port by a traceback.
    """
    for candidate in [port] if port else range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket(socket.AF_INET6 if ":" in (host or "") else socket.AF_INET) as trial:
            # As servers do: an address whose connections have just been closed is free.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host or "127.0.0.1", candidate))
            except OSError as error:
                if port or error.errno != errno.EADDRINUSE:
                    raise
                continue
            return candidate
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + 99} is free")


def stop(*signal: object) -> None:
    """What SIGTERM does, as `docker stop` sends it: the same as Ctrl+C."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, those of the command line if None, and serve until interrupted."""
    parser = argparse.ArgumentParser(description=words.LEAD)
    parser.add_argument("--share", action="store_true", help="make a public link too, for a week")
    parser.add_argument("--host", help="address to serve at: 127.0.0.1, or 0.0.0.0 for other machines too")
    parser.add_argument("--port", type=int, help="port to serve at: the first free one from 7860 on")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, choices=MODELS, metavar="NAME", help="model to open with"
    )
    parser.add_argument("--public", action="store_true", help="for a page that strangers visit: smaller bounds")
    options = parser.parse_args(arguments)
    limits = PUBLIC if options.public else OWN
    host = options.host or os.environ.get("GRADIO_SERVER_NAME")  # gradio's own names, which Spaces set
    asked = options.port or int(os.environ.get("GRADIO_SERVER_PORT", 0)) or None
    try:
        port = free_port(host, asked)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"{host or '127.0.0.1'}:{asked or FIRST_PORT}"
        parser.exit(1, f"can't serve at {where}: {reason}. Choose another --host or --port.\n")
    signal.signal(signal.SIGTERM, stop)
    # Photos and pictures of visitors go when the demo goes; those of a demo that was killed stay in the folder
    # that GRADIO_TEMP_DIR names, so that a host can clear it.
    if place := os.environ.get("GRADIO_TEMP_DIR"):
        Path(place).mkdir(parents=True, exist_ok=True)
    temporary = tempfile.TemporaryDirectory(prefix="convlens-", dir=place, ignore_cleanup_errors=True)
    with temporary as folder, contextlib.suppress(KeyboardInterrupt):
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            demo = build(options.model, limits=limits)
        except (WeightsError, RefusalError) as error:
            parser.exit(1, f"{error}\n")
        launch(demo, limits, server_name=host, server_port=port, share=options.share)


if __name__ == "__main__":
    main()
