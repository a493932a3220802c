"""torch.export gets the explainer's answers: one question of a network, in plain ATen."""

import json
import operator
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from engine.__main__ import main
from engine.errors import ArtifactError
from engine.files.artifact import Explainer, load
from engine.files.pt2 import export_program, write_pt2
from tests.files.elsewhere import QUESTIONS, WRONG_QUESTIONS, explained, images, in_the_file, network

BOUND = {torch.float32: 1e-6, torch.float64: 1e-12}


@pytest.fixture(scope="module")
def explainers() -> dict[torch.dtype, Explainer]:
    return {dtype: explained(dtype) for dtype in BOUND}


@pytest.fixture(scope="module")
def explainer(explainers: dict[torch.dtype, Explainer]) -> Explainer:
    return explainers[torch.float32]


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


def test_a_file_keeps_an_example_that_takes_no_room(explainer: Explainer, tmp_path: Path) -> None:
    """AOTInductor asks for one; that of an image of zeros would be as large as it."""
    write_pt2(explainer, network(), tmp_path / "net.pt2")
    (image, seed), named = torch.export.load(tmp_path / "net.pt2").example_inputs
    assert (image.shape, seed.shape, named) == ((2, 3, 16, 20), (2, 5), {})
    assert image.untyped_storage().nbytes() == seed.untyped_storage().nbytes() == 4
    with zipfile.ZipFile(tmp_path / "net.pt2") as archive:
        (example,) = (archive.read(name) for name in archive.namelist() if "sample_inputs" in name)
    assert len(example) < 4096
    assert str(Path(torch.__file__).parent).encode() not in example


def test_relevance_knows_the_ends_of_the_explainer_s_photos(tmp_path: Path) -> None:
    """Its box lies between black and white as the photo's preprocessing has them, not between 0 and 1."""
    asked = ["lrp_epsilon_gamma_box"]
    write_pt2(explained(methods=asked), network(), tmp_path / "net.pt2", *asked)


def test_a_pt2_file_is_no_file_of_ours(explainer: Explainer, tmp_path: Path) -> None:
    write_pt2(explainer, network(), tmp_path / "net.pt2")
    with pytest.raises(ArtifactError, match=r"net\.pt2"):
        load(tmp_path / "net.pt2")


def test_another_network_is_not_written_in_the_explainer_s_name(explainer: Explainer, tmp_path: Path) -> None:
    other = network()
    other.block[0].weight.data *= 1.001
    with pytest.raises(
        ValueError, match=r"the answers of Net are off by .* give the network that it was compiled"
    ):
        write_pt2(explainer, other, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("question", "message"), WRONG_QUESTIONS)
def test_wrong_questions_are_refused_before_anything_is_written(
    explainer: Explainer, tmp_path: Path, question: tuple[str, str | int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_pt2(explainer, network(), tmp_path / "net.pt2", *question)
    with pytest.raises(ValueError, match=message):
        export_program(network(), torch.zeros(1, 3, 16, 20), *question)
    assert not list(tmp_path.iterdir())


def test_another_ending_is_refused(explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"net\.pt should end in \.pt2"):
        write_pt2(explainer, network(), tmp_path / "net.pt")
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.pt2"
    model = ["export", "squeezenet1_1", "--weights", "random", "--layer", "features.5"]
    assert main([*model, "-o", str(path), "--format", "pt2"]) == 0
    assert "net.pt2: " in capsys.readouterr().out
    seed = F.one_hot(torch.tensor([282, 504]), 1000).float()
    logits, cam = torch.export.load(path).module()(torch.randn(2, 3, 224, 224), seed)
    assert (logits.shape, cam.shape) == ((2, 1000), (2, 224, 224))


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
