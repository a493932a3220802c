"""Triton gets the explainer's answers by a configuration that NVIDIA's own schema takes."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format
from torch import Tensor
from tritonclient.grpc.model_config_pb2 import TYPE_FP16, TYPE_FP32, TYPE_FP64, TYPE_INT64, ModelConfig, ModelInput

from engine.__main__ import main
from engine.errors import ArtifactError
from engine.files.artifact import Explainer, load, save
from engine.files.triton import write_triton
from engine.pictures.geometry import Geometry
from tests.files.elsewhere import GEOMETRY, QUESTIONS, WRONG_QUESTIONS, explained, images, in_the_file


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return explained()


TORCH_TYPES = {
    TYPE_FP16: torch.float16,
    TYPE_FP32: torch.float32,
    TYPE_FP64: torch.float64,
    TYPE_INT64: torch.int64,
}


def read_configuration(folder: Path) -> ModelConfig:
    """Raises ParseError for a field or value that the schema does not know."""
    found: ModelConfig = text_format.Parse((folder / "config.pbtxt").read_text("utf-8"), ModelConfig())
    return found


class Backend:
    """What Triton's PyTorch backend does with a model: reads both files, checks what it checks, and runs it so."""

    def __init__(self, folder: Path) -> None:
        self.configuration = read_configuration(folder)
        assert self.configuration.name == folder.name
        assert (self.configuration.backend, self.configuration.platform) == ("pytorch", "pytorch_libtorch")
        self.settings = {key: value.string_value for key, value in self.configuration.parameters.items()}
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of TorchScript's deprecation
            self.net = torch.jit.load(folder / "1" / "model.pt")
        names = [argument.name for argument in self.net.forward.schema.arguments[1:]]
        self.inputs, self.outputs = self.configuration.input, self.configuration.output
        assert len(names) == len(self.inputs)
        assert all(str(argument.type) == "Tensor" for argument in self.net.forward.schema.arguments[1:])
        # An argument's own name would be taken before the index is looked at.
        assert not {tensor.name for tensor in self.inputs} & set(names)
        assert [tensor.name for tensor in self.inputs] == [f"INPUT__{i}" for i in range(len(self.inputs))]
        assert [tensor.name for tensor in self.outputs] == [f"OUTPUT__{i}" for i in range(len(self.outputs))]
        self.labels = (folder / self.outputs[0].label_filename).read_text("utf-8").split("\n")

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        count = len(tensors[0])
        assert count <= self.configuration.max_batch_size
        for tensor, declared in zip(tensors, self.inputs, strict=True):
            self.check(tensor, declared, count)
        optimised = self.settings["DISABLE_OPTIMIZED_EXECUTION"] != "true"
        with (
            torch.inference_mode(self.settings["INFERENCE_MODE"] == "true"),
            torch.jit.optimized_execution(optimised),
        ):
            found = self.net(*tensors)
        assert isinstance(found, tuple)
        for tensor, declared in zip(found, self.outputs, strict=True):
            self.check(tensor, declared, count)
        return list(found)

    @staticmethod
    def check(tensor: Tensor, declared: ModelInput, count: int) -> None:
        assert list(tensor.shape) == [count, *declared.dims], declared.name
        assert tensor.dtype == TORCH_TYPES[declared.data_type], declared.name


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
    facts = serve.settings
    assert (facts["method"], facts["layer"]) == ("grad_cam", "stem.0")
    assert Geometry.from_dict(json.loads(facts["preprocessing"])) == GEOMETRY
    assert serve.labels == ["tiger cat", "tabby", "espresso cup", 'a "tripod"', "Käse", ""]
    assert serve.configuration.HasField("dynamic_batching")
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


def test_the_schema_refuses_what_triton_does_not_know(explainer: Explainer, tmp_path: Path) -> None:
    path = write_triton(explainer, tmp_path) / "config.pbtxt"
    text = path.read_text("utf-8")
    for wrong in (text.replace("max_batch_size", "max_batch"), text.replace("TYPE_INT64", "INT64")):
        path.write_text(wrong, "utf-8")
        with pytest.raises(text_format.ParseError):
            read_configuration(path.parent)


@pytest.mark.parametrize("name", ["a/b", "../up", "", ".hidden", "two words"])
def test_wrong_names_are_refused(explainer: Explainer, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can't be a model's name in Triton"):
        write_triton(explainer, tmp_path, name=name)
    assert not list(tmp_path.iterdir())


def test_a_triton_model_is_no_file_of_ours(explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.pt"):
        load(write_triton(explainer, tmp_path) / "1" / "model.pt")


@pytest.mark.parametrize(("question", "message"), WRONG_QUESTIONS)
def test_wrong_questions_are_refused_before_anything_is_written(
    explainer: Explainer, tmp_path: Path, question: tuple[str, str | int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_triton(explainer, tmp_path, *question)
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["export", "squeezenet1_1", "--weights", "random", "--layer", "features.5"]
    assert main([*model, "--triton", str(tmp_path), "--method", "guided_grad_cam"]) == 0
    assert "model.pt: " in capsys.readouterr().out
    serve = Backend(tmp_path / "squeezenet1_1")
    assert list(serve.outputs[1].dims) == [3, 224, 224]
    _, maps = serve(torch.randn(2, 3, 224, 224), torch.tensor([[282], [504]]))
    assert maps.shape == (2, 3, 224, 224)
