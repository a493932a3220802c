"""What it takes to judge maps: the rate of the metrics' forward passes, one picture's panel, and Quantus beside.

    python -m benchmarks.judging [--photos 12]

EfficientNet-Lite0, in one interleaved run. Quantus gets the same maps, the same network under torch without
gradients, and the metrics of this table that it has for colours: sparseness, and pixel flipping, which takes the
colours of a pixel one by one and so three times the passes. Its ROAD raises IndexError there. Needs
tests/requirements.txt.
"""

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.pointing import photos
from engine import load_model, open_model
from engine.trust import deletion, gini
from engine.trust.one_picture import subject
from engine.trust.report import examine

STEPS, BATCH, PHOTOS = 14, 16, 12  # 14 divides 224 × 224


class Plain(nn.Module):
    """The network itself, without gradients."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        with torch.no_grad():
            return self.network(x)  # type: ignore[no-any-return]


def taken(call: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description=__doc__)
    parser.add_argument("--photos", type=int, default=PHOTOS, metavar="N")
    print(table(parser.parse_args(arguments).photos))


def table(count: int = PHOTOS) -> str:
    """Measure, over so many photos; Markdown."""
    warnings.simplefilter("ignore")
    quantus: Any = importlib.import_module("quantus")

    explainer, network = open_model("efficientnet_lite0"), Plain(load_model("efficientnet_lite0").module).eval()
    known = [explainer.preprocess(torch.from_numpy(np.ascontiguousarray(photo))) for photo in photos()]
    x = torch.cat([known[number % len(known)] for number in range(count)])
    logits = explainer.forward(x)
    classes = logits.argmax(1)
    seed = torch.nn.functional.one_hot(classes, logits.shape[1]).to(logits)
    maps = explainer.explain(x, seed, "guided_backprop").abs().amax(1)

    def score_of(target: int) -> Callable[[Tensor], Tensor]:
        return lambda images: explainer.forward(images).softmax(1)[:, target]

    scores = [score_of(int(target)) for target in classes]

    def ours() -> None:
        deletion(scores, x, maps, steps=STEPS)
        gini(maps)

    def theirs() -> None:
        asked: dict[str, Any] = {
            "model": network, "x_batch": x.numpy(), "y_batch": classes.numpy(), "softmax": True, "device": "cpu",
            "a_batch": np.repeat(maps[:, None].numpy(), 3, 1), "channel_first": True,
        }  # fmt: skip
        plain = {"abs": False, "normalise": False, "disable_warnings": True}
        quantus.PixelFlipping(features_in_step=224 * 224 // STEPS, perturb_baseline=0.0, **plain)(**asked)
        quantus.Sparseness(**plain | {"abs": True})(**asked)

    batch = x[torch.arange(BATCH) % len(x)]
    photo = torch.from_numpy(np.ascontiguousarray(photos()[0]))
    asked = subject(explainer, photo)
    twin = explainer.randomised()
    examine(asked, lambda: twin)  # kernels are laid out once
    forward, metric, panel, mine, other = ([] for _ in range(5))
    for _ in range(3):
        forward.append(median(taken(lambda: explainer.forward(batch)) for _ in range(8)))
        metric.append(taken(lambda: deletion(scores[0], x[:8], maps[:8], steps=STEPS)))
        panel.append(taken(lambda: examine(asked, lambda: twin)))
    for _ in range(2):
        mine.append(taken(ours))
        other.append(taken(theirs))
    each = median(forward)
    rate = 8 * (STEPS + 1) / BATCH * each / median(metric)
    lines = [
        "| what | bound | measured |",
        "| --- | --- | --- |",
        f"| deletion of 8 images, share of the engine's own rate at batch {BATCH} | 0.9 | {rate:.2f} |",
        f"| one picture's panel | {60 * each + 1:.1f} s | {median(panel):.1f} s |",
        f"| deletion and sparseness of {len(x)} photos, over Quantus | 2 times | "
        f"{median(other) / median(mine):.1f} times: {median(mine):.1f} s and {median(other):.1f} s |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
