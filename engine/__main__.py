"""The command line: python -m engine list | layers | export | explain | info | check | show | verify."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .compiler.passes import compile_program
from .errors import ArtifactError, CaptureError, CompileError, PhotoError, WeightsError
from .files.artifact import load, save
from .files.manifest import admit, disagreements, manifest_in, open_artifact, told
from .files.one_question import layers_for
from .files.precision import PRECISIONS, in_precision
from .files.pt2 import write_pt2
from .files.shelf import build, build_loaded, coverage_of, open_model
from .files.triton import write_triton
from .listing.program import Program
from .methods import METHODS
from .models.timm import PREFIX, REPRESENTATIVE
from .models.zoo import DEFAULT_MODEL, MODELS, availability, by_family, load_model
from .pictures.figures import Look, picture, shape_text
from .pictures.photo import load_photo
from .pictures.render import Picture, contact_sheet
from .run.explainer import Explainer
from .trust.certificate import BOUNDS, certify
from .trust.verify_models import header, rows

REFUSALS = (ArtifactError, CaptureError, CompileError, PhotoError, WeightsError, ValueError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status. A refusal is one line on stderr and status 1."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except REFUSALS as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    return status


def list_models(options: argparse.Namespace) -> int:
    """Print the models, where their weights are, what gates reach in those that were built, and the methods."""
    for family, specs in by_family().items():
        print(family)
        for spec in specs:
            where: str = availability(spec.name)
            where = f"download {spec.megabytes:.0f} MB" if where == "download" else where
            accuracy = f"top-1 {spec.accuracy:.1f} %" if spec.accuracy else ""
            size = f"{spec.parameters / 1e6:6.1f} M"
            line = f"  {spec.name:22} {spec.title:22} {size}  {accuracy:12} {where:15} {coverage_of(spec.name)}"
            print(line.rstrip())
    print("\nGate coverage stands behind models that were built; docs/exactness.md has that of all.")
    print("\nMethods")
    for method in METHODS.values():
        place = {"image": "at the image", "layer": "at every layer", "pooled": "at the pooled layer"}[method.at]
        print(f"  {method.name:18} {place:20} {method.cite}")
    return 0


def list_layers(options: argparse.Namespace) -> int:
    """Print the trunk, or all layers, with shapes and aliases."""
    model = load_model(options.model, "random")
    compiled = compile_program(model.module, model.example[:1], "all" if options.all else "trunk", ["gradient"])
    for index, layer in enumerate(compiled.program.layers):
        aliases = f"  = {', '.join(layer.aliases)}" if layer.aliases else ""
        print(f"{index:4} {layer.name:40} {shape_text(list(layer.shape)):18}{aliases}")
    print(f"{len(compiled.program.layers)} layers; {compiled.coverage}")
    return 0


def export(options: argparse.Namespace) -> int:
    """Compile a model into one file, or into a model of a Triton repository."""
    if options.triton or options.format == "pt2":
        return _export_one_question(options)
    if options.method or options.layer:
        raise ValueError(
            "a TorchScript file answers many questions, so say --methods and --layers; "
            "--method and --layer are for --triton and --format pt2"
        )
    explainer = build(
        options.model, options.weights, _names(options.layers), _name_list(options.methods), options.size
    )
    explainer = in_precision(explainer, PRECISIONS[options.dtype])
    save(explainer, options.output)
    _describe(explainer, options.output)
    return 0


def _export_one_question(options: argparse.Namespace) -> int:
    method, layer = options.method or "grad_cam", options.layer or -1
    if options.methods or options.layers != "trunk":
        raise ValueError(
            "a Triton model and a .pt2 file answer one question, so say --method and --layer; "
            "--methods and --layers are for TorchScript files"
        )
    if options.format == "pt2" and (options.triton or options.dtype != "float32"):
        raise ValueError("--format pt2 goes without --triton, which takes TorchScript, and without --dtype")
    model = load_model(options.model, options.weights, size=options.size)
    explainer = build_loaded(model, layers_for(method, layer), [method])
    if options.triton:
        explainer = in_precision(explainer, PRECISIONS[options.dtype])
        folder = write_triton(explainer, options.triton, method, layer)
        _describe(explainer, str(folder / "1" / "model.pt"))
    else:
        write_pt2(explainer, model.module, options.output, method, layer)
        _describe(explainer, options.output)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Explain a photo and write the picture."""
    photo = load_photo(options.photo)
    explainer = (
        load(options.model) if options.model.endswith(".pt") else open_model(options.model, options.weights)
    )
    logits = explainer.forward(explainer.preprocess(torch.from_numpy(photo)))[0]
    probabilities = logits.softmax(0)
    for index in logits.topk(min(5, len(logits))).indices.tolist():
        print(f"{probabilities[index]:7.1%}  {index:4}  {explainer.labels[index]}")
    target = explainer.class_index(options.target) if options.target else int(logits.argmax())
    question = explainer.labels[target]
    if options.contrast:
        other = explainer.class_index(options.contrast)
        seed = explainer.contrast(target, other)
        question += f" rather than {explainer.labels[other]}"
    else:
        seed = explainer.one_hot(target)
    window = explainer.geometry.window(*photo.shape[:2])
    look = Look(view=options.view, gray=options.gray)
    title = f"{METHODS[options.method].title}: {question}" if options.method in METHODS else None
    attribution = answers(explainer, photo, seed, [options.method])[options.method]
    if METHODS[options.method].at == "layer" and options.layer == "all":
        result = sheet(explainer, photo, attribution, look, title)
    elif METHODS[options.method].at == "layer":
        index = explainer.layer_index(-1 if options.layer == "last" else options.layer)
        title = f"{title}, {explainer.layers[index]}"
        result = picture(photo, window, attribution[index], look, at_image=False)
    else:
        one = attribution[0] if METHODS[options.method].at == "pooled" else attribution
        result = picture(photo, window, one, look, METHODS[options.method].at == "image")
    encoded, data = cv2.imencode(Path(options.output).suffix or ".png", cv2.cvtColor(result, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"{options.output}: no picture format; use .png or .jpg")
    Path(options.output).write_bytes(data.tobytes())
    print(f"{title} -> {options.output} ({result.shape[1]} × {result.shape[0]})")
    return 0


def info(options: argparse.Namespace) -> int:
    """Print what a file tells of itself, without running anything of it."""
    with open_artifact(options.file) as file:
        manifest = manifest_in(file)
        admit(file, manifest)
    print(told(manifest))
    return 0


def check(options: argparse.Namespace) -> int:
    """Measure a file's certificate again; status 1 where it is not kept, or where manifest and program differ."""
    explainer = load(options.file)
    written, certificate = explainer.manifest["certificate"], certify(explainer.module)
    bound = certificate["bound"]
    print(f"{explainer.manifest['model']['name']}, {certificate['dtype']}: {certificate['inputs']}")
    print(f"largest deviations from autograd, bound {bound}")
    wrong = disagreements(explainer.manifest, explainer.module)
    for kind in ("gates", "methods"):
        for name, deviation in certificate[kind].items():
            print(f"  {kind[:-1]:6} {name:16} {deviation:.1e}, written {written[kind].get(name, math.nan):.1e}")
            if bound is not None and not deviation <= bound:
                wrong.append(f"{name} is off by {deviation:.1e}, which is above {bound}")
    for difference in wrong:
        print(difference)
    print("NOT kept: do not trust this file, export it again" if wrong else "kept")
    return 1 if wrong else 0


def show(options: argparse.Namespace) -> int:
    """Print the explicit listing: the forward half, or all that a method needs."""
    model = load_model(options.model, "random")
    methods = [options.method] if options.method else ["gradient"]
    program = compile_program(model.module, model.example[:1], methods=methods).program
    print(program.listing(_outputs(program, options.method)))
    return 0


def verify_models(options: argparse.Namespace) -> int:
    """Hold whole networks with random weights against autograd and print the table; status 1 above the bound."""
    names = options.models or ["efficientnet_lite0", "resnet18", "timm/convnextv2_atto"]
    if options.all:
        names = [*MODELS, *(f"{PREFIX}{name}" for name in REPRESENTATIVE)]
    dtype = getattr(torch, options.dtype)
    print(f"torch {torch.__version__}, {options.dtype}, bound {BOUNDS[dtype]}, random weights\n\n{header()}")
    kept = True
    for row in rows(names, options.side, dtype):
        print(row, flush=True)
        kept &= row.kept
    print("\nall within the bound" if kept else "\nNOT all within the bound")
    return 0 if kept else 1


def _outputs(program: Program, method: str | None) -> dict[str, torch.fx.Node]:
    """The values that a method reads, layer methods at the last layer."""
    outputs = {"logits": program.logits}
    if method:
        chosen = METHODS[method]
        if chosen.at == "image":
            outputs["cotangent"] = program.image_cotangents[chosen.gate]
        else:
            outputs |= {"primal": program.primals[-1], "cotangent": program.cotangents[chosen.gate][-1]}
        if chosen.times:
            outputs["image"] = program.image_cotangents[METHODS[chosen.times].gate]
    return outputs


def _describe(explainer: Explainer, path: str) -> None:
    size = Path(path).stat().st_size / 1e6
    worst = max(explainer.manifest["certificate"]["methods"].values())
    print(f"{path}: {size:.1f} MB, {len(explainer.layers)} layers, {', '.join(explainer.methods)}")
    print(f"{explainer.coverage}; largest deviation from autograd {worst:.1e}")
    if cosine := explainer.manifest["certificate"].get("cosine"):
        print(f"cosine with float32: {', '.join(f'{method} {value}' for method, value in cosine.items())}")
    for method, reason in explainer.manifest["absent"].items():
        print(f"{method} is absent: {reason}")


def _names(text: str) -> str | list[str]:
    return text if text in ("trunk", "all") else text.split(",")


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0], sides[-1]


def _name_list(text: str | None) -> list[str] | None:
    return text.split(",") if text else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m engine", description="A classifier and its explanation in one file."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, *arguments: str) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        for argument in arguments:
            added.add_argument(argument)
        return added

    command("list", list_models)
    layers = command("layers", list_layers, "model")
    layers.add_argument("--all", action="store_true", help="layers inside of blocks too")
    exported = command("export", export, "model")
    where = exported.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", metavar="FILE")
    where.add_argument("--triton", metavar="DIR", help="a model repository, for Triton's PyTorch backend")
    exported.add_argument("--format", default="torchscript", choices=["torchscript", "pt2"])
    exported.add_argument("--method", choices=list(METHODS), help="of --triton and pt2; grad_cam if left out")
    exported.add_argument("--layer", metavar="NAME", help="of --triton and pt2; the last if left out")
    exported.add_argument("--weights", default="default", metavar="default|random|PATH")
    exported.add_argument("--layers", default="trunk", metavar="trunk|all|NAME,..")
    exported.add_argument("--dtype", default="float32", choices=list(PRECISIONS))
    exported.add_argument(
        "--size", type=_size, metavar="SIDE|HxW", help="of the input; the network's own if left out"
    )
    exported.add_argument("--methods", metavar="A,B", help="only these; all that apply if left out")
    explained = command("explain", explain, "photo")
    explained.add_argument("-o", "--output", required=True, metavar="OUT.png")
    explained.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL|FILE.pt")
    explained.add_argument("--weights", default="default", choices=["default", "random"])
    explained.add_argument("--method", default="grad_cam", choices=list(METHODS))
    explained.add_argument("--layer", default="last", metavar="NAME|last|all")
    explained.add_argument("--target", metavar="NAME|INDEX", help="the class to explain; the top one if left out")
    explained.add_argument("--contrast", metavar="NAME|INDEX", help="explain the target rather than this class")
    explained.add_argument("--view", default="all", choices=["all", "positive", "negative"])
    explained.add_argument("--gray", action="store_true")
    command("info", info, "file")
    command("check", check, "file")
    shown = command("show", show, "model")
    shown.add_argument("--method", choices=list(METHODS))
    verified = command("verify", verify_models)
    verified.add_argument("models", nargs="*", metavar="MODEL", help="names, timm/NAME included")
    verified.add_argument("--all", action="store_true", help="all of torchvision's and timm's different designs")
    verified.add_argument(
        "--side", type=int, default=224, help="largest side of the input; 0 for each network's own"
    )
    verified.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    return parser


if __name__ == "__main__":
    sys.exit(main())


def answers(
    explainer: Explainer, photo: NDArray[np.uint8], seed: Tensor, methods: list[str]
) -> dict[str, NDArray[Any]]:
    """Ask `methods` about one photo, uint8 [H, W, 3]: for each [S, S], [C, S, S], [L, S, S] or [L, C, S, S]."""
    x = explainer.preprocess(torch.from_numpy(photo))
    found = explainer.survey(x, seed, methods)
    return {name: answer[0].float().cpu().numpy() for name, answer in found.items()}


def sheet(
    explainer: Explainer, photo: NDArray[np.uint8], stack: NDArray[Any], look: Look, title: str | None = None
) -> Picture:
    """Every layer's picture with its name and shape: stack [L, S, S] or [L, C, S, S]."""
    window = explainer.geometry.window(*photo.shape[:2])
    layers = explainer.manifest["layers"]
    captions = [f"{layer['name']}\n{shape_text(layer['shape'])}" for layer in layers]
    pictures = [picture(photo, window, attribution, look, False) for attribution in stack]
    return contact_sheet(pictures, captions, title=title)
