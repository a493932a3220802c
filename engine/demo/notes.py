"""What a model's file tells of itself, for people: where its numbers come from, and how to use it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import METHODS
from .examples import CREDIT
from .language import retold, say

# How far the gates reach, in the parts of the sentence that a file has about it.
REACH = (
    "no activation to gate: guided backprop and deconvnet equal the gradient",
    "{calls} of {all} activations gated, {smooth} of them smooth ({ops})",
    "{calls} of {all} activations gated",
    "{calls} {ops} calls keep their derivative",
    "detached by the network itself: {places}",
    "every call keeps its derivative",
)


def coverage(manifest: Mapping[str, Any]) -> str:
    """How far the gates of a network reach."""
    return reach(str(manifest["coverage"]["text"]))


def reach(text: str) -> str:
    """How far a policy reaches, as a file has it, in the language of this question."""
    return say("; ").join(retold(part, *REACH) for part in text.split("; "))


def file_lines(
    name: str, classes: Sequence[int], method: str, layer: int, options: Mapping[str, float] | None = None
) -> dict[str, str]:
    """The two lines that ask a model's file the question of the page, in Python and in C++.

    name: of the file, without its ending. classes: the one that is explained, and the one that it is compared
    with. options: of a method of many passes.
    """
    seed, given = ("one_hot", "contrast")[len(classes) - 1], ", ".join(map(str, classes))
    asks, tensor = f'"{method}", {layer}', say("a uint8 tensor [H, W, 3]")
    python, cpp = f"x, net.{seed}({given}), {asks}", f'x, net.run_method("{seed}", {given}), {asks}'
    before = ""
    if METHODS[method].path:
        told = {key: float(value) for key, value in (options or {}).items()}
        python = f"heat, _ = net.explain_along({python}, {json.dumps(told)}, torch.empty(0), torch.empty(0))"
        before = "c10::Dict<std::string, double> options;"
        before += "".join(f' options.insert("{key}", {value});' for key, value in told.items()) + "\n"
        cpp = f'net.run_method("explain_along", {cpp}, options, torch::empty({{0}}), torch::empty({{0}}))'
        cpp += ".toTuple()->elements()[0]"
    else:
        python, cpp = f"heat = net.explain({python})", f'net.run_method("explain", {cpp})'
    load = f'auto net = torch::jit::load("{name}.pt"); auto x = net.run_method("preprocess", photo);'
    return {
        "Python": f'net = torch.jit.load("{name}.pt"); x = net.preprocess(photo)  # {tensor}\n{python}',
        "C++": f"{load}  // {tensor}\n{before}auto heat = {cpp};",
    }


EXACTNESS = (
    "**Exactness.** {coverage}; largest relative deviation from autograd when the file was made: {deviation}."
)
PICTURES = (
    "**Pictures.** Each heatmap is scaled to its own maximum, or to that of all layers. Of saliency and of the "
    "signed maps, the strongest 0.5 % of the values have full brightness. Signed maps of each channel show the "
    "part that the network sees; on a photo, the rest is dimmed."
)
FILE = "**The file.** The model with all its explanations is one TorchScript file that needs nothing but PyTorch:"


def small_print(manifest: Mapping[str, Any], lines: str) -> str:
    """Where the numbers come from and how to use the model's file, as Markdown. lines: of Python, which ask it."""
    source, deviations = manifest["model"], manifest["certificate"]["methods"].values()
    told = {
        "model": source["title"],
        "weights": retold(source["weights"], "{file} from {address}"),
        "licence": say(source["licence"]),
    }
    exactness = {"coverage": coverage(manifest), "deviation": f"{max(deviations):.1g}"}
    return f"""
{say("**Model.** {model}; weights: {weights}; licence of the weights: {licence}.", **told)}

{say(EXACTNESS, **exactness)}

{say(PICTURES)}

{say(FILE)}
```python
{lines}
```
{say("Example photos from scikit-image: {credits}.", credits=", ".join(map(say, CREDIT.values())))}
"""
