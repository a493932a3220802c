"""The command line: what each command takes, and the function that it runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .commands.own import add_own
from .errors import ArtifactError, CaptureError, CompileError, PhotoError, WeightsError
from .methods import METHODS
from .methods.baselines import BASELINES
from .models.zoo import DEFAULT_MODEL
from .text import COMMAND

REFUSALS = (ArtifactError, CaptureError, CompileError, PhotoError, WeightsError, ValueError, OSError)
PRECISIONS = ("float32", "bfloat16", "float16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status. A refusal is one line on stderr and status 1."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["demo"]:
        return _demo(arguments[1:])  # has options of its own, and reads them before gradio is imported
    options = _parser().parse_args(arguments)
    room, _, function = options.run.rpartition(".")
    try:
        # A command loads what it needs and no more: the demo and `info` never see the compiler.
        status: int = getattr(importlib.import_module(f"{__package__}.commands.{room}"), function)(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` has; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except REFUSALS as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    return status


def _demo(arguments: list[str]) -> int:
    """Serve the page; status 1 where what it is made of is not installed."""
    try:
        from .demo import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("gradio", "skimage"):
            raise
        print('error: the demo needs more than the engine does: pip install "convlens[demo]"', file=sys.stderr)
        return 1
    app.main(arguments)
    return 0


def _bands(text: str) -> tuple[int, ...]:
    return tuple(int(band) for band in text.split(","))


def _place(text: str) -> tuple[int, int]:
    row, column = (int(number) for number in text.split(","))
    return row, column


def _add_dream(dream: argparse.ArgumentParser) -> None:
    """What `dream` takes."""
    dream.add_argument("-o", "--output", required=True, metavar="OUT.png")
    dream.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    dream.add_argument("--target", metavar="NAME|INDEX", help="the class to be seen")
    dream.add_argument("--layer", metavar="NAME", help="in its place a layer: all of it, or of it a channel")
    dream.add_argument("--channel", type=int, metavar="C", help="of the layer")
    dream.add_argument("--at", type=_place, metavar="ROW,COL", help="one unit of the channel; all if left out")
    dream.add_argument(
        "--photo", action="append", default=[], help="to dream on or to invert; with --as maco, for magnitudes"
    )
    dream.add_argument("--octaves", type=int, metavar="N", help="of a deep dream; 4 if left out")
    dream.add_argument("--invert", action="store_true", help="what the layer knows of the photo")
    dream.add_argument("--steps", type=int, metavar="N", help="96; inverting 200, in each octave 10")
    dream.add_argument("--seed", type=int, default=0, metavar="N", help="the same one gives the same picture")
    dream.add_argument(
        "--as", dest="parametrisation", choices=["pixels", "fourier", "maco"], help="fourier if left out"
    )
    add_own(dream)
    dream.set_defaults(method="gradient")  # all that it asks: of a model that is compiled now, nothing else is


def _add_batch(batch: argparse.ArgumentParser) -> None:
    """What `batch` takes."""
    batch.add_argument("-o", "--output", required=True, metavar="DIR", help="of rows; the same one goes on")
    batch.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    batch.add_argument("--methods", metavar="A,B@LAYER", help="hires_cam if left out; a layer's by @")
    batch.add_argument(
        "--target", default="top", metavar="top|label|runner-up|NAME|INDEX", help="which class is explained"
    )
    batch.add_argument("--option", action="append", default=[], metavar="METHOD.NAME=VALUE")
    batch.add_argument("--smooth", type=int, default=0, metavar="N", help="the mean over N noisy copies of each")
    batch.add_argument("--baseline", default=BASELINES[0], choices=BASELINES, help="of methods of many passes")
    batch.add_argument("--trust", metavar="A,B", help="columns of `evaluate`, for each photo beside controls")
    batch.add_argument("--threshold", type=float, default=0.2, metavar="SHARE", help="where boxes end")
    batch.add_argument("--batch", type=int, default=8, metavar="N", help="photos that are asked together")
    batch.add_argument("--engine", default="plain", choices=["plain", "ray"], help="one process, or Ray's")
    batch.add_argument("--actors", type=int, metavar="N", help="of Ray; as many as there are CPUs if left out")
    batch.add_argument(
        "--address", default="local", metavar="local|auto|ray://HOST:PORT", help="of a Ray cluster; $RAY_ADDRESS"
    )
    batch.add_argument("--retry-errors", action="store_true", help="photos that could not be read, once more")
    batch.add_argument("--overlays", metavar="DIR", help="pictures as well")
    batch.add_argument("--coco", metavar="FILE.json", help="boxes as COCO's annotations")
    batch.add_argument("--label-studio", metavar="FILE.json", help="boxes as predictions to correct")
    batch.add_argument("--zarr", metavar="DIR", help="maps as arrays")
    add_own(batch)


def _add_serve(serve: argparse.ArgumentParser) -> None:
    """What `serve` takes."""
    serve.add_argument("--host", default="127.0.0.1", help="address to serve at; 0.0.0.0 for other machines too")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--replicas", type=int, metavar="N", help="processes; as many as there are CPUs for")
    serve.add_argument("--threads", type=int, default=1, metavar="N", help="of each of them")
    serve.add_argument("--batch", type=int, default=8, metavar="N", help="photos that go through it together")
    serve.add_argument("--queue", type=int, default=32, metavar="N", help="requests that may wait; others get 503")
    serve.add_argument("--megabytes", type=float, default=20, metavar="N", help="of a request at most")
    serve.add_argument(
        "--address", default="local", metavar="local|auto|ray://HOST:PORT", help="of a Ray cluster to serve on"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(COMMAND, description="A classifier and its explanation in one file.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: str, says: str, *arguments: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=says, description=says)
        added.set_defaults(run=run)
        for argument in arguments:
            added.add_argument(argument)
        return added

    commands.add_parser("demo", help="Serve the page. `demo --help` tells its options.", add_help=False)
    command("list", "models.list_models", "Print the models, where their weights are, and the methods.")
    layers = command("layers", "models.list_layers", "Print the trunk, with shapes and aliases.", "model")
    layers.add_argument("--all", action="store_true", help="layers inside of blocks too")
    export = command("export", "files.export", "Compile a model into one file, or for another runtime.", "model")
    where = export.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", metavar="FILE")
    where.add_argument("--triton", metavar="DIR", help="a model repository, for Triton's PyTorch backend")
    export.add_argument("--format", default="torchscript", choices=["torchscript", "pt2", "pt2-package"])
    export.add_argument("--method", choices=list(METHODS), help="of --triton and pt2; grad_cam if left out")
    export.add_argument("--layer", metavar="NAME", help="of --triton and pt2; the last if left out")
    export.add_argument("--layers", default="trunk", metavar="trunk|all|NAME,..")
    export.add_argument("--dtype", default="float32", choices=PRECISIONS)
    export.add_argument("--methods", metavar="A,B", help="only these; all that apply if left out")
    add_own(export)
    trust = command("trust", "trust.trust", "Put a photo's map to the test and write what it is worth.", "photo")
    trust.add_argument("-o", "--output", required=True, metavar="OUT.html")
    trust.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    trust.add_argument("--method", choices=list(METHODS), help="as explain takes it")
    trust.add_argument("--layer", default="last", metavar="NAME|last")
    trust.add_argument("--target", metavar="NAME|INDEX", help="the class to explain; the top one if left out")
    trust.add_argument("--contrast", metavar="NAME|INDEX", help="explain the target rather than this class")
    add_own(trust)
    evaluate = command("evaluate", "evaluate.run", "Every method by every metric, beside controls.", "folder")
    evaluate.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="of the table, and of rows to go on from"
    )
    evaluate.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    evaluate.add_argument(
        "--methods", metavar="A,B@LAYER", help="all that take one pass if left out; a layer's by @"
    )
    evaluate.add_argument(
        "--option", action="append", default=[], metavar="METHOD.NAME=VALUE", help="integrated_gradients.steps=32"
    )
    evaluate.add_argument("--columns", metavar="A,B", help="metrics; all if left out")
    evaluate.add_argument("--mosaics", type=int, default=8, metavar="N", help="of photos that it is sure of")
    evaluate.add_argument("--sure", type=float, default=0.5, metavar="SHARE", help="from which probability on")
    evaluate.add_argument("--limit", type=int, metavar="N", help="only the first photos")
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="of controls, weights and mosaics")
    add_own(evaluate)
    _add_batch(command("batch", "batch.run", "Explain a data set: rows of maps and boxes in Parquet.", "source"))
    _add_serve(command("serve", "serve.run", "Answer programs over HTTP, by Ray Serve.", "model"))
    report = command(
        "report", "report.run", "One HTML file on the rows of `batch`: by class, and shortcuts.", "rows"
    )
    report.add_argument("-o", "--output", required=True, metavar="OUT.html")
    report.add_argument("--boxes", metavar="FILE.json", help="that people drew, as COCO has them")
    report.add_argument("--asked", metavar="METHOD@LAYER", help="which of the questions; the first if left out")
    explain = command("explain", "photos.explain", "Explain a photo and write the picture.", "photo")
    explain.add_argument(
        "-o", "--output", required=True, metavar="OUT.png|OUT.npy", help="a picture, or raw values"
    )
    explain.add_argument("--page", type=int, metavar="N", help="of a TIFF, GIF or DICOM with several, from 1")
    explain.add_argument(
        "--bands", type=_bands, metavar="R,G,B", help="of a TIFF with more than colours, from 1; one for gray"
    )
    explain.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    explain.add_argument(
        "--method", choices=list(METHODS), help="hires_cam if left out, and grad_cam at the last layer"
    )
    explain.add_argument("--layer", default="last", metavar="NAME|last|all")
    explain.add_argument("--target", metavar="NAME|INDEX", help="the class to explain; the top one if left out")
    explain.add_argument("--contrast", metavar="NAME|INDEX", help="explain the target rather than this class")
    explain.add_argument("--smooth", type=int, default=0, metavar="N", help="the mean over N noisy copies")
    explain.add_argument(
        "--baseline", default="mean", choices=BASELINES, help="what a path begins at or is hidden by"
    )
    explain.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of a method of many passes: steps=32"
    )
    explain.add_argument(
        "--boxes", action="store_true", help="draw the box around the map's largest part, and tell it"
    )
    explain.add_argument("--several", action="store_true", help="with --boxes, one for each part")
    explain.add_argument(
        "--threshold", type=float, metavar="SHARE", help="of the map's maximum, where boxes end; 0.2 if left out"
    )
    explain.add_argument("--view", default="all", choices=["all", "positive", "negative"])
    explain.add_argument("--gray", action="store_true")
    explain.add_argument(
        "--colours", default="viridis", metavar="NAME", help="of maps without signs: viridis, inferno, turbo, …"
    )
    explain.add_argument(
        "--scale", default="own", choices=["own", "common"], help="of --layer all: each its own, or one for all"
    )
    add_own(explain)
    _add_dream(command("dream", "dreams.dream", "Make the picture that a class, a channel or a layer likes best."))
    command("info", "files.info", "Print what a file tells of itself, without running anything of it.", "file")
    command("check", "files.check", "Measure a file's certificate again; status 1 where it is not kept.", "file")
    show = command("show", "models.show", "Print the explicit listing of a model, or of one method.", "model")
    show.add_argument("--method", choices=list(METHODS))
    verify = command("verify", "models.verify", "Hold whole networks against autograd; status 1 above the bound.")
    verify.add_argument("models", nargs="*", metavar="MODEL", help="names, timm/NAME included")
    verify.add_argument("--all", action="store_true", help="all of torchvision's and timm's different designs")
    verify.add_argument(
        "--side", type=int, default=224, help="largest side of the input; 0 for each network's own"
    )
    verify.add_argument("--relevance", action="store_true", help="every composite of relevance, not the gates")
    verify.add_argument("--jobs", type=int, default=1, metavar="N", help="networks at once, which share the cores")
    verify.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
