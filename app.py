"""The demo: a photo in, what a network saw in it out, at every layer. `python app.py --help` tells the options."""

# ruff: noqa: E402 - what is imported below reads what `prepare` sets
import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ui import start

start.prepare()

import gradio as gr
import skimage.data
from gradio.events import api
from gradio.utils import get_upload_folder

from engine import EXPORTED_MODELS, MODELS, WeightsError
from engine.models.zoo import DEFAULT_MODEL
from ui import look, words
from ui.desk import Desk, pick_layer
from ui.question import CONTROLS, Question
from ui.state import Props, merge, offered, shown
from ui.studio import Studio

EXAMPLES = ("chelsea.png", "coffee.png", "camera.png", "rocket.jpg")  # the page opens with the first one explained
MAX_UPLOAD = "20mb"
HOUR, DAY = 3600, 86400  # seconds

Parts = dict[str, Any]  # the page's components by name; a control has the name that CONTROLS gives it


def write_examples(folder: Path) -> list[Path]:
    """Copy scikit-image's photos where visitors may fetch them. Its own loader takes a third of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(Path(skimage.data.data_dir, name), folder / name)) for name in EXAMPLES]


def lay_out(props: Props, frames: list[tuple[str, str]], model: str, examples: list[Path]) -> Parts:
    """Lay out the page as it opens: with a photo, explained."""
    part: Parts = {}
    gr.HTML(f"<h1>{words.TITLE}</h1><p>{words.LEAD}</p>", elem_id="lead")
    with gr.Row(elem_id="work"):
        with gr.Column(scale=7, min_width=320, elem_id="stage"):
            lay_out_stage(part, props, frames)
        with gr.Column(scale=3, min_width=300, elem_id="panel"):
            lay_out_panel(part, props, model, examples)
    with gr.Accordion("About this picture, the model and its file", open=False):
        part["notes"] = gr.Markdown(**props["notes"])
        part["take"] = gr.Button("Download the model with its explanations", size="sm")
        part["file"] = gr.DownloadButton(elem_id="model-file", elem_classes="away")
    return part


def lay_out_stage(part: Parts, props: Props, frames: list[tuple[str, str]]) -> None:
    """Lay out the picture and what changes how it is made."""
    part["heading"] = gr.HTML(**props["heading"], elem_id="heading")
    with gr.Tabs(**props["tabs"]) as part["tabs"]:
        with gr.Tab("One layer", id="one"):
            part["picture"] = gr.Image(
                **props["picture"], show_label=False, interactive=False, container=False,
                buttons=["download", "fullscreen"], elem_id="picture",
            )  # fmt: skip
            part["layer"] = gr.Slider(
                1, **props["layer"], step=1, label="Layer", interactive=True, elem_id="layer"
            )
            part["line"] = gr.HTML(**props["line"], elem_id="line")
        with gr.Tab("Every layer", id="every", **props["every"]) as part["every"]:
            part["frames"] = gr.Gallery(
                frames, show_label=False, interactive=False, allow_preview=False, columns=6,
                object_fit="contain", buttons=[], elem_id="frames",
            )  # fmt: skip
            part["lay"] = gr.Button("Download the contact sheet", size="sm")
            part["sheet"] = gr.DownloadButton(elem_id="sheet-file", elem_classes="away")
    part["legend"] = gr.HTML(**props["legend"], elem_id="legend")
    part["method"] = gr.Radio(**props["method"], label="Method", elem_id="method")
    part["about"] = gr.HTML(**props["about"], elem_id="about")
    shows = [("on the photo", "overlay"), ("alone", "alone")]
    with gr.Row(elem_id="view"):
        part["view"] = gr.Radio(
            ["all", "positive", "negative"], value=CONTROLS["view"], label="Values", **props["view"]
        )
        part["gray"] = gr.Checkbox(CONTROLS["gray"], label="Gray", **props["gray"])
        part["show"] = gr.Radio(shows, value=CONTROLS["show"], label="Heatmap", **props["show"])
        part["strength"] = gr.Slider(0, 1, CONTROLS["strength"], step=0.05, label="Strength", **props["strength"])


def lay_out_panel(part: Parts, props: Props, model: str, examples: list[Path]) -> None:
    """Lay out the photo, the model and the classes."""
    part["photo"] = gr.Image(
        str(examples[0]), type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
        label="Photo", height=210, buttons=[], elem_id="photo",
    )  # fmt: skip
    gr.Examples([[str(path)] for path in examples], part["photo"], elem_id="examples", api_visibility="private")
    part["model"] = gr.Dropdown(
        **props["model"], value=model, label="Model", num_choices_shown=None, elem_id="model"
    )
    part["untrained"] = gr.Checkbox(CONTROLS["untrained"], label="Random weights, to try it without the download")
    part["classes"] = gr.Label(
        **props["classes"], label="What the model sees: click to explain", show_heading=False, elem_id="classes"
    )
    with gr.Row():
        part["target"] = gr.Dropdown(**props["target"], label="Explain", min_width=120, elem_id="target")
        part["contrast"] = gr.Dropdown(**props["contrast"], label="Rather than", min_width=120)


def wire(demo: gr.Blocks, part: Parts, props: Props, desk: Desk) -> None:
    """Connect the controls with their handlers, which set `props`."""
    film: dict[str, Any] = {
        "inputs": [part["layer"], part["frames"], part["picture"], part["line"]],
        "outputs": [part["picture"], part["line"]],
    }
    # Values come as they were posted: read_question checks more than gradio's preprocessing does.
    asking: dict[str, Any] = {
        "inputs": {part[name] for name in CONTROLS},
        "preprocess": False,
        "trigger_mode": "always_last",
        "concurrency_id": "engine",
        "api_visibility": "private",
    }
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": part["picture"]}
    told = asking | waiting | {"outputs": [part[name] for name in props]}

    looks = [part[name].input for name in ("method", "view", "gray", "show", "strength")]
    models = [part[name].input for name in ("model", "untrained")]
    # Downloads have a lane of their own, so that nobody's picture waits for them.
    opening = asking | waiting | {"concurrency_id": "models", "outputs": []}
    for event in (
        gr.on(looks, desk.explain_look, **told),
        gr.on([part["target"].input, part["contrast"].input], desk.explain_class, **told),
        part["classes"].select(desk.explain_click, **told),
        part["photo"].change(desk.explain_photo, **told),
        gr.on(models, desk.open_model, **opening).success(desk.explain_model, **told),
    ):
        drawn = event.success(desk.draw_frames, **asking, outputs=part["frames"], show_progress="hidden")
        drawn.success(None, **film, js=look.FRESH)

    demo.load(None, **film, js=look.FRESH)
    part["layer"].input(None, **film, js=look.SHOW)
    picked = part["frames"].select(pick_layer, None, [part["layer"], part["tabs"]], api_visibility="private")
    picked.success(None, **film, js=look.SHOW)
    # A DownloadButton that makes its own file would have to be clicked twice.
    for button, draw, link in (("lay", desk.draw_sheet, "sheet"), ("take", desk.take_model, "file")):
        made = part[button].click(draw, **asking, outputs=part[link])
        made.success(None, js=f"() => document.querySelector('#{part[link].elem_id}').click()")
    api(desk.ask, api_name="explain", concurrency_id="engine")


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
        wire(demo, part, props, Desk(part, studio, uploads))
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


def main() -> None:
    """Read the options and serve until interrupted."""
    parser = argparse.ArgumentParser(description=words.LEAD)
    parser.add_argument("--share", action="store_true", help="make a public link too, for a week")
    parser.add_argument("--host", help="address to serve at: 127.0.0.1, or 0.0.0.0 for other machines too")
    parser.add_argument("--port", type=int, help="port to serve at: the first free one from 7860 on")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, choices=MODELS, metavar="NAME", help="model to open with"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convlens-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("GRADIO_TEMP_DIR", folder)  # photos and pictures of visitors go when the demo goes
        try:
            demo = build(options.model)
        except WeightsError as error:
            parser.exit(1, f"{error}\n")
        launch(demo, server_name=options.host, server_port=options.port, share=options.share)


if __name__ == "__main__":
    main()
