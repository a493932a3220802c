"""What relevance takes, in forward passes of the same network, and beside zennit.

    python -m benchmarks.relevance_rate [--models vgg16 resnet50] [--rounds 12]

F is the network's own forward pass, eager, frozen or optimised for inference, contiguous or channels last,
whichever is fastest; one image, float32, random weights; one interleaved run, the median of each. Needs
tests/requirements.txt.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from benchmarks.timing import once
from engine import compile_model, load_model

METHOD = "lrp_epsilon_plus"
MODELS, ROUNDS = ("vgg16", "resnet50"), 12


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relevance_rate", description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    options = parser.parse_args(arguments)
    print(table(options.models, options.rounds))


def table(models: Sequence[str] = MODELS, rounds: int = ROUNDS) -> str:
    """Measure; Markdown."""
    warnings.simplefilter("ignore")
    lines = [
        "| network | F | at the image | at every layer, of that | zennit | over zennit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in models:
        calls = prepared(name)
        times: dict[str, list[float]] = {task: [] for task in calls}
        for number in range(rounds + 2):  # the first two warm up
            for task, call in calls.items():
                taken = once(call)
                if number > 1:
                    times[task].append(taken)
        found = {task: median(own) for task, own in times.items()}
        forward = min(taken for task, taken in found.items() if task.startswith("F"))
        ours = found["ours"]
        lines.append(
            f"| {name} | {forward:.0f} ms | {ours / forward:.2f} F | {found['every layer'] / ours:.2f} | "
            f"{found['zennit'] / forward:.2f} F | {found['zennit'] / ours:.2f} times |"
        )
    return "\n".join(lines)


def prepared(name: str) -> dict[str, Callable[[], object]]:
    """The calls that are compared, ready to be made."""
    from zennit.attribution import Gradient  # type: ignore[import-untyped]
    from zennit.composites import EpsilonPlus  # type: ignore[import-untyped]
    from zennit.torchvision import ResNetCanonizer, VGGCanonizer  # type: ignore[import-untyped]

    model = load_model(name, "random")
    network = model.module.eval()
    x = torch.randn(model.example[:1].shape, generator=torch.Generator().manual_seed(0))
    explainer = compile_model(network, model.example[:1], "trunk", [METHOD], model.labels, model.geometry)
    seed = explainer.one_hot(7)
    canonizer = (ResNetCanonizer if name.startswith("res") else VGGCanonizer)()
    attributor = Gradient(model=network, composite=EpsilonPlus(canonizers=[canonizer]))
    wide = x.contiguous(memory_format=torch.channels_last)

    def traced() -> torch.jit.ScriptModule:
        return torch.jit.trace(network, x)  # type: ignore[no-any-return, no-untyped-call]

    ways = {
        "F": network,
        "F, frozen": torch.jit.freeze(traced()),
        "F, optimised": torch.jit.optimize_for_inference(traced()),
    }

    def forward(way: str, given: Tensor) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with torch.inference_mode():
                return ways[way](given)  # type: ignore[no-any-return]

        return call

    def zennit() -> object:
        with attributor:
            return attributor(x, lambda logits: logits * seed)

    return {
        **{way: forward(way, x) for way in ways},
        **{f"{way}, channels last": forward(way, wide) for way in ways},
        "ours": lambda: explainer.explain(x, seed, METHOD),
        "every layer": lambda: explainer.explain_throughout(x, seed, METHOD),
        "zennit": zennit,
    }


if __name__ == "__main__":
    main()
