"""The same program for torch.export: a .pt2 file that answers one question."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..compiler.passes import Compiled, compile_program
from ..methods import METHODS, Method
from ..run.explainer import Explainer
from ..trust.certificate import BOUNDS, question
from ..trust.reference import relative
from .archive import replacing
from .compiling import ends_of
from .exporting import exported, graph_module
from .manifest import MANIFEST
from .one_question import LABELS, label_lines, layer_index, layers_for, manifest_of_question


class OneQuestion(nn.Module):
    """The listing of one method at one layer, with its reading: (image, seed) -> logits and map."""

    def __init__(self, compiled: Compiled, method: Method, index: int, size: Sequence[int]) -> None:
        super().__init__()
        self.method, self.size = method, list(size)
        program = compiled.program
        outputs = [program.logits]
        if method.at.at_image:
            outputs += [program.image, program.image_cotangents[method.policy]]
        else:
            outputs += [program.primals[index], program.cotangents[method.policy][index]]
        if method.times:
            outputs += [program.image_cotangents[METHODS[method.times].policy]]
        self.listing = graph_module(program, outputs)

    def forward(self, image: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] and the cotangent of the logits, [N, K] -> logits [N, K] and what `explain` gives."""
        logits, primal, ct, *image_ct = self.listing(image, seed)
        map = self.method.read(primal, ct)
        if not self.method.at.at_image:
            map = F.interpolate(map[:, None], self.size, mode="bilinear", align_corners=False)[:, 0]
        if self.method.times:
            map = map[:, None] * METHODS[self.method.times].read(image, image_ct[0])
        return logits, map


def export_program(
    module: nn.Module, example: Tensor, method: str = "grad_cam", layer: int | str = -1, **options: Any
) -> ExportedProgram:
    """The explicit program of one method at one layer, as torch.export keeps it: plain functional ATen.

    `export_program(...).module()` takes (image [N, C, H, W], seed [N, K]) and gives logits [N, K] and what
    `Explainer.explain` gives, for any N; `torch._inductor.aoti_compile_and_package` takes the program as it is.
    layer: a name, or an index into the trunk; image methods ignore it. The rest, with the options `head`,
    `below_softmax` and `ends`, is as in `compile_program`, which says what is raised too.
    """
    with torch.inference_mode(False), torch.no_grad():
        compiled = compile_program(module, example, layers_for(method, layer), [method], **options)
        explained = OneQuestion(
            compiled, METHODS[method], layer_index(compiled, METHODS[method], layer), example.shape[2:]
        )
        return exported(explained, compiled.program, example)


def write_pt2(
    explainer: Explainer,
    module: nn.Module,
    path: str | Path,
    method: str = "grad_cam",
    layer: int | str = -1,
    **options: Any,
) -> None:
    """Write the program of `export_program` into NAME.pt2, for torch.export.load.

    module: the network that the explainer was compiled from, with the same `options`. The program is held against
    the explainer before it is written; a ValueError tells of a difference. The extra files are labels.txt and the
    explainer's manifest.json, which tells how large the difference was.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"{path.name} should end in .pt2: torch.export.load goes by that")
    channels, (height, width) = len(explainer.geometry.mean), explainer.geometry.crop
    example = explainer.module.like.new_zeros(1, channels, height, width)
    explainer.explain(example, explainer.one_hot(0), method, layer)  # refuses a wrong question
    manifest = manifest_of_question(explainer, "pt2", method, layer)
    options = {"ends": ends_of(explainer.geometry)} | options
    program = export_program(module, example, method, manifest["layer"] or -1, **options)
    deviation = _deviation(program, explainer, method, layer)
    if not deviation <= BOUNDS.get(example.dtype, float("inf")):
        raise ValueError(
            f"the answers of {type(module).__name__} are off by {deviation:.1e} from the explainer's: "
            "give the network that it was compiled from"
        )
    manifest["certificate"] = manifest["certificate"] | {"pt2": deviation}
    extra_files = {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True), LABELS: label_lines(explainer.labels)}
    with replacing(path) as part, part.open("wb") as file:
        torch.export.save(program, file, extra_files=extra_files)


def _deviation(program: ExportedProgram, explainer: Explainer, method: str, layer: int | str) -> float:
    """The largest deviation of logits and maps from the explainer's, on the certificate's images."""
    image, seed = question(explainer.module)
    with torch.no_grad():
        found = program.module()(image, seed)
        # The file's own kernels: others round otherwise, and a ReLU at its kink may tell.
        net, index = explainer.module, explainer.layer_index(layer)
        wanted = net.forward(image), net.explain(image, seed, method, index)
    return float(torch.tensor(list(map(relative, found, wanted))).max())  # of torch's, so that NaN stays NaN
