"""Models by name: list them, look inside them, hold them against autograd."""

import argparse

import torch

from ..compiler.passes import compile_program
from ..files.shelf import coverage_of
from ..listing.program import Program
from ..methods import METHODS, NO_POLICY
from ..models.dense import EMBEDDERS, SEGMENTERS
from ..models.loading import load_model
from ..models.timm import PREFIX, REPRESENTATIVE
from ..models.zoo import MODELS, availability, by_family
from ..pictures.figures import shape_text
from ..trust.certificate import BOUNDS
from ..trust.verify_models import header, rows
from ..trust.verify_relevance import relevance_header, relevance_rows


def list_models(options: argparse.Namespace) -> int:
    """Print the models, where their weights are, what policies reach in those that were built, and the methods."""
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
        print(f"  {method.name:18} {method.at.says:20} {method.cite}")
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


def show(options: argparse.Namespace) -> int:
    """Print the explicit listing: the forward half, or all that a method needs."""
    model = load_model(options.model, "random")
    methods = [options.method] if options.method else ["gradient"]
    program = compile_program(model.module, model.example[:1], methods=methods).program
    print(program.listing(_outputs(program, options.method)))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Hold whole networks with random weights against autograd and print the table; status 1 above the bound."""
    names = options.models or ["efficientnet_lite0", "resnet18", "timm/convnextv2_atto"]
    if options.all:
        names = [*MODELS, *(f"{PREFIX}{name}" for name in REPRESENTATIVE), *SEGMENTERS, *EMBEDDERS]
    if options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: at least one network is verified at once")
    dtype = getattr(torch, options.dtype)
    print(f"torch {torch.__version__}, {options.dtype}, bound {BOUNDS[dtype]}, random weights")
    print(f"\n{relevance_header() if options.relevance else header()}")
    kept, table = True, relevance_rows if options.relevance else rows
    for row in table(names, options.side, dtype, options.jobs):
        print(row, flush=True)
        kept &= row.kept
    print("\nall within the bound" if kept else "\nNOT all within the bound")
    return 0 if kept else 1


def _outputs(program: Program, method: str | None) -> dict[str, torch.fx.Node]:
    """The values that a method reads, layer methods at the last layer."""
    outputs = {"logits": program.logits}
    if method:
        chosen = METHODS[METHODS[method].of or method]
        if chosen.policy == NO_POLICY:
            return outputs | ({} if chosen.at.at_image else {"primal": program.primals[-1]})
        if chosen.at.at_image:
            outputs["cotangent"] = program.image_cotangents[chosen.policy]
        else:
            outputs |= {"primal": program.primals[-1], "cotangent": program.cotangents[chosen.policy][-1]}
        if chosen.times:
            outputs["image"] = program.image_cotangents[METHODS[chosen.times].policy]
    return outputs
