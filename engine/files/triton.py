"""A model repository for Triton's PyTorch backend."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..run.explainer import Explainer
from ..torchscript.torchscript import scripted
from .archive import add_manifest, replacing, strip_traces, temporary_beside
from .one_question import LABELS, label_lines, manifest_of_question

REQUESTS = 8  # images that Triton may put into one batch; its owner may raise it


# What Triton's PyTorch backend has names for, of the types that networks compute in; float32 serves the others.
TYPES = {torch.float32: "TYPE_FP32", torch.float64: "TYPE_FP64", torch.float16: "TYPE_FP16"}


class Served(nn.Module):
    """What Triton asks of an explainer, for one method at one layer. TorchScript takes it as it is."""

    def __init__(self, net: torch.jit.ScriptModule, method: str, layer: int) -> None:
        super().__init__()
        self.net, self.method, self.layer = net, method, layer

    def forward(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W], and [N, 1] the class to explain or -1 for the top one -> logits [N, K] and the maps."""
        # Requests of several clients share a batch, and an error would fail them all: a class that is not there
        # gets NaN, and its neighbours their answers.
        known = target.clamp(-1, self.net.classes - 1)
        logits, map = self.net.answer(image, known, self.method, self.layer)
        unknown = (target > known).reshape([-1] + [1] * (map.dim() - 1))
        return logits.to(image.dtype), map.masked_fill(unknown, float("nan")).to(image.dtype)


def write_triton(
    explainer: Explainer,
    folder: str | Path,
    method: str = "grad_cam",
    layer: int | str = -1,
    name: str | None = None,
) -> Path:
    """Write a model for Triton's PyTorch backend into the model repository `folder`; return the model's folder.

    It takes INPUT__0, preprocessed images, and INPUT__1, the class to explain, -1 for the top one; it gives
    OUTPUT__0, the logits, and OUTPUT__1, the map of `explain`, NaN for a class that is not there. How a photo is
    preprocessed stands in the configuration, which clients can ask the server for.
    name: the model's name in Triton; None takes that of the network. A model of that name is replaced.
    Raises ValueError for a wrong method, layer or name.
    """
    name = explainer.manifest["model"]["name"].replace("/", "-") if name is None else name
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise ValueError(f"{name!r} can't be a model's name in Triton: take letters, digits, '_', '-' and '.'")
    like: Tensor = explainer.module.like
    channels, (height, width) = len(explainer.geometry.mean), explainer.geometry.crop
    dtype = like.dtype if like.dtype in TYPES else torch.float32
    image = torch.zeros(1, channels, height, width, dtype=dtype, device=like.device)
    # The question is asked once here: a wrong one is refused in words, and the answer has the shape to declare.
    map = explainer.explain(image, explainer.one_hot(0), method, layer)
    served = scripted(Served(explainer.module, method, explainer.layer_index(layer)).eval())
    manifest = manifest_of_question(explainer, "triton", method, layer)
    model = Path(folder) / name
    with replacing(model / "1" / "model.pt") as part, temporary_beside(part) as raw:
        served.save(str(raw))
        manifest["program"] = strip_traces(raw, part)
        add_manifest(part, json.dumps(manifest, indent=1, sort_keys=True))
    with replacing(model / LABELS) as part:
        part.write_text(label_lines(explainer.labels), "utf-8")
    with replacing(model / "config.pbtxt") as part:  # comes last: without it the folder is no model yet
        text = _configuration(name, TYPES[dtype], image.shape[1:], map.shape[1:], manifest)
        part.write_text(text, "utf-8")
    return model


def _configuration(
    name: str, type: str, image: Sequence[int], map: Sequence[int], manifest: dict[str, Any]
) -> str:
    """The model configuration, as protobuf's text, whose strings JSON's are; the shapes go without the batch."""
    facts = {
        "method": manifest["method"],
        "layer": manifest["layer"],
        "preprocessing": json.dumps(manifest["geometry"]),
    }
    # TorchScript's profiling would make the first calls slow, and again those of each new batch size.
    settings = {"DISABLE_OPTIMIZED_EXECUTION": "true", "INFERENCE_MODE": "true", **facts}
    parameters = "\n".join(
        f"parameters {{ key: {json.dumps(key)} value {{ string_value: {json.dumps(value)} }} }}"
        for key, value in settings.items()
    )
    return f"""\
name: {json.dumps(name)}
backend: "pytorch"
platform: "pytorch_libtorch"
max_batch_size: {REQUESTS}
input [
  # the preprocessed image
  {{ name: "INPUT__0" data_type: {type} dims: {list(image)} }},
  # the class to explain; -1 for the top one
  {{ name: "INPUT__1" data_type: TYPE_INT64 dims: [1] }}
]
output [
  # the logits
  {{ name: "OUTPUT__0" data_type: {type} dims: {manifest["output"]} label_filename: "{LABELS}" }},
  # the map, as it is: scaling it is the client's choice
  {{ name: "OUTPUT__1" data_type: {type} dims: {list(map)} }}
]
dynamic_batching {{ }}
{parameters}
"""
