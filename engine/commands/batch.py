"""Explain a data set: rows in Parquet, and what other tools read."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from ..batch.exports import write_coco, write_label_studio, write_overlays, write_zarr
from ..batch.on_ray import explain_on_ray
from ..batch.questions import Questions
from ..batch.run import Progress, explain_folder
from ..batch.store import parquet
from ..files.artifact import save
from ..run.explainer import Explainer
from .evaluate import explainer_for, options_of


def run(options: argparse.Namespace) -> int:
    """Write the rows, and what was asked for besides."""
    parquet()  # what is missing is told before a model is compiled
    asked = tuple((options.methods or "hires_cam").split(","))
    trust = tuple(options.trust.split(",")) if options.trust else ()
    own = options_of(options.option)
    questions = Questions(asked, options.target, trust, options.threshold, own, options.smooth, options.baseline)
    options.methods = ",".join(asked)
    explainer = explainer_for(options)
    out = options.output
    if options.engine == "ray":
        state = _on_ray(options, out, explainer, questions)
    else:
        state = explain_folder(
            options.source, out, explainer, questions, options.retry_errors, options.batch, Teller()
        )
    print(f"{state.done} of {state.total} photos -> {out}" + _errors(state))
    for given, write in (
        (options.overlays, write_overlays), (options.coco, write_coco),
        (options.label_studio, write_label_studio), (options.zarr, write_zarr),
    ):  # fmt: skip
        if given:
            print(f"{write(out, given)} -> {given}")
    return 0


def _on_ray(options: argparse.Namespace, out: str, explainer: Explainer, questions: Questions) -> Progress:
    """By Ray's actors, which load the file themselves; a model that has none yet is written beside the rows."""
    address = os.environ.get("RAY_ADDRESS", "local") if options.address == "local" else options.address
    with tempfile.TemporaryDirectory() as folder:
        file = Path(options.model)
        if file.suffix != ".pt":
            file = Path(folder) / "model.pt"
            save(explainer, file)
        return explain_on_ray(
            options.source, out, file, questions, options.retry_errors, options.batch, Teller(), options.actors,
            address=address,
        )  # fmt: skip


def _errors(state: Progress) -> str:
    return f"; {state.errors} could not be read, --retry-errors tries them again" if state.errors else ""


class Teller:
    """Progress on a terminal as a line that is written over, and in a log as a line now and then."""

    def __init__(self) -> None:
        self.shown = -1.0

    def __call__(self, state: Progress) -> None:
        """Tell it."""
        last = state.done == state.total
        if sys.stderr.isatty():
            print(f"\r{state}  ", end="\n" if last else "", file=sys.stderr, flush=True)
            return
        share = state.done / max(1, state.total)
        if last or share - self.shown >= 0.05:
            self.shown = share
            print(state, file=sys.stderr, flush=True)
