"""Write docs/trust.md: how far maps can be believed, by every metric, with controls.

    python -m benchmarks.trust [-o docs/trust.md] [--keep DIR]

Six photos that packages ship, so a pattern and no benchmark: `convlens evaluate FOLDER` does the same with yours.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import judging, machine
from benchmarks.pointing import photos
from benchmarks.process import ROOT
from engine import compile_model, load_model
from engine.trust.evaluate import Item, evaluate
from engine.trust.evaluation import COLUMNS, Evaluation
from engine.trust.table import READING, Table

PAGE = ROOT / "docs" / "trust.md"
NAMES = ("chelsea", "coffee", "rocket", "camera", "lion", "cheetah")
INNER = "blocks.4.2"
ASKED = (
    "gradient", "input_x_gradient", "deconvnet", "guided_backprop", "grad_cam", f"grad_cam@{INNER}",
    "guided_grad_cam", "hires_cam", f"hires_cam@{INNER}", "layer_cam", f"layer_cam@{INNER}", "lrp_epsilon_plus",
    "lrp_epsilon_gamma_box", "lrp_epsilon", "excitation_backprop", "integrated_gradients", "occlusion",
)  # fmt: skip
SURE = 0.25  # two of the six are photos that the network is not sure of, and a mosaic takes four classes
HALVES = (
    ("deletion", "insertion", "road", "grid_energy", "grid_contrast", "grid_hit"),
    ("same_class", "same_weights", "entropy_rise", "hiding", "missing", "arrived", "gini"),
)
TEXT = """# How far a map can be believed

Made by `python -m benchmarks.trust`, with EfficientNet-Lite0.
{told}

A heatmap persuades whether it is true or not. So every number here stands beside those of three maps that know
nothing of the network: one drawn by chance, one that marks the middle, as photographers do, and one that marks
edges (Sobel's filter).

## What follows

{sentences}

## By taking away, and by mosaics

{first}

## By asking again

{second}

{reading}

{meanings}

## What it takes

`python -m benchmarks.judging`, {machine}:

{judging}

## Before you publish a heatmap

**Show** the class that the map is of and how sure the network is of it; the method and the layer by name; the same
method's map for another class; the scale of the colours, and whether it is each picture's own. Where a curve or a
score is shown, show the controls' beside it.

**Say** what the method can't tell. A map at the last layer is as coarse as that layer's cells, whatever its edges
look like once it is enlarged. A map that hardly changes for another class, or for a network with redrawn weights,
shows the photo. A sharp map is not a truer one: sparseness ranks edges highly.

**Don't claim** that the network "uses" what is red: a map says what this score hung on in this photo, by this
method's definition, and other methods say other things of the same network. Don't claim that one method is best by
one column: deletion and insertion contradict each other in this very table, and a curve whose baseline is the
method's own, as integrated gradients' is here, is good by construction. Don't tune a threshold on the photos that
you report. Don't draw conclusions on people from a map that nobody checked.

**Check** one picture with `convlens trust PHOTO -o trust.html`, and a folder with:

```bash
convlens evaluate FOLDER -o evaluation --methods hires_cam,lrp_epsilon_plus,guided_backprop
```

It keeps a line for each photo as it goes (`rows.jsonl`), goes on where it was stopped, and writes `table.html` and
`table.json`. Folders that are called as classes, or numbered like them, say what the photos are of; else the
network's own first class is explained. From Python:

```python
from functools import partial

from convlens.trust.evaluate import Item, evaluate
from convlens.trust.evaluation import Evaluation

explainer = convlens.open_model("efficientnet_lite0")
items = [Item("cat.jpg", partial(convlens.load_photo, "cat.jpg"))]
table = evaluate(Evaluation(explainer, ["hires_cam", "guided_backprop"]), items)
table.summary()["hires_cam"]["deletion"].mean
```
"""


def measured(folder: Path) -> Table:
    """The table of the six photos."""
    model = load_model("efficientnet_lite0")
    methods = list(dict.fromkeys(asked.partition("@")[0] for asked in ASKED))
    explainer = compile_model(
        model.module, model.example, "trunk", methods, model.labels, model.geometry, model.source
    )
    items = [
        Item(name, lambda photo=photo: np.ascontiguousarray(photo))  # type: ignore[misc]
        for name, photo in zip(NAMES, photos(), strict=True)
    ]
    evaluation = Evaluation(explainer, ASKED, options={"integrated_gradients": {"steps": 32}})
    return evaluate(evaluation, items, folder, sure=SURE, progress=told)


def told(done: int, items: int) -> None:
    """One line for each photo: it takes minutes."""
    print(f"{done} of {items} photos", flush=True)


def part(table: Table, columns: Sequence[str]) -> str:
    """Some of the columns, as Markdown."""
    return Table(table.asked, columns, table.photos, table.mosaics).as_markdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="rows to go on from")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        table = measured(options.keep or Path(folder))
    text = TEXT.format(
        told=" ".join([*table.told, f"Photos: scikit-image's and Gradio's ({', '.join(NAMES)})."]),
        sentences="\n".join(f"- {line}" for line in table.sentences()),
        first=part(table, HALVES[0]),
        second=part(table, HALVES[1]),
        reading=READING.replace(" Red: the mean is no better than the best control's.", "").replace(
            "Below each mean is the interval", "After each mean stands half of the interval"
        ),
        machine=machine.name(machine.facts()),
        judging=judging.table(),
        meanings="\n".join(f"- *{column.title}*: {column.says}." for column in COLUMNS.values()),
    )
    options.output.write_text(text, encoding="utf-8")
    print(f"-> {options.output}")


if __name__ == "__main__":
    main()
