"""AOTInductor takes a .pt2 as it is, and what it makes of it answers in C++ as the explainer does."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._inductor import aoti_load_package

from engine import Explainer, compile_model, write_pt2, write_pt2_package

EXAMPLE = Path(__file__).parents[2] / "examples" / "aoti"
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing: apt-get install g++")
pytestmark = [needs_compiler, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return compile_model(network(), torch.zeros(1, 3, 8, 10), methods=["grad_cam", "guided_backprop"])


@pytest.fixture(scope="module")
def compiled(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What compile.py makes of a file of one question."""
    folder = tmp_path_factory.mktemp("aoti")
    write_pt2(explainer, network(), folder / "net.pt2", "guided_backprop")
    return aoti(folder / "net.pt2", folder / "aoti.pt2")


def aoti(path: Path, out: Path, *method: str) -> Path:
    command = [sys.executable, "-I", "-W", "ignore", EXAMPLE / "compile.py", path, out, *method]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def assert_close(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 8, 10, generator=torch.Generator().manual_seed(count))


def test_aotinductor_takes_the_file_as_it_is(explainer: Explainer, compiled: Path) -> None:
    """For any number of images, and not for the two of one number that the file's example is."""
    run = aoti_load_package(str(compiled))
    for count in (1, 3):
        x, seed = images(count), torch.eye(5)[:count]
        logits, map = run(x, seed)
        assert_close(logits, explainer.forward(x))
        assert_close(map, explainer.explain(x, seed, "guided_backprop"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built as its README says."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is missing: apt-get install cmake")
    folder = tmp_path_factory.mktemp("cpp")
    configure = ["cmake", "-S", EXAMPLE, "-B", folder, f"-DTORCH_DIR={Path(torch.__file__).parent}"]
    for command in (configure, ["cmake", "--build", folder]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "explain_aoti"


@pytest.mark.sweep
@pytest.mark.parametrize("asked", [[], ["2"]])
def test_cpp_gives_what_python_gives(
    explainer: Explainer, compiled: Path, program: Path, tmp_path: Path, asked: list[str]
) -> None:
    x = images(1)
    x.numpy().tofile(tmp_path / "x.f32")
    output = subprocess.check_output(
        [program, compiled, tmp_path / "x.f32", tmp_path / "map.f32", *asked], text=True
    )
    logits = explainer.forward(x)
    top = int(logits.argmax())
    assert output.startswith(f"top class {top}, {float(logits.softmax(1).max()):.4f}\n")
    found = torch.from_numpy(np.fromfile(tmp_path / "map.f32", np.float32)).view(1, 3, 8, 10)
    target = int(asked[0]) if asked else top
    assert_close(found, explainer.explain(x, explainer.one_hot(target), "guided_backprop"))


@pytest.mark.sweep
def test_a_method_of_a_package_is_compiled_and_run_from_cpp(
    explainer: Explainer, program: Path, tmp_path: Path
) -> None:
    write_pt2_package(explainer, network(), tmp_path / "net.pt2")
    path, x = aoti(tmp_path / "net.pt2", tmp_path / "aoti.pt2", "grad_cam"), images(1)
    x.numpy().tofile(tmp_path / "x.f32")
    subprocess.run([program, path, tmp_path / "x.f32", tmp_path / "map.f32", "1"], check=True)
    wanted = explainer.sweep(x, explainer.one_hot(1), "grad_cam")
    assert_close(torch.from_numpy(np.fromfile(tmp_path / "map.f32", np.float32)).view(wanted.shape), wanted)


@pytest.mark.sweep
def test_cpp_says_what_is_wrong_in_one_line(compiled: Path, program: Path, tmp_path: Path) -> None:
    images(1).numpy().tofile(tmp_path / "x.f32")
    images(2).numpy().tofile(tmp_path / "two.f32")
    shutil.copy(compiled, tmp_path / "net.pt2")
    for words, message in (
        (["gone.pt2", "x.f32", "out"], "there is no file gone.pt2: compile it first"),
        (["net.pt2", "gone.f32", "out"], "there is no file gone.f32: write the image first"),
        (["net.pt2", "two.f32", "out"], "two.f32 should have 960 bytes"),
        (["net.pt2", "x.f32", "out", "5"], "class 5 is not one of 0..4"),
        (["net.pt2", "x.f32", "out", "cat"], "cat is no class: give a number"),
        (["net.pt2", "x.f32", "no/out"], "no/out can't be written"),
        (["net.pt2"], "usage: explain_aoti"),
    ):
        done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1


def test_compile_py_says_what_a_package_has(explainer: Explainer, tmp_path: Path) -> None:
    write_pt2(explainer, network(), tmp_path / "net.pt2")
    command = [sys.executable, "-I", "-W", "ignore", EXAMPLE / "compile.py", "net.pt2", "out.pt2"]
    done = subprocess.run([*command, "cam"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "net.pt2 has no program cam, it has model" in done.stderr
