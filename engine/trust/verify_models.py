"""Hold whole networks against autograd, and say how far they are off: the table of `python -m engine verify`.

Random numbers must be fit for a reference. With BatchNorm statistics far from the true ones a deep random network
multiplies a rounding error at each layer: behind EfficientNet-B6's hundred of them a float64 gradient is off by
4e-6. Trained networks don't do that, so the statistics here are those of the images that go through, displaced a
little.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.brought import bring
from ..compiler.heads import as_logits
from ..compiler.passes import compile_program
from ..errors import CaptureError, CompileError
from ..listing.program import aten, op_name
from ..models.dense import SIDE, build_other, has_other_outputs
from ..models.loading import load_model
from ..models.numbers import SEED
from ..models.zoo import Size, geometry_of
from ..pictures.geometry import Geometry
from ..torchscript.lowering import lower
from .certificate import BOUNDS, compare, policy_deviations, question
from .many_passes import deviation_of_tails, deviations_of_starts

COLUMNS = (
    "model", "input", "ops", "activations gated", "layers", "gradient", "deconvnet", "guided", "logits",
    "original", "starts", "tails", "s",
)  # fmt: skip

# Of each policy that is measured a method; relevance has a table of its own.
GATES = ["gradient", "deconvnet", "guided_backprop", "full_grad"]
# Networks whose float64 reference takes more than 16 GB at 224 pixels, and the side that they are verified at.
SMALLER = {"vit_h_14": 56, "regnet_y_128gf": 64, "timm/convmixer_768_32": 56}
# Networks that take no image below so many pixels.
LARGER = {"inception_v3": 75, "timm/inception_v4": 75, "timm/inception_resnet_v2": 75, "maxvit_t": 224}

ENDED = "its process was ended, most likely for want of memory: try a smaller --side, or --jobs 1"


@dataclass(frozen=True)
class Row:
    """What was measured of one network; `refusal` or `failure` says why there is nothing.

    policies: of the file from its reference, per policy. original: of logits and gradient from the network.
    inside: of seeds at the middle layer, the worst of the policies, and of the logits by the tails of layers.
    """

    name: str
    size: str = ""
    ops: int = 0
    gated: str = ""
    layers: int = 0
    policies: dict[str, float] | None = None
    original: dict[str, float] | None = None
    inside: dict[str, float] | None = None
    seconds: float = 0.0
    bound: float = 0.0
    refusal: str = ""
    failure: str = ""

    @property
    def kept(self) -> bool:
        """Is every deviation within the bound, or was the network refused?"""
        return bool(self.refusal) or (
            not self.failure and all(deviation <= self.bound for deviation in self.deviations)
        )

    @property
    def deviations(self) -> list[float]:
        """Per policy from the file's reference, of logits and gradient from the network, and inside."""
        return [value for found in (self.policies, self.original, self.inside) for value in (found or {}).values()]

    def __str__(self) -> str:
        if self.refusal or self.failure:
            reason = f"refused: {self.refusal}" if self.refusal else f"not measured: {self.failure}"
            return f"| {self.name} | {reason} |" + " |" * (len(COLUMNS) - 2)
        numbers = [f"{deviation:.0e}" for deviation in self.deviations]
        cells = [self.name, self.size, self.ops, self.gated, self.layers, *numbers, f"{self.seconds:.0f}"]
        return f"| {' | '.join(map(str, cells))} |"


def rows(
    names: Sequence[str], side: int = 224, dtype: torch.dtype = torch.float64, jobs: int = 1
) -> Iterator[Row]:
    """Verify models of the zoo by name, with random weights, so many at once.

    side: the largest side of an input; 0 for each network's own. Each network has a process of its own:
    TorchScript keeps for good the code of each that it compiled, and a network too large for the machine ends its
    own process, not the table. Such a row counts as not kept.
    """
    for name, found in each_in_its_process(names, jobs, _row, side, dtype):
        yield Row(name, failure=found) if isinstance(found, str) else found


def each_in_its_process(
    names: Sequence[str], jobs: int, measure: Callable[..., Any], *given: Any
) -> Iterator[tuple[str, Any]]:
    """What `measure` gives for each name and what is given besides, in a process of its own; a sentence where that
    was ended or failed. jobs: processes at once, which share the threads; a lone process is quicker than two where
    a network is large, and slower where it is small."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # so that torch is imported once
    threads = max(1, torch.get_num_threads() // jobs)

    def measured(name: str) -> Any:
        with ProcessPoolExecutor(1, context, torch.set_num_threads, (threads,)) as process:
            try:
                return process.submit(measure, name, *given).result()
            except BrokenProcessPool:
                return ENDED
            except Exception as error:  # it costs its own row, and no other
                return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(names, pool.map(measured, names), strict=True)


def _row(name: str, side: int, dtype: torch.dtype) -> Row:
    return verify(name, *random_network(name, side), dtype)


def random_network(name: str, side: int) -> tuple[nn.Module, Tensor]:
    """A network of the zoo with random weights, and images for it."""
    if has_other_outputs(name):
        images = torch.randn(2, 3, *[min(side or SIDE, SIDE)] * 2, generator=torch.Generator().manual_seed(SEED))
        return build_other(name), images
    model = load_model(name, "random", size=_at_most(name, side))
    return model.module, model.example


def _at_most(name: str, side: int) -> Size | None:
    """The size of a model's input, with no side longer than `side`."""
    height, width = geometry_of(name).crop
    side = max(min(side, SMALLER.get(name, side)), LARGER.get(name, 0) if side else 0)
    return (min(height, side), min(width, side)) if side else None


def header() -> str:
    """The head of the table, as Markdown."""
    return f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


def verify(name: str, module: nn.Module, example: Tensor, dtype: torch.dtype = torch.float64) -> Row:
    """Compile a network in `dtype`, every trunk layer and every policy, and measure its certificate.

    module: in evaluation mode; it is used up, a copy of the largest would not fit beside it. example: [N, C, H, W]
    sets the size; its images are those that BatchNorm's statistics are taken from. Where a network computes in a
    coarser precision inside, that one's bound holds.
    """
    start = time.perf_counter()
    module = module.to(dtype)
    channels, height, width = example.shape[1:]
    calibrate(module, example.to(dtype))
    try:
        network = bring(module, example.to(dtype))
        compiled = compile_program(network, example.to(dtype), methods=GATES)
    except (CaptureError, CompileError, ValueError) as refusal:
        return Row(name, refusal=" ".join(str(refusal).split()))
    program = compiled.program
    classes = int(program.logits.meta["val"].shape[1])
    geometry = Geometry(min(height, width), (height, width), "bilinear", (0.0,) * channels, (1.0,) * channels)
    scripted = lower(compiled, [""] * classes, geometry)
    calls = [node for node in program.needed([program.logits]) if node.op == "call_function"]
    return Row(
        name,
        size=f"{height} × {width}",
        ops=len(
            {op_name(node) for node in calls if node.target is not aten.type_as}
        ),  # which is of `compiler.keep_float32`
        gated=f"{compiled.coverage.calls} ({sum(compiled.coverage.smooth.values())} smooth)",
        layers=len(program.layers),
        policies=policy_deviations(scripted),
        inside={
            "starts": max(deviations_of_starts(scripted, question(scripted)[0]).values(), default=0.0),
            "tails": deviation_of_tails(scripted, question(scripted)[0]),
        },
        original=compare(scripted, lambda x: as_logits(network(x)[program.head])),
        seconds=time.perf_counter() - start,
        bound=max(BOUNDS.get(found, 1e-2) for found in program.precisions()),
    )


def calibrate(module: nn.Module, images: Tensor, seed: int = 0) -> None:
    """Give every BatchNorm statistics near those of `images` [N, C, H, W], and biases above zero."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
            if norm.affine:
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(0, 2)
        module(images)
        for norm in norms:
            norm.eval()
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
