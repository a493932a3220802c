"""Relevance on whole networks: the table of `python -m engine verify --relevance`.

Of each composite how far it is from the reference, at the image and at every layer, and which share of the score
came to the image. Where a network has no such bias, what is missing was lost to the stabiliser alone.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..compiler.brought import bring
from ..compiler.passes import compile_program
from ..errors import CaptureError, CompileError
from ..methods.relevance import RELEVANCE
from ..pictures.geometry import Geometry
from ..torchscript.lowering import lower
from .certificate import BOUNDS, question
from .reference import plainly
from .relevance import FARTHER, deviation_throughout
from .verify_models import calibrate, each_in_its_process, random_network

COMPOSITES = [method.name for method in RELEVANCE]


@dataclass(frozen=True)
class RelevanceRow:
    """What was measured of one network. deviations, arrived: by composite; arrived is the share of the score that
    came to the image. refusals: of those that it has no rules for, with the op's name."""

    name: str
    size: str = ""
    deviations: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    bound: float = 0.0
    failure: str = ""

    @property
    def kept(self) -> bool:
        """Is each composite finite and within the bound, or refused?"""
        numbers = [*self.deviations.values(), *self.arrived.values()]
        within = all(deviation <= self.bound for deviation in self.deviations.values())
        return not self.failure and within and all(map(math.isfinite, numbers))

    def __str__(self) -> str:
        """A row of the table."""
        if self.failure:
            return f"| {self.name} | {self.failure} |" + " |" * (len(COMPOSITES) + 1)
        told = [
            f"{self.deviations[name]:.0e}, {self.arrived[name]:.3g}"
            if name in self.deviations
            else f"refused: {self.refusals.get(name, 'not asked')}"
            for name in COMPOSITES
        ]
        return f"| {self.name} | {self.size} | {' | '.join(told)} | {self.seconds:.0f} |"


def relevance_header() -> str:
    """The head of the table, as Markdown; each composite has its deviation and the share that arrived."""
    columns = ("model", "input", *COMPOSITES, "s")
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"


def relevance_rows(
    names: Sequence[str], side: int = 224, dtype: torch.dtype = torch.float64, jobs: int = 1
) -> Iterator[RelevanceRow]:
    """Verify models of the zoo by name, as `verify_models.rows` does."""
    for name, found in each_in_its_process(names, jobs, _row, side, dtype):
        yield RelevanceRow(name, failure=f"not measured: {found}") if isinstance(found, str) else found


def _row(name: str, side: int, dtype: torch.dtype) -> RelevanceRow:
    return verify_relevance(name, *random_network(name, side), dtype)


def verify_relevance(
    name: str,
    module: nn.Module,
    example: Tensor,
    dtype: torch.dtype = torch.float64,
    composites: Sequence[str] = (),
) -> RelevanceRow:
    """Compile a network in `dtype` for each composite, all unless named, and hold it against the reference.

    module: in evaluation mode; it is used up. example: [N, C, H, W], as for `verify_models.verify`.
    """
    start, module = time.perf_counter(), module.to(dtype)
    channels, height, width = example.shape[1:]
    calibrate(module, example.to(dtype))
    geometry = Geometry(min(height, width), (height, width), "bilinear", (0.0,) * channels, (1.0,) * channels)
    deviations, arrived, refusals = dict[str, float](), dict[str, float](), dict[str, str]()
    asked = list(composites or COMPOSITES)
    try:
        network = bring(module, example.to(dtype))
        compiled = compile_program(network, example.to(dtype), methods=asked, leave_out=True)
        refusals |= {name: _in_a_line(compiled.absent[name]) for name in asked if name in compiled.absent}
        classes = int(compiled.program.logits.meta["val"].shape[1])
        scripted = lower(compiled, [""] * classes, geometry)
        x, seed = question(scripted)
        for composite in [name for name in asked if name not in refusals]:
            with torch.no_grad(), plainly():
                map, _, came = scripted.explain_throughout(x, seed, composite)
            deviations[composite] = deviation_throughout(scripted, x, seed, composite, map)
            arrived[composite] = float(came[0, 0])
    except (CaptureError, CompileError, ValueError) as refusal:
        refusals |= dict.fromkeys([name for name in asked if name not in deviations], _in_a_line(refusal))
    bound = max(BOUNDS.get(dtype, 1e-2), FARTHER.get(str(dtype).removeprefix("torch."), 0.0))
    seconds = time.perf_counter() - start
    return RelevanceRow(name, f"{height} × {width}", deviations, arrived, refusals, seconds, bound)


def _in_a_line(refusal: object) -> str:
    return " ".join(str(refusal).split())
