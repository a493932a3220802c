"""What people bring: ordinary steps, gradients of their own, outputs of any shape, each with its right answer.

    python -m tests.whole.brought

prints the table of docs/exactness.md. The answer of a row is the deviation from autograd through the network as
its author wrote it, or the sentence that refuses it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils import checkpoint

from engine import compile_model

X = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@cache
def fixed(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@dataclass(frozen=True)
class Row:
    """A step between a convolution and a linear layer, with the modules that it uses, or a refusal's words."""

    step: Callable[..., Tensor]
    parts: tuple[Callable[[], nn.Module], ...] = ()
    refused: str = ""
    by_2_9: str = ""  # where torch 2.9 refuses it otherwise: in its own words, or for its own op
    head: bool = field(default=True)  # is there a linear layer behind the step?


class Brought(nn.Module):
    """conv, relu, a step [N, 6, 8, 8] -> [N, 6], linear."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 6, 3)
            self.fc = nn.Linear(6, 4) if row.head else nn.Identity()
            self.parts = nn.ModuleList([make() for make in row.parts])
        self.step = row.step
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.step(F.relu(self.conv(x)), *self.parts))


def gap(h: Tensor) -> Tensor:
    return h.mean((2, 3))


def tokens(h: Tensor) -> Tensor:
    """A short sequence: [N, 9, 6]."""
    return F.adaptive_avg_pool2d(h, 3).flatten(2).transpose(1, 2)


def volume(h: Tensor) -> Tensor:
    """[N, 2, 3, 8, 8]."""
    return h.unflatten(1, (2, 3))


def unpooled(h: Tensor) -> Tensor:
    values, places = F.max_pool2d(h, 2, return_indices=True)
    return gap(F.max_unpool2d(values * values, places, 2))


def transformed(h: Tensor, where: nn.Module) -> Tensor:
    theta = where(gap(h)).mul(0.1).view(-1, 2, 3) + torch.eye(2, 3, dtype=h.dtype)
    return gap(F.grid_sample(h, F.affine_grid(theta, list(h.shape), align_corners=False), align_corners=False))


def global_filter(h: Tensor) -> Tensor:
    weight = torch.view_as_complex(fixed(6, 8, 5, 2))
    return gap(torch.fft.irfft2(torch.fft.rfft2(h, norm="ortho") * weight, s=h.shape[-2:], norm="ortho"))


def mirrored(h: Tensor) -> Tensor:
    """Test-time augmentation in one batch."""
    images = h.shape[0]
    both = gap(torch.cat([h, h.flip(-1) * 2, h.flip(-2)]).relu())
    return torch.maximum(both[:images], both[images : 2 * images]) + both[-images:]


STEPS = {
    "generalised-mean pooling, learned": Row(
        lambda h: h.clamp(min=1e-6).pow(fixed(6, 1, 1).abs() + 1).mean((2, 3)).pow(1 / (fixed(6).abs() + 1))
    ),
    "power-average pooling": Row(lambda h: gap(F.lp_pool2d(h, 2, 3))),
    "logsumexp pooling": Row(lambda h: torch.logsumexp(h * 3, (2, 3)) / 3),
    "LSTM": Row(lambda h, r: r(tokens(h))[0].mean(1), (lambda: nn.LSTM(6, 6, batch_first=True),)),
    "LSTM in two layers, both ways": Row(
        lambda h, r: r(tokens(h)[:, :3])[0][:, -1, :6],
        (lambda: nn.LSTM(6, 6, num_layers=2, bidirectional=True, batch_first=True),),
    ),
    "GRU": Row(lambda h, r: r(tokens(h))[1][-1], (lambda: nn.GRU(6, 6, batch_first=True),)),
    "RNN, steps first": Row(lambda h, r: r(tokens(h).transpose(0, 1))[0][-1], (lambda: nn.RNN(6, 6),)),
    "LSTM cell": Row(lambda h, r: r(gap(h))[0], (lambda: nn.LSTMCell(6, 6),)),
    "GRU cell": Row(lambda h, r: r(gap(h)), (lambda: nn.GRUCell(6, 6),)),
    "cosine similarity": Row(lambda h: F.cosine_similarity(h, gap(h)[:, :, None, None], 1).flatten(1)[:, :6]),
    "distances to prototypes": Row(lambda h: torch.cdist(gap(h)[:, None], fixed(1, 6, 6))[:, 0]),
    "city-block distances": Row(lambda h: torch.cdist(gap(h)[:, None], fixed(1, 6, 6), p=1)[:, 0]),
    "pairwise distance": Row(lambda h: F.pairwise_distance(gap(h), gap(h).flip(1))[:, None].expand(-1, 6)),
    "normalised by the 2-, 1- and ∞-norm": Row(
        lambda h: sum(F.normalize(gap(h), p=p) for p in (2.0, 1.0, float("inf")))  # type: ignore[arg-type, return-value]
    ),
    "1-D convolution and pooling": Row(
        lambda h, c: F.max_pool1d(c(h.flatten(2)), 3, 2, 1).mean(2), (lambda: nn.Conv1d(6, 6, 3),)
    ),
    "1-D adaptive pooling": Row(
        lambda h: F.adaptive_avg_pool1d(h.flatten(2), 1)[:, :, 0] + F.adaptive_max_pool1d(h.flatten(2), 1)[:, :, 0]
    ),
    "1-D transposed convolution": Row(
        lambda h, c: c(h.flatten(2)).mean(2), (lambda: nn.ConvTranspose1d(6, 6, 3),)
    ),
    "3-D convolution and pooling": Row(
        lambda h, c: F.max_pool3d(c(volume(h)), 2, ceil_mode=True).mean((2, 3, 4)),
        (lambda: nn.Conv3d(2, 6, 3, padding=1),),
    ),
    "3-D adaptive pooling": Row(
        lambda h: F.adaptive_avg_pool3d(volume(h), (3, 1, 1)).flatten(1)
        + F.adaptive_max_pool3d(volume(h), (3, 1, 1)).flatten(1)
    ),
    "3-D transposed convolution": Row(
        lambda h, c: c(volume(h)).mean((2, 3, 4)), (lambda: nn.ConvTranspose3d(2, 6, 3),)
    ),
    "linear and trilinear resizing": Row(
        lambda h: F.interpolate(h.flatten(2), scale_factor=0.5, mode="linear").square().mean(2)
        + F.interpolate(volume(h), scale_factor=2, mode="trilinear").square().mean((3, 4))[:, 0]
    ),
    "grid_sample": Row(
        lambda h: gap(
            F.grid_sample(h, fixed(1, 5, 5, 2).expand(h.shape[0], -1, -1, -1), "bicubic", align_corners=True)
        )
    ),
    "spatial transformer": Row(transformed, (lambda: nn.Linear(6, 6),)),
    "max_unpool2d": Row(unpooled),
    "median": Row(lambda h: h.flatten(2).median(2).values),
    "quantile": Row(lambda h: h.flatten(2).quantile(0.9, 2), by_2_9=r"Cannot call numel\(\)"),
    "kthvalue": Row(lambda h: h.flatten(2).kthvalue(50, 2).values),
    "prod": Row(lambda h: (h + 0.5).flatten(2)[:, :, :4].prod(2)),
    "std and var": Row(lambda h: torch.std_mean(h, (2, 3))[0] + torch.var_mean(h, (2, 3))[1]),
    "unfold": Row(lambda h: h.unfold(2, 3, 2).unfold(3, 3, 1).mean((2, 3, 4, 5))),
    "im2col": Row(lambda h: F.unfold(h, 3).mean(2).unflatten(1, (6, 9)).mean(2)),
    "deformable convolution": Row(
        lambda h, o, c: gap(c(h, o(h))),
        (lambda: nn.Conv2d(6, 18, 3, padding=1), lambda: torchvision.ops.DeformConv2d(6, 6, 3, padding=1)),
    ),
    "modulated deformable convolution": Row(
        lambda h, o, m, c: gap(c(h, o(h), m(h).sigmoid())),
        (
            lambda: nn.Conv2d(6, 16, (2, 4), stride=2), lambda: nn.Conv2d(6, 8, (2, 4), stride=2),
            lambda: torchvision.ops.DeformConv2d(6, 6, (2, 4), stride=2, groups=2, bias=False),
        ),
    ),
    "RMSNorm": Row(lambda h: F.rms_norm(tokens(h), (6,)).mean(1)),
    "attention": Row(
        lambda h, a: a(tokens(h), tokens(h), tokens(h))[0].mean(1),
        (lambda: nn.MultiheadAttention(6, 2, batch_first=True),),
    ),
    "causal attention": Row(
        lambda h: F.scaled_dot_product_attention(tokens(h), tokens(h), tokens(h), is_causal=True).mean(1)
    ),
    "a transformer's layer": Row(
        lambda h, t: t(tokens(h)).mean(1), (lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),)
    ),
    "bilinear pooling": Row(
        lambda h: torch.bmm(h.flatten(2), h.flatten(2).transpose(1, 2)).mean(2).add(1e-3).sqrt()
    ),
    "circular and mirrored padding": Row(
        lambda h: gap(F.pad(h, (1, 2, 0, 3), mode="circular").square() + F.pad(h, (1, 2, 0, 3), mode="reflect"))
    ),
    "scatter and gather": Row(
        lambda h: gap(h.scatter(2, h.argmax(2, keepdim=True), h[:, :, :1] * 2))
        + h.flatten(2).topk(3, 2).values.mean(2)
    ),
    "a number before a value": Row(lambda h: gap(torch.logit(h.sigmoid(), eps=1e-6) + 2**h + torch.rsub(h, 1))),
    "masks and numbers put in": Row(lambda h: gap(h.masked_fill(h < 0.1, 0.2).nan_to_num() + h.hypot(h + 1))),
    "complex: a global filter": Row(global_filter),
    "complex: magnitudes": Row(lambda h: gap(torch.fft.fft2(h).abs() + torch.fft.rfft2(h, s=(8, 14)).abs())),
    "complex: parts": Row(lambda h: torch.view_as_real(torch.fft.rfft2(h)).mean((2, 3, 4))),
    "test-time augmentation in one batch": Row(mirrored),
    "test-time augmentation one by one": Row(lambda h: torch.stack([gap(v * v) for v in (h, h.flip(-1))]).mean(0)),
    "another image of the batch": Row(lambda h: gap(h + h[:1]), refused="images of a batch must not mix"),
    "statistics of the batch": Row(lambda h: gap(h - h.mean(0, keepdim=True)), refused="images of a batch mix"),
    "the batch's size by len()": Row(
        lambda h: gap(h) + fixed(1, 6).expand(len(h), 6), refused="fixes the batch size. Read it as x.shape"
    ),
    "cumprod": Row(lambda h: gap(h.cumprod(2)), refused="no rule .* aten.cumprod"),
    "singular values": Row(lambda h: torch.linalg.svdvals(h[:, :, :3, :3]).mean(2), refused="_linalg_svd"),
    "an inverse": Row(
        lambda h: gap(torch.linalg.inv(h + 9 * torch.eye(8))), refused="checks its values", by_2_9="no rule"
    ),
    "random numbers": Row(lambda h: gap(h * torch.rand_like(h)), refused="rand_like .* draws random"),
    "complex: phases and conjugates": Row(
        lambda h: gap(torch.fft.fft2(h).angle()) + gap((torch.polar(h, h * 2) * torch.fft.fft2(h).conj()).real)
    ),
}  # fmt: skip


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> Tensor:
        return ct


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> Tensor:
        return -0.1 * ct


class Swish(torch.autograd.Function):
    """With a backward that is right, as networks have it that save memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return ct * s * (1 + x * (1 - s))


def excluded(h: Tensor) -> Tensor:
    with torch.no_grad():
        weight = gap(h).softmax(1)
    return weight * gap(h)


def clipped(h: Tensor) -> Tensor:
    with torch.no_grad():
        h.clamp_(max=0.5)
    return gap(h)


def hooked(h: Tensor) -> Tensor:
    if h.requires_grad:
        h.register_hook(lambda ct: ct * 2)
    return gap(h)


GRADIENTS = {
    "a backward of one's own that is right": Row(lambda h: gap(Swish.apply(h))),
    "a straight-through estimator by detach": Row(lambda h: gap(h + (h.round() - h).detach())),
    "no_grad": Row(excluded),
    "activation checkpointing": Row(lambda h: checkpoint.checkpoint(lambda v: gap(v * v), h, use_reentrant=False)),
    "a straight-through estimator": Row(
        lambda h: gap(Sign.apply(h - 0.2)), refused="Sign has a backward of its own"
    ),
    "gradient reversal": Row(lambda h: gap(Reversed.apply(h)), refused="Reversed has a backward of its own"),
    "a hook that changes a gradient": Row(hooked, refused="between conv and the logits, on the way back"),
    "a write under no_grad": Row(clipped, refused="clamp_ .* under no_grad"),
    "everything under no_grad": Row(torch.no_grad()(gap), refused="no_grad.* cuts the last path"),
}


OUTPUTS = {
    "one value [N]": Row(lambda h: h.mean((1, 2, 3)), head=False),
    "one value [N, 1]": Row(lambda h: h.mean((1, 2, 3))[:, None], head=False),
    "a value for each pixel [N, K, H, W]": Row(lambda h, c: c(h), (lambda: nn.Conv2d(6, 4, 3),), head=False),
    "classes as maps of one pixel [N, K, 1, 1]": Row(lambda h: F.adaptive_avg_pool2d(h, 1), head=False),
    "an embedding [N, D]": Row(lambda h: F.normalize(gap(h)), head=False),
    "no axis of images": Row(lambda h: h.mean(), head=False, refused="first axis is not that of the images"),
    "classes as numbers": Row(lambda h: gap(h).argmax(1), head=False, refused="int64, which has no gradient"),
}

SECTIONS = {"Steps": STEPS, "Gradients of one's own": GRADIENTS, "Outputs": OUTPUTS}


def answer(row: Row) -> tuple[float, str]:
    """The deviation of the gradient from autograd's, for a seed on all outputs, and the refusal, if any."""
    network = Brought(row)
    network(X)  # so that what is fixed is drawn before anything is traced
    try:
        with warnings.catch_warnings(action="ignore"):
            explainer = compile_model(network, X)
    except ValueError as refusal:
        return float("nan"), " ".join(str(refusal).split())
    leaf = X.clone().requires_grad_()
    output = network(leaf)
    seed = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (wanted,) = torch.autograd.grad((output * seed).sum(), leaf)
    found = explainer.explain(X, seed.reshape(len(X), *explainer.manifest["output"]), "gradient")
    return float((found - wanted).abs().max() / wanted.abs().max()), ""


def table() -> str:
    """The table of docs/exactness.md."""
    lines = ["| what is brought | deviation from autograd, or the refusal |", "| --- | --- |"]
    for section, rows in SECTIONS.items():
        lines.append(f"| **{section}** | |")
        for name, row in rows.items():
            deviation, refusal = answer(row)
            told = refusal.split(". ")[0].replace("|", "\\|") if refusal else f"{deviation:.0e}"
            lines.append(f"| {name} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
