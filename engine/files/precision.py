"""The same file in a lower precision, with what that costs written into its manifest."""

import copy

import torch
from torch import Tensor

from ..run.explainer import Explainer
from ..trust.certificate import certify, question

# What was measured of the network before, which is not here any more.
JUDGED = ("original", "allowed", "accepted")


def in_precision(explainer: Explainer, dtype: torch.dtype) -> Explainer:
    """Convert an explainer, which is used up by it, and measure its maps against those of before.

    The certificate then holds `cosine`: for each method, at its last layer, the smallest cosine with the map in
    the precision that was compiled, over standard normal images asked for their top class. A ReLU network's
    gradient loses most: rounding puts activations on the other side of their kinks. Grad-CAM loses little.
    """
    before = str(explainer.manifest["certificate"]["dtype"])
    if before == str(dtype).removeprefix("torch."):
        return explainer
    x, seed = question(explainer.module)
    exact = _maps(explainer, x, seed)
    _convert(explainer.module, dtype)
    manifest = copy.deepcopy(explainer.manifest)
    moved = Explainer(explainer.module, manifest)
    found = _maps(moved, x, seed.to(dtype))
    cosine = {m: round(min(_cosines(found[m], exact[m])), 4) for m in exact}
    judged = {key: manifest["certificate"][key] for key in JUDGED if key in manifest["certificate"]}
    manifest["certificate"] = certify(explainer.module) | judged | {"compiled_in": before, "cosine": cosine}
    return moved


def _convert(module: torch.jit.ScriptModule, dtype: torch.dtype) -> None:
    """Convert all weights but those of the stem, which become float32 (see `compiler.keep_float32`)."""
    stem = {name: getattr(module.weights, name).float() for name in module.stem}
    fine = module.fine.float()
    module.to(dtype)
    for name, value in stem.items():
        setattr(module.weights, name, value)
    module.fine = fine


def _maps(explainer: Explainer, x: Tensor, seed: Tensor) -> dict[str, Tensor]:
    return {method: explainer.explain(x, seed, method).float() for method in explainer.one_pass_methods}


def _cosines(found: Tensor, wanted: Tensor) -> list[float]:
    """Image by image; of two maps that are zero everywhere it is one."""
    values = torch.nn.functional.cosine_similarity(found.flatten(1), wanted.flatten(1))
    empty = ~(found.flatten(1).any(1) | wanted.flatten(1).any(1))
    return [float(value) for value in torch.where(empty, 1.0, values)]
