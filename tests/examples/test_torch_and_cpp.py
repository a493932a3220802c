"""The programs in examples/ know nothing of this project, and give the same numbers as it does."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from engine import Explainer, build, compile_model, save
from engine.torchscript.lowering import scripted

ROOT = Path(__file__).parents[2]
MODELS = {"efficientnet_lite0": "default", "resnet50": "random"}
# Runs an example as its user does, where `engine` can't be found, and writes what it computed.
WATCHED = """
import importlib.util, runpy, sys, torch
raw, script, *sys.argv[1:] = sys.argv[1:]
assert importlib.util.find_spec("engine") is None
found = runpy.run_path(script)
assert not any(name.partition(".")[0] in ("engine", "torchvision", "timm", "cv2") for name in sys.modules)
torch.save((found["logits"], found["map"]), raw)
"""


@pytest.fixture(scope="module", params=["efficientnet_lite0", pytest.param("resnet50", marks=pytest.mark.sweep)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Explainer, Path]:
    """A model of the zoo, cut to what is asked of it here, and its file."""
    explainer = build(request.param, MODELS[request.param], methods=["grad_cam", "saliency"])
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.pt"
    save(explainer, path)
    return explainer, path


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is quick to load, with as many classes as ImageNet."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1000))
    path = tmp_path_factory.mktemp("lite") / "net.pt"
    save(compile_model(net.eval(), torch.zeros(1, 3, 8, 8), methods=["grad_cam", "saliency"]), path)
    return path


@pytest.fixture(scope="module")
def bad_files(lite: Path, cat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good model and photo, and with all that may be wrong with either."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copy(lite, folder / "net.pt")
    shutil.copy(cat, folder / "cat.ppm")
    (folder / "foreign.pt").write_bytes(scripted(nn.ReLU()).save_to_buffer())
    (folder / "cut.pt").write_bytes(lite.read_bytes()[:5000])
    (folder / "text.pt").write_text("hello\n" * 99)
    (folder / "cut.ppm").write_bytes(cat.read_bytes()[:-1])
    photos = {
        "gray": b"P5\n2 1\n255\nab",
        "huge": b"P6\n2000000000 2000000000\n255\nabc",
        "deep": b"P6\n1 1\n65535\nabcdef",
        "negative": b"P6\n-1 1\n255\nabc",
        "head": b"P6\n1 # 1\n",
    }
    for name, content in photos.items():
        (folder / f"{name}.ppm").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ example, built as its README says."""
    for tool in ("cmake", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: apt-get install g++ cmake")
    folder = tmp_path_factory.mktemp("cpp")
    torch_folder = Path(torch.__file__).parent
    configure = ["cmake", "-S", ROOT / "examples" / "cpp", "-B", folder, f"-DTORCH_DIR={torch_folder}"]
    for command in (configure, ["cmake", "--build", folder]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "explain"


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "cat.ppm"
    Image.fromarray(data.chelsea()).save(path)
    return path


def assert_same(
    raw: Path, picture: Path, explainer: Explainer, method: str, layer: int | str, target: str | None
) -> Tensor:
    """Hold logits, map and picture of an example against the engine's; returns the engine's logits."""
    photo = torch.from_numpy(data.chelsea())
    x = explainer.preprocess(photo)
    logits = explainer.forward(x)
    index = int(logits.argmax()) if target is None else explainer.class_index(target)
    with torch.no_grad():  # by the kernels that the file holds: this processor's own round otherwise
        heat = explainer.module.explain(x, explainer.one_hot(index), method, explainer.layer_index(layer))
    got_logits, got_heat = torch.load(raw)
    for name, got, want in (("logits", got_logits, logits), ("map", got_heat, heat)):
        assert want.abs().max() > 0
        deviation = (got - want).abs().max() / want.abs().max()
        assert deviation <= 1e-5, f"the {name} are {deviation} apart"
    # Of the example's own map: a rounding error may move the heat over the border of two colours.
    drawn = explainer.overlay(photo, got_heat[0])
    with Image.open(picture) as image:
        got = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    assert (got.int() - drawn.int()).abs().max() <= 1
    return logits


def assert_top_five(output: str, explainer: Explainer, logits: Tensor) -> None:
    values, indices = logits[0].softmax(0).topk(5)
    lines = output.splitlines()[-5:]
    assert len(lines) == 5
    for line, value, index in zip(lines, values.tolist(), indices.tolist(), strict=True):
        shown = re.fullmatch(r" *([\d.]+) ?%  (.+) \((\d+)\)", line)
        assert shown, line
        assert float(shown[1]) == pytest.approx(100 * value, abs=0.051)
        # Classes far behind the first may be as good as equal.
        if value > 1e-3:
            assert (shown[2], int(shown[3])) == (explainer.labels[index], index)


@pytest.mark.parametrize(
    ("method", "layer", "target"), [("grad_cam", -1, None), ("grad_cam", 5, "Egyptian cat"), ("saliency", -1, "7")]
)
def test_cpp(
    program: Path,
    exported: tuple[Explainer, Path],
    cat: Path,
    tmp_path: Path,
    method: str,
    layer: int,
    target: str | None,
) -> None:
    explainer, path = exported
    words = [method] if target is None else [method, explainer.layers[layer], target]
    raw, picture = tmp_path / "raw", tmp_path / "out.ppm"
    done = subprocess.run([program, path, cat, picture, *words, "--raw", raw], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    logits = assert_same(raw, picture, explainer, method, layer, target)
    assert_top_five(done.stdout, explainer, logits)


METHODS = [
    "hires_cam",
    "lrp_epsilon_plus",
    "lrp_epsilon_gamma_box",
    "eigen_cam",
    "smooth_grad",
    "integrated_gradients",
    "occlusion",
    "recipro_cam",
    "ablation_cam",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Explainer, Path]:
    """A small network with methods of every kind, and its file."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 8, 3), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    explainer = compile_model(net.eval(), torch.zeros(1, 3, 32, 32), methods=METHODS)
    path = tmp_path_factory.mktemp("small") / "small.pt"
    save(explainer, path)
    return explainer, path


@pytest.mark.parametrize("method", METHODS)
def test_cpp_and_torch_alone_give_what_python_gives(
    program: Path, small: tuple[Explainer, Path], cat: Path, tmp_path: Path, method: str
) -> None:
    """Noise and masks are counted, so that all walk the same inputs."""
    explainer, path = small
    x = explainer.preprocess(torch.from_numpy(data.chelsea()))
    wanted = explainer.explain(x, explainer.one_hot(int(explainer.forward(x).argmax())), method)
    assert wanted.abs().max() > 0
    raw = tmp_path / "raw"
    subprocess.run([program, path, cat, tmp_path / "out.ppm", method, "--raw", raw], check=True)
    script = ["-W", "ignore", "-c", WATCHED, tmp_path / "watched", ROOT / "examples" / "torch_only.py"]
    subprocess.run([sys.executable, *script, path, cat, tmp_path / "out.png", method], check=True, cwd=tmp_path)
    for file in (raw, tmp_path / "watched"):
        found = torch.load(file)[1]
        # What an image loses is a difference of scores, and has their rounding.
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max() + 2e-7


def test_cpp_tells_the_times(program: Path, exported: tuple[Explainer, Path], cat: Path, tmp_path: Path) -> None:
    output = subprocess.check_output([program, exported[1], cat, tmp_path / "out.ppm", "--time"], text=True)
    times = re.findall(r"^call (\d+): ([\d.]+) ms$", output, re.MULTILINE)
    assert [call for call, _ in times] == ["1", "2", "10"]
    # Whether the second call is as fast as the tenth is told by `python -m benchmarks`, which measures times.
    assert all(float(time) > 0 for _, time in times)


@pytest.mark.parametrize(
    ("header", "pixels"),
    [(b"P6\n2 1\n255\n", 6), (b"P6 # a photo\n# of 9 9\n\t2 # wide\r\n1\n#\n255 ", 6), (b"P6 2 1 255\n", 99)],
)
def test_cpp_reads_what_a_ppm_may_be(
    program: Path, lite: Path, tmp_path: Path, header: bytes, pixels: int
) -> None:
    """The picture at strength 1/2 tells whether the pixels were read from their first byte."""
    values = bytes([10, 200, 60, 250, 0, 90]) + bytes(pixels - 6)
    (tmp_path / "in.ppm").write_bytes(header + values)
    subprocess.run([program, lite, tmp_path / "in.ppm", tmp_path / "out.ppm"], check=True, capture_output=True)
    (tmp_path / "plain.ppm").write_bytes(b"P6\n2 1\n255\n" + values[:6])
    subprocess.run(
        [program, lite, tmp_path / "plain.ppm", tmp_path / "plain.ppm"], check=True, capture_output=True
    )
    assert (tmp_path / "out.ppm").read_bytes() == (tmp_path / "plain.ppm").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.pt", "cat.ppm", "out.ppm"], "there is no file gone.pt: export it first"),
        (
            ["cut.pt", "cat.ppm", "out.ppm"],
            "cut.pt is cut short or not a TorchScript file at all: export it again",
        ),
        (["text.pt", "cat.ppm", "out.ppm"], "text.pt is cut short or not a TorchScript file at all"),
        (["foreign.pt", "cat.ppm", "out.ppm"], "foreign.pt does not explain itself: export it again"),
        (["net.pt", "gone.ppm", "out.ppm"], "gone.ppm can't be opened"),
        (["net.pt", ".", "out.ppm"], ". is not a binary PPM (P6)"),
        (["net.pt", "gray.ppm", "out.ppm"], "gray.ppm is not a binary PPM (P6)"),
        (["net.pt", "cut.ppm", "out.ppm"], "cut.ppm is cut short"),
        (["net.pt", "huge.ppm", "out.ppm"], "huge.ppm is cut short"),
        (["net.pt", "deep.ppm", "out.ppm"], "deep.ppm has values up to 65535: save it with 255"),
        (["net.pt", "negative.ppm", "out.ppm"], "negative.ppm has no width in its header"),
        (["net.pt", "head.ppm", "out.ppm"], "head.ppm has no height in its header"),
        (["net.pt", "cat.ppm", "no/out.ppm"], "no/out.ppm can't be written"),
        (["net.pt", "cat.ppm", "out.ppm", "gradcam"], "no method gradcam; this file has saliency, grad_cam"),
        (
            ["net.pt", "cat.ppm", "out.ppm", "grad_cam", "steam"],
            "no layer is called steam: give a number from 0 to",
        ),
        (["net.pt", "cat.ppm", "out.ppm", "grad_cam", "999"], "layer 999 is not one of 0.."),
        (["net.pt", "cat.ppm", "out.ppm", "grad_cam", "-1", "unicorn"], "no class is called unicorn"),
        (["net.pt", "cat.ppm", "out.ppm", "grad_cam", "-1", "1000"], "class 1000 is not one of 0..999"),
        (["net.pt", "cat.ppm"], "usage: explain MODEL.pt PHOTO.ppm OUT.ppm"),
        (["net.pt", "cat.ppm", "out.ppm", "--raw"], "usage: explain"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_cpp_says_what_is_wrong_in_one_line(
    program: Path, bad_files: Path, words: list[str], message: str
) -> None:
    done = subprocess.run([program, *words], cwd=bad_files, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_torch_only(exported: tuple[Explainer, Path], cat: Path, tmp_path: Path) -> None:
    explainer, path = exported
    raw, picture, script = tmp_path / "raw", tmp_path / "out.png", ROOT / "examples" / "torch_only.py"
    command = [sys.executable, "-I", "-c", WATCHED, raw, script, path, cat, picture, "saliency"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    logits = assert_same(raw, picture, explainer, "saliency", -1, None)
    assert_top_five(done.stdout, explainer, logits)


def test_torch_only_tells_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "examples" / "torch_only.py"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "torch_only.py MODEL.pt PHOTO OUT.png [METHOD]" in done.stderr
