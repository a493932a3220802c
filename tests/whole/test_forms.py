"""What people write in a forward pass: each form compiles and equals autograd, or is refused by name."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CaptureError, CompileError
from engine.files.compiling import compile_model
from tests.oracle import at_image, deviation, fixed_seed

X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SEED = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Around(nn.Module):
    """A function between a convolution and a head."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        with fixed_seed(0):
            self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
        self.function = function
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.function(self.conv(x))
        return self.head(h.mean((2, 3)) * h.amax((2, 3)))


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def pixels(x: Tensor) -> Tensor:
    return x.transpose(1, 2).unflatten(2, (12, 12))


def attend(x: Tensor, mask: Tensor) -> Tensor:
    t = tokens(x)
    return pixels(F.scaled_dot_product_attention(t, t, t, attn_mask=mask))


ORDER = [3, 1, 0, 2, 5, 4, 7, 6]
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "a value that only a comparison reads": lambda x: x * (x[:, :1] * 2 > 0.3),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear to a size": lambda x: F.interpolate(x, size=(20, 7), mode="bilinear", align_corners=True),
    "bilinear, antialiased": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "bicubic, antialiased": lambda x: F.interpolate(x, size=(5, 7), mode="bicubic", antialias=True),
    "area": lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest-exact"),
    "softsign": F.softsign,
    "logsigmoid": F.logsigmoid,
    "tanhshrink": F.tanhshrink,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "glu": lambda x: F.glu(torch.cat([x, x.flip(1)], 1), 1),
    "maximum of two": lambda x: torch.maximum(x, x.flip(1) * 0.5),
    "minimum of two": lambda x: torch.min(x, x.flip(1) * 0.5),
    "where": lambda x: torch.where(x > 0.1, x * 2, x.flip(1)),
    "log": lambda x: (x.abs() + 1).log(),
    "log1p": lambda x: x.square().log1p(),
    "clamp_max": lambda x: x.clamp_max(0.3),
    "square": torch.square,
    "reciprocal": lambda x: 1 / (x * x + 1),
    "rsub": lambda x: 1 - x,
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "softmin": lambda x: F.softmin(x, 1),
    "type_as": lambda x: (x.float().double() * 1.0).type_as(x) + x,
    "reshape_as": lambda x: x.flatten(1).reshape_as(x),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2).repeat(1, 4, 1, 1),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2)[:, ::4],
    "flip": lambda x: x.flip(3) * x,
    "unbind": lambda x: torch.stack(x.unbind(1)[::-1], 1),
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "tile": lambda x: x.tile(2, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=2),
    "index_select": lambda x: x.index_select(1, torch.tensor(ORDER)),
    "index": lambda x: x[:, ORDER],
    "index twice": lambda x: torch.cat([x[:, :, [0, 0, 3]], x], 2),
    "gather": lambda x: x.gather(1, torch.tensor(ORDER).reshape(1, 8, 1, 1).expand(x.shape[0], 8, 12, 12)),
    "unfold and fold": lambda x: F.fold(F.unfold(x, 3, padding=1), (12, 12), 3, padding=1),
    "local response norm": lambda x: F.local_response_norm(x, 3),
    "lp pooling": lambda x: F.lp_pool2d(x, 2, 2),
    "std": lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3) + x,
    "var": lambda x: x / (x.var((2, 3), keepdim=True, unbiased=False) + 1).sqrt(),
    "normalize": lambda x: F.normalize(x, dim=1),
    "max along an axis": lambda x: x * x.max(1, keepdim=True).values,
    "min along an axis": lambda x: x * x.min(2).values[:, :, None],
    "amin": lambda x: x * x.amin((2, 3), keepdim=True),
    "sort": lambda x: x.sort(1).values * x,
    "topk": lambda x: x * x.topk(2, 1).values.sum(1, keepdim=True),
    "avg_pool1d": lambda x: F.avg_pool1d(x.flatten(2), 2).unflatten(2, (6, 12)),
    "the batch's size": lambda x: x.reshape(x.size(0), 8, 144).reshape(x.shape[0], 8, 12, 12),
    "detach": lambda x: x * x.detach().sigmoid(),
    "in place": lambda x: x.add_(1).mul_(2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, torch.ones(8, 8, 2, 2).double(), stride=2, padding=1),
    "conv3d": lambda x: F.conv3d(x[:, None], torch.ones(1, 1, 3, 3, 3).double(), padding=1)[:, 0],
    "attention with a mask": lambda x: attend(x, torch.ones(144, 144).double().triu() * -3),
    "attention with a mask of bools": lambda x: attend(x, torch.ones(144, 144, dtype=torch.bool).tril()),
    "cumsum": lambda x: x.cumsum(2),
    "einsum with a constant": lambda x: torch.einsum("nchw,cd->ndhw", x, torch.ones(8, 8).double().tril()),
    "zeros of the batch's size": lambda x: torch.cat([x, torch.zeros(x.shape[0], 8, 2, 12).double()], 2),
    "a mask on a device": lambda x: (
        x * (~torch.zeros(x.shape[0], 12, 12).to(x.device, torch.bool)).cumsum(1)[:, None]
    ),
    "arange": lambda x: x * torch.arange(12).double(),
    "sin, cos, atan, erf": lambda x: torch.sin(x) + torch.cos(x) + torch.atan(x) + torch.erf(x),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_equals_autograd(name: str) -> None:
    module = Around(FORMS[name])
    logits, _, _, found = compile_model(module, X).probe(X, SEED, "gradient")
    wanted, ct, _ = at_image(module, X, SEED, "gradient")
    bound = 1e-5 if "type_as" in name else 1e-12
    assert deviation(logits, wanted) < bound
    assert deviation(found, ct) < bound


SPELLINGS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "x * (x > 0)": (lambda x: x * (x > 0), F.relu),
    "(x > 0).to(x) * x": (lambda x: (x > 0).to(x) * x, F.relu),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), F.relu),
    "maximum with a tensor": (lambda x: torch.maximum(x, torch.tensor(0.0).double()), F.relu),
    "where": (lambda x: torch.where(x > 0, x, 0.0), F.relu),
    "(x + |x|) / 2": (lambda x: (x + x.abs()) / 2, F.relu),
    "clamp_max of a ReLU": (lambda x: F.relu(x).clamp_max(6), F.relu6),
    "threshold": (lambda x: F.threshold(x, 0.0, 0.0), F.relu),
    "clamp to 0..6": (lambda x: x.clamp(0, 6), F.relu6),
    "clamp of a ReLU": (lambda x: F.relu(x).clamp(max=6), F.relu6),
    "clamp to 0..0.2": (lambda x: x.clamp(0, 0.2), lambda x: F.hardtanh(x, 0, 0.2)),
    "x * sigmoid(x)": (lambda x: x * torch.sigmoid(x), F.silu),
    "in place": (lambda x: x.mul_(x.sigmoid()), F.silu),
    "x / (1 + exp(-x))": (lambda x: x / (1 + torch.exp(-x)), F.silu),
    "x * relu6(x + 3) / 6": (lambda x: x * F.relu6(x + 3) / 6, F.hardswish),
    "x * (relu6(x + 3) / 6)": (lambda x: x * (F.relu6(x + 3) / 6), F.hardswish),
    "x * hardsigmoid(x)": (lambda x: x * F.hardsigmoid(x), F.hardswish),
    "x * tanh(softplus(x))": (lambda x: x * torch.tanh(F.softplus(x)), F.mish),
    "x * tanh(log(1 + exp(x)))": (lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))), F.mish),
    "erf": (lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))), F.gelu),
    "tanh": (
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "leaky where": (lambda x: torch.where(x > 0, x, 0.2 * x), lambda x: F.leaky_relu(x, 0.2)),
    "leaky maximum": (lambda x: torch.max(x, 0.1 * x), lambda x: F.leaky_relu(x, 0.1)),
    "rrelu in evaluation": (F.rrelu, lambda x: F.leaky_relu(x, (1 / 8 + 1 / 3) / 2)),
    "log(1 + exp(x))": (lambda x: torch.log(1 + torch.exp(x)), F.softplus),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_an_activation_written_out_is_gated_like_the_one_that_it_is(name: str) -> None:
    written, meant = SPELLINGS[name]
    explainer = compile_model(Around(written), X)
    assert explainer.coverage.startswith("1 of 1 activations gated")
    for policy in ("deconvnet", "guided"):
        *_, found = explainer.probe(X, SEED, policy)
        assert deviation(found, at_image(Around(meant), X, SEED, policy)[1]) < 1e-7


@pytest.mark.parametrize("function", [F.selu, lambda x: F.celu(x, 0.7), lambda x: F.threshold(x, 0.1, 0.2)])
@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
def test_rarer_activations_are_gated(function: Callable[[Tensor], Tensor], policy: str) -> None:
    *_, found = compile_model(Around(function), X).probe(X, SEED, policy)
    # torch's own derivative of CELU rounds 1 / α to float32.
    assert deviation(found, at_image(Around(function), X, SEED, policy)[1]) < 1e-8


def test_a_hard_sigmoid_is_no_activation_by_any_name() -> None:
    """The ReLU6 that spells it weighs other values; a gate on it would be a mistake."""
    written = compile_model(Around(lambda x: x.flip(1) * (F.relu6(x + 3) / 6)), X)
    meant = compile_model(Around(lambda x: x.flip(1) * F.hardsigmoid(x)), X)
    assert written.coverage == meant.coverage
    assert deviation(written.probe(X, SEED, "guided")[3], meant.probe(X, SEED, "guided")[3]) < 1e-12


def test_a_value_kept_above_zero_is_no_relu() -> None:
    """As the norm that F.normalize divides by."""
    for least in (1e-12, 1e-6):
        explainer = compile_model(Around(lambda x, least=least: x * x.abs().clamp(min=least)), X)
        assert explainer.coverage.startswith("no activation to gate")


def test_what_switches_and_has_no_name_is_counted() -> None:
    explainer = compile_model(Around(lambda x: F.relu(x) + torch.where(x > 0.3, x, x * x)), X)
    assert explainer.coverage == "1 of 1 activations gated; 2 gt/where calls keep their derivative"
    largest = compile_model(Around(lambda x: torch.max(x, x.flip(1))), X)
    assert largest.coverage.endswith("; 1 max calls keep their derivative")
    plain = compile_model(Around(lambda x: x.abs()), X)
    assert plain.coverage.endswith("equal the gradient; 1 abs calls keep their derivative")


def test_an_attention_mask_from_the_image_gets_no_silent_zero() -> None:
    """An argument given by its name is one like any other."""
    module = Around(lambda x: attend(x, x.flatten(1).mean(1).reshape(-1, 1, 1).expand(-1, 144, 144)))
    with pytest.raises(CompileError, match="depends on the image, and has no rule"):
        compile_model(module, X)


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "len": (
        lambda x: x.reshape(len(x), -1).reshape(2, 8, 12, 12),
        r"fixes the batch size. Read it as x.shape\[0\]",
    ),
    "an if": (lambda x: x if x.sum() > 0 else -x, r"\(test_forms.py, line \d+\): its control flow.*torch.where"),
    "int of a tensor": (lambda x: x * int(x.max()), "its control flow or a size depends on pixel values"),
    "a mask as an index": (lambda x: x[x > 0].sum() * x, "the shape of aten.index at the top level depends on"),
    "a sum over the batch": (lambda x: x * x.sum(), "a sum over everything: images of a batch must not mix"),
    "a mean over the batch": (lambda x: x - x.mean(), "a mean over everything: images of a batch must not mix"),
    "numpy": (lambda x: x * torch.from_numpy(x.detach().numpy()), r"torch.export cannot take Around"),
    "unknown ops": (lambda x: torch.special.i0(x) + x.cumprod(1), r"no rule for 2 op\(s\).*aten.cumprod"),
    "dropout that is always on": (lambda x: F.dropout(x), r"dropout at the top level runs in training mode"),
    "batch statistics": (
        lambda x: F.batch_norm(x, None, None, training=True),
        "BatchNorm at the top level runs in training mode",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises((CaptureError, CompileError), match=message):
        compile_model(Around(function), X)
