"""What stands on the page, and where: the components by name, with the properties that they open with."""

from pathlib import Path
from typing import Any

import gradio as gr

from . import look, words
from .controls import COLOURS, DEFAULTS
from .examples import small
from .language import ENGLISH, LANGUAGES, language, say
from .state import Props
from .stories import told

# What is said of a place on the picture, and the way to what fires there: the panel fills it in.
PLACE = '<p role="status"></p><button type="button" class="go" data-go="#answer" hidden></button>'
Parts = dict[str, Any]  # the page's components by name; a control has the name of its row in CONTROLS


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
    gr.HTML(lead(), elem_id="lead")
    with gr.Row(elem_id="work"):
        with gr.Column(scale=7, min_width=320, elem_id="stage"):
            lay_out_stage(part, props, frames, ranges)
        with gr.Column(scale=3, min_width=300, elem_id="panel"):
            lay_out_photo(part, examples)
            spoken = {
                "back": say("Back"),
                "next": say("Next"),
                "end": say("Done"),
                "close": say("Close the story"),
            }
            gr.HTML(words.stories(), elem_id="stories", js_on_load=look.STORIES, stories=told(), words=spoken)
            gr.HTML(link(), elem_id="link")
            lay_out_panel(part, props, model, random)
    part["panels"] = gr.HTML(**props["panels"], elem_id="panels", js_on_load=look.PANELS)
    part["answer"] = gr.HTML(elem_id="answer", js_on_load=look.ANSWER)
    with gr.Accordion(say("About this picture, the model and its file"), open=False):
        part["notes"] = gr.Markdown(**props["notes"])
        part["take"] = gr.Button(say("Download the model with its explanations"), size="sm")
        part["file"] = gr.DownloadButton(elem_id="model-file", elem_classes="away")
    return part


def wipe() -> str:
    """The handle that draws the photo over the map, as HTML."""
    told = say("How much of the photo lies over the map")
    handle = f'<input type="range" min="0" max="100" value="0" step="1" aria-label="{told}">'
    return f"<label>{say('Map')} {handle} {say('photo')}</label>"


def link() -> str:
    """What copies the address, as HTML."""
    return f'<button type="button" class="link">{say("Copy a link to this")}</button><span role="status"></span>'


def lead() -> str:
    """The name of the page, what it is for, and the same page in other languages, as HTML. page.js takes the state
    along, as far as an address can tell it."""
    own = f"<small hidden>{say('Your own photo stays behind.')}</small>"
    others = "".join(
        f'<a lang="{name}" hreflang="{name}" href="{"./" if name == ENGLISH else name}">{told}</a>'
        for name, told in LANGUAGES.items()
        if name != language()
    )
    return f'<h1>{words.TITLE}</h1><p>{say(words.LEAD)}</p><div class="languages">{own}{others}</div>'


def lay_out_stage(part: Parts, props: Props, frames: list[tuple[str, str]], ranges: list[str]) -> None:
    """Lay out the picture and what changes how it is made. ranges: of the raw values of each layer, in words."""
    part["heading"] = gr.HTML(**props["heading"], elem_id="heading", js_on_load=look.HEADING)
    # What the sentence and the methods stand for, where the handlers find it.
    part["target"] = gr.Number(**props["target"], label="target", elem_classes="away")
    part["contrast"] = gr.Number(**props["contrast"], label="contrast", elem_classes="away")
    part["method"] = gr.Textbox(**props["method"], label="method", elem_classes="away")
    part["asked"] = gr.HTML(elem_classes="away", js_on_load=look.ASKED)
    part["wish"] = gr.HTML(elem_classes="away", js_on_load=look.WISHES)
    part["address"] = gr.HTML(**props["address"], elem_classes="away")
    with gr.Tabs(**props["tabs"]) as part["tabs"]:
        with gr.Tab(say("One layer"), id="one"):
            part["picture"] = gr.Image(
                **props["picture"], show_label=False, interactive=False, container=False,
                buttons=["download", "fullscreen"], elem_id="picture",
            )  # fmt: skip
            part["stop"] = gr.Button(say("Stop"), size="sm", elem_id="stop")
            gr.HTML(PLACE, elem_id="place")
            gr.HTML(wipe(), elem_id="wipe")
        with gr.Tab(say("Every layer"), id="every"):
            part["frames"] = gr.Gallery(
                frames, show_label=False, interactive=False, allow_preview=False, columns=6,
                object_fit="contain", buttons=[], elem_id="frames",
            )  # fmt: skip
            part["lay"] = gr.Button(say("Download the contact sheet"), size="sm")
            part["sheet"] = gr.DownloadButton(elem_id="sheet-file", elem_classes="away")
    part["classes"] = gr.Label(
        **props["classes"], show_label=False, show_heading=False, container=False, elem_id="classes"
    )
    part["layer"] = gr.Slider(1, **props["layer"], step=1, label=say("Layer"), interactive=True, elem_id="layer")
    part["stages"] = gr.HTML(**props["stages"], elem_id="stages")
    part["line"] = gr.HTML(**props["line"], elem_id="line")
    part["legend"] = gr.HTML(**props["legend"], elem_id="legend")
    part["range"] = gr.HTML(**props["range"], elem_id="range")
    part["trust"] = gr.HTML(**props["trust"], elem_id="trust")
    with gr.Row(elem_id="takeaway"):
        texts = {"card": say("Share card"), "film": say("Animation"), "pack": say("Everything as ZIP")}
        for name, text in texts.items():
            part[name] = gr.Button(text, size="sm", min_width=0, scale=0, **props.get(name, {}))
            part[f"{name}_file"] = gr.DownloadButton(elem_id=f"{name}-file", elem_classes="away")
    part["ranges"] = gr.JSON(ranges, elem_classes="away")  # those of all layers, for the slider
    part["methods"] = gr.HTML(**props["methods"], elem_id="method")
    part["about"] = gr.HTML(**props["about"], elem_id="about")
    shows = [(say("on the photo"), "overlay"), (say("alone"), "alone")]
    views = [(say("all"), "all"), (say("positive"), "positive"), (say("negative"), "negative")]
    scales = [(say("each its own"), "own"), (say("one for all"), "common")]
    places = [(say("the image"), "image"), (say("every layer"), "layers")]
    with gr.Row(elem_id="view"):
        part["at"] = gr.Radio(places, value=DEFAULTS["at"], label=say("Read at"), **props["at"])
        part["view"] = gr.Radio(views, value=DEFAULTS["view"], label=say("Values"), **props["view"])
        part["gray"] = gr.Checkbox(DEFAULTS["gray"], label=say("Gray"), **props["gray"])
        part["show"] = gr.Radio(shows, value=DEFAULTS["show"], label=say("Heatmap"), **props["show"])
        part["strength"] = gr.Slider(
            0, 1, DEFAULTS["strength"], step=0.05, label=say("Strength"), **props["strength"]
        )
        colours = [(name.capitalize(), name) for name in COLOURS]
        part["colours"] = gr.Radio(colours, value=DEFAULTS["colours"], label=say("Colours"), **props["colours"])
        part["scale"] = gr.Radio(scales, value=DEFAULTS["scale"], label=say("Scale over layers"), **props["scale"])


def lay_out_photo(part: Parts, examples: list[Path]) -> None:
    """Lay out the photo and the ways to bring another; page.js feeds drops, pastes and the camera to the button.

    gradio's own photo box would clear itself, open no chooser and lose what is dropped once it holds a photo, so
    this one only shows.
    """
    with gr.Row(elem_id="bring"):
        part["photo"] = gr.Image(
            str(examples[0]), type="filepath", image_mode=None, show_label=False, interactive=False,
            container=False, buttons=[], scale=0, min_width=0, elem_id="photo",
            alt_text=say("The photo, to change it"),
        )  # fmt: skip
        with gr.Column(min_width=120):
            part["own"] = gr.UploadButton(say("Your photo"), variant="primary", elem_id="own-photo")
            gr.Button(say("Camera"), size="sm", elem_id="own-camera")
            gr.HTML(say(words.BRING), elem_id="bring-line")
    part["examples"] = gr.Dataset(
        components=[gr.Image(render=False)], samples=[[str(small(path))] for path in examples], type="index",
        label=say("Examples"), elem_id="examples",
    )  # fmt: skip


def lay_out_panel(part: Parts, props: Props, model: str, random: bool) -> None:
    """Lay out the model."""
    part["model"] = gr.Dropdown(
        **props["model"], value=model, label=say("Model"), num_choices_shown=None, elem_id="model"
    )
    part["untrained"] = gr.Checkbox(
        DEFAULTS["untrained"], label=say("Random weights, to try it without the download"), visible=random
    )
    part["opening"] = gr.HTML(elem_id="opening", html_template='<p role="status">${value}</p>')
    part["open"] = gr.JSON(**props["open"], elem_classes="away")  # the model that the page shows, for the handlers
