"""The drawing of random small classifiers, step by step, by a seed."""

from collections.abc import Callable
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.oracle import fixed_seed
from tests.whole.parts import CALLS, MODULES, SPELLINGS, Attention, Call, ChannelsLast, Network, Slopes

CLASSES = 3
WIDEST = 12  # channels

Shape = tuple[int, int, int]
Step = nn.Module


def divisors(*numbers: int) -> list[int]:
    return [d for d in range(1, min(numbers) + 1) if all(n % d == 0 for n in numbers)]


def after(step: nn.Module, shape: Shape) -> Shape:
    """The shape of a step's result; torch refuses what does not fit with RuntimeError."""
    with torch.no_grad():
        found = step.eval()(torch.zeros(2, *shape)).shape
    return found[1], found[2], found[3]


def convolutions(r: Random, shape: Shape, keep: str) -> Step:
    channels, *sides = shape
    wanted = channels if keep == "shape" else r.choice([2, 3, 4, 6, 8])
    groups = r.choice(divisors(channels, wanted))
    kernel = (r.randint(1, min(3, sides[0])), r.randint(1, min(3, sides[1])))
    bias = r.random() < 0.5
    if keep or (r.random() < 0.5):
        dilation = r.randint(1, 2)
        return nn.Conv2d(channels, wanted, kernel, padding="same", dilation=dilation, groups=groups, bias=bias)
    stride = (r.randint(1, 2), r.randint(1, 2))
    padding: Any = r.choice(["valid", 0, 1, (1, 0), (0, 2)])
    return nn.Conv2d(channels, wanted, kernel, stride, padding, groups=groups, bias=bias)


def norms(r: Random, shape: Shape, keep: str) -> Step:
    """Not where a norm would see two numbers or less: what it gives back then hardly depends on them."""
    channels, height, width = shape
    kinds: list[Callable[[], nn.Module]] = [
        lambda: nn.BatchNorm2d(channels),
        lambda: nn.BatchNorm2d(channels),
        lambda: nn.BatchNorm2d(channels, affine=False, eps=1e-3),
        lambda: nn.InstanceNorm2d(channels, affine=True, track_running_stats=True),
    ]
    groups = [g for g in divisors(channels) if channels // g * height * width > 3]
    if groups:
        chosen = r.choice(groups)
        kinds += [lambda: nn.GroupNorm(chosen, channels), lambda: nn.GroupNorm(chosen, channels, affine=False)]
    if height * width > 3:
        kinds += [lambda: nn.InstanceNorm2d(channels), lambda: nn.InstanceNorm2d(channels, affine=True)]
        kinds.append(lambda: nn.LayerNorm(shape))
    if channels > 3:
        kinds.append(lambda: ChannelsLast(channels))
    return r.choice(kinds)()


def activations(r: Random, shape: Shape, keep: str) -> Step:
    kind = r.choice(["call", "module", "prelu"])
    if kind == "call":
        name, options = r.choice(SPELLINGS)
        return Call(f"{name} {options or ''}", lambda x: CALLS[name](x, **options))
    if kind == "module":
        kind_of, options = r.choice(MODULES)
        made: Step = kind_of(**options)
        return made
    step: Step = r.choice([nn.PReLU(shape[0]), Slopes(shape[0], False), Slopes(shape[0], True)])
    return step


def moves(r: Random, shape: Shape, keep: str) -> Step:
    """Shuffles, cuts, parts that nobody reads; pads and sizes only where the size may change."""
    channels, height, width = shape
    g = r.choice(divisors(channels))
    k = r.randint(1, channels)
    kinds = [
        Call(f"shuffle in {g}", lambda x: x.unflatten(1, (g, -1)).transpose(1, 2).flatten(1, 2)),
        Call(f"roll {k}", lambda x: x.roll((k, 1), (1, 3))),
        Call("flip halves", lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
        nn.Dropout(0.5),
    ]
    if keep != "shape":
        kinds += [
            Call(f"x[:, :{k}]", lambda x: x[:, :k]),
            Call("x[:, ::2]", lambda x: x[:, ::2]),
            Call("first of chunk", lambda x: x.chunk(2, dim=1)[0]),
            Call(f"last of split {k}", lambda x: x.split(k, 1)[-1]),
            Call("middle unread", lambda x: torch.cat([x.chunk(3, 1)[0], x.chunk(3, 1)[-1]], 1)),
            Call(f"split in sizes {k}", lambda x: F.relu(torch.split(x, [k, channels - k], 1)[0])),
        ]
    if not keep:
        kinds += [
            nn.ZeroPad2d((1, 0, 2, 1)),
            Call("pad 0.3", lambda x: F.pad(x, (1, 1, 0, 1), value=0.3)),
            Call("crop", lambda x: F.pad(x, (0, -1, -1, 1)) if min(height, width) > 2 else x),
            Call("x[:, :, ::2]", lambda x: x[:, :, ::2, : max(1, width - 1)]),
        ]
    return r.choice(kinds)


def resizings(r: Random, shape: Shape, keep: str) -> Step:
    """To another grid, where there is room for it."""
    channels, height, width = shape
    if keep or height * width > 60:
        return moves(r, shape, keep)
    size = (height + r.randint(-1, 3), width + 1) if height > 1 else (2, width)
    kinds: list[Step] = [nn.Upsample(scale_factor=2), nn.ConvTranspose2d(channels, 3, 2, (2, 1))]
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        kinds.append(nn.Upsample(size=size, mode=mode))
        kinds.append(Call(f"{mode} by 1.5", lambda x, mode=mode: F.interpolate(x, scale_factor=1.5, mode=mode)))
    for corners in (True, False):
        kinds.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=corners))
    for mode in ("bilinear", "bicubic"):
        kinds.append(Call(f"{mode} smoothed", lambda x, m=mode: F.interpolate(x, size, mode=m, antialias=True)))
    if channels % 4 == 0:
        kinds.append(nn.PixelShuffle(2))
    if height % 2 == width % 2 == 0 and channels * 4 <= WIDEST:
        kinds.append(nn.PixelUnshuffle(2))
    return r.choice(kinds)


def switches(r: Random, shape: Shape, keep: str) -> Step:
    """What chooses between values, or reorders them."""
    channels = shape[0]
    order = torch.randperm(channels)
    kinds: list[Step] = [
        Call("maximum", lambda x: torch.maximum(x, x.flip(1) * 0.5)),
        Call("minimum with a number", lambda x: torch.minimum(x, torch.full_like(x, 0.7))),
        Call("where", lambda x: torch.where(x > 0.2, x, x.roll(1, 1) - 1)),
        Call("sorted channels", lambda x: x.sort(1, descending=True).values + x),
        Call("the largest channel", lambda x: x - x.max(1, keepdim=True).values),
        Call("two largest channels", lambda x: x + x.topk(min(2, channels), 1).values.sum(1, keepdim=True)),
        Call("abs", lambda x: x.abs() - x.square()),
        Call("flip", lambda x: x.flip(3) + x),
        Call(f"channels {order.tolist()}", lambda x: x[:, order]),
        Call(f"index_select {order.tolist()}", lambda x: x.index_select(1, order)),
        Call("unbind and stack", lambda x: torch.stack(x.unbind(1)[::-1], 1)),
        Call("softsign", F.softsign),
        Call("log", lambda x: (x * x + 1).log()),
        Call("softmax", lambda x: F.softmax(x, 1) * F.log_softmax(x, 1)),
        Call("deviation", lambda x: x / (x.std((2, 3), keepdim=True, unbiased=False) + 1)),
        Call("cumsum", lambda x: x.cumsum(3) * 0.1),
        Call("to float64", lambda x: x.to(torch.float64).contiguous()),
        Call("unfold", lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1)),
    ]
    groups = [g for g in divisors(channels) if g > 1]
    if groups:
        g = r.choice(groups)
        kinds.append(nn.ChannelShuffle(g))
    return r.choice(kinds)


def pools(r: Random, shape: Shape, keep: str) -> Step:
    _, height, width = shape
    same = [nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False)]
    if keep:
        return r.choice(same)
    kernel = (r.randint(1, min(3, height)), r.randint(1, min(3, width)))
    half = (kernel[0] // 2, kernel[1] // 2)
    to = (r.randint(1, height), r.randint(1, width))
    ceil = r.random() < 0.5
    kinds = [
        *same,
        nn.MaxPool2d(kernel, ceil_mode=ceil),
        nn.MaxPool2d(kernel, 2, half, ceil_mode=ceil),
        nn.MaxPool2d(2, 1, dilation=(1, 2) if width > 2 else 1) if min(height, width) > 1 else same[0],
        Call(f"F.max_pool2d {kernel}", lambda x: F.max_pool2d(x, kernel, stride=1)),
        nn.AvgPool2d(kernel, 2, half, ceil_mode=ceil, count_include_pad=False),
        Call(f"F.avg_pool2d {kernel}", lambda x: F.avg_pool2d(x, kernel, divisor_override=3)),
        nn.AdaptiveAvgPool2d(to),
        nn.AdaptiveMaxPool2d(to),
    ]
    return r.choice(kinds)


def attentions(r: Random, shape: Shape, keep: str) -> Step:
    if shape[0] < 3:
        return convolutions(r, shape, keep)
    spelling = r.choice(["matmul", "einsum", "scaled_dot_product_attention"])
    return Attention(shape[0], r.choice(divisors(shape[0])), spelling, (r.random() < 0.5))


def squeezes(r: Random, shape: Shape, keep: str) -> Step:
    """Squeeze and excite."""
    squash: Any = r.choice([torch.sigmoid, F.hardsigmoid, nn.Sigmoid(), torch.tanh, Tensor.sigmoid_])
    pool: Any = r.choice([lambda x: x.mean((2, 3), keepdim=True), nn.AdaptiveAvgPool2d(1)])
    inner = activations(r, (4, 1, 1), "shape")
    down, up = nn.Conv2d(shape[0], 4, 1), nn.Conv2d(4, shape[0], 1)
    return Call(
        f"x * {squash}(up(inner(down(pool(x)))))", lambda x, d, i, u: x * squash(u(i(d(pool(x))))), down, inner, up
    )


JOINS: dict[str, Callable[..., Tensor]] = {
    "x + f(x)": lambda x, f: x + f(x),
    "x + f(x.clone())": lambda x, f: x + f(x.clone()),
    "f(x, channels last) + x": lambda x, f: f(x.contiguous(memory_format=torch.channels_last)) + x,
    "h = f(x); h += x": lambda x, f: f(x).add_(x),
    "x - f(x)": lambda x, f: x - f(x),
    "h = f(x); h -= x": lambda x, f: f(x).sub_(x),
    "torch.add(x, f(x), alpha=0.3)": lambda x, f: torch.add(x, f(x), alpha=0.3),
    "x * f(x)": lambda x, f: x * f(x),
    "x / (1 + f(x)²)": lambda x, f: x / (1 + f(x).pow(2)),
    "f(f(x))": lambda x, f: f(f(x)),
    "f(x), x unread": lambda x, f: (f(x), x.exp())[0],
}
CONCATS: dict[str, Callable[..., Tensor]] = {
    "cat[x, f(x)]": lambda x, f, g: torch.cat([x, f(x)], 1),
    "cat[f(x), g(x)]": lambda x, f, g: torch.cat([f(x), g(x)], dim=-3),
    "cat[f(x), f(x), x]": lambda x, f, g: torch.cat([f(x), f(x), x], dim=1),
}


def joins(r: Random, shape: Shape, keep: str) -> Step:
    """Residual wiring, in place and not; concatenation where the channels may change."""
    if keep or shape[0] * 3 > WIDEST or (r.random() < 0.5):
        body = nn.Sequential(*rows(r, shape, "shape", r.randint(1, 3)))
        text = r.choice(sorted(JOINS))
        return joined(text, body)
    bodies = [nn.Sequential(*rows(r, shape, "size", r.randint(1, 2))) for _ in range(2)]
    text = r.choice(sorted(CONCATS))
    return Call(text, CONCATS[text], *bodies)


def joined(text: str, *bodies: nn.Module) -> Step:
    return Call(text, JOINS[text], *bodies)


# Convolutions, norms and activations are what networks are made of.
KINDS = (convolutions, norms, activations) * 2 + (
    moves, pools, squeezes, attentions, resizings, switches, joins, joins,
)  # fmt: skip


def rows(r: Random, shape: Shape, keep: str, count: int) -> list[Step]:
    """Steps one after the other; `keep` is what they leave alone: their "shape", their "size", or nothing."""
    steps: list[Step] = []
    known: list[tuple[Step, Shape]] = []
    for index in range(count):
        again = [step for step, before in known if before == shape]
        if again and r.randint(0, 5) == 5:
            step = r.choice(again)
        else:
            kinds = KINDS[:-2] if keep else KINDS  # nothing is nested twice
            step = r.choice(kinds if index or keep else kinds[:1])(r, shape, keep)
            known.append((step, shape))
        steps.append(step)
        shape = after(step, shape)
    return steps


def heads(r: Random, shape: Shape) -> nn.Module:
    channels, height, width = shape
    kind = r.choice(["mean", "gap", "amax", "flatten", "conv", "dropout"])
    if kind == "conv":
        return nn.Sequential(nn.Conv2d(channels, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "flatten":
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, CLASSES))
    pool: dict[str, nn.Module] = {
        "mean": Call("mean", lambda x: x.mean((2, 3))),
        "gap": nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()),
        "amax": Call("amax", lambda x: x.amax((2, 3))),
        "dropout": nn.Sequential(
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, 5), nn.Dropout(), nn.ReLU()
        ),
    }
    return nn.Sequential(pool[kind], nn.Linear(5 if kind == "dropout" else channels, CLASSES))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Drawn by a seed: choice by choice, most examples would be small changes of one another. A failing example
    still shrinks, to fewer steps."""
    count, r = draw(st.integers(2, 7)), draw(st.randoms(use_true_random=True))
    size = r.randint(8, 12), r.randint(8, 12)
    with fixed_seed(r.randint(0, 1000)):
        steps = rows(r, (3, *size), "", count)
        shape = (3, *size)
        for step in steps:
            shape = after(step, shape)
        return finished(Network(size, steps, heads(r, shape)))


def finished(network: Network) -> Network:
    """In evaluation, in float64, with norms and statistics that differ between channels."""
    with torch.no_grad():
        for module in network.modules():
            randomise_norm(module)
    return network.double().eval().requires_grad_(False)


def randomise_norm(module: nn.Module) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(module, name, None)
        if isinstance(module, (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)) and tensor is not None:
            tensor.uniform_(0.3, 1.5) if name in ("weight", "running_var") else tensor.normal_()
