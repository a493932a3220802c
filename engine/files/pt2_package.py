"""One .pt2 file that answers what a TorchScript file answers in one pass: every method at every layer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..methods import METHODS
from ..run.explainer import Explainer
from ..trust.certificate import AT_LAYER, BOUNDS, natural_size, question
from ..trust.reference import CANCELLED, plainly, relative
from .archive import replacing
from .compiling import ends_of
from .manifest import MANIFEST
from .one_question import LABELS, label_lines
from .pt2_archive import write_programs
from .pt2_programs import export_programs, left_out

FORMAT = "pt2-package"


def write_pt2_package(explainer: Explainer, module: nn.Module, path: str | Path, **options: Any) -> dict[str, str]:
    """Write the programs of `export_programs` into NAME.pt2, one for each method of the explainer that takes one
    pass, at all its layers; return the methods that are not in it, with the reason.

    `load_pt2("NAME.pt2").exported_programs["grad_cam"].module()` of `torch.export.pt2_archive._package` takes
    (image, seed) then, without this project. Weights are in the file once; loaded, each program has its own.
    Not in it are methods of many passes, whose noise, lines, masks and options are loops around a program, nor
    what else TorchScript files can do: preprocessing, overlays, starts at a layer.

    module: the network that the explainer was compiled from, with the same `options`. Each program is held
    against the explainer before anything is written; a ValueError tells of a difference, and of an explainer none
    of whose methods takes one pass. The extra files are labels.txt and the explainer's manifest.json, whose
    `certificate.pt2` tells by method how large the difference was, and whose `absent` what is not in the file.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"{path.name} should end in .pt2: torch.export's loaders go by that")
    reasons = {method: reason for method in explainer.methods if (reason := left_out(method))}
    methods = [method for method in explainer.methods if method not in reasons]
    if not methods:
        raise ValueError(f"{path.name} would be empty: {', '.join(reasons)} take many passes; add other methods")
    channels, (height, width) = len(explainer.geometry.mean), explainer.geometry.crop
    example = explainer.module.like.new_zeros(1, channels, height, width)
    options = {"ends": ends_of(explainer.geometry)} | options
    programs = export_programs(module, example, methods, list(explainer.layers), **options)
    manifest = _manifest(explainer, methods, reasons, _held(programs, explainer, module))
    extra_files = {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True), LABELS: label_lines(explainer.labels)}
    with replacing(path) as part:
        write_programs(part, programs, extra_files)
    return reasons


def _manifest(
    explainer: Explainer, methods: Sequence[str], reasons: dict[str, str], deviations: dict[str, float]
) -> dict[str, Any]:
    """The explainer's manifest, of these methods alone, that `load` refuses by its format."""
    told = {key: value for key, value in explainer.manifest.items() if key != "program"}
    return told | {
        "format": FORMAT,
        "methods": [method for method in told["methods"] if method["name"] in methods],
        "absent": told["absent"] | reasons,
        "certificate": told["certificate"] | {"pt2": deviations},
    }


def _held(programs: dict[str, ExportedProgram], explainer: Explainer, module: nn.Module) -> dict[str, float]:
    """By method the largest deviation of logits and maps from the explainer's, on the certificate's images."""
    deviations = {name: _deviation(program, explainer.module, name) for name, program in programs.items()}
    bound = BOUNDS.get(explainer.module.like.dtype, float("inf"))
    if wrong := [name for name, deviation in deviations.items() if not deviation <= bound]:
        raise ValueError(
            f"the answers of {type(module).__name__} are off by {deviations[wrong[0]]:.1e} from the explainer's "
            f"({', '.join(wrong)}): give the network that it was compiled from"
        )
    return deviations


def _deviation(program: ExportedProgram, net: Any, method: str) -> float:
    image, seed = question(net)
    with torch.no_grad(), plainly():
        logits, *found = program.module()(image, seed)
        # The file's own kernels: others round otherwise, and a ReLU at its kink may tell.
        deviations, wanted = [relative(logits, net.forward(image))], net.survey(image, seed, [method])
        if method in net.alone:
            wanted += net.explain_throughout(image, seed, method)[1:2]
        if METHODS[method].at.has_layers and net.layers:
            # Each layer by itself, or a large one would hide what is wrong at a small one.
            layers = zip(
                found.pop().unbind(1), wanted.pop().unbind(1), _sizes(net, image, seed, method), strict=True
            )
            deviations += [relative(*layer) for layer in layers]
        deviations += [relative(*maps) for maps in zip(found, wanted, strict=True)]
    return float(torch.tensor(deviations).max())  # of torch's, so that NaN stays NaN


def _sizes(net: Any, image: Tensor, seed: Tensor, method: str) -> list[Tensor]:
    """What rounding is a share of in the map of each layer: of the map, or of its terms where they cancel."""
    policy = net.policy_of[method]
    _, primals, cts, _ = net.probe(image, seed, policy) if policy else (None, *[net.primals(image)[1]] * 2, None)
    if method in net.alone:
        return [torch.stack([ct.sum(1).abs().max(), ct.abs().sum(1).max() * CANCELLED]) for ct in cts]
    factor = torch.ones(())
    if times := net.times_of.get(method, ""):
        factor = METHODS[times].read(image, net.probe(image, seed, net.policy_of[times])[3]).abs().max()
    sizes = []
    for layer in METHODS[method].at.layers(len(primals), net.pooled):
        a, ct = primals[layer], cts[layer]
        map = AT_LAYER[method][0](a, ct)
        sizes.append(torch.stack([map.abs().max(), natural_size(method, map, a, ct)]) * factor)
    return sizes
