"""Write docs/exactness.md: whole networks against autograd, the tools of the field, and lower precisions.

    python -m benchmarks.exactness [--rows FILE]

FILE is what `python -m engine verify --all > FILE` printed; without it the networks are verified here, which takes
an hour. Needs tests/requirements.txt.
"""

import argparse
import contextlib
import io
from pathlib import Path

import skimage.data
import torch
from torch import Tensor

from engine import Explainer, build
from engine.__main__ import main as engine
from engine.files.precision import in_precision

PAGE = Path(__file__).parent.parent / "docs" / "exactness.md"
PHOTOS = ("chelsea", "coffee", "rocket", "astronaut")


def cosines(exact: Explainer, other: Explainer) -> dict[str, list[float]]:
    """Per method the cosine of the two explainers' maps at the last layer, for the top class of each photo."""
    found: dict[str, list[float]] = {}
    for name in PHOTOS:
        photo = torch.from_numpy(getattr(skimage.data, name)())
        x = exact.preprocess(photo)
        target = int(exact.forward(x).argmax())
        for method in exact.one_pass_methods:
            pair = [e.explain(e.preprocess(photo), e.one_hot(target), method) for e in (exact, other)]
            found.setdefault(method, []).append(cosine(*pair))
    return found


def cosine(a: Tensor, b: Tensor) -> float:
    """Of two maps, as vectors."""
    return float(torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def precision_table() -> str:
    """How near maps in bfloat16 come to those in float32; also with the stem rounded, and by rounded weights."""
    exact, rounded, moved, whole = (build("efficientnet_lite0") for _ in range(4))
    for value in rounded.module.buffers():
        if value.is_floating_point():
            value.copy_(value.bfloat16())
    whole.module.to(torch.bfloat16)
    columns = [cosines(exact, other) for other in (in_precision(moved, torch.bfloat16), whole, rounded)]
    lines = [
        "| method | bfloat16 | image and stem in bfloat16 too | float32, weights rounded to bfloat16 |",
        "| --- | --- | --- | --- |",
    ]
    for method in exact.one_pass_methods:
        spans = (f"{min(found[method]):.4f} to {max(found[method]):.4f}" for found in columns)
        lines.append(f"| {method} | {' | '.join(spans)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    from tests.conformance.peers import tables
    from tests.whole.brought import table

    parser = argparse.ArgumentParser("python -m benchmarks.exactness")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="what `python -m engine verify --all` printed")
    options = parser.parse_args()
    if options.rows:
        rows = options.rows.read_text()
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            engine(["verify", "--all"])
        rows = out.getvalue()
    head, networks, verdict = rows.strip().split("\n\n")
    agreements, faults, left_behind = tables().strip().split("\n\n")
    PAGE.write_text(
        TEXT.format(
            head=head, networks=networks, verdict=verdict, agreements=agreements, faults=faults,
            left_behind=left_behind, precision=precision_table(), brought=table(), photos=", ".join(PHOTOS),
        )
    )  # fmt: skip
    print(f"{PAGE.name} is written")


TEXT = """# How exact

Made by `python -m benchmarks.exactness`.

## Whole networks against autograd

`python -m engine verify --all`: {head}.

Each network is compiled with every trunk layer and every policy. *gradient*, *deconvnet*, *guided*: the largest
deviation of the file's cotangent at the image from its reference, autograd through the file's own forward pass
with every activation call replaced. *logits*, *original*: the largest deviation of logits and gradient from the
network that was compiled, by autograd through it. *starts*: of the cotangent at the image of a random seed at
the middle one of the layers that a question may start at, the worst of the policies. *tails*: of the logits by the
tails of the first, the middle and the last layer that has one. All are relative to the largest value, for two
images, and for one where a seed or a tail is at a layer. Inputs
are at most 224 pixels wide; three networks, whose reference takes more than 16 GB there, have smaller ones. A
network that computes in float32 inside (EfficientViT-B0) has float32's bound, 1e-5.

{networks}

{verdict}.

A row of zeros is no accident: where nothing was folded, the listing calls what autograd calls, in the same
order. In float32 the bound is 1e-5; `tests/whole/test_families.py` holds sixteen families to it at the image and
every layer. A random network in float32 has to be fit for a reference: where an activation's input lies within
rounding of its kink, both derivatives are right, and one such flip moves a map by 1e-3 to 4e-2 of its maximum
(measured). The tests therefore take images on which none lies there.

## What people bring

`python -m tests.whole.brought`: ordinary steps between a convolution and a linear layer, gradients of the author's
own, and outputs of any shape, in float64. The figure is the deviation of the gradient at the image from autograd
through the network as its author wrote it; what can't be exact is refused in that sentence.

{brought}

## Where the tools of the field agree

`tests/conformance` asks them on networks where they are right: the largest deviation between their answer and
ours, relative to the largest value.

{agreements}

## Where they are wrong

*its deviation*: of the tool's answer from an independent reference, relative to the reference's largest value;
*ours*: that of this project. Weights are random, inputs 64 pixels wide, so the figures differ from those on
trained networks. Where a tool is not listed beside a fault, it was not found to have it: captum and zennit are
right on reused and in-place ReLU modules, zennit and grad-cam on a shared input. "The handbook's hooks" are a
restatement of gates that are put on `model.features` alone.

{faults}

{left_behind}

## Lower precision

EfficientNet-Lite0 with its ImageNet weights, on scikit-image's photos ({photos}), the top class, layer methods
at the last layer: cosine with the map in float32, smallest to largest.

{precision}

Grad-CAM, CAM and deconvnet hardly notice bfloat16. The gradient does, because a ReLU network's gradient jumps
wherever a rounding puts an activation on the other side of its kink; guided backprop lies between. Most of that
happens in the first layers, on the way forward: they have the most pixels, and all others build on them.
`engine/compiler/keep_float32.py` therefore leaves the image, and the calls that do the first 6 % of the
multiplications, in float32. Rounding the weights of all layers and nothing else, the images and activations in
float32, costs the gradient as much as that, and guided backprop more.
"""


if __name__ == "__main__":
    main()
