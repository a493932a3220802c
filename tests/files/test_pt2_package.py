"""One .pt2 file has every method of one pass at every layer, and torch alone reads it."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter
from torch.export.pt2_archive._package import PT2ArchiveContents, load_pt2

from engine.__main__ import main
from engine.errors import ArtifactError
from engine.files.artifact import Explainer, load
from engine.files.pt2_package import write_pt2_package
from engine.files.pt2_programs import EveryPlace, export_programs
from engine.methods import METHODS
from tests.files.elsewhere import explained, images, network
from tests.files.small import members

ATTENTION = {"attn_lrp", "cp_lrp", "attention_rollout", "gradient_rollout"}  # the network has none
PROGRAMS = [name for name, method in METHODS.items() if not method.path and name not in ATTENTION]
MANY = ["smooth_grad", "occlusion"]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return explained(methods=[*PROGRAMS, *MANY])


@pytest.fixture(scope="module")
def path(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "net.pt2"
    assert list(write_pt2_package(explainer, network(), path)) == MANY
    return path


@pytest.fixture(scope="module")
def package(path: Path) -> PT2ArchiveContents:
    return load_pt2(path)


def in_the_file(explainer: Explainer, x: Tensor, seed: Tensor, method: str) -> list[Tensor]:
    net = explainer.module
    with torch.no_grad():
        found = [net.forward(x), *net.survey(x, seed, [method])]
        return found + list(net.explain_throughout(x, seed, method)[1:2]) if method in net.alone else found


@pytest.mark.parametrize("method", PROGRAMS)
def test_a_program_gives_what_the_file_gives(
    explainer: Explainer, package: PT2ArchiveContents, method: str
) -> None:
    program = package.exported_programs[method].module()
    for count in (1, 3):
        x = images(count)
        seed = torch.randn(count, 5, generator=torch.Generator().manual_seed(9))
        wanted = in_the_file(explainer, x, seed, method)
        with torch.no_grad():
            found = program(x, seed)
        assert len(found) == len(wanted) == (3 if method in explainer.module.alone else 2)
        for ours, theirs in zip(found, wanted, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()
            assert ours.abs().max() > 0


def test_weights_are_in_the_file_once(path: Path) -> None:
    records = members(path)
    weights = {name: content for name, content in records.items() if name.startswith("data/weights/weight_")}
    lists = [json.loads(text)["config"] for name, text in records.items() if name.endswith("weights_config.json")]
    assert len(lists) == len(PROGRAMS)
    read = Counter(f"data/weights/{entry['path_name']}" for listed in lists for entry in listed.values())
    assert set(read) == set(weights)
    stem = max(weights, key=lambda name: len(weights[name]))
    assert read[stem] == len(PROGRAMS)
    named = {(sha256(weights[f"data/weights/{entry['path_name']}"]).digest(), tensor) for listed in lists
             for tensor, entry in listed.items()}  # fmt: skip
    assert len(named) == len(weights)


def test_a_program_can_be_taken_out(path: Path, tmp_path: Path, explainer: Explainer) -> None:
    """As docs/elsewhere.md says: by leaving out the others, whose weights the reader passes over."""
    with PT2ArchiveReader(str(path)) as package, PT2ArchiveWriter(str(tmp_path / "one.pt2")) as one:
        for name in package.get_file_names():
            if name.startswith("data/") or name == "models/grad_cam.json":
                one.write_bytes(name, package.read_bytes(name))
    (program,) = load_pt2(tmp_path / "one.pt2").exported_programs.values()
    x, seed = images(2), torch.eye(5)[:2]
    torch.testing.assert_close(program.module()(x, seed)[1], explainer.sweep(x, seed, "grad_cam"))


def test_a_package_says_what_it_is(path: Path, package: PT2ArchiveContents, explainer: Explainer) -> None:
    manifest = json.loads(package.extra_files["manifest.json"])
    assert manifest["format"] == "pt2-package"
    assert {method["name"] for method in manifest["methods"]} == set(package.exported_programs) == set(PROGRAMS)
    assert set(manifest["certificate"]["pt2"]) == set(PROGRAMS)
    assert max(manifest["certificate"]["pt2"].values()) <= 1e-6
    assert "many passes" in manifest["absent"]["occlusion"]
    assert manifest["layers"] == explainer.manifest["layers"]
    assert len(package.extra_files["labels.txt"].splitlines()) == 5
    for folder in (Path(__file__).parents[2], Path(torch.__file__).parent):
        assert str(folder).encode() not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_package_is_no_file_of_ours(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"net\.pt2 is for pt2-package and answers there what it is asked"):
        load(path)


def test_another_network_is_not_written(explainer: Explainer, tmp_path: Path) -> None:
    other = network()
    other.block[0].weight.data *= 1.001
    with pytest.raises(ValueError, match=r"Net are off by .* \(gradient, .*: give the network"):
        write_pt2_package(explainer, other, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam", "layer_cam", "lrp_epsilon_plus"])
def test_a_small_layer_is_held_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    whole = EveryPlace.at_layers
    monkeypatch.setattr(EveryPlace, "at_layers", lambda self, values: off(whole(self, values)))
    with pytest.raises(ValueError, match=f"off by .*{method}"):
        write_pt2_package(explained(methods=[method]), network(), tmp_path / "net.pt2")


def off(maps: Tensor) -> Tensor:
    """The layer whose largest value is smallest, off by a ten-thousandth."""
    sizes = maps.abs().flatten(2).amax(2).amax(0)
    return maps * (1 + 1e-4 * torch.nn.functional.one_hot(sizes.argmin(), maps.shape[1])[:, None, None])


def test_what_can_t_be_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"smooth_grad can't be one program: it takes many passes"):
        export_programs(network(), torch.zeros(1, 3, 16, 20), ["gradient", "smooth_grad"])
    with pytest.raises(ValueError, match=r"net\.pt2 would be empty: smooth_grad take many passes"):
        write_pt2_package(explained(methods=["smooth_grad"]), network(), tmp_path / "net.pt2")
    with pytest.raises(ValueError, match=r"net\.pt should end in \.pt2"):
        write_pt2_package(explained(methods=["gradient"]), network(), tmp_path / "net.pt")
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.pt2"
    model = ["export", "squeezenet1_1", "--weights", "random", "--layers", "features.5,features.12"]
    asked = ["--format", "pt2-package", "--methods", "hires_cam,saliency,occlusion"]
    assert main([*model, *asked, "-o", str(path)]) == 0
    out = capsys.readouterr().out
    assert "2 layers, saliency, hires_cam\n" in out
    assert "occlusion is absent: it takes many passes" in out
    _, maps = (
        load_pt2(path).exported_programs["hires_cam"].module()(torch.randn(2, 3, 224, 224), torch.ones(2, 1000))
    )
    assert maps.shape == (2, 2, 224, 224)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "features.5"], "say --methods and --layers"),
        (["--dtype", "bfloat16"], "--format pt2-package goes without --triton"),
    ],
)
def test_the_command_line_refuses_what_a_package_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    asked = ["export", "squeezenet1_1", "-o", str(tmp_path / "a.pt2"), "--format", "pt2-package", *arguments]
    assert main(asked) == 1
    assert message in capsys.readouterr().err
