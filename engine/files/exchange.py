"""The same program for other runtimes: a model repository for Triton, and a .pt2 file of torch.export."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from engine.compiler.export import MAX_BATCH, out_of_inference
from engine.compiler.passes import Compiled, compile_program
from engine.files.archive import add, clear_scraps, put, scrap, settle
from engine.files.manifest import MANIFEST
from engine.listing.program import Program, aten
from engine.methods import IMAGE, LAYER, METHODS, POOLED, Method
from engine.run.explainer import Explainer
from engine.torchscript.kernels import scripted
from engine.trust.certificate import BOUNDS, question, relative

LABELS = "labels.txt"  # one name on each line, in the order of the logits
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


class Explained(nn.Module):
    """The listing of one method at one layer, with its reading: (image, seed) -> logits and map."""

    def __init__(self, compiled: Compiled, method: Method, index: int, size: Sequence[int]) -> None:
        super().__init__()
        self.method, self.size = method, list(size)
        program = compiled.program
        outputs = [program.logits]
        if method.at == IMAGE:
            outputs += [program.image, program.image_cotangents[method.gate]]
        else:
            outputs += [program.primals[index], program.cotangents[method.gate][index]]
        if method.times:
            outputs += [program.image_cotangents[METHODS[method.times].gate]]
        self.listing = _graph_module(program, outputs)

    def forward(self, image: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] and the cotangent of the logits, [N, K] -> logits [N, K] and what `explain` gives."""
        logits, primal, ct, *image_ct = self.listing(image, seed)
        map = self.method.read(primal, ct)
        if self.method.at != IMAGE:
            map = F.interpolate(map[:, None], self.size, mode="bilinear", align_corners=False)[:, 0]
        if self.method.times:
            map = map[:, None] * METHODS[self.method.times].read(image, image_ct[0])
        return logits, map


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
    manifest = _manifest(explainer, "triton", method, layer)
    model = Path(folder) / name
    with _replacing(model / "1" / "model.pt") as part, scrap(part) as raw:
        served.save(str(raw))
        manifest["program"] = settle(raw, part)
        add(part, json.dumps(manifest, indent=1, sort_keys=True))
    with _replacing(model / LABELS) as part:
        part.write_text(_lines(explainer.labels), "utf-8")
    with _replacing(model / "config.pbtxt") as part:  # comes last: without it the folder is no model yet
        text = _configuration(name, TYPES[dtype], image.shape[1:], map.shape[1:], manifest)
        part.write_text(text, "utf-8")
    return model


def export_program(
    module: nn.Module, example: Tensor, method: str = "grad_cam", layer: int | str = -1, **options: Any
) -> ExportedProgram:
    """The explicit program of one method at one layer, as torch.export keeps it: plain functional ATen.

    `export_program(...).module()` takes (image [N, C, H, W], seed [N, K]) and gives logits [N, K] and what
    `Explainer.explain` gives, for any N. layer: a name, or an index into the trunk; image methods ignore it.
    The rest, with the options `head` and `below_softmax`, is as in `compile_model`, which says what is raised too.
    """
    with torch.inference_mode(False), torch.no_grad():
        compiled = compile_program(
            out_of_inference(module), example, layers_for(method, layer), [method], **options
        )
        explained = Explained(
            compiled, METHODS[method], _index(compiled, METHODS[method], layer), example.shape[2:]
        )
        image = torch.zeros(2, *example.shape[1:], dtype=example.dtype, device=example.device)
        seed = image.new_zeros(2, int(compiled.program.logits.meta["val"].shape[1]))
        batch = {0: Dim("batch", min=1, max=MAX_BATCH)}
        program = torch.export.export(explained.eval(), (image, seed), dynamic_shapes=(batch, batch), strict=False)
    program.example_inputs = None  # a file would carry them, and the paths of this machine's sources
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


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
    manifest = _manifest(explainer, "pt2", method, layer)
    program = export_program(module, example, method, manifest["layer"] or -1, **options)
    deviation = _deviation(program, explainer, method, layer)
    if not deviation <= BOUNDS.get(example.dtype, float("inf")):
        raise ValueError(
            f"the answers of {type(module).__name__} are off by {deviation:.1e} from the explainer's: "
            "give the network that it was compiled from"
        )
    manifest["certificate"] = manifest["certificate"] | {"pt2": deviation}
    extra_files = {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True), LABELS: _lines(explainer.labels)}
    with _replacing(path) as part, part.open("wb") as file:
        torch.export.save(program, file, extra_files=extra_files)


def layers_for(method: str, layer: int | str) -> str | list[str]:
    """The layers to compile for one question: the named one, or the trunk to count in."""
    return [layer] if isinstance(layer, str) and method in METHODS and METHODS[method].at == LAYER else "trunk"


def _graph_module(program: Program, outputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The part of the listing that `outputs` take, as a module (image, seed) -> outputs."""
    assert program.seed is not None
    graph = fx.Graph()
    copies = {node: graph.placeholder(name) for node, name in ((program.image, "image"), (program.seed, "seed"))}
    for node in program.needed(outputs):
        if node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta.clear()  # of the network's own graph; this one is exported anew
            if node.target is aten.size:
                copies[node].target = aten.sym_size.int  # the other one would make a number of the batch
    graph.output([copies[node] for node in outputs])
    constants = nn.Module()
    for name, value in program.constants.items():
        constants.register_buffer(name, value)
    return fx.GraphModule(constants, graph)


def _index(compiled: Compiled, method: Method, layer: int | str) -> int:
    """The index of the layer among the compiled ones."""
    layers = compiled.program.layers
    if method.at == POOLED:
        pooled = layers[compiled.pooled]
        if layer not in (-1, compiled.pooled, pooled.name, *pooled.aliases):
            raise ValueError(f"{method.name} has one layer, {pooled.name!r}; ask for it or for -1")
        return compiled.pooled
    if isinstance(layer, int) and method.at == LAYER and not -len(layers) <= layer < len(layers):
        raise ValueError(f"layer {layer} is not one of 0..{len(layers) - 1}")
    return layer if isinstance(layer, int) else 0


def _deviation(program: ExportedProgram, explainer: Explainer, method: str, layer: int | str) -> float:
    """The largest deviation of logits and maps from the explainer's, on the certificate's images."""
    image, seed = question(explainer.module)
    with torch.no_grad():
        found = program.module()(image, seed)
        # The file's own kernels: others round otherwise, and a ReLU at its kink may tell.
        net, index = explainer.module, explainer.layer_index(layer)
        wanted = net.forward(image), net.explain(image, seed, method, index)
    return float(torch.tensor(list(map(relative, found, wanted))).max())  # of torch's, so that NaN stays NaN


def _manifest(explainer: Explainer, format: str, method: str, layer: int | str) -> dict[str, Any]:
    """The explainer's manifest, for a file that answers one question, and that `load` refuses by its format."""
    name = ""
    if METHODS[method].at != IMAGE:
        pooled = METHODS[method].at == POOLED
        name = explainer.layers[explainer.module.pooled if pooled else explainer.layer_index(layer)]
    facts = {"format": format, "method": method, "layer": name}
    return {key: value for key, value in explainer.manifest.items() if key != "program"} | facts


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
  {{ name: "OUTPUT__0" data_type: {type} dims: [{manifest["classes"]}] label_filename: "{LABELS}" }},
  # the map, as it is: scaling it is the client's choice
  {{ name: "OUTPUT__1" data_type: {type} dims: {list(map)} }}
]
dynamic_batching {{ }}
{parameters}
"""


def _lines(labels: Sequence[str]) -> str:
    return "".join(f"{' '.join(label.split())}\n" for label in labels)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when it is whole."""
    with scrap(path) as part:
        clear_scraps(path.parent)
        yield part
        put(part, path)
