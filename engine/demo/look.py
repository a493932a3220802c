"""How the page looks, and what gradio calls in the browser; the looks of panels lie beside them."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from ..pictures.colours import colors_of
from .controls import COLOURS

# Monochrome was the one bundled theme without a serious contrast fault. The fonts come with gradio, from no other
# host; of IBM Plex Sans, its file for weight 600 lacks most letters.
THEME = gr.themes.Monochrome(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="zinc",
    radius_size="lg",
    spacing_size="md",
    font=(LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
    font_mono=(LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"),
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_width="1px",
    block_border_color="*neutral_200",
    block_border_color_dark="*neutral_800",
    block_shadow="none",
    block_title_text_weight="700",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_300",
    block_title_text_size="*text_sm",
    input_background_fill="*neutral_100",
    input_background_fill_dark="*neutral_800",
    slider_color="*primary_600",
    slider_color_dark="*primary_400",
    link_text_color="*primary_700",
    link_text_color_dark="*primary_300",
    button_border_width="1px",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_border_color="*primary_600",
    button_primary_border_color_dark="*primary_600",
    button_secondary_border_color="*neutral_300",
    button_secondary_border_color_dark="*neutral_700",
    button_secondary_background_fill_dark="*neutral_800",
    checkbox_background_color_selected="*primary_600",
    checkbox_background_color_selected_dark="*primary_400",
    checkbox_label_background_fill="*neutral_100",
    checkbox_label_background_fill_dark="*neutral_800",
    checkbox_label_background_fill_selected="*primary_600",
    checkbox_label_background_fill_selected_dark="*primary_600",
    checkbox_label_text_color_selected="white",
    stat_background_fill="*primary_500",
    stat_background_fill_dark="*primary_400",
)


def ramp(colormap: str) -> str:
    """A colormap as CSS, for the legend."""
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colors_of(colormap)[::15])
    return f"i.{colormap} {{ background: linear-gradient(90deg, {stops}); }}\n"


HERE = Path(__file__).parent
SHEETS = [HERE / "page.css", *sorted((HERE / "panels").glob("*.css"))]
CSS = "".join(path.read_text(encoding="utf-8") for path in SHEETS)
CSS += "".join(ramp(name) for name in (*COLOURS, "coolwarm"))

# gradio calls these with the values of the components that `wire` names.
SHOW, FRESH, TRAVEL = (
    f"(...given) => window.convlensPage.{name}(...given)" for name in ("show", "fresh", "travel")
)
# Components of the page's own: gradio runs these where they are mounted.
HEADING, ASKED = (f"window.convlensPage.{name}(element, props, trigger)" for name in ("heading", "asked"))
STORIES = "window.convlensStories.stories(element, props)"
PANELS, WISHES = (f"window.convlensPanels.{name}(element, props, trigger)" for name in ("panels", "wishes"))
ANSWER = "window.convlensPanels.answer(element, watch)"

# After a failure: the model's controls from what the page shows, and no sentence about a model on its way.
BACK = "(open) => [open.model, open.untrained, '']"
