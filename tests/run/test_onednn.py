"""oneDNN's kernels against ATen's, call by call, and which of them answers where."""

import copy
import ctypes
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import Explainer, compile_model, load, save
from engine.run.onednn import Packed, packed
from engine.torchscript.kernels import ConvSteps, Epilogue
from engine.torchscript.torchscript import scripted

# input channels and side, kernel, stride, padding, dilation, groups
CONVOLUTIONS = {
    "3x3": (8, 14, (16, 8, 3, 3), 1, 1, 1, 1),
    "1x1": (16, 9, (8, 16, 1, 1), 1, 0, 1, 1),
    "1x1, strided": (16, 10, (8, 16, 1, 1), 2, 0, 1, 1),
    "1x1, padded": (8, 5, (8, 8, 1, 1), 1, 1, 1, 1),
    "dilated, in groups": (16, 15, (16, 4, 3, 3), 1, 2, 2, 4),
    "depthwise, strided": (32, 19, (32, 1, 3, 3), 2, 1, 1, 32),
    "stem, 7x7": (3, 32, (16, 3, 7, 7), 2, 3, 1, 1),
    "stem, 3x3": (3, 32, (16, 3, 3, 3), 2, 1, 1, 1),
    "stem, not padded": (3, 33, (16, 3, 3, 3), 2, 0, 1, 1),
    "stem, gray, 4x4": (1, 30, (16, 1, 4, 4), 4, 1, 1, 1),
    "stem, 11x11": (3, 47, (16, 3, 11, 11), 4, 2, 1, 1),
    "rest of a stride": (3, 34, (16, 3, 5, 5), 3, 1, 1, 1),
}


SAME = ConvSteps([1, 1], [1, 1], [0, 0], [1, 1], 1)
NOTHING = Epilogue(None, False, None, None)


def close(found: Tensor, wanted: Tensor, of: Tensor | None = None) -> None:
    """Equal up to rounding: of `wanted`, or of what it was before it was clamped."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5 * (wanted if of is None else of).abs().max()


@pytest.fixture
def kernels() -> torch.jit.ScriptModule:
    return scripted(Packed(2))


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_and_its_way_back(kernels: torch.jit.ScriptModule, name: str, images: int) -> None:
    channels, side, shape, stride, padding, dilation, groups = CONVOLUTIONS[name]
    torch.manual_seed(0)
    x, weight, bias = torch.randn(images, channels, side, side), torch.randn(shape), torch.randn(shape[0])
    with torch.no_grad():
        y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
        missing = side - ((y.shape[2] - 1) * stride - 2 * padding + dilation * (shape[2] - 1) + 1)
        how = ConvSteps([stride] * 2, [padding] * 2, [missing] * 2, [dilation] * 2, groups)
        ct = torch.randn_like(y)
        back = F.conv_transpose2d(ct, weight, None, stride, padding, missing, groups, dilation)
        for other in (None, torch.randn_like(y)):
            for low, high in ((None, None), (0.0, None), (0.0, 6.0), (-1.0, 1.0)):
                for over in (False, True):
                    free = y if other is None else y + other
                    wanted = free.clamp(low, high) if low is not None else free
                    given = None if other is None else other.clone()
                    close(kernels.conv(x, 0, weight, bias, how, Epilogue(given, over, low, high)), wanted, free)
        for other in (None, torch.randn_like(back)):
            for low in (None, 0.0):
                for over in (False, True):
                    free = back if other is None else back + other
                    wanted = free if low is None else free.relu()
                    given = None if other is None else other.clone()
                    close(kernels.conv_back(ct, 1, weight, how, Epilogue(given, over, low, None)), wanted, free)
    assert kernels.forms[0] == kernels.AS_IS and kernels.forms[1] != kernels.NOT_YET


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 here")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 16])
def test_a_sum_and_a_relu_in_bfloat16(
    kernels: torch.jit.ScriptModule, layout: torch.memory_format, over: bool, groups: int
) -> None:
    x, weight, other = (
        torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
        for shape in ((1, 16, 8, 8), (16, 16 // groups, 3, 3), (1, 16, 8, 8))
    )
    given = other.clone().contiguous(memory_format=layout)
    how = SAME._replace(groups=groups)
    found = kernels.conv(x, 0, weight, None, how, Epilogue(given, over, 0.0, None))
    wanted = (F.conv2d(x.float(), weight.float(), None, 1, 1, 1, groups) + other.float()).relu()
    assert found.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().max() <= 1e-2 * wanted.max()


def test_stems_go_back_in_phases(kernels: torch.jit.ScriptModule) -> None:
    weight, ct = torch.randn(8, 3, 7, 7), torch.randn(1, 8, 16, 16)
    kernels.conv_back(ct, 0, weight, ConvSteps([2, 2], [3, 3], [1, 1], [1, 1], 1), NOTHING)
    assert kernels.forms[0] == kernels.IN_PHASES


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("count", [0, 1, 7, 9, 17, 1000, 2048])
def test_a_large_layer_goes_back_by_the_rows_that_count(
    kernels: torch.jit.ScriptModule, count: int, dtype: torch.dtype, bound: float
) -> None:
    torch.manual_seed(0)
    weight, ct = torch.randn(2048, 2048).to(dtype), torch.randn(1, 2048).to(dtype)
    unread = torch.randperm(2048)[count:]
    ct[:, unread] = 0
    wanted = ct.double() @ weight.double()
    weight[unread] = torch.nan  # times zero this would be NaN
    found = kernels.linear_back(ct, weight)
    assert found.shape == wanted.shape and found.dtype == dtype
    assert (found - wanted).abs().max() <= bound * wanted.abs().max()


def test_what_is_sealed_stays_as_it_is(kernels: torch.jit.ScriptModule) -> None:
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(4, 4, 3, 3)
    kernels.seal()
    found = kernels.conv(x, 0, weight, None, SAME, Epilogue(None, False, 0.0, None))
    close(found, F.conv2d(x, weight, None, 1, 1).relu())
    found = kernels.conv_back(x, 1, weight, SAME, NOTHING)
    close(found, F.conv_transpose2d(x, weight, None, 1, 1))
    assert list(kernels.forms) == [kernels.NOT_YET] * 2


class Small(nn.Module):
    """A stem, a block with a skip, and a head of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.inner = nn.Conv2d(8, 8, 3, 1, 1)
        self.outer = nn.Conv2d(8, 8, 1)
        self.hidden, self.head = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.stem(x))
        x = torch.relu(x + self.outer(torch.relu(self.inner(x))))
        return self.head(torch.relu(self.hidden(x.mean([2, 3]))))


def small(dtype: torch.dtype = torch.float32) -> Explainer:
    torch.manual_seed(0)
    return compile_model(Small().eval().to(dtype), torch.zeros(1, 3, 16, 16, dtype=dtype))


def kinds(explainer: Explainer) -> tuple[str, str]:
    """The kernels of what answers, and of what is saved."""
    with explainer._asking() as net:
        return net.kernels.original_name, explainer.module.kernels.original_name


def test_onednn_answers_where_it_can_and_atens_are_saved(tmp_path: Path) -> None:
    explainer = small()
    explainer.forward(torch.zeros(1, 3, 16, 16))
    assert kinds(explainer) == ("Packed", "Plain")
    save(explainer, tmp_path / "small.pt")
    with zipfile.ZipFile(tmp_path / "small.pt") as archive:
        code = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".py"))
    assert b"conv_back" in code
    assert b"mkldnn" not in code
    assert kinds(load(tmp_path / "small.pt")) == ("Packed", "Plain")


@pytest.mark.filterwarnings("ignore:TF32")
def test_onednn_is_left_out_where_it_does_not_suit() -> None:
    assert kinds(small(torch.float64)) == ("Plain", "Plain")
    with torch.backends.mkldnn.flags(enabled=False):
        assert kinds(small()) == ("Plain", "Plain")


def test_a_module_that_was_moved_is_packed_anew() -> None:
    explainer = small()
    x = torch.randn(2, 3, 16, 16)
    before = explainer.explain(x, explainer.one_hot(1).repeat(2, 1), "guided_backprop")
    explainer.module.to(torch.float64)
    assert kinds(explainer) == ("Plain", "Plain")
    after = explainer.explain(x.double(), explainer.one_hot(1).repeat(2, 1), "guided_backprop")
    assert after.dtype == torch.float64
    assert (after - before).abs().max() <= 1e-5 * after.abs().max()


@pytest.fixture
def threads() -> Iterator[int]:
    """How many there are; as many again afterwards."""
    count = torch.get_num_threads()
    yield count
    torch.set_num_threads(count)


class Wide(nn.Module):
    """How oneDNN likes these kernels depends on the threads and on the images: of the first, with many channels on
    few pixels, and of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Conv2d(3, 320, 1), nn.Conv2d(320, 1280, 1)
        self.deep, self.head = nn.Conv2d(3, 512, 3, 1, 1), nn.Linear(1792, 5)
        self.deeper = nn.Conv2d(512, 512, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.relu(self.widen(torch.relu(self.narrow(F.avg_pool2d(x, 4)))))
        deep = torch.relu(self.deeper(torch.relu(self.deep(x))))
        return self.head(torch.cat([wide.mean([2, 3]), deep.mean([2, 3])], 1))


def test_no_kernel_is_laid_out_anew_for_other_numbers_of_threads_and_images(
    threads: int, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    explainer = compile_model(Wide().eval(), torch.zeros(1, 3, 28, 28))
    for count, images in ((2, 1), (1, 1), (2, 8), (1, 8), (2, 1)):
        x, seed = torch.randn(images, 3, 28, 28), torch.randn(images, 5)
        torch.set_num_threads(count)
        explainer.explain(x, seed, "guided_backprop")
        ctypes.CDLL(None).fflush(None)
        capfd.readouterr()
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            explainer.explain(x, seed, "guided_backprop")
        ctypes.CDLL(None).fflush(None)
        lines = [line.split(",") for line in capfd.readouterr().out.splitlines()]
        kinds = {(line[5], line[-2]) for line in lines if "exec" in line}
        assert any(kind == "convolution" for kind, _ in kinds)
        kernels = {"320x1280x1x1", "1280x320x1x1", "512x512x3x3"}
        assert not {shape for kind, shape in kinds if kind == "reorder"} & kernels


def test_kernels_laid_out_alike_are_shared_between_numbers_of_threads(threads: int) -> None:
    explainer = small()
    torch.set_num_threads(2)
    with torch.no_grad():
        first = packed(explainer.module)
        torch.set_num_threads(1)
        stranger = packed(explainer.module)
        second = packed(explainer.module, 1, [stranger, first])
        third = packed(explainer.module, 1, [first])
    known, own, shared, too = (list(quick.kernels.laid_out) for quick in (first, stranger, second, third))
    assert all(kernel.is_mkldnn for kernel in known)
    assert not any(ours is theirs for ours, theirs in zip(own, known, strict=True))
    assert all(ours is theirs for ours, theirs in zip(shared, own, strict=True))
    assert all(ours is theirs for ours, theirs in zip(too, known, strict=True))


def test_so_many_settings_and_no_more_are_laid_out_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.run.opened.MAX_LAYOUTS", 2)
    explainer = small()
    for images in (1, 3, 2, 5, 1):
        x = torch.randn(images, 3, 16, 16)
        logits = explainer.forward(x)
        with torch.no_grad():
            close(logits, explainer.module.forward(x))
    assert len(set(map(id, explainer._layouts.values()))) == 2


@pytest.mark.parametrize("images", [1, 4])
def test_both_kernels_give_the_same_answers(images: int) -> None:
    explainer = small()
    x = torch.randn(images, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    seed = torch.randn(images, 5, generator=torch.Generator().manual_seed(4))
    answers = explainer.survey(x, seed, explainer.one_pass_methods)
    with torch.no_grad():
        wanted = explainer.module.survey(x, seed, explainer.one_pass_methods)
        cases: list[tuple[Tensor, Tensor]] = list(zip(answers.values(), wanted, strict=True))
        cases.append((explainer.forward(x), explainer.module.forward(x)))
        for policy in explainer.policies:
            ours, theirs = explainer.probe(x, seed, policy), explainer.module.probe(x, seed, policy)
            cases += zip([*ours[1], *ours[2], ours[3]], [*theirs[1], *theirs[2], theirs[3]], strict=True)
    for found, expected in cases:
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert expected.any()


@pytest.mark.parametrize("ask", [lambda e: copy.copy(e.module), lambda e: e.module], ids=["copy", "itself"])
def test_the_reference_agrees_whatever_was_written_over(
    ask: Callable[[Explainer], torch.jit.ScriptModule],
) -> None:
    """`forward` and `walk` write over what they don't need; `primals` is as listed."""
    explainer = small(torch.float64)
    net, x = ask(explainer), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    before = x.clone()
    with torch.no_grad():
        logits, primals = net.primals(x)
        assert torch.equal(net.forward(x), logits)
        walked = net.probe(x, explainer.one_hot(0).repeat(2, 1), "guided")
    assert torch.equal(walked[0], logits)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(walked[1], primals, strict=True))
    assert torch.equal(x, before)


def test_one_pass_tells_the_class_and_why() -> None:
    explainer = small(torch.float64)
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    logits, map = explainer.answer(x, [-1, 2, "4"], "grad_cam")
    assert torch.equal(logits, explainer.forward(x))
    classes = torch.tensor([int(logits[0].argmax()), 2, 4])
    seed = F.one_hot(classes, 5).double()
    assert torch.equal(map, explainer.explain(x, seed, "grad_cam"))
    _, several = explainer.answers(x, None, ["grad_cam", "guided_backprop"])
    top = F.one_hot(logits.argmax(1), 5).double()
    wanted = explainer.survey(x, top, ["grad_cam", "guided_backprop"])
    assert all(torch.equal(several[name], wanted[name]) for name in wanted)
    with pytest.raises(ValueError, match=r"class 5 is not one of 0\.\.4"):
        explainer.answer(x, [0, 5, 1], "grad_cam")
    with pytest.raises(ValueError, match="1 targets for 3 images"):
        explainer.answer(x, [0], "grad_cam")
