"""Write docs/relevance.md: relevance, with pictures, the pointing game, and the tools of the field beside it.

    python -m benchmarks.relevance [-o docs/relevance.md] [--rows FILE]

FILE is what `python -m engine verify --relevance --all --side 64 --jobs 2 > FILE` printed; without it the networks
are verified here, which takes more than an hour. Needs tests/requirements.txt. The pictures and the table of all
networks go beside the page, into a folder of its name. The photos in them are scikit-image's.
"""

import argparse
import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from benchmarks import machine, relevance_rate
from benchmarks.exactness import cosine
from benchmarks.markdown import table
from benchmarks.pointing import photos, play, sure_of, wide
from benchmarks.process import ROOT
from benchmarks.relevance_networks import NETWORKS, summary, verified
from engine import METHODS, Explainer, compile_model, load_model
from engine.__main__ import main as engine
from engine.files.precision import in_precision
from engine.methods.relevance import RELEVANCE
from engine.pictures.figures import Look, picture
from engine.pictures.geometry import Window
from engine.pictures.render import fit
from tests.conformance.peers import (
    RELEVANCE_CASES,
    RELEVANCE_FAULTS,
    brief,
    ours,
    reference,
    share,
    theirs,
    titled,
)
from tests.oracle import deviation

PAGE = ROOT / "docs" / "relevance.md"
SIDE = 300  # longest side of a picture, in pixels
SHOWN = ("chelsea", "coffee", "camera")
BESIDE = ("guided_backprop", "lrp_epsilon", "lrp_epsilon_plus", "lrp_epsilon_gamma_box")
OF_TRANSFORMERS = ("attn_lrp", "cp_lrp", "libragrad")
CONVOLUTIONAL = [row.name for row in RELEVANCE if not row.name.endswith(("rollout", *OF_TRANSFORMERS))]
TEXT = """# Relevance

Made by `python -m benchmarks.relevance`.

A gradient says what would change a score; relevance says what a score was made of. Layer-wise relevance
propagation (LRP, Bach et al. 2015) starts with the score itself and hands it back call by call, to each input of a
call in proportion to what it added, until it lies on the pixels.
`convlens explain PHOTO --method lrp_epsilon_plus`, or

```python
explainer = convlens.build("efficientnet_lite0")
map = explainer.explain(x, explainer.one_hot("tiger cat"), "lrp_epsilon_plus")  # [1, 3, 224, 224], signed
map, layers, arrived = explainer.explain_throughout(x, explainer.one_hot("tiger cat"), "lrp_epsilon_plus")
```

`lrp_epsilon_plus` is in every file; the others are in one that names them, `convlens export --methods ...`.

## What it shows

For the first class of each photo, EfficientNet-Lite0: {beside}.

![{beside}](relevance/photos.webp)

## Rules

Which rule a call gets depends on its kind alone, whatever module or function it comes from: a residual sum, a
functional call and a module that is used twice are calls like any other.

{rules}

Sums share by their terms, products give all to the signal that a gate weighs, or half to each of two alike; max
pooling gives to the pixel that won; activations pass all; norms that do not fold hold their deviation constant.
`register_composite` makes one's own of a dictionary from kinds to rules.

## How much arrives

Relevance that falls on a bias or a stabiliser is gone, and that is told rather than claimed away: the share of the
score that came to each layer stands beside every map. For the cat's first class:

{arrived}

## Does it know its class?

`python -m benchmarks.pointing`: of mosaics of four photos that the network is sure of, each as large as it takes
it, the share of a map that lies on the photo of its class (grid pointing energy; by chance .25), at the pixels. In
the second column the class is asked for rather than the other three.

{pointing}

## In bfloat16

How near the map at the image in a file of bfloat16 (`--dtype bfloat16`) comes to the one in float32: the cosine of
the two, for the first class of {count} photos.

{precision}

What rests on the signs and sizes of sums alone hardly notices it. LRP-epsilon divides by sums that may be nearly
zero, and notices a rounding as it does everything else; a file's manifest has its own figures.

## On whole networks

`python -m engine verify --relevance --all --side 64`: {head}.
Each composite against autograd through the file's own forward pass, each call with the rule's formula for its
backward pass: the largest deviation at the image and at every layer, relative to the largest value there, and
which share of the score came to the image. A composite that has no rule for a network's op, or nothing to read
there, is refused by name.

{summary}

{verdict}. [Network by network]({networks}).

`attn_lrp` and `libragrad` halve products, as transformers want it. In a network with gates, as
squeeze-and-excitation, half of the relevance goes down each gate, whose sums nearly cancel, and what arrives
means nothing: 1e37 times the score in EfficientNetV2-L. The other composites give all to the signal.

## What it takes

`python -m benchmarks.relevance_rate`: `lrp_epsilon_plus` of one image in forward passes F of the same network, the
fastest of six ways, {machine}.

{rate}

## Beside zennit, captum and lxt

Deviations are the largest difference relative to the largest value, float64, random weights. zennit is asked with
a stabiliser that grows with the values (`norm_scale=True`), as this project's does. *eps 0*: with BatchNorms whose
eps is (nearly) zero, since zennit's canonisers merge the rest of a norm and leave the eps behind. lxt's functions,
put together to a block, give the same as `attn_lrp` (tests/conformance/test_lxt.py).

{agreements}

Where they differ, this project is held against autograd through the file's own forward pass, each call with the
rule's formula for its backward pass:

{faults}
"""


def compiled(methods: Sequence[str]) -> Explainer:
    """The model that comes with the project, for these methods."""
    model = load_model("efficientnet_lite0")
    return compile_model(
        model.module, model.example, "trunk", list(methods), model.labels, model.geometry, model.source
    )


def draw(explainer: Explainer, to: Path) -> None:
    """A row for each photo: the photo, and its maps side by side."""
    rows = []
    for name in SHOWN:
        photo = getattr(skimage.data, name)()
        photo = photo if photo.ndim == 3 else np.stack([photo] * 3, -1)
        x = explainer.preprocess(torch.from_numpy(photo))
        seed = explainer.one_hot(int(explainer.forward(x).argmax()))
        window = explainer.geometry.window(*photo.shape[:2])
        top, left = max(0, round(window.top)), max(0, round(window.left))
        square = fit(
            photo[top : round(window.top + window.height), left : round(window.left + window.width)], SIDE
        )
        cells, inside = [square], Window(0, 0, *square.shape[:2])
        for method in BESIDE:
            map = explainer.explain(x, seed, method)[0].sum(0).numpy()
            cells.append(picture(square, inside, map, Look(), True, True))
        height = min(cell.shape[0] for cell in cells)
        rows.append(
            np.concatenate([np.asarray(Image.fromarray(one).resize((height, height))) for one in cells], 1)
        )
    width = min(row.shape[1] for row in rows)
    sheet = np.concatenate([np.asarray(Image.fromarray(row).resize((width, row.shape[0]))) for row in rows])
    to.parent.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(to, quality=82)


def rules() -> str:
    """A row for each composite, with what it says of itself."""
    return table(
        ["method", "what it shows", "paper"],
        [[f"`{row.name}`", row.says, row.cite] for row in RELEVANCE],
    )


def arrived(explainer: Explainer) -> str:
    """The share that came to some layers and to the image, by each composite."""
    x = explainer.preprocess(torch.from_numpy(photos()[0]))
    seed = explainer.one_hot(int(explainer.forward(x).argmax()))
    names = [name for name in explainer.layers if name.startswith("blocks") and name.count(".") == 2][::-1]
    chosen = [explainer.layers[-1], *names[:: max(1, len(names) // 4)]]
    rows = []
    for method in CONVOLUTIONAL:
        _, _, came = explainer.explain_throughout(x, seed, method)
        shares = [float(came[0, 1 + explainer.layers.index(name)]) for name in chosen]
        rows.append([f"`{method}`", *(f"{number:.3f}" for number in (*shares, float(came[0, 0])))])
    return table(["method", *chosen, "image"], rows)


def pointing(explainer: Explainer) -> str:
    """The table of `benchmarks.pointing`."""
    images, rows, asked = sure_of(explainer), [], (*CONVOLUTIONAL, "guided_backprop")
    of_mosaics = wide(load_model("efficientnet_lite0"), asked)
    classes = [int(explainer.forward(x).argmax(1)) for x in images]
    for method in asked:
        energies = (
            np.mean(play(of_mosaics, method, images, classes, contrastive)) for contrastive in (False, True)
        )
        rows.append([f"`{method}`", *(f"{energy:.3f}" for energy in energies)])
    return table(["method", "a class", "a class rather than the other three"], rows)


def agreements() -> str:
    """Where other tools are right."""
    rows = [
        [
            titled(case.tool),
            case.network,
            case.method,
            case.usage or "as documented",
            brief(deviation(ours(case), theirs(case))),
        ]
        for case in RELEVANCE_CASES
    ]
    return table(["tool", "network", "method", "how", "deviation"], rows)


def faults() -> str:
    """Where they are wrong."""
    rows = []
    for fault in RELEVANCE_FAULTS:
        wanted = reference(fault.case)
        numbers = share(deviation(theirs(fault.case), wanted)), brief(deviation(ours(fault.case), wanted))
        rows.append(
            [fault.title, titled(fault.case.tool), fault.case.network, fault.case.method, *numbers, fault.why]
        )
    return table(["fault", "tool", "network", "method", "its deviation", "ours", "why"], rows)


def precision(explainer: Explainer) -> str:
    """How near the maps in bfloat16 come, by each composite."""
    rounded = in_precision(compiled(CONVOLUTIONAL), torch.bfloat16)
    rows = []
    for method in CONVOLUTIONAL:
        found = []
        for photo in photos():
            pixels = torch.from_numpy(photo)
            target = int(explainer.forward(explainer.preprocess(pixels)).argmax())
            pair = [
                one.explain(one.preprocess(pixels), one.one_hot(target), method) for one in (explainer, rounded)
            ]
            found.append(cosine(*pair))
        rows.append([f"`{method}`", f"{min(found):.4f} to {max(found):.4f}"])
    return table(["method", "cosine"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and its pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relevance", description=__doc__)
    parser.add_argument("-o", dest="output", default=str(PAGE), metavar="FILE.md")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="what `verify --relevance --all` printed")
    options = parser.parse_args(arguments)
    page = Path(options.output)
    if options.rows:
        printed = options.rows.read_text(encoding="utf-8")
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            engine(["verify", "--relevance", "--all", "--side", "64", "--jobs", "2"])
        printed = out.getvalue()
    head, cells, verdict = verified(printed)
    explainer = compiled([*CONVOLUTIONAL, "guided_backprop"])
    beside = page.with_suffix("")
    draw(explainer, beside / "photos.webp")
    networks = NETWORKS.format(head=head, rows=table(cells[0], cells[2:]))
    (beside / "networks.md").write_text(networks, encoding="utf-8")
    text = TEXT.format(
        beside="photo, " + ", ".join(METHODS[name].title for name in BESIDE),
        rules=rules(), arrived=arrived(explainer), pointing=pointing(explainer),
        machine=machine.name(machine.facts()), rate=relevance_rate.table(),
        agreements=agreements(), faults=faults(), count=len(photos()), precision=precision(explainer), head=head,
        summary=summary(cells), verdict=verdict[0].upper() + verdict[1:], networks=f"{beside.name}/networks.md",
    )  # fmt: skip
    page.write_text(text, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
