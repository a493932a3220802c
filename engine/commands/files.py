"""The one file: write it, read what it tells of itself, measure it again."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from ..files.artifact import load, save
from ..files.manifest import check_program, disagreements, manifest_in, open_artifact, told
from ..files.one_question import layers_for
from ..files.precision import in_precision
from ..files.pt2 import write_pt2
from ..files.pt2_package import write_pt2_package
from ..files.shelf import build_loaded
from ..files.triton import write_triton
from ..models.loading import load_model
from ..run.explainer import Explainer
from ..trust.certificate import certify
from ..trust.relevance import bound_of
from .own import own_of


def export(options: argparse.Namespace) -> int:
    """Compile a model into one file, for TorchScript or torch.export, or into a model of a Triton repository."""
    if options.format != "torchscript" and (options.triton or options.dtype != "float32"):
        raise ValueError(
            f"--format {options.format} goes without --triton, which takes TorchScript, and without --dtype"
        )
    if options.triton or options.format == "pt2":
        return _export_one_question(options)
    if options.method or options.layer:
        raise ValueError(
            "a TorchScript file and a package answer many questions, so say --methods and --layers; "
            "--method and --layer are for --triton and --format pt2"
        )
    layers, methods = _names(options.layers), _name_list(options.methods)
    model = load_model(options.model, options.weights, size=options.size, **own_of(options))
    explainer = build_loaded(model, layers, methods)
    if options.format == "pt2-package":
        left_out = write_pt2_package(explainer, model.module, options.output)
        _describe(explainer, options.output, left_out)
        return 0
    explainer = in_precision(explainer, getattr(torch, options.dtype))
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
    model = load_model(options.model, options.weights, size=options.size, **own_of(options))
    explainer = build_loaded(model, layers_for(method, layer), [method])
    if options.triton:
        explainer = in_precision(explainer, getattr(torch, options.dtype))
        folder = write_triton(explainer, options.triton, method, layer)
        _describe(explainer, str(folder / "1" / "model.pt"))
    else:
        write_pt2(explainer, model.module, options.output, method, layer)
        _describe(explainer, options.output)
    return 0


def info(options: argparse.Namespace) -> int:
    """Print what a file tells of itself, without running anything of it."""
    with open_artifact(options.file) as file:
        manifest = manifest_in(file)
        check_program(file, manifest)
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
    for kind, called in (("policies", "policy"), ("methods", "method"), ("starts", "start")):
        for name, deviation in certificate[kind].items():
            before = written.get(kind, {}).get(name, math.nan)
            print(f"  {called:6} {name:20} {deviation:.1e}, written {before:.1e}")
            if bound is not None and not deviation <= (held := bound_of(name, certificate, bound)):
                wrong.append(f"{name} is off by {deviation:.1e}, which is above {held}")
    for difference in wrong:
        print(difference)
    print("NOT kept: do not trust this file, export it again" if wrong else "kept")
    return 1 if wrong else 0


def _describe(explainer: Explainer, path: str, left_out: Mapping[str, str] = MappingProxyType({})) -> None:
    size = Path(path).stat().st_size / 1e6
    methods = [method for method in explainer.methods if method not in left_out]
    worst = max(explainer.manifest["certificate"]["methods"][method] for method in methods)
    print(f"{path}: {size:.1f} MB, {len(explainer.layers)} layers, {', '.join(methods)}")
    print(f"{explainer.coverage}; largest deviation from autograd {worst:.1e}")
    for note in explainer.manifest["model"].get("notes", []):
        print(f"note: {note}")
    if cosine := explainer.manifest["certificate"].get("cosine"):
        print(f"cosine with float32: {', '.join(f'{method} {value}' for method, value in cosine.items())}")
    for method, reason in {**explainer.manifest["absent"], **left_out}.items():
        print(f"{method} is absent: {reason}")


def _names(text: str) -> str | list[str]:
    return text if text in ("trunk", "all") else text.split(",")


def _name_list(text: str | None) -> list[str] | None:
    return text.split(",") if text else None
