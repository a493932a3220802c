"""A table of methods and metrics over a folder of photos."""

import argparse
import json
from functools import partial
from pathlib import Path

from ..files.shelf import build
from ..pictures.folder import classes_of, photos_in
from ..pictures.photo import load_photo
from ..run.explainer import Explainer
from ..trust.evaluate import Item, evaluate
from ..trust.evaluation import COLUMNS, Evaluation, named
from .own import own_of
from .photos import explainer_of, numbers_of, told_progress


def run(options: argparse.Namespace) -> int:
    """Measure, print the table, and write it beside the rows that it is made of."""
    folder, out = Path(options.folder), Path(options.output)
    photos = photos_in(folder)
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit {options.limit}: at least one photo is measured")
    if options.limit:
        photos = photos[: options.limit]
    explainer = explainer_for(options)
    classes = classes_of(photos, folder, explainer.labels)
    items = [
        Item(photo.relative_to(folder).as_posix(), partial(load_photo, photo), target)
        for photo, target in zip(photos, classes, strict=True)
    ]
    asked = options.methods.split(",") if options.methods else asked_of(explainer)
    columns = options.columns.split(",") if options.columns else list(COLUMNS)
    evaluation = Evaluation(explainer, asked, columns, options.seed, options_of(options.option))
    table = evaluate(evaluation, items, out, options.mosaics, options.sure, told_progress())
    head = f"How far maps of {explainer.manifest['model']['title']} can be believed"
    (out / "table.json").write_text(json.dumps(table.as_json(), indent=1) + "\n", encoding="utf-8")
    (out / "table.html").write_text(table.as_html(head), encoding="utf-8")
    kind = "those of the folders" if classes[0] is not None else "the network's own"
    for line in (f"Classes are {kind}.", *table.told, "", table.as_markdown(), "", *table.sentences()):
        print(line)
    print(f"-> {out / 'table.html'}, {out / 'table.json'}")
    return 0


def explainer_for(options: argparse.Namespace) -> Explainer:
    """The file that is named, or the model's kept one; where that lacks a method, one that is compiled now."""
    options.method = None
    explainer = explainer_of(options)
    asked = [named(text)[0] for text in options.methods.split(",")] if options.methods else []
    if options.model.endswith(".pt") or all(method in explainer.methods for method in asked):
        return explainer
    methods = list(dict.fromkeys([*asked, "occlusion"]))  # which the others are held against
    return build(options.model, options.weights, methods=methods, size=options.size, **own_of(options))


def options_of(given: list[str]) -> dict[str, dict[str, float]]:
    """integrated_gradients.steps=32 and its like, by method. Raises ValueError for anything else."""
    found: dict[str, dict[str, float]] = {}
    for name, value in numbers_of(given).items():
        method, _, option = name.partition(".")
        found.setdefault(method, {})[option] = value
    return found


def asked_of(explainer: Explainer) -> list[str]:
    """The methods of a file that take one pass."""
    return [method for method in explainer.methods if method not in explainer.module.path_of]
