"""How the page looks, and what runs in the browser."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

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

CSS = """
.gradio-container { margin: 0 auto !important; max-width: 1400px !important;
    padding: 18px clamp(14px, 3vw, 32px) 8px !important; --tall: clamp(240px, min(54vh, 76vw), 640px); }
.gradio-container > .main { padding: 0 !important; }
.gradio-container .html-container, .gradio-container .prose { padding: 0; }
#lead .prose { display: flex; align-items: baseline; gap: 2px 14px; flex-wrap: wrap; }
#lead h1 { margin: 0; font-size: 24px; letter-spacing: -0.02em; }
#lead p, #heading p, #about .prose { margin: 0; color: var(--body-text-color-subdued); }
#work { gap: 20px 32px; margin-top: 8px; }
#stage, #panel { gap: 14px; }
#stage .form, #stage .form > * { border: none; background: none; box-shadow: none; overflow: visible; }

#heading h2 { margin: 0; font-size: 22px; line-height: 1.25; font-weight: 400; }
#heading h2 b { font-weight: 700; }
#stage .tabs { position: relative; }
#stage .tabitem { padding: 0; }
#stage .tab-wrapper { margin-bottom: 10px; }
#picture { border-width: 0 !important; border-radius: 14px; background: var(--input-background-fill); }
#picture .image-container, #picture .image-frame, #picture button:has(img) { width: 100%; height: var(--tall); }
#picture img { width: 100%; height: 100%; object-fit: contain; }
#frames { border-width: 0 !important; background: none; }
#frames .grid-wrap { height: calc(var(--tall) + 60px); max-height: none; }
#frames .grid-container { grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); padding: 0; }
#frames .caption-label { font: 11px var(--font-mono); max-width: 100%; }

#layer { padding: 4px 2px; overflow: visible; }
#line .prose { font: 13px var(--font-mono); color: var(--body-text-color-subdued); margin-top: -6px; }
#legend .prose { display: flex; align-items: center; gap: 10px; font-size: 13px; }
#legend .prose, #legend span { color: var(--body-text-color-subdued); }
#legend i { flex: 0 1 130px; height: 8px; border-radius: 4px; outline: 1px solid var(--block-border-color); }
i.turbo { background: linear-gradient(90deg,
    #30123b, #4669e0, #26bce1, #3ff58c, #a4fc3c, #ecd03a, #fb7e21, #ca2a04, #7a0403); }
#range .prose { font-size: 13px; color: var(--body-text-color-subdued); margin-top: -8px; }
i.red.all { background: linear-gradient(90deg, rgb(1 128 128), rgb(128 128 128), rgb(255 128 128)); }
i.green.all { background: linear-gradient(90deg, rgb(128 1 128), rgb(128 128 128), rgb(128 255 128)); }
i.blue.all { background: linear-gradient(90deg, rgb(128 128 1), rgb(128 128 128), rgb(128 128 255)); }
i.red { background: linear-gradient(90deg, #000, #f00); }
i.green { background: linear-gradient(90deg, #000, #0f0); }
i.blue { background: linear-gradient(90deg, #000, #00f); }
i.gray { background: linear-gradient(90deg, #000, #808080, #fff); }
i.black { background: linear-gradient(90deg, #000, #fff); }

#method, #view > *, #view .form > * { padding: 0; }
#view .form { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 14px 32px; }
#view fieldset, #view .block:has([type=checkbox]) { flex: none; margin: 0; width: auto; min-width: 0 !important; }
#view .block:has([type=range]) { flex: 1 1 240px; }
#about small { display: block; }
#method .wrap, #view .wrap { gap: 6px; }
#stage fieldset label { border-radius: 99px; padding: 5px 14px; border-color: transparent; }
#stage fieldset label span { margin: 0; }
#stage fieldset input { position: absolute; opacity: 0; pointer-events: none; }
#stage fieldset label:has(:focus-visible) { outline: 2px solid var(--link-text-color); outline-offset: 2px; }

#bring { flex-wrap: nowrap; align-items: stretch; gap: 12px; }
#bring > .column { gap: 8px; justify-content: center; }
#photo { flex: 0 0 132px; width: 132px; height: 132px; border-width: 0; border-radius: 12px;
    background: var(--input-background-fill); overflow: hidden; cursor: pointer; }
#photo .image-container, #photo .image-frame, #photo button:has(img) { width: 100%; height: 132px; }
#photo img { width: 100%; height: 100%; object-fit: contain; }
#bring-line .prose { font-size: 12px; line-height: 1.35; color: var(--body-text-color-subdued); }
.receives #picture, .receives #frames { outline: 3px dashed var(--slider-color); outline-offset: 4px; }
.receives::after { content: "Drop the photo to explain it"; position: fixed; z-index: 20; left: 50%; bottom: 24px;
    transform: translateX(-50%); padding: 10px 20px; border-radius: 99px; pointer-events: none;
    background: var(--button-primary-background-fill); color: var(--button-primary-text-color); }
#camera { margin: auto; max-width: min(680px, 94vw); padding: 16px; border-radius: 14px;
    border: 1px solid var(--block-border-color);
    background: var(--block-background-fill); color: var(--body-text-color); }
#camera::backdrop { background: rgb(0 0 0 / 60%); }
#camera video { display: block; width: 100%; border-radius: 8px; background: #000; }
#camera p { margin: 0 0 10px; }
#camera div { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 12px; }
#camera button { padding: 8px 18px; border-radius: 8px; border: 1px solid var(--block-border-color);
    background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); }
#camera button.take { border-color: transparent;
    background: var(--button-primary-background-fill); color: var(--button-primary-text-color); }
#camera button:focus-visible, #own-photo:focus-visible, #own-camera:focus-visible {
    outline: 2px solid var(--link-text-color); outline-offset: 2px; }

#panel .form { border: 1px solid var(--block-border-color); border-radius: 12px; background: none; }
#examples .gallery { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; }
#examples .gallery-item, #examples .gallery-item span { display: block; width: 100%; }
#examples .gallery-item .container { display: block; aspect-ratio: 1;
    width: 100%; max-width: none; height: auto; max-height: none; }
#examples .gallery-item img { width: 100%; height: 100%; object-fit: cover; }
#opening [data-testid=status-tracker] { display: none; }
#opening p { margin: 0; padding: 0 2px; font-size: 14px; color: var(--body-text-color); }
#classes .container { padding: 2px 6px 6px; gap: 0; }
#classes button { padding: 3px 10px 5px; border-radius: 8px; }
#classes button:hover { background: var(--input-background-fill); }
#classes .line { border: none; }
#classes .text, #classes .confidence { font-family: var(--font); }
.chosen-1 button:nth-of-type(1), .chosen-2 button:nth-of-type(2), .chosen-3 button:nth-of-type(3),
.chosen-4 button:nth-of-type(4), .chosen-5 button:nth-of-type(5) {
    background: var(--input-background-fill); box-shadow: inset 3px 0 var(--slider-color); }
.chosen-1 button:nth-of-type(1) dt, .chosen-2 button:nth-of-type(2) dt, .chosen-3 button:nth-of-type(3) dt,
.chosen-4 button:nth-of-type(4) dt, .chosen-5 button:nth-of-type(5) dt { font-weight: 700; }

footer .divider:last-child { display: none; }
.away { display: none !important; }

@media (min-width: 1000px) {
    #stage .tab-container::after { display: none; }
    #stage .tab-wrapper { position: absolute; right: 0; top: -50px; width: 320px; margin: 0; border: none; }
    #stage .tab-container { justify-content: flex-end; }
}
"""

# What runs in the browser beside gradio's own; it is in the page before any component.
HEAD = f"<script>{Path(__file__).with_name('page.js').read_text(encoding='utf-8')}</script>"

# gradio calls these with the values of the components that `wire` names.
SHOW, FRESH = (f"(...given) => window.convlensPage.{name}(...given)" for name in ("show", "fresh"))

# After a failure: the model's controls from what the page shows, and no sentence about a model on its way.
BACK = "(open) => [open.model, open.untrained, '']"
