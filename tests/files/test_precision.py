"""Files in a lower precision, and for inputs of another size."""

from pathlib import Path

import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.__main__ import main
from engine.compiler.passes import compile_program
from engine.files.artifact import Explainer, load, save
from engine.files.compiling import compile_model
from engine.files.precision import in_precision
from engine.files.shelf import build
from engine.listing.program import aten
from engine.methods.relevance import RELEVANCE
from engine.models.loading import load_model
from tests.oracle import fixed_seed


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with fixed_seed(2):  # whose Grad-CAM is not zero for the images below
            self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.silu(self.first(x)))).mean((2, 3)))


def explainer() -> Explainer:
    return compile_model(Net().eval(), torch.zeros(1, 3, 20, 16))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_file_in_a_lower_precision_says_what_it_lost(dtype: torch.dtype, tmp_path: Path) -> None:
    save(in_precision(explainer(), dtype), tmp_path / "low.pt")
    low, exact = load(tmp_path / "low.pt"), explainer()
    certificate = low.manifest["certificate"]
    assert certificate["dtype"] == str(dtype).removeprefix("torch.")
    assert certificate["compiled_in"] == "float32"
    x = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    top = exact.forward(x).argmax(1)
    seed = F.one_hot(top, 5)
    assert set(certificate["cosine"]) == set(exact.one_pass_methods)
    for method, written in certificate["cosine"].items():
        found = low.explain(x, seed.to(dtype), method)
        assert found.dtype == dtype
        pairs = zip(found.float(), exact.explain(x, seed.float(), method), strict=True)
        values = [float((a * b).sum() / (a.norm() * b.norm())) for a, b in pairs]
        assert min(values) == pytest.approx(written, abs=1e-4)
        assert 0.9 < written <= 1
    assert dtype is torch.float16 or min(certificate["cosine"].values()) < 1


@pytest.mark.parametrize("padded", [False, True], ids=["a convolution first", "a pad first"])
@pytest.mark.parametrize("wide", [8, 400], ids=["no convolution in the stem", "the first one in the stem"])
def test_relevance_is_asked_in_every_precision(padded: bool, wide: int) -> None:
    """The ends of the image that a box asks for are in the precision of the call that asks."""
    with fixed_seed(3):
        first = [nn.ZeroPad2d((0, 1, 0, 1))] if padded else []
        net = nn.Sequential(
            *first, nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, wide, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 5),
        ).eval()  # fmt: skip
    composites = [method.name for method in RELEVANCE if not method.name.endswith(("rollout", "lrp", "libragrad"))]
    x = torch.rand(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    maps = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        asked = in_precision(compile_model(net, x[:1], "all", composites), dtype)
        assert any("weight" in name for name in asked.module.stem) == (wide == 400)
        maps.append({name: asked.explain(x, asked.one_hot(1), name).float().flatten(1) for name in composites})
    exact, *others = maps
    for other in others:
        for name, map in exact.items():
            assert float(F.cosine_similarity(other[name], map).min()) > 0.99, name


def test_the_precision_that_was_compiled_stays() -> None:
    compiled = explainer()
    assert in_precision(compiled, torch.float32) is compiled
    assert "cosine" not in compiled.manifest["certificate"]


def test_export_in_another_precision_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.pt"
    options = ["--weights", "random", "--dtype", "bfloat16", "--size", "96x64", "--methods", "grad_cam"]
    assert main(["export", "squeezenet1_1", "-o", str(path), *options]) == 0
    assert "cosine with float32: grad_cam " in capsys.readouterr().out
    found = load(path)
    assert found.geometry.crop == (96, 64)
    assert path.stat().st_size < 0.6 * sum(
        p.nbytes for p in load_model("squeezenet1_1", "random").module.parameters()
    )
    photo = torch.zeros(50, 70, 3, dtype=torch.uint8)
    assert found.preprocess(photo).shape == (1, 3, 96, 64)
    assert found.preprocess(photo).dtype == torch.float32  # the image is not rounded


def test_another_size_shows_as_much_of_a_photo() -> None:
    own, small = (load_model("resnet18", "random", size=size).geometry for size in (None, (112, 112)))
    assert (own.resize, small.resize) == (256, 128)
    assert load_model("resnet18", "random", size=(300, 200)).geometry.resize == round(256 * 300 / 224)


@pytest.mark.parametrize("size", ["0", "1x2x3", "many"])
def test_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "resnet18", "-o", "net.pt", "--size", size])
    assert "--size" in capsys.readouterr().err


def test_a_file_is_no_larger_than_what_is_asked_of_it(tmp_path: Path) -> None:
    """Every method and layer: at most 1.6 times the weights. One method at one layer: at most 2 % above them."""
    weights = sum(value.nbytes for value in load_model("resnet18", "random").module.state_dict().values())
    whole = build("resnet18", "random")
    save(whole, tmp_path / "whole.pt")
    save(build("resnet18", "random", [whole.layers[-1]], ["grad_cam"]), tmp_path / "one.pt")
    assert (tmp_path / "whole.pt").stat().st_size <= 1.6 * weights
    assert (tmp_path / "one.pt").stat().st_size <= 1.02 * weights


def test_one_method_at_one_layer_goes_no_deeper() -> None:
    """Grad-CAM at the last layer of a ResNet: one backward step of the head, no convolution backwards."""
    module = load_model("resnet18", "random").module
    program = compile_program(module, torch.zeros(1, 3, 64, 64), ["layer4"], ["grad_cam"]).program
    forward = set(program.needed([program.logits]))
    backward = [n for n in program.graph.nodes if n not in forward]
    assert not any(n.target in (aten.conv2d, aten.conv_transpose2d) for n in backward)
    assert len(backward) < 12


def test_a_file_for_one_layer_is_certified_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No policy reaches the image; the method is measured at its layer, and the file says so."""
    compiled = compile_model(Net().eval(), torch.zeros(1, 3, 20, 16), ["second"], ["grad_cam"])
    save(compiled, tmp_path / "one.pt")
    certificate = load(tmp_path / "one.pt").manifest["certificate"]
    assert certificate["policies"] == {}
    assert list(certificate["methods"]) == ["grad_cam"]
    assert certificate["methods"]["grad_cam"] < 1e-5
    assert main(["check", str(tmp_path / "one.pt")]) == 0
    assert "method grad_cam" in capsys.readouterr().out
    x = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    seed = F.one_hot(torch.tensor([1, 3]), 5).float()
    _, primals, cotangents, image = compiled.probe(x, seed, "gradient")
    assert image.numel() == 0
    whole = explainer()
    at = whole.layers.index("second")
    expected = whole.probe(x, seed, "gradient")
    torch.testing.assert_close(primals[0], expected[1][at])
    torch.testing.assert_close(cotangents[0], expected[2][at])


class Shared(nn.Module):
    """Its first kernel is its last as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.wide, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 64, 5), nn.Linear(64, 5)
        self.narrow = nn.Conv2d(64, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.narrow(F.relu(self.wide(F.relu(self.conv(x))))))
        return self.conv(x).mean((2, 3))


class Parted(Shared):
    """Its image is read in parts, by both ends of the network."""

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = x.chunk(2, 2)
        y = F.max_pool2d(F.relu(self.conv(torch.cat([bottom, top * 0.5], 2))), 2, 1)
        return self.head(F.relu(self.wide(y + x[:, :, 1:, 1:])).mean((2, 3)))


class Woven(Shared):
    """Its first kernel is its third, and its second one is its last."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.wide, self.narrow = nn.Conv2d(3, 256, 5), nn.Conv2d(256, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.relu(self.second(F.relu(self.conv(x))))))
        return self.second(F.relu(self.narrow(F.relu(self.wide(x))))).mean((2, 3))


class Flat(nn.Module):
    """No convolution at all."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(16, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.layer(F.layer_norm(x.mean(1), (16,)))).mean(1))


class Placed(Shared):
    """It makes positions for each image, in float32, and weighs them."""

    def forward(self, x: Tensor) -> Tensor:
        rows = (x[:, :1] == x[:, :1]).cumsum(2, dtype=torch.float32) / x.shape[2]
        places = self.conv(torch.cat([rows, rows.square(), rows.sqrt()], 1))
        return self.head(F.relu(self.wide(F.relu(self.conv(x)) * rows + places)).mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("network", "stem"),
    [(Shared, set()), (Parted, {"conv"}), (Flat, set()), (Placed, set()), (Woven, set())],
    ids=["shared kernel", "parts", "no convolution", "positions", "shared kernels"],
)
def test_the_stem_stays_in_float32(network: type[nn.Module], stem: set[str], dtype: torch.dtype) -> None:
    """And what it hands on is rounded, wherever it goes."""
    with fixed_seed(3):
        module = network().eval()
    methods = ["gradient", "guided_backprop", "input_x_gradient"]
    exact, low = (compile_model(module, torch.zeros(1, 3, 20, 16), methods=methods) for _ in range(2))
    low = in_precision(low, dtype)
    kept = {name for name, value in low.module.weights.named_buffers() if value.dtype == torch.float32}
    assert {name.split("_")[0] for name in kept} == stem
    x = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    seed = F.one_hot(torch.tensor([1, 2]), len(exact.labels))
    for image in (x, x.to(dtype)):
        for method in methods:
            found = low.explain(image, seed.to(dtype), method)
            assert found.dtype == dtype
            wanted = exact.explain(x, seed.float(), method)
            assert F.cosine_similarity(found.float().flatten(1), wanted.flatten(1)).min() > 0.95


def test_a_photo_in_bfloat16_loses_little() -> None:
    """With a rounded image and stem it is 0.969 and 0.783."""
    exact, low = (build("efficientnet_lite0", methods=["guided_backprop", "gradient"]) for _ in range(2))
    low = in_precision(low, torch.bfloat16)
    photo = torch.from_numpy(skimage.data.rocket())
    x = exact.preprocess(photo)
    target = int(exact.forward(x).argmax())
    for method, least in (("guided_backprop", 0.99), ("gradient", 0.88)):
        maps = [each.explain(each.preprocess(photo), each.one_hot(target), method) for each in (exact, low)]
        assert F.cosine_similarity(*(map.float().flatten() for map in maps), dim=0) > least
