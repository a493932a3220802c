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

CSS = """
html { scrollbar-gutter: stable; }
.gradio-container { margin: 0 auto !important; width: 100% !important; max-width: 1400px !important;
    padding: 18px clamp(14px, 3vw, 32px) 8px !important;
    /* What is told under the picture lies on the first screen of a laptop too. */
    --tall: clamp(240px, min(48vh, 100vh - 448px, 76vw), 640px); }
.gradio-container > .main { padding: 0 !important; }
.gradio-container .html-container, .gradio-container .prose { padding: 0; }
/* gradio puts its components in one after the other; the page is shown once the first screen has its places. */
html:not(.whole) #work, html:not(.whole) #panels, html:not(.whole) #lead { visibility: hidden; }
#lead .prose { display: flex; align-items: baseline; gap: 2px 14px; flex-wrap: wrap; }
#lead .languages { margin-left: auto; display: flex; align-items: baseline; gap: 10px; font-size: 14px; }
#lead .languages a { display: inline-block; min-height: 24px; color: var(--link-text-color); }
#lead .languages small { color: var(--body-text-color-subdued); }
#lead h1 { margin: 0; font-size: 24px; letter-spacing: -0.02em; }
#lead p, #heading p, #about .prose { margin: 0; color: var(--body-text-color-subdued); }
#work { gap: 20px 32px; margin-top: 8px; }
#stage, #panel { gap: 10px; }
#stage .form, #stage .form > * { border: none; background: none; box-shadow: none; overflow: visible; }

#heading h2 { margin: 0; font-size: 22px; line-height: 1.25; font-weight: 400; }
#heading .word { font: inherit; font-weight: 700; color: var(--link-text-color); background: none; border: none;
    padding: 0 1px; cursor: pointer; border-bottom: 2px dotted currentcolor; text-align: left; }
#heading .word::after { content: " \\25BE"; font-size: 0.7em; }
#heading p .word { font-weight: 400; border-bottom-width: 1px; }
#words { border: 1px solid var(--block-border-color); border-radius: 12px; padding: 10px; width: min(360px, 92vw);
    background: var(--block-background-fill); color: var(--body-text-color); }
#words::backdrop { background: rgb(0 0 0 / 25%); }
#words input { width: 100%; padding: 8px 10px; border-radius: 8px; border: 1px solid var(--block-border-color);
    background: var(--input-background-fill); color: var(--body-text-color); font-size: 16px; }
#words ul { list-style: none; margin: 8px 0 0; padding: 0; max-height: min(46vh, 380px); overflow-y: auto; }
#words li { display: flex; justify-content: space-between; gap: 12px; min-height: 28px; padding: 5px 10px;
    border-radius: 8px; cursor: pointer; }
#words li[aria-selected=true], #words li:hover { background: var(--input-background-fill); }
#words li em { font-style: normal; color: var(--body-text-color-subdued); }
#stage .tabs { position: relative; }
#stage .tabitem { padding: 0; }
#stage .tab-wrapper { margin-bottom: 10px; }
#stage [role=tab][aria-selected=true] { color: var(--link-text-color); }
#picture { border-width: 0 !important; border-radius: 14px; background: var(--input-background-fill); }
#picture .image-container, #picture .image-frame, #picture button:has(img) { width: 100%; height: var(--tall); }
#picture img { width: 100%; height: 100%; object-fit: contain; }
#frames { border-width: 0 !important; background: none; }
#frames .grid-wrap { height: calc(var(--tall) + 60px); max-height: none; }
#frames .grid-container { grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); padding: 0; }
#frames .caption-label { font: 11px var(--font-mono); max-width: 100%; }

#stop { position: absolute; right: 12px; bottom: 12px; z-index: 30; width: auto; display: none; }
#picture:has(.progress-text) ~ #stop { display: block; animation: appears 0s 1s backwards; }
@keyframes appears { from { visibility: hidden; } }
#layer { padding: 4px 2px; overflow: visible; }
#stages .prose { display: flex; align-items: flex-end; gap: 8px; margin-top: -6px; }
#stages .along { flex: 1 1 0; min-width: 0; }
#stages .network { display: flex; align-items: center; height: 20px; margin-bottom: 2px; cursor: pointer; }
#stages .network i { flex: 1 1 0; min-width: 0; border-right: 1px solid var(--body-background-fill);
    background: color-mix(in srgb, var(--slider-color) 30%, transparent); }
#stages .network i[aria-current=true] { background: var(--slider-color); }
#stages .stages { display: flex; gap: 2px; min-width: 0; overflow: hidden; }
#stages button { font: 12px var(--font); min-height: 26px; padding: 2px 4px; border: none; border-radius: 4px;
    overflow: hidden; white-space: nowrap; text-overflow: ellipsis; min-width: 0; cursor: pointer; margin: 0;
    background: var(--checkbox-label-background-fill); color: var(--body-text-color); }
#stages button[aria-current=true] { box-shadow: inset 0 -3px var(--slider-color); font-weight: 700; }
#stages :is(.play, .fold) { flex: none; min-width: 34px; padding: 2px 8px; }
#stages .fold[aria-pressed=true] { box-shadow: inset 0 -3px var(--slider-color); font-weight: 700; }
#stages button:focus-visible { outline: 2px solid var(--link-text-color); outline-offset: 1px; }
#line .prose { font: 13px var(--font-mono); color: var(--body-text-color-subdued); margin-top: -6px; }
#legend .prose { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 10px; font-size: 13px; }
#legend .unseen { flex: 0 1 auto; }
#legend .prose, #legend span { color: var(--body-text-color-subdued); }
#legend i { flex: 0 1 130px; height: 8px; border-radius: 4px; outline: 1px solid var(--block-border-color); }
#trust .prose { font-size: 13px; color: var(--body-text-color-subdued); margin-top: -8px; }
#trust span { color: var(--body-text-color-subdued); }
#trust strong[hidden] { display: none; }
#trust strong { display: block; font-weight: 400; color: var(--body-text-color); border-left: 3px solid #d97706;
    padding-left: 8px; margin-top: 4px; }
#picture { position: relative; --wipe: 0%; }
#before { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; pointer-events: none;
    clip-path: inset(0 calc(100% - var(--wipe)) 0 0); }
#wipe label { display: flex; align-items: center; gap: 10px; font-size: 13px;
    color: var(--body-text-color-subdued); }
#wipe input { flex: 1; accent-color: var(--slider-color); min-height: 24px; margin: 0; }
#stories h3 { margin: 0 0 4px; font-size: 14px; }
#stories .prose { display: flex; flex-direction: column; align-items: flex-start; gap: 2px; }
#stories button { font: inherit; font-size: 14px; color: var(--link-text-color); background: none; border: none;
    padding: 3px 0; min-height: 26px; margin: 0; text-align: left; cursor: pointer; text-decoration: underline;
    text-underline-offset: 2px; }
#story { position: fixed; z-index: 40; left: 50%; bottom: 16px; transform: translateX(-50%); padding: 14px 18px;
    width: min(640px, calc(100vw - 24px)); border-radius: 14px; border: 1px solid var(--slider-color);
    background: var(--block-background-fill); color: var(--body-text-color);
    box-shadow: 0 8px 30px rgb(0 0 0 / 25%); }
#story, #words, #camera { font-family: var(--font); }
#story h3 { margin: 0 34px 4px 0; font-size: 15px; }
#story p { margin: 0 0 10px; line-height: 1.45; min-height: 3em; }
#story div { display: flex; align-items: center; gap: 8px; }
#story span { flex: 1; color: var(--body-text-color-subdued); font-size: 13px; }
#story button { font: inherit; min-height: 32px; padding: 4px 16px; border-radius: 8px; cursor: pointer;
    border: 1px solid var(--block-border-color); background: var(--button-secondary-background-fill);
    color: var(--button-secondary-text-color); }
#story .next { background: var(--button-primary-background-fill); color: var(--button-primary-text-color);
    border-color: transparent; }
#story button:disabled { opacity: 0.5; cursor: default; }
#story .leave { position: absolute; right: 10px; top: 10px; padding: 0 10px; border: none; background: none; }
#story button:focus-visible, #stories button:focus-visible { outline: 2px solid var(--link-text-color);
    outline-offset: 2px; }
#link .prose { display: flex; align-items: center; gap: 10px; font-size: 13px; }
#link .link { font: inherit; padding: 4px 12px; min-height: 28px; border-radius: 8px; cursor: pointer;
    border: 1px solid var(--block-border-color); background: var(--button-secondary-background-fill);
    color: var(--button-secondary-text-color); }
#range .prose { font-size: 13px; color: var(--body-text-color-subdued); margin-top: -8px; }
i.red.all { background: linear-gradient(90deg, rgb(1 128 128), rgb(128 128 128), rgb(255 128 128)); }
i.green.all { background: linear-gradient(90deg, rgb(128 1 128), rgb(128 128 128), rgb(128 255 128)); }
i.blue.all { background: linear-gradient(90deg, rgb(128 128 1), rgb(128 128 128), rgb(128 128 255)); }
i.red { background: linear-gradient(90deg, #000, #f00); }
i.green { background: linear-gradient(90deg, #000, #0f0); }
i.blue { background: linear-gradient(90deg, #000, #00f); }
i.gray { background: linear-gradient(90deg, #000, #808080, #fff); }
i.black { background: linear-gradient(90deg, #000, #fff); }

#view > *, #view .form > * { padding: 0; }
#method .pills { display: flex; flex-wrap: wrap; gap: 6px; }
#method .method { font: inherit; color: var(--body-text-color); background: var(--checkbox-label-background-fill);
    border: 1px solid transparent; border-radius: 99px; padding: 5px 14px; min-height: 30px; cursor: pointer; }
#method .method, #heading .word { margin: 0; }
#method .method b { font-weight: 400; color: inherit; }
#method .method[aria-pressed=true] { background: var(--button-primary-background-fill);
    color: var(--button-primary-text-color); }
#method .more { margin-top: 8px; }
#method .more summary { cursor: pointer; color: var(--link-text-color); min-height: 24px; }
#method .groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 6px 20px; }
#method section h4 { margin: 8px 0 4px; font-size: 14px; }
#method section .method { display: block; width: 100%; text-align: left; border-radius: 10px; margin-bottom: 4px;
    background: none; border-color: var(--block-border-color); }
#method section .method b { font-weight: 700; display: block; }
#method section .method span { font-size: 12px; line-height: 1.35; color: var(--body-text-color-subdued); }
#method section .method em { display: block; }
#method section .method[aria-pressed=true] { background: var(--input-background-fill);
    color: var(--body-text-color); border-color: var(--slider-color); }
.word:focus-visible, .method:focus-visible, summary:focus-visible { outline: 2px solid var(--link-text-color);
    outline-offset: 2px; }
#view .form { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 14px 32px; }
#view fieldset, #view .block:has([type=checkbox]) { flex: none; margin: 0; width: auto; min-width: 0 !important; }
#view .block:has([type=range]) { flex: 1 1 240px; }
#about small { display: block; }
.formula :is(summary, math) { cursor: pointer; padding: 4px 0; text-align: start; }
#takeaway { flex-wrap: wrap; gap: 8px; }
#takeaway button { flex: none; width: auto; min-height: 28px; }
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
.receives #stage::after { content: attr(data-drop); position: fixed; z-index: 20; left: 50%; bottom: 24px;
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
#examples .gallery { display: grid; grid-template-columns: repeat(6, 1fr); gap: 8px; }
#examples .gallery-item, #examples .gallery-item span { display: block; width: 100%; }
#examples .gallery-item .container { display: block; aspect-ratio: 1;
    width: 100%; max-width: none; height: auto; max-height: none; }
#examples .gallery-item img { width: 100%; height: 100%; object-fit: cover; }
#opening [data-testid=status-tracker] { display: none; }
#opening p { margin: 0; padding: 0 2px; font-size: 14px; color: var(--body-text-color); }
#classes { border-width: 0 !important; background: none; overflow: visible; }
#classes .container { padding: 0; display: flex; flex-flow: row wrap; gap: 6px; }
#classes button { flex: none; width: auto; margin: 0; padding: 4px 12px; min-height: 30px; border-radius: 99px;
    border: 1px solid var(--block-border-color); }
#classes button:hover { background: var(--input-background-fill); }
#classes .line, #classes .bar { display: none; }
#classes dl { gap: 8px; margin: 0; }
#classes .text, #classes .confidence { font-family: var(--font); font-size: 14px; }
#classes .dashed-line { display: none; }
.chosen-1 button:nth-of-type(1), .chosen-2 button:nth-of-type(2), .chosen-3 button:nth-of-type(3),
.chosen-4 button:nth-of-type(4), .chosen-5 button:nth-of-type(5) {
    background: var(--input-background-fill); border-color: var(--slider-color); }
.chosen-1 button:nth-of-type(1) dt, .chosen-2 button:nth-of-type(2) dt, .chosen-3 button:nth-of-type(3) dt,
.chosen-4 button:nth-of-type(4) dt, .chosen-5 button:nth-of-type(5) dt { font-weight: 700; }

footer .divider:last-child, html:not([lang=en]) footer { display: none; }
#programs { text-align: center; font-size: 14px; }
/* gradio colours code too faintly to be read on its ground. */
.prose code .token { color: inherit !important; }
/* Code is wrapped: what scrolls sideways must be entered by keys. */
.code_wrap pre, .code_wrap pre code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
:lang(zh) em { font-style: normal; }
.away { display: none !important; }

@media (min-width: 1000px) {
    #stage .tab-container::after { display: none; }
    #stage .tab-wrapper { position: absolute; right: 0; top: -50px; width: 320px; margin: 0; border: none; }
    #stage .tab-container { justify-content: flex-end; }
}
"""


def ramp(colormap: str) -> str:
    """A colormap as CSS, for the legend."""
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colors_of(colormap)[::15])
    return f"i.{colormap} {{ background: linear-gradient(90deg, {stops}); }}\n"


CSS += "".join(ramp(name) for name in (*COLOURS, "coolwarm"))
PANELS_CSS = sorted((Path(__file__).parent / "panels").glob("*.css"))
CSS += "".join(path.read_text(encoding="utf-8") for path in PANELS_CSS)

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
