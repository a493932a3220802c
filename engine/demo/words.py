"""Every sentence that the page says, but for the errors."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from .. import METHODS, MODELS, availability, by_family

TITLE = "ConvLens"
LEAD = "See which pixels a neural network looked at, in every one of its layers."

BRING = "or drop one on the page, or paste it. It is deleted after a day."

CREDITS = (
    "Example photos from scikit-image: Chelsea by Stéfan van der Walt, coffee by Rachel Michetti and camera by "
    "Lav Varshney (CC0), rocket by SpaceX (public domain)."
)


def unique(labels: Sequence[str]) -> list[str]:
    """The labels, with the number of the class behind those that several classes share ("crane (517)")."""
    times = Counter(labels)
    return [f"{label} ({i})" if times[label] > 1 else label for i, label in enumerate(labels)]


def layer_line(name: str, shape: Sequence[int], number: int, layers: int) -> str:
    """For example "features.29 · 512 × 14 × 14 · 30 of 31"."""
    return f"{name} · {' × '.join(map(str, shape))} · {number} of {layers}"


def model_choices(offers: Callable[[str], bool] = lambda name: True) -> list[tuple[str, str]]:
    """The models that a page `offers`, for a dropdown: a label that tells where the weights are, and the name."""
    where = {"embedded": "included", "cached": "cached"}
    return [
        (f"{spec.title}  ·  {where.get(availability(spec.name), f'download {spec.megabytes:.0f} MB')}", spec.name)
        for family in by_family().values()
        for spec in family
        if offers(spec.name)
    ]


def opening(name: str, weights: str, prepared: bool, arrived: int) -> str:
    """What happens while a model is opened. prepared: its file lies ready. arrived: bytes of a download."""
    spec = MODELS[name]
    if prepared:
        return f"Opening {spec.title} …"
    if weights == "default" and availability(name) == "download":
        share = min(1.0, arrived / (spec.megabytes * 2**20)) if spec.megabytes else 0.0
        return f"Downloading {spec.megabytes:.0f} MB and compiling {spec.title}: {share:.0%}"
    return f"Compiling {spec.title}, once …"


Standing = tuple[float, int, int]  # the probability of a class, its rank from 1, and among how many


def standing(label: str, found: Standing) -> str:
    """How probable the network finds a class: "lynx 1.4 %, rank 4 of 1000"."""
    probability, rank, classes = found
    share = f"{probability:.1%}" if probability >= 0.0005 else "below 0.1%"
    return f"{escape(label)} {share.replace('%', ' %')}, rank {rank} of {classes}"


def heading(
    target: str, contrast: str | None, method: str, model: str, found: Standing, against: Standing | None
) -> str:
    """What the picture shows, as HTML; method and model by their titles, and how probable each class is."""
    rather = f" rather than <b>{escape(contrast)}</b>" if contrast else ""
    told = [standing(target, found)] + ([standing(contrast, against)] if contrast and against else [])
    line = " · ".join([*told, escape(method), escape(model)])
    return f"<h2>Why <b>{escape(target)}</b>{rather}?</h2><p>{line}</p>"


def method_line(method: str, absent: Mapping[str, str]) -> str:
    """What a method shows, its paper, and why others are not offered, as HTML."""
    row = METHODS[method]
    link = row.cite
    for kind, address in ((", arXiv:", "https://arxiv.org/abs/"), (", doi:", "https://doi.org/")):
        paper, found, number = row.cite.partition(kind)
        if found:
            link = f'<a href="{address}{number}" target="_blank" rel="noopener">{escape(paper)}</a>'
    notes = [f"No {METHODS[name].title} here: {escape(why)}." for name, why in absent.items() if name in METHODS]
    if row.inner:
        notes.insert(0, f"At all layers but the last: {escape(row.inner)}")
    return f"{row.says} {link}" + (f"<small>{' '.join(notes)}</small>" if notes else "")


def legend(signed: bool, at_image: bool, view: str, gray: bool) -> str:
    """How to read the colours, as HTML. at_image: the map is of the image itself, and not of a layer."""
    if not signed and at_image:
        most = "changing these pixels would change the score most, up or down"
        return f'<span>no effect</span><i class="turbo"></i><span>{most}</span>'
    if not signed:
        return '<span>cold</span><i class="turbo"></i><span>warm: speaks for the class</span>'
    # Colour shows what each of red, green and blue does by itself, about a gray that does nothing.
    channels = ["gray" if view == "all" else "black"] if gray else [f"{channel} {view}" for channel in RGB]
    ramps = "".join(f'<i class="{channel}"></i>' for channel in channels)
    low, high = ("lowers the score", "raises it") if view == "all" else ("no effect", f"{EFFECTS[view]} the score")
    return f"<span>{low}</span>{ramps}<span>{high}</span>"


RGB = ("red", "green", "blue")
EFFECTS = {"positive": "raises", "negative": "lowers"}


def range_told(low: float, high: float, signed: bool, layers: int) -> str:
    """The raw values of a map in words, and what the colours are scaled to. layers: how many the method has."""
    if low == high == 0:
        nothing = "no pixel changes the score" if signed or not layers else "nothing here speaks for the class"
        return f"Every value is 0: {nothing}."
    scaled = "this layer's" if layers > 1 else "its"
    return f"Range {_number(low)} to {_number(high)}; colours are scaled to {scaled} largest."


def _number(value: float) -> str:
    """Three digits, with a minus that people write."""
    return f"{value:.3g}".replace("-", "\u2212") if value else "0"


def small_print(manifest: Mapping[str, Any], target: int, method: str, layer: int) -> str:
    """Where the numbers come from and how to use the model's file, as Markdown."""
    source, deviations = manifest["model"], manifest["certificate"]["methods"].values()
    return f"""
**Model.** {source["title"]}; weights: {source["weights"]}; licence of the weights: {source["licence"]}.

**Exactness.** {manifest["coverage"]["text"]}; largest relative deviation from autograd when the file was made:
{max(deviations):.1g}.

**Pictures.** Each heatmap is scaled to its own maximum. Of saliency and of the signed maps, the strongest 0.5 % of
the values have full brightness. Signed maps show the square that the network sees; on a photo, the rest is gray.

**The file.** The model with all its explanations is one TorchScript file that needs nothing but PyTorch:
```python
net = torch.jit.load("{source["name"]}.pt"); x = net.preprocess(photo)  # a uint8 tensor [H, W, 3]
heat = net.explain(x, net.one_hot({target}), "{method}", {layer})
```
{CREDITS}
"""
