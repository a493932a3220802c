"""Hold whole networks against autograd, and say how far they are off: the table of `python -m engine verify`."""

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.backward import CompileError
from engine.capture import CaptureError
from engine.certificate import BOUNDS, certify, compare
from engine.compiler import compile_program
from engine.geometry import Geometry
from engine.lowering import lower
from engine.program import op_name

COLUMNS = (
    "model", "ops", "activations gated", "layers", "gradient", "deconvnet", "guided", "logits", "original", "s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was measured of one network; `refusal` says why there is nothing.

    gates: the file's deviation from its reference, per gate. original: of logits and gradient from the network.
    """

    name: str
    ops: int = 0
    gated: str = ""
    layers: int = 0
    gates: dict[str, float] | None = None
    original: dict[str, float] | None = None
    seconds: float = 0.0
    bound: float = 0.0
    refusal: str = ""

    @property
    def kept(self) -> bool:
        """Is every deviation within the bound, or was the network refused?"""
        return bool(self.refusal) or max(self.deviations) <= self.bound

    @property
    def deviations(self) -> list[float]:
        """Per gate from the file's reference, then of logits and gradient from the network."""
        return [*(self.gates or {}).values(), *(self.original or {}).values()]

    def __str__(self) -> str:
        if self.refusal:
            return f"| {self.name} | refused: {self.refusal} |" + " |" * (len(COLUMNS) - 2)
        numbers = [f"{deviation:.0e}" for deviation in self.deviations]
        cells = [self.name, self.ops, self.gated, self.layers, *numbers, f"{self.seconds:.0f}"]
        return f"| {' | '.join(map(str, cells))} |"


def header() -> str:
    """The head of the table, as Markdown."""
    return f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


def verify(name: str, module: nn.Module, example: Tensor, dtype: torch.dtype = torch.float64) -> Row:
    """Compile a network in `dtype`, every trunk layer and every gate, and measure its certificate.

    module: in evaluation mode, left as it is. example: [N, C, H, W] sets the size.
    """
    start = time.perf_counter()
    module = copy.deepcopy(module).to(dtype)
    channels, height, width = example.shape[1:]
    try:
        compiled = compile_program(module, example.to(dtype))
    except (CaptureError, CompileError, ValueError) as refusal:
        return Row(name, refusal=" ".join(str(refusal).split()))
    program = compiled.program
    classes = int(program.logits.meta["val"].shape[1])
    geometry = Geometry(min(height, width), (height, width), "bilinear", (0.0,) * channels, (1.0,) * channels)
    scripted = lower(compiled, [""] * classes, geometry)
    forward = program.needed([program.logits])
    return Row(
        name,
        ops=len({op_name(node) for node in forward if node.op == "call_function"}),
        gated=f"{compiled.coverage.gated} ({sum(compiled.coverage.smooth.values())} smooth)",
        layers=len(program.layers),
        gates=certify(scripted)["gates"],
        original=compare(scripted, module),
        seconds=time.perf_counter() - start,
        bound=BOUNDS[dtype],
    )
