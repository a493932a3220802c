"""Files in a lower precision, and for inputs of another size."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from oracle import fixed_seed
from torch import Tensor, nn

from engine.__main__ import main
from engine.artifact import Explainer, compile_model, load, save
from engine.precision import in_precision
from engine.zoo import load_model


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
    x = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    top = exact.forward(x).argmax(1)
    seed = F.one_hot(top, 5)
    assert set(certificate["cosine"]) == set(exact.methods)
    for method, written in certificate["cosine"].items():
        found = low.explain(x.to(dtype), seed.to(dtype), method)
        assert found.dtype == dtype
        pairs = zip(found.float(), exact.explain(x, seed.float(), method), strict=True)
        values = [float((a * b).sum() / (a.norm() * b.norm())) for a, b in pairs]
        assert min(values) == pytest.approx(written, abs=1e-4)
        assert 0.9 < written <= 1
    assert dtype is torch.float16 or min(certificate["cosine"].values()) < 1


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
    assert found.preprocess(photo).dtype == torch.bfloat16


def test_another_size_shows_as_much_of_a_photo() -> None:
    own, small = (load_model("resnet18", "random", size=size).geometry for size in (None, (112, 112)))
    assert (own.resize, small.resize) == (256, 128)
    assert load_model("resnet18", "random", size=(300, 200)).geometry.resize == round(256 * 300 / 224)


@pytest.mark.parametrize("size", ["0", "1x2x3", "many"])
def test_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "resnet18", "-o", "net.pt", "--size", size])
    assert "--size" in capsys.readouterr().err
