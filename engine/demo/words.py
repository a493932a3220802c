"""Every sentence that the page says, but for the errors."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import log2
from typing import Any

from .. import METHODS, MODELS, availability, by_family
from ..files.stages import Stage
from ..methods import Place
from ..models.zoo import ModelSpec
from .language import say
from .notes import coverage
from .question import Look
from .stories import STORIES

TITLE = "ConvLens"
LEAD = "See which pixels a neural network looked at, in every one of its layers."

BRING = "or drop one on the page, or paste it. It is deleted after a day."


def unique(labels: Sequence[str]) -> list[str]:
    """The labels, with the number of the class behind those that several classes share ("crane (517)")."""
    times = Counter(labels)
    return [f"{label} ({i})" if times[label] > 1 else label for i, label in enumerate(labels)]


def layer_line(name: str, shape: Sequence[int], number: int, layers: int) -> str:
    """For example "features.29 · 512 × 14 × 14 · 30 of 31"; page.js reads the name off it."""
    sides = " × ".join(map(str, shape))
    return say("{name} · {shape} · {number} of {layers}", name=name, shape=sides, number=number, layers=layers)


def stage_name(stage: Stage) -> str:
    """What a part of a network is called."""
    kind, _, number = stage.name.partition(" ")
    if number:
        return say("stage {number}", number=number)
    return {"stem": say("stem"), "head": say("head")}.get(kind, kind)


def stage_bar(stages: Sequence[Stage], layers: Sequence[Mapping[str, Any]], kept: Sequence[bool]) -> str:
    """The network drawn small and its stages along the slider, as HTML: a click shows a layer, or a stage's last.

    layers: a manifest's. kept: which of them the slider shows, where not all are asked for.
    """
    parts = "".join(_stage(stage, escape(stage_name(stage))) for stage in stages if stage.stop > stage.first)
    play = f'<button type="button" class="play" aria-label="{say("Play the layers")}">\u25b6</button>'
    folded = ",".join(str(number) for number, one in enumerate(kept, 1) if not one)
    told = say("Pads, norms and what only moves values too")
    text = say("all {layers}", layers=len(layers))
    kind = f'type="button" class="fold" data-folded="{folded}" aria-pressed="false"'
    fold = f'<button {kind} title="{told}">{text}</button>'
    bar = f'<div class="stages" role="group" aria-label="{say("Stages of the network")}">{parts}</div>'
    return f'<div class="along">{_network(layers)}{bar}</div>{play}{fold if folded else ""}'


def _network(layers: Sequence[Mapping[str, Any]]) -> str:
    """A bar for each layer, as high as its map is wide, in steps of a factor."""
    sides = [max(1, *layer["shape"][1:]) for layer in layers]
    most = log2(max(sides)) or 1
    bars = "".join(
        f'<i data-layer="{number}" style="height:{20 + 80 * log2(side) / most:.0f}%"></i>'
        for number, side in enumerate(sides, 1)
    )
    names = escape(json.dumps([layer["name"] for layer in layers]))
    return f'<div class="network" aria-hidden="true" data-names="{names}">{bars}</div>'


def _stage(stage: Stage, name: str) -> str:
    about = say("{stage}: layers {first} to {last}", stage=name, first=stage.first + 1, last=stage.stop)
    return (
        f'<button type="button" data-layer="{stage.stop}" data-first="{stage.first + 1}" '
        f'style="flex:{stage.stop - stage.first} 1 0" title="{about}">{name}</button>'
    )


def model_choices(offers: Callable[[str], bool] = lambda name: True) -> list[tuple[str, str]]:
    """The models that a page `offers`, for a dropdown: a label that tells where the weights are, and the name."""
    where = {"embedded": say("included"), "cached": say("cached")}

    def told(spec: ModelSpec) -> str:
        return where.get(availability(spec.name)) or say("download {size} MB", size=f"{spec.megabytes:.0f}")

    return [
        (f"{spec.title}  ·  {told(spec)}", spec.name)
        for family in by_family().values()
        for spec in family
        if offers(spec.name)
    ]


def opening(name: str, weights: str, prepared: bool, arrived: int) -> str:
    """What happens while a model is opened. prepared: its file lies ready. arrived: bytes of a download."""
    spec = MODELS[name]
    if prepared:
        return say("Opening {model} …", model=spec.title)
    if weights == "default" and availability(name) == "download":
        share = min(1.0, arrived / (spec.megabytes * 2**20)) if spec.megabytes else 0.0
        told = {"size": f"{spec.megabytes:.0f}", "model": spec.title, "share": f"{share:.0%}"}
        return say("Downloading {size} MB and compiling {model}: {share}", **told)
    return say("Compiling {model}, once …", model=spec.title)


Standing = tuple[float, int, int]  # the probability of a class, its rank from 1, and among how many


def standing(label: str, found: Standing) -> str:
    """How probable the network finds a class: "lynx 1.4 %, rank 4 of 1000"."""
    probability, rank, classes = found
    told = {"label": label, "rank": rank, "classes": classes}
    if probability < 0.0005:
        return say("{label} below 0.1 %, rank {rank} of {classes}", **told)
    return say("{label} {share} %, rank {rank} of {classes}", share=f"{100 * probability:.1f}", **told)


def share(probability: float) -> str:
    """A probability as people read it: "1.4 %"."""
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else say("below 0.1 %")


def heading(
    target: str, contrast: str | None, method: str, model: str, found: Standing, against: Standing | None
) -> str:
    """What the picture shows, as HTML; method and model by their titles, and how probable each class is."""
    told = [standing(target, found)] + ([standing(contrast, against)] if contrast and against else [])
    line = " · ".join(map(escape, [*told, method, model]))
    compare = "" if contrast else f" · {_word('contrast', say('compare with another class'), '')}"
    why = _word("target", target, say("Choose the class to explain"))
    asked = why_line(why, contrast and _word("contrast", contrast, say("Choose the class to compare with")))
    return f"<h2>{asked}</h2><p>{line}{compare}</p>"


def why_line(target: str, contrast: str | None) -> str:
    """What is asked, in a sentence; the classes by their names, or HTML that stands for them."""
    if contrast:
        return say("Why {target} rather than {contrast}?", target=target, contrast=contrast)
    return say("Why {target}?", target=target)


def _word(control: str, text: str, title: str) -> str:
    """A word of the sentence that opens the list of classes."""
    told = f' title="{title}"' if title else ""
    kind = f'type="button" class="word" data-word="{control}" aria-haspopup="dialog"'
    return f"<button {kind}{told}>{escape(text)}</button>"


def stories() -> str:
    """The stories to choose from, as HTML."""
    rows = "".join(
        f'<button type="button" data-story="{story.name}">{escape(say(story.title))}</button>' for story in STORIES
    )
    return f"<h3>{escape(say('Guided stories'))}</h3>{rows}"


def legend(method: str, channels: bool, look: Look) -> str:
    """How to read the colours, as HTML. channels: does each channel of the input have its own values?"""
    view, gray = look.view, look.gray
    low, high = ends(method, channels, view)
    if not channels:
        shown = [colormap_of(method, look)]
    else:  # colour shows what each of red, green and blue does by itself, about a gray that does nothing
        plain = "gray" if view == "all" else "black"
        shown = [plain] if gray else [f"{channel} {view}" for channel in RGB]
    ramps = "".join(f'<i class="{name}"></i>' for name in shown)
    return f"<span>{low}</span>{ramps}<span>{high}</span>"


def ends(method: str, channels: bool, view: str) -> tuple[str, str]:
    """What the first and the last of the colours mean; the arguments as in `legend`."""
    row = METHODS[method]
    if channels:
        if view == "all":
            return say("lowers the score"), say("raises it")
        return say("no effect"), say("raises the score") if view == "positive" else say("lowers the score")
    if not row.policy and not row.path:  # it reads what is there, whatever is asked
        return say("the opposite"), say("what most maps share")
    if row.signed:
        return say("speaks against the class"), say("speaks for it")
    if row.asks == "which pixels":
        return say("no effect"), say("changes the score most, up or down")
    return say("nothing"), say("speaks for the class")


def colormap_of(method: str, look: Look) -> str:
    """The colours of a method's maps."""
    return "coolwarm" if METHODS[method].signed else look.colormap


RGB = ("red", "green", "blue")


def unseen(part: str, alone: bool) -> str:
    """What of the photo the network sees, as HTML, empty where that is all. alone: is no more shown?"""
    if not part:
        return ""
    if part == "square":
        whole = say("The network sees only this square of the photo.")
        beside = say("The network sees only this square of the photo; the rest is dimmed.")
    else:
        whole = say("The network sees only this part of the photo.")
        beside = say("The network sees only this part of the photo; the rest is dimmed.")
    return f'<span class="unseen">{whole if alone else beside}</span>'


def range_told(low: float, high: float, signed: bool, layers: int, common: bool = False) -> str:
    """The raw values of a map in words, and what the colours are scaled to. layers: how many the method has.
    common: have they one scale?"""
    if low == high == 0:
        if signed or not layers:
            return say("Every value is 0: no pixel changes the score.")
        return say("Nothing here speaks for the class (max 0).")
    told = {"low": number(low), "high": number(high)}
    if layers <= 1:
        return say("Range {low} to {high}; colours are scaled to its largest.", **told)
    if common:
        return say("Range {low} to {high}; colours are scaled to the largest of all layers.", **told)
    return say("Range {low} to {high}; colours are scaled to this layer's largest.", **told)


def number(value: float) -> str:
    """Three digits, with a minus that people write."""
    return f"{value:.3g}".replace("-", "\u2212") if value else "0"


def arrived_told(share: float) -> str:
    """How much of the score came to the pixels, by relevance."""
    told = percent(share) if share >= 0.0005 else say("Less than 0.1 %")
    return say("{share} of the score arrived here; biases and stabilisers make up the difference.", share=told)


def percent(share: float) -> str:
    """A share as people write it: "39.4 %"."""
    return f"{share:.1%}".replace("%", " %")


def trust_line(manifest: Mapping[str, Any], method: str, layered: bool, last: bool) -> str:
    """How far a picture can be believed, as HTML: what was gated, how exact it is, and what its method can't tell.

    layered: has the method several layers? Then the slider hides the warning at the last one, and shows it below.
    last: is it of that layer now?
    """
    certificate = manifest["certificate"]
    deviation = certificate["methods"].get(method)
    exact = say("computed as autograd does")
    if deviation:
        exact = say("computed to {deviation} of autograd", deviation=f"{deviation:.0e}")
    row = METHODS[method]
    if row.at is Place.THROUGHOUT:  # which gates nothing, and is held against a walk of its own
        exact = say("computed to {deviation} of an independent walk", deviation=f"{deviation or 0:.0e}")
        return f"<span>{exact}</span>"
    told = f"<span>{escape(coverage(manifest))} · {exact}</span>"
    if not (row.inner and layered):
        return told
    return f"{told}<strong{' hidden' if last else ''}>{escape(say(row.inner))}</strong>"
