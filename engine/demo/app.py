"""The demo: a photo in, what a network saw in it out, at every layer. `python app.py --help` tells the options."""

# ruff: noqa: E402 - what is imported below reads what `prepare` sets
import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import start

start.prepare()

import gradio as gr
import skimage.data
from gradio.utils import get_upload_folder

from .. import EXPORTED_MODELS, MODELS, WeightsError
from ..models.zoo import DEFAULT_MODEL
from . import look, words
from .desk import Desk
from .layout import Parts, lay_out
from .question import Question
from .state import merge, offered, shown
from .studio import Studio
from .wiring import wire

__all__ = ["EXAMPLES", "Parts", "build", "launch", "lay_out", "main", "wire", "write_examples"]

EXAMPLES = ("chelsea.png", "coffee.png", "camera.png", "rocket.jpg")  # the page opens with the first one explained
MAX_UPLOAD = "20mb"
HOUR, DAY = 3600, 86400  # seconds


def write_examples(folder: Path) -> list[Path]:
    """Copy scikit-image's photos where visitors may fetch them. Its own loader takes a third of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(Path(skimage.data.data_dir, name), folder / name)) for name in EXAMPLES]


def build(model: str = DEFAULT_MODEL, artifacts: Path = EXPORTED_MODELS) -> Any:
    """Make the page, with the first example explained. Raises WeightsError where the model can't be had."""
    uploads = Path(get_upload_folder())
    studio = Studio(uploads / "views", artifacts)
    examples = write_examples(uploads / "examples")
    scene = studio.scene(Question(examples[0], model))
    studio.pinned.add(studio.home(scene))
    props = merge(shown(scene, studio.picture(scene)), offered(scene))
    frames = [(str(path), line) for path, line in studio.frames(scene)]
    with gr.Blocks(title=words.TITLE, delete_cache=(HOUR, DAY)) as demo:
        part = lay_out(props, frames, model, examples)
        wire(demo, part, props, Desk(part, studio, uploads, examples))
    # One more than there are cores, so that none waits while a question is read or its answer is on the way. Those
    # who wait are told their place each second, and not after each question.
    demo.queue(api_open=False, max_size=64, default_concurrency_limit=studio.cores.count + 1, status_update_rate=1)
    return demo


def launch(demo: gr.Blocks, **options: Any) -> Any:
    """Serve the page with its looks and limits; `options` as gradio's `launch` takes them."""
    return demo.launch(
        theme=look.THEME, css=look.CSS, head=look.HEAD, max_file_size=MAX_UPLOAD, ssr_mode=False,
        footer_links=["api"], **options,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, those of the command line if None, and serve until interrupted."""
    parser = argparse.ArgumentParser(description=words.LEAD)
    parser.add_argument("--share", action="store_true", help="make a public link too, for a week")
    parser.add_argument("--host", help="address to serve at: 127.0.0.1, or 0.0.0.0 for other machines too")
    parser.add_argument("--port", type=int, help="port to serve at: the first free one from 7860 on")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, choices=MODELS, metavar="NAME", help="model to open with"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="convlens-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("GRADIO_TEMP_DIR", folder)  # photos and pictures of visitors go when the demo goes
        try:
            demo = build(options.model)
        except WeightsError as error:
            parser.exit(1, f"{error}\n")
        launch(demo, server_name=options.host, server_port=options.port, share=options.share)


if __name__ == "__main__":
    main()
