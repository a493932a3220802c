"""The lines of the program that made the map, how exact they are, and how to ask the same elsewhere."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from ... import METHODS, Explainer
from ...methods import Place
from ..language import retold, say
from ..notes import reach
from ..scene import Scene
from ..studio import Studio
from .carried_out import Run, carried_out, returned_names
from .panel import Panel, Wish, to_copy

MOST = 16  # lines of a half that are shown, those nearest to the layer or to the image
# What to know where such a thing stands in a line.
GLOSSARY = {
    "ct_": "ct_… is what is carried back to a value: its cotangent, or its relevance.",
    "_folded": "weights.…_folded are a convolution's weights with the BatchNorm behind it multiplied in.",
    "ConvSteps(": "ConvSteps: stride, padding, output padding, dilation, groups.",
    "Epilogue(": "Epilogue: what is added to a convolution, may that be written over, and where it is cut.",
    "conv_back(": "kernels.conv_back is the way back through a convolution.",
    "_backward(": "An op's …_backward is its gate: it passes the cotangent on where the derivative isn't zero.",
}


# On what a file was certified, as it says so.
INPUTS = (
    "{count} standard normal images (generator seed {seed}) asked for their top class",
    "{count} standard normal images (generator seed {seed}), brought to 0..1 by a sigmoid, asked for their top "
    "class",
)


@dataclass(frozen=True)
class Listing:
    """What of a program a question runs at a layer, or at the image.

    forward, backward: lines, from the layer before, and from the one behind. calls: how many calls it runs in all,
    forward and backward. read: the names of the values that its map is made of. shifted: is a folded BatchNorm
    taken off the sum?
    """

    forward: list[str]
    backward: list[str]
    calls: tuple[int, int]
    read: list[str]
    shifted: bool = False


def draw(studio: Studio, scene: Scene, wish: Wish) -> str:
    """The program, its certificate, and the question in two languages."""
    return _program(scene) + _certificate(scene) + _elsewhere(scene)


def one_pass_of(method: str) -> str:
    """The method of one pass that a method repeats, or it itself; empty where it takes forward passes alone."""
    return METHODS[method].of if METHODS[method].path else method


def listing_of(explainer: Explainer, method: str, layer: int, at_image: bool | None = None) -> Listing:
    """What a method of one pass runs, asked alone as `Explainer.explain` asks it.

    at_image: is a method that is read throughout asked there?
    """
    row, module, count = METHODS[method], explainer.module, len(explainer.layers)
    at_image = row.at.at_image if at_image is None else at_image
    depth = dict.fromkeys(module.policies, count)
    if row.policy:
        depth[row.policy] = -1 if at_image else layer
    if row.times:
        depth[METHODS[row.times].policy] = -1
    wanted = ["intercepts", "intercepts as maps"] if row.at.value == "calls" else []
    wanted = wanted if at_image else [module.reader_of[method]]
    asked: dict[str, Any] = {"depth": depth, "wanted": wanted, "start": count, "first": layer, "last": layer}
    walk, policies = module.walk, list(module.policies)
    if method in module.alone:  # relevance has a walk of its own
        walk, policies = getattr(module, f"walk_{row.policy}"), [row.policy]
    # A value that is not computed is called nothing, and goes by that name wherever one is wanted.
    run = carried_out(walk.code, asked | {"nothing": None})
    run.layers = returned_names(module.primals.code)
    if at_image:
        ct = run.listed(run.returned[2])[policies.index(row.policy)]
        return _listing(run, "", ct, ["image", ct], layer)
    _, primal, *more = (getattr(given, "id", "") for given in run.reads[row.policy])
    ct, shift = more[:2] if row.policy else ("", "")
    return _listing(run, primal, ct, [primal, ct], layer, bool(shift) and shift not in run.known)


def _listing(run: Run, primal: str, ct: str, read: list[str], layer: int, shifted: bool = False) -> Listing:
    """The lines behind a primal, and those of the stage that its cotangent comes from; without a primal all."""
    calls = [call for call in run.calls if call.op != "annotate"]  # which fills dictionaries
    middle = next(index for index, call in enumerate(calls) if call.op == "seed_at_logits")
    forward, back = calls[:middle], calls[middle + 1 :] if ct else []
    if primal:
        forward = run.behind(primal, run.layers[:layer])
        behind = run.behind(ct, run.layers) if ct else []
        blocks = sorted({call.block for call in behind if call in back})
        # What a reading gives back of a folded layer stands in a block of its own, behind the stage's.
        stage = blocks[-2:] if blocks and blocks[-1] == run.read_in else blocks[-1:]
        back = [call for call in behind if call.block in stage]
    return Listing(
        [run.line(call) for call in forward],
        [run.line(call) for call in back],
        (middle, len(calls) - middle - 1 if ct else 0),
        [run.shown(name) for name in read if name],
        shifted,
    )


def _program(scene: Scene) -> str:
    """The lines of the layer that is shown, forward and backward, and what is made of them."""
    method, title = one_pass_of(scene.question.method), scene.title
    if not method:
        told = say(
            "{method} has no way back: it asks the network forward, with parts of the photo hidden.", method=title
        )
        return f"<p>{escape(told)}</p>"
    explainer, row = scene.model.explainer, METHODS[method]
    one_image = scene.at_image if row.at is Place.THROUGHOUT else row.at.at_image
    found = listing_of(explainer, method, scene.layer, one_image)
    layers, html = explainer.layers, ""
    if method != scene.question.method:
        told = say(
            "{method} repeats this for up to {passes} inputs, and makes one map of theirs.",
            method=title, passes=scene.model.passes(scene.question.method),
        )  # fmt: skip
        html += f"<p>{escape(told)}</p>"
    if one_image:
        html += _lines(say("Forward, from the image"), found.forward[:MOST], len(found.forward) - MOST, after=True)
        html += _lines(say("Backward, to the image"), found.backward[-MOST:], len(found.backward) - MOST)
    else:
        above = layers[scene.layer + 1] if scene.layer + 1 < len(layers) else say("the logits")
        told = say("Forward, to {layer}", layer=scene.layer_name)
        html += _lines(told, found.forward[-MOST:], len(found.forward) - MOST)
        if row.policy:
            told = say("Backward, from {above} to {layer}", above=above, layer=scene.layer_name)
            html += _lines(told, found.backward[-MOST:], len(found.backward) - MOST)
    formula = (inspect.getdoc(row.read) or "").partition("\n\n")[0]
    primal, *ct = found.read
    read = say("Its map is made of {primal} alone:", primal=primal)
    if ct:
        read = say("Its map is made of {primal} and {ct}:", primal=primal, ct=ct[0])
    folded = (
        say("The shift of the BatchNorm that is folded into it is taken off the sum.") if found.shifted else ""
    )
    html += f"<p>{escape(read)} <code>{escape(formula)}</code> {escape(folded)}</p>"
    if row.times:
        told = say(
            "It is multiplied by the map of {method}, whose own lines this panel shows when that is chosen.",
            method=say(METHODS[row.times].title),
        )
        html += f"<p>{escape(told)}</p>"
    return html + _glossary([*found.forward, *found.backward]) + _cut(found)


def _lines(title: str, lines: list[str], left: int, after: bool = False) -> str:
    """Lines of the program under a heading. left: how many more there are, before these or after them."""
    told = say("{count} more after these.", count=left) if after else say("{count} more before these.", count=left)
    cut = f"<p><small>{escape(told)}</small></p>" if left > 0 else ""
    shown = lines or [say("Nothing is computed here: the value is that of the layer beside it.")]
    rows = "".join(f"<code>{escape(line)}</code>" for line in shown)
    listed = f'<pre class="lines" tabindex="0">{rows}</pre>'
    return f"<h4>{escape(title)}</h4>{listed + cut if after else cut + listed}"


def _glossary(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    known = [say(told) for word, told in GLOSSARY.items() if word in text]
    return f"<p><small>{escape(' '.join(known))}</small></p>" if known else ""


def _cut(found: Listing) -> str:
    """What of the program is not shown."""
    forward, backward = found.calls
    told = say(
        "These are lines of the file itself, as TorchScript has them, for this one question: conditions are "
        "settled, and names that only carry a weight are put in their place. All in all it runs {forward} calls "
        "forward and {backward} back.",
        forward=forward,
        backward=backward,
    )
    return f"<p><small>{escape(told)}</small></p>"


def _certificate(scene: Scene) -> str:
    """What the manifest says of gates and exactness, in words."""
    manifest, method = scene.model.explainer.manifest, scene.question.method
    certificate, policy = manifest["certificate"], METHODS[method].policy
    lines = []
    if policy:
        found = manifest["coverage"]["policies"][policy]["text"].removeprefix(f"{policy}: ")
        lines.append(say("On the way back: {coverage}.", coverage=reach(found)))
    deviation = certificate["methods"].get(method)
    if deviation is not None:
        fields = {"method": scene.title, "deviation": f"{deviation:.1e}"}
        if METHODS[method].at is Place.THROUGHOUT:  # for which autograd has no formula
            lines.append(say("{method} deviated by {deviation} at most from an independent walk.", **fields))
        elif deviation:
            lines.append(
                say("{method} deviated by {deviation} at most from its formula on autograd's values.", **fields)
            )
        else:
            lines.append(say("{method} did not deviate from its formula on autograd's values.", **fields))
    if "original" in certificate:
        off = {name: f"{certificate['original'][name]:.1e}" for name in ("gradient", "logits")}
        lines.append(
            say(
                "The logits are off the network's own by {logits}, its gradient by {gradient}.",
                **off,
            )
        )
    inputs = retold(certificate["inputs"], *INPUTS)
    fields = {"inputs": inputs, "dtype": certificate["dtype"]}
    lines.append(
        say("Measured in {dtype} when the file was made, on {inputs}; deviations are relative.", **fields)
    )
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h4>{escape(say('How exact it is'))}</h4><ul>{listed}</ul>"


def _elsewhere(scene: Scene) -> str:
    """The same question, in each language that a file is asked in."""
    asked = "".join(
        to_copy(f"lines-{number}", lines, say("the lines of {language}", language=language))
        for number, (language, lines) in enumerate(scene.file_lines.items())
    )
    note = say("The file answers with torch alone, or libtorch; “About this picture” below gives it.")
    return f"<h4>{escape(say('The same question elsewhere'))}</h4>{asked}<p>{escape(note)}</p>"


COMPUTED = Panel(
    "computed",
    "How it was computed",
    "The explicit program that made this map: its own lines at this layer, and how exact they are.",
    draw,
    layered=True,
    keeps=True,
)
