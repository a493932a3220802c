"""Which handler each control of the page has."""

from typing import Any

import gradio as gr

from . import look
from .controls import CONTROLS, VIEW
from .desk import Desk, pick_layer
from .layout import Parts
from .state import Props

# What the slider reads in the browser: it sets the picture, its line and its range.
FILM = ("layer", "frames", "picture", "line", "ranges", "range")


def wire(demo: gr.Blocks, part: Parts, props: Props, desk: Desk) -> None:
    """Connect the controls with their handlers, which set `props`."""
    film: dict[str, Any] = {
        "inputs": [part[name] for name in FILM],
        "outputs": [part[name] for name in ("picture", "line", "range")],
    }
    controls = {*(part[name] for name in CONTROLS), part["open"]}
    # Values come as they were posted: read_question checks more than gradio's preprocessing does.
    asking: dict[str, Any] = {
        "inputs": controls,
        "preprocess": False,
        "trigger_mode": "always_last",
        "concurrency_id": "engine",
        "api_visibility": "private",
    }
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": part["picture"]}
    told = asking | waiting | {"outputs": [part[name] for name in props]}
    photos = told | {"outputs": [*told["outputs"], part["photo"]]}

    inputs, outputs = {*controls, part["asked"]}, [*photos["outputs"], part["untrained"]]
    asked = part["asked"].input(desk.explain_asked, **photos | {"inputs": inputs, "outputs": outputs})

    view = [part[name].input for name in VIEW]
    models = [part[name].input for name in ("model", "untrained")]
    # Downloads have a lane of their own, so that nobody's picture waits for them.
    opening = asking | {"concurrency_id": "models", "outputs": part["opening"], "show_progress": "hidden"}
    opened = gr.on(models, desk.open_model, **opening)
    # After a failure the controls are those of the model that is shown.
    opened.failure(None, part["open"], [part["model"], part["untrained"], part["opening"]], js=look.BACK)
    for event in (
        gr.on(view, desk.explain_look, **told),
        asked,
        part["own"].upload(desk.explain_photo, **photos | {"inputs": {*controls, part["own"]}}),
        part["examples"].click(desk.explain_example, **photos | {"inputs": {*controls, part["examples"]}}),
        opened.success(desk.explain_model, **told),
    ):
        drawn = event.success(
            desk.draw_frames, **asking, outputs=[part["frames"], part["ranges"]], show_progress="hidden"
        )
        drawn.success(None, **film, js=look.FRESH)

    part["stop"].click(desk.stop, api_visibility="private", queue=False)
    wishing = asking | {"inputs": {*controls, part["wish"]}, "outputs": part["answer"], "show_progress": "minimal"}
    part["wish"].input(desk.draw_panel, **wishing)
    demo.load(None, **film, js=look.FRESH)
    part["address"].change(None, part["address"], js=look.TRAVEL)
    part["layer"].change(None, **film, js=look.SHOW)
    picked = part["frames"].select(pick_layer, None, [part["layer"], part["tabs"]], api_visibility="private")
    picked.success(None, **film, js=look.SHOW)
    # A DownloadButton that makes its own file would have to be clicked twice.
    for button, draw, link in (
        ("lay", desk.draw_sheet, "sheet"),
        ("card", desk.draw_card, "card_file"),
        ("film", desk.draw_film, "film_file"),
        ("pack", desk.pack, "pack_file"),
        ("take", desk.take_model, "file"),
    ):
        made = part[button].click(draw, **asking, outputs=part[link])
        made.success(None, js=f"() => document.querySelector('#{part[link].elem_id}').click()")
