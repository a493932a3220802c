"""What bfloat16 brings in time, and how near its maps come to those in float32."""

from typing import Any

import numpy as np
import skimage.data
import torch

from benchmarks.exactness import cosine
from benchmarks.questions import question
from benchmarks.timing import interleave, shares, summary, warm_up
from engine import Explainer, build, load, save
from engine.files.precision import in_precision

MODELS = ("vgg16", "resnet50")
PHOTOS = ("chelsea", "coffee", "camera", "rocket")
METHODS = ("grad_cam", "guided_backprop", "gradient")
EMBEDDED = "efficientnet_lite0"
SECONDS, ROUNDS = 6.0, 15


def times(name: str, layer: str, folder: str, device: str) -> dict[str, Any]:
    """Guided backprop at batch 1 in both precisions, interleaved: {precision: times}.

    A file with that method alone, at `layer`, which it does not read, spares the certificate of all others.
    """
    asked, path = question(name, 1, [], device), f"{folder}/{name}-guided.pt"
    save(build(name, "random", [layer], ["guided_backprop"]), path)
    explainers = {"float32": load(path, device), "bfloat16": in_precision(load(path, device), torch.bfloat16)}
    calls = {precision: _guided(explainer, asked.x, asked.seed) for precision, explainer in explainers.items()}
    counts = shares({label: warm_up(call, 2, device) for label, call in calls.items()}, SECONDS, 3, ROUNDS)
    return {precision: summary(found) for precision, found in interleave(calls, counts, device).items()}


def _guided(explainer: Explainer, x: torch.Tensor, seed: torch.Tensor) -> Any:
    seed = seed.to(explainer.one_hot(0))
    return lambda: explainer.explain(x, seed, "guided_backprop")


def cosines() -> dict[str, dict[str, float]]:
    """{method: {photo: cosine}} of the embedded model's maps in bfloat16 with those in float32, on scikit-image's
    photos, for the class that float32 puts first; Grad-CAM at the last layer."""
    exact = build(EMBEDDED)
    rounded = in_precision(build(EMBEDDED), torch.bfloat16)
    found: dict[str, dict[str, float]] = {method: {} for method in METHODS}
    for name in PHOTOS:
        photo = getattr(skimage.data, name)()
        photo = torch.from_numpy(photo if photo.ndim == 3 else np.stack([photo] * 3, -1))
        x = exact.preprocess(photo)
        target = int(exact.forward(x).argmax())
        for method in METHODS:
            maps = (
                each.explain(each.preprocess(photo), each.one_hot(target), method) for each in (exact, rounded)
            )
            found[method][name] = cosine(*maps)
    return found
