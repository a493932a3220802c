"""What stands on the page, and where: the components by name, with the properties that they open with."""

from pathlib import Path
from typing import Any

import gradio as gr

from . import words
from .question import CONTROLS
from .state import Props

Parts = dict[str, Any]  # the page's components by name; a control has the name that CONTROLS gives it


def lay_out(
    props: Props,
    frames: list[tuple[str, str]],
    ranges: list[str],
    model: str,
    examples: list[Path],
    random: bool = True,
) -> Parts:
    """Lay out the page as it opens: with a photo, explained. random: may models have random weights?"""
    part: Parts = {}
    gr.HTML(f"<h1>{words.TITLE}</h1><p>{words.LEAD}</p>", elem_id="lead")
    with gr.Row(elem_id="work"):
        with gr.Column(scale=7, min_width=320, elem_id="stage"):
            lay_out_stage(part, props, frames, ranges)
        with gr.Column(scale=3, min_width=300, elem_id="panel"):
            lay_out_photo(part, examples)
            lay_out_panel(part, props, model, random)
    with gr.Accordion("About this picture, the model and its file", open=False):
        part["notes"] = gr.Markdown(**props["notes"])
        part["take"] = gr.Button("Download the model with its explanations", size="sm")
        part["file"] = gr.DownloadButton(elem_id="model-file", elem_classes="away")
    return part


def lay_out_stage(part: Parts, props: Props, frames: list[tuple[str, str]], ranges: list[str]) -> None:
    """Lay out the picture and what changes how it is made. ranges: of the raw values of each layer, in words."""
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
    part["range"] = gr.HTML(**props["range"], elem_id="range")
    part["ranges"] = gr.JSON(ranges, elem_classes="away")  # those of all layers, for the slider
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


def lay_out_photo(part: Parts, examples: list[Path]) -> None:
    """Lay out the photo and the ways to bring another; page.js feeds drops, pastes and the camera to the button.

    gradio's own photo box would clear itself, open no chooser and lose what is dropped once it holds a photo, so
    this one only shows.
    """
    with gr.Row(elem_id="bring"):
        part["photo"] = gr.Image(
            str(examples[0]), type="filepath", image_mode=None, show_label=False, interactive=False,
            container=False, buttons=[], scale=0, min_width=0, elem_id="photo",
        )  # fmt: skip
        with gr.Column(min_width=120):
            part["own"] = gr.UploadButton("Your photo", variant="primary", elem_id="own-photo")
            gr.Button("Camera", size="sm", elem_id="own-camera")
            gr.HTML(words.BRING, elem_id="bring-line")
    part["examples"] = gr.Dataset(
        components=[gr.Image(render=False)], samples=[[str(path)] for path in examples], type="index",
        label="Examples", elem_id="examples",
    )  # fmt: skip


def lay_out_panel(part: Parts, props: Props, model: str, random: bool) -> None:
    """Lay out the model and the classes."""
    part["model"] = gr.Dropdown(
        **props["model"], value=model, label="Model", num_choices_shown=None, elem_id="model"
    )
    part["untrained"] = gr.Checkbox(
        CONTROLS["untrained"], label="Random weights, to try it without the download", visible=random
    )
    part["opening"] = gr.HTML(elem_id="opening", html_template='<p role="status">${value}</p>')
    part["open"] = gr.JSON(**props["open"], elem_classes="away")  # the model that the page shows, for the handlers
    part["classes"] = gr.Label(
        **props["classes"], label="What the model sees: click to explain", show_heading=False, elem_id="classes"
    )
    with gr.Row():
        part["target"] = gr.Dropdown(**props["target"], label="Explain", min_width=120, elem_id="target")
        part["contrast"] = gr.Dropdown(**props["contrast"], label="Rather than", min_width=120)
