"""Other runtimes get the explainer's answers: Triton by a configuration that holds, torch.export in plain ATen."""

import json
import operator
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.__main__ import main
from engine.errors import ArtifactError
from engine.files.artifact import Explainer, load, save
from engine.files.compiling import compile_model
from engine.files.pt2 import export_program, write_pt2
from engine.files.triton import write_triton
from engine.pictures.geometry import Geometry
from tests.oracle import randomise


class Net(nn.Module):
    """A stem whose convolution is folded, a smooth activation, a skip, a pooled head; wider than high."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


LABELS = ["tiger cat", "tabby", "espresso\ncup", 'a "tripod"', "Käse"]
GEOMETRY = Geometry(20, (16, 20), "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
QUESTIONS = [
    ("guided_backprop", -1),
    ("input_x_gradient", -1),
    ("saliency", -1),
    ("grad_cam", "stem.0"),
    ("grad_cam", -1),
    ("guided_grad_cam", "block.2"),
    ("cam", -1),
]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    module = randomise(Net().eval(), images(4))
    with torch.no_grad():
        module.head.bias -= module(images(64)).mean(0)  # no class wins on every image
    return module.to(dtype)


def explained(dtype: torch.dtype = torch.float32) -> Explainer:
    return compile_model(network(dtype), torch.zeros(1, 3, 16, 20, dtype=dtype), "all", None, LABELS, GEOMETRY)


def images(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(count), dtype=dtype)


BOUND = {torch.float32: 1e-6, torch.float64: 1e-12}


@pytest.fixture(scope="module")
def explainers() -> dict[torch.dtype, Explainer]:
    return {dtype: explained(dtype) for dtype in BOUND}


@pytest.fixture(scope="module")
def explainer(explainers: dict[torch.dtype, Explainer]) -> Explainer:
    return explainers[torch.float32]


# What a model of Triton's PyTorch backend may say, after the documentation of model configurations; the values are
# patterns of one value, a dict for a message, and a list for a repeated field.
DIMS = [r"[1-9]\d*"]
TENSOR = {"name": r'"(IN|OUT)PUT__\d+"', "data_type": "TYPE_(FP16|FP32|FP64|INT64)", "dims": DIMS}
SCHEMA = {
    "name": r'"[\w.-]+"',
    "backend": '"pytorch"',
    "platform": '"pytorch_libtorch"',
    "max_batch_size": r"[1-9]\d*",
    "input": [TENSOR],
    "output": [TENSOR | {"label_filename": r'"[\w.]+"'}],
    "dynamic_batching": {},
    "parameters": [{"key": r'"\w+"', "value": {"string_value": r'".*"'}}],
}
TOKEN = re.compile(r'\s*(?:#[^\n]*\n\s*)*("(?:[^"\\\n]|\\["\\nt])*"|[\w.+-]+|[\[\]{}:,])')


def read_configuration(text: str) -> dict[str, Any]:
    """Protobuf's text format as far as configurations use it, against the schema; strings are read."""
    tokens, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        assert match, text[at : at + 40]
        tokens.append(match[1])
        at = match.end()
    tokens.append("}")
    message = read_message(tokens, SCHEMA)
    assert not tokens
    return message


def read_message(tokens: list[str], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while (field := tokens.pop(0)) != "}":
        kind = schema[field]
        if tokens[0] == ":":
            tokens.pop(0)
        else:
            assert isinstance(kind, (dict, list)) and tokens[0] in "[{", f"{field} wants a colon"
        if not isinstance(kind, list):
            assert field not in found, f"{field} stands twice"
            found[field] = read_value(tokens, kind)
        elif tokens[0] != "[":
            found.setdefault(field, []).append(read_value(tokens, kind[0]))
        else:
            while tokens.pop(0) != "]":
                found.setdefault(field, []).append(read_value(tokens, kind[0]))
                assert tokens[0] in ",]"
    return found


def read_value(tokens: list[str], kind: Any) -> Any:
    token = tokens.pop(0)
    if isinstance(kind, dict):
        assert token == "{"
        return read_message(tokens, kind)
    assert re.fullmatch(kind, token), f"{token} is not {kind}"
    if token[0] == '"':
        return json.loads(token)
    return int(token) if token.isdigit() else token


TORCH_TYPES = {"TYPE_FP16": torch.float16, "TYPE_FP32": torch.float32, "TYPE_FP64": torch.float64}
TORCH_TYPES |= {"TYPE_INT64": torch.int64}


class Backend:
    """What Triton's PyTorch backend does with a model: reads both files, checks what it checks, and runs it so."""

    def __init__(self, folder: Path) -> None:
        self.configuration = read_configuration((folder / "config.pbtxt").read_text("utf-8"))
        assert self.configuration["name"] == folder.name
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of TorchScript's deprecation
            self.net = torch.jit.load(folder / "1" / "model.pt")
        names = [argument.name for argument in self.net.forward.schema.arguments[1:]]
        self.inputs, self.outputs = self.configuration["input"], self.configuration["output"]
        assert len(names) == len(self.inputs)
        assert all(str(argument.type) == "Tensor" for argument in self.net.forward.schema.arguments[1:])
        # An argument's own name would be taken before the index is looked at.
        assert not {tensor["name"] for tensor in self.inputs} & set(names)
        assert [tensor["name"] for tensor in self.inputs] == [f"INPUT__{i}" for i in range(len(self.inputs))]
        assert [tensor["name"] for tensor in self.outputs] == [f"OUTPUT__{i}" for i in range(len(self.outputs))]
        self.labels = (folder / self.outputs[0]["label_filename"]).read_text("utf-8").split("\n")

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        settings = {entry["key"]: entry["value"]["string_value"] for entry in self.configuration["parameters"]}
        count = len(tensors[0])
        assert count <= self.configuration["max_batch_size"]
        for tensor, declared in zip(tensors, self.inputs, strict=True):
            self.check(tensor, declared, count)
        optimised = settings["DISABLE_OPTIMIZED_EXECUTION"] != "true"
        with torch.inference_mode(settings["INFERENCE_MODE"] == "true"), torch.jit.optimized_execution(optimised):
            found = self.net(*tensors)
        assert isinstance(found, tuple)
        for tensor, declared in zip(found, self.outputs, strict=True):
            self.check(tensor, declared, count)
        return list(found)

    @staticmethod
    def check(tensor: Tensor, declared: dict[str, Any], count: int) -> None:
        assert list(tensor.shape) == [count, *declared["dims"]], declared["name"]
        assert tensor.dtype == TORCH_TYPES[declared["data_type"]], declared["name"]


def in_the_file(
    explainer: Explainer, x: Tensor, seed: Tensor, method: str, layer: str | int
) -> tuple[Tensor, Tensor]:
    """Logits and map as the file's own kernels give them; those of this processor round otherwise."""
    with torch.no_grad():
        net = explainer.module
        return net.forward(x), net.explain(x, seed, method, explainer.layer_index(layer))


@pytest.mark.parametrize(("method", "layer"), QUESTIONS)
def test_triton_serves_what_the_configuration_says(
    explainer: Explainer, tmp_path: Path, method: str, layer: str | int
) -> None:
    serve = Backend(write_triton(explainer, tmp_path, method, layer))
    for count in (1, 3):
        x = images(count)
        asked = torch.tensor([-1, -1, 2])[:count, None]
        logits, maps = serve(x, asked)
        index = torch.where(asked < 0, logits.argmax(1, keepdim=True), asked)[:, 0]
        assert len(set(index.tolist())) == count, "or the question says little"
        seed = F.one_hot(index, 5).to(x)
        wanted = in_the_file(explainer, x, seed, method, layer)
        torch.testing.assert_close((logits, maps), wanted, rtol=1e-6, atol=1e-7)
        assert maps.any() or count == 1


def test_one_client_s_wrong_class_leaves_its_neighbours_their_answers(
    explainer: Explainer, tmp_path: Path
) -> None:
    serve, x = Backend(write_triton(explainer, tmp_path)), images(3)
    _, maps = serve(x, torch.tensor([[1], [5], [2]]))
    assert maps[1].isnan().all()
    seed = F.one_hot(torch.tensor([1, 0, 2]), 5).float()
    _, wanted = in_the_file(explainer, x, seed, "grad_cam", -1)
    torch.testing.assert_close(maps[::2], wanted[::2], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_type_that_triton_has_no_name_for_is_served_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    explainer = explained(torch.float64 if dtype == torch.float64 else torch.float32)
    explainer.module.to(dtype)
    serve = Backend(write_triton(explainer, tmp_path))
    served = torch.float32 if dtype == torch.bfloat16 else dtype
    x = images(2).to(dtype)
    logits, maps = serve(x.to(served), torch.tensor([[0], [0]]))
    seed = torch.eye(5, dtype=dtype)[[0, 0]]
    wanted = in_the_file(explainer, x, seed, "grad_cam", -1)
    assert torch.equal(logits, wanted[0].to(served))
    assert torch.equal(maps, wanted[1].to(served))


def test_the_configuration_tells_clients_how_to_ask(explainer: Explainer, tmp_path: Path) -> None:
    folder = write_triton(explainer, tmp_path, "grad_cam", "stem.0", name="net-1.0")
    assert folder == tmp_path / "net-1.0"
    serve = Backend(folder)
    facts = {entry["key"]: entry["value"]["string_value"] for entry in serve.configuration["parameters"]}
    assert (facts["method"], facts["layer"]) == ("grad_cam", "stem.0")
    assert Geometry.from_dict(json.loads(facts["preprocessing"])) == GEOMETRY
    assert serve.labels == ["tiger cat", "tabby", "espresso cup", 'a "tripod"', "Käse", ""]
    assert "dynamic_batching" in serve.configuration
    assert facts["DISABLE_OPTIMIZED_EXECUTION"] == "true", "or the first calls are slow"


def test_a_loaded_file_is_served_and_a_model_replaced(explainer: Explainer, tmp_path: Path) -> None:
    save(explainer, tmp_path / "net.pt")
    write_triton(explainer, tmp_path / "models", "saliency")
    folder = write_triton(load(tmp_path / "net.pt"), tmp_path / "models")
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) == [
        "1",
        "1/model.pt",
        "config.pbtxt",
        "labels.txt",
    ]
    x = images(1)
    _, maps = Backend(folder)(x, torch.tensor([[3]]))
    _, wanted = in_the_file(explainer, x, explainer.one_hot(3), "grad_cam", -1)
    torch.testing.assert_close(maps, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.9, of its own loader
@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_pt2_file_gives_the_explainer_s_answers(
    question: tuple[str, str | int],
    dtype: torch.dtype,
    explainers: dict[torch.dtype, Explainer],
    tmp_path: Path,
) -> None:
    """The explainer has every layer; the program is compiled anew for one."""
    explainer, (method, layer) = explainers[dtype], question
    write_pt2(explainer, network(dtype), tmp_path / "net.pt2", method, layer)
    program = torch.export.load(tmp_path / "net.pt2")
    for count in (1, 3):
        x = images(count, dtype)
        seed = torch.randn(count, 5, generator=torch.Generator().manual_seed(9), dtype=dtype)
        found = program.module()(x, seed)
        wanted = in_the_file(explainer, x, seed, method, layer)
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= BOUND[dtype] * theirs.abs().max()
            assert ours.abs().max() > 0


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_an_exported_program_is_functional_aten(question: tuple[str, str | int]) -> None:
    program = export_program(network(), torch.zeros(1, 3, 16, 20), *question)
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert {node.op for node in program.graph.nodes} == {"placeholder", "call_function", "output"}
    for op in set(calls) - {operator.getitem}:
        assert isinstance(op, torch._ops.OpOverload) and op.namespace == "aten", op
        assert not op._schema.is_mutable, op
    assert len(program.graph_signature.user_outputs) == 2
    assert not program.graph_signature.buffers_to_mutate
    forwards = sum(op is torch.ops.aten.conv2d.default for op in calls)
    assert forwards == 2, "one forward pass"


def test_a_pt2_file_says_what_it_is(explainer: Explainer, tmp_path: Path) -> None:
    write_pt2(explainer, network(), tmp_path / "net.pt2", "grad_cam", "stem.0")
    extra = {"manifest.json": "", "labels.txt": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    manifest = json.loads(extra["manifest.json"])
    assert (manifest["format"], manifest["method"], manifest["layer"]) == ("pt2", "grad_cam", "stem.0")
    assert manifest["certificate"]["pt2"] <= 1e-6
    assert manifest["certificate"]["policies"] == explainer.manifest["certificate"]["policies"]
    assert len(extra["labels.txt"].splitlines()) == 5
    assert str(Path(__file__).parents[2]).encode() not in (tmp_path / "net.pt2").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt2"]


def test_a_file_for_others_is_no_file_of_ours(explainer: Explainer, tmp_path: Path) -> None:
    write_pt2(explainer, network(), tmp_path / "net.pt2")
    for file in (tmp_path / "net.pt2", write_triton(explainer, tmp_path) / "1" / "model.pt"):
        with pytest.raises(ArtifactError, match=file.name):
            load(file)


def test_another_network_is_not_written_in_the_explainer_s_name(explainer: Explainer, tmp_path: Path) -> None:
    other = network()
    other.block[0].weight.data *= 1.001
    with pytest.raises(
        ValueError, match=r"the answers of Net are off by .* give the network that it was compiled"
    ):
        write_pt2(explainer, other, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("gradcam", -1), "no method is called 'gradcam'"),
        (("grad_cam", "stem.9"), "no layer is called 'stem.9'; the nearest are stem"),
        (("grad_cam", 99), "layer 99 is not one of 0"),
        (("cam", "stem.0"), "cam has one layer"),
    ],
)
def test_wrong_questions_are_refused_before_anything_is_written(
    explainer: Explainer, tmp_path: Path, question: tuple[str, str | int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_triton(explainer, tmp_path, *question)
    with pytest.raises(ValueError, match=message):
        write_pt2(explainer, network(), tmp_path / "net.pt2", *question)
    with pytest.raises(ValueError, match=message):
        export_program(network(), torch.zeros(1, 3, 16, 20), *question)
    assert not list(tmp_path.iterdir())


def test_wrong_names_are_refused(explainer: Explainer, tmp_path: Path) -> None:
    for name in ("a/b", "../up", "", ".hidden", "two words"):
        with pytest.raises(ValueError, match="can't be a model's name in Triton"):
            write_triton(explainer, tmp_path, name=name)
    with pytest.raises(ValueError, match=r"net\.pt should end in \.pt2"):
        write_pt2(explainer, network(), tmp_path / "net.pt")
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["export", "squeezenet1_1", "--weights", "random", "--layer", "features.5"]
    assert main([*model, "-o", str(tmp_path / "net.pt2"), "--format", "pt2"]) == 0
    assert main([*model, "--triton", str(tmp_path / "models"), "--method", "guided_grad_cam"]) == 0
    assert "net.pt2: " in (out := capsys.readouterr().out) and "model.pt: " in out
    serve = Backend(tmp_path / "models" / "squeezenet1_1")
    assert serve.outputs[1]["dims"] == [3, 224, 224]
    program = torch.export.load(tmp_path / "net.pt2").module()
    x, target = torch.randn(2, 3, 224, 224), torch.tensor([[282], [504]])
    logits, maps = serve(x, target)
    found, cam = program(x, F.one_hot(target[:, 0], 1000).float())
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    assert cam.shape == (2, 224, 224)
    assert maps.shape == (2, 3, 224, 224)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.pt", "--method", "grad_cam"], "say --methods and --layers"),
        (["--triton", "models", "--layers", "all"], "say --method and --layer"),
        (["--triton", "models", "--format", "pt2"], "without --triton"),
        (["-o", "a.pt", "--format", "pt2"], "a.pt should end in .pt2"),
        (["--triton", "models", "--layer", "features.99"], "the nearest are"),
    ],
)
def test_a_refusal_on_the_command_line_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "squeezenet1_1", "--weights", "random", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
