"""The demo: a photo in, what a network saw in it out, at every layer. `python app.py --help` tells the options."""

# ruff: noqa: E402 - what is imported below reads what `prepare` sets
import argparse
import contextlib
import errno
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import start

start.prepare()

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from .. import EXPORTED_MODELS, MODELS, WeightsError
from ..models.zoo import DEFAULT_MODEL
from ..serve.ports import try_port
from ..text import nearest
from . import health, log, look, pages, scripts, words
from .controls import DEFAULT_METHOD, RefusalError
from .desk import Desk
from .examples import write_examples
from .interface import open_to_programs
from .language import ENGLISH, LANGUAGES
from .layout import Parts, lay_out
from .limits import OWN, PUBLIC, Limits, Uploads
from .offer import OwnModel, find
from .preview import Preview
from .programs import Programs
from .question import Question
from .refusals import Sentences, in_sentences
from .state import merge, offered, shown
from .studio import Studio
from .wiring import wire

__all__ = ["Parts", "build", "launch", "lay_out", "main", "wire", "write_examples"]

MAX_UPLOAD = "20mb"
HOUR, DAY = 3600, 86400  # seconds
FIRST_PORT = 7860  # gradio's own
MCP = 'pip install "gradio[mcp]>=6.31,<7"'


def build(
    model: str = DEFAULT_MODEL,
    artifacts: Path = EXPORTED_MODELS,
    limits: Limits = OWN,
    own: Sequence[OwnModel] = (),
) -> Any:
    """Make the page, with the first example explained. own: files that its host has put there, see `offer.find`.

    Raises WeightsError where the model can't be had, RefusalError where `limits` do not offer it.
    """
    uploads = Path(get_upload_folder())
    studio = Studio(uploads / "views", artifacts, limits, own)
    studio.examples = examples = write_examples(uploads / "examples")
    method = studio.open(model, "default").method(DEFAULT_METHOD)
    scene = studio.scene(Question(examples[0], model, method=method))
    studio.pinned.add(studio.home(scene))
    random = limits.random or any(artifacts.glob("*-random.pt"))

    def page() -> None:
        """The page, in the language that is spoken."""
        props = merge(shown(scene, studio.picture(scene), examples), offered(scene, studio.offer))
        frames = [(str(path), line) for path, line in studio.frames(scene)]
        ranges = [scene.range_told(layer) for layer in scene.layers]
        part = lay_out(props, frames, ranges, model, examples, random)
        wire(demo, part, props, Desk(part, studio, uploads, examples, model))

    with gr.Blocks(title=words.TITLE, delete_cache=(HOUR, DAY)) as demo:
        page()
        open_to_programs(demo, Programs(studio, uploads, model))
    for language in LANGUAGES:
        if language != ENGLISH:
            pages.add(demo, language, page)
    log.watch(demo)
    in_sentences(demo)
    demo.studio, demo.preview = studio, Preview(studio, examples, uploads, model)  # for `launch`
    # One more than there are cores, so that none waits while a question is read or its answer is on the way. Those
    # who wait are told their place each second, and not after each question.
    demo.queue(api_open=False, max_size=64, default_concurrency_limit=studio.cores.count + 1, status_update_rate=1)
    return demo


def launch(demo: gr.Blocks, limits: Limits = OWN, **options: Any) -> Any:
    """Serve the page with its looks and limits; `options` as gradio's `launch` takes them."""
    uploads = Middleware(Uploads, folder=Path(get_upload_folder()), bound=limits.uploads)
    healthy = Middleware(health.Health, demo=demo, studio=vars(demo)["studio"])
    told = Middleware(pages.Pages, preview=vars(demo)["preview"])
    around = [Middleware(Sentences), healthy, uploads, told]
    return demo.launch(
        theme=look.THEME, css=look.CSS, head=scripts.HEAD, max_file_size=MAX_UPLOAD, ssr_mode=False,
        footer_links=["api"], app_kwargs={"middleware": around}, **options,
    )  # fmt: skip


def free_port(host: str | None, port: int | None) -> int:
    """The port that is asked for, or the first free one from 7860 on. Raises OSError where there is none.

    Tried before anything is built: a page takes seconds to build, and gradio tells of a taken port by a traceback.
    """
    for candidate in [port] if port else range(FIRST_PORT, FIRST_PORT + 100):
        try:
            try_port(host or "127.0.0.1", candidate)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
            continue
        return candidate
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + 99} is free")


def stop(*signal: object) -> None:
    """What SIGTERM does, as `docker stop` sends it: the same as Ctrl+C."""
    health.stopping.set()
    raise KeyboardInterrupt


def options_parser() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(description=words.LEAD)
    parser.add_argument("--share", action="store_true", help="make a public link too, for a week")
    parser.add_argument("--host", help="address to serve at: 127.0.0.1, or 0.0.0.0 for other machines too")
    parser.add_argument("--port", type=int, help="port to serve at: the first free one from 7860 on")
    parser.add_argument("--model", metavar="NAME", help="model to open with, one of your own files or of the list")
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="FOLDER|FILE.pt",
        help="your own ConvLens files, as `convlens export` writes them; loading one runs it",
    )  # fmt: skip
    parser.add_argument("--public", action="store_true", help="for a page that strangers visit: smaller bounds")
    parser.add_argument("--mcp", action="store_true", help="offer what programs may ask as tools of MCP too")
    parser.add_argument("--log", metavar="FILE|-", help="write a line for each question; - is standard output")
    return parser


def model_of(name: str | None, own: Sequence[OwnModel]) -> str:
    """The model to open with: the one that is named (a file with or without its ending), else the first of one's
    own, else the default. Raises ValueError for a name that nobody has."""
    known = {alias: model.name for model in reversed(own) for alias in (model.path.stem, model.name)}
    if name is None:
        return own[0].name if own else DEFAULT_MODEL
    if name not in known and name not in MODELS:
        raise ValueError(f"invalid choice: {name!r}; {nearest(name, [*known, *MODELS])}")
    return name if name in MODELS else known[name]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, those of the command line if None, and serve until interrupted."""
    parser = options_parser()
    options = parser.parse_args(arguments)
    own, complaints = find(options.models)
    for complaint in complaints:
        print(f"{complaint}. The page opens without it.", file=sys.stderr)
    try:
        model = model_of(options.model, own)
    except ValueError as error:
        parser.error(f"argument --model: {error}")
    if options.mcp and importlib.util.find_spec("mcp") is None:
        parser.exit(1, f"--mcp needs a package that is not installed: {MCP}\n")
    if options.log:
        try:
            log.write_to(options.log)
        except OSError as error:
            parser.exit(1, f"can't write the log to {options.log}: {error.strerror}.\n")
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
            demo = build(model, limits=limits, own=own)
        except (WeightsError, RefusalError) as error:
            parser.exit(1, f"{error}\n")
        launch(
            demo, limits, server_name=host, server_port=port, share=options.share, mcp_server=options.mcp or None
        )


if __name__ == "__main__":
    main()
