"""Random small classifiers: what is compiled equals autograd through the network as it is, value by value."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from engine.compiler.capture import capture
from engine.compiler.passes import compile_program
from engine.listing.axes import as_map
from engine.listing.layers import active_nodes, trunk_nodes
from engine.listing.program import Program
from engine.rules.policies import GATES
from tests.oracle import GateMode, at_image, at_nodes, fixed_seed, flips

BOUND = 1e-9
CLASSES = 3
WIDEST = 12  # channels

# What an activation does in its place, and in each of its other spellings.
CALLS: dict[str, Callable[..., Tensor]] = {
    "F.relu": F.relu, "torch.relu": torch.relu, "torch.relu_": torch.relu_, "x.relu": Tensor.relu,
    "x.relu_": Tensor.relu_, "F.relu6": F.relu6, "F.hardtanh": F.hardtanh, "F.hardtanh_": F.hardtanh_,
    "F.silu": F.silu, "F.gelu": F.gelu, "F.hardswish": F.hardswish, "F.leaky_relu": F.leaky_relu,
    "F.leaky_relu_": F.leaky_relu_, "F.elu": F.elu, "F.elu_": F.elu_,
    "F.mish": F.mish, "F.softplus": F.softplus, "F.selu": F.selu, "F.celu": F.celu,
    "clamp": lambda x: x.clamp(min=0), "clamp_min_": lambda x: x.clamp_min_(0),
}  # fmt: skip
SPELLINGS: list[tuple[str, dict[str, Any]]] = [(call, {}) for call in CALLS] + [
    ("F.relu", {"inplace": True}), ("F.relu6", {"inplace": True}), ("F.silu", {"inplace": True}),
    ("F.hardtanh", {"min_val": -0.3, "max_val": 0.4}),
    ("F.hardtanh", {"min_val": 0.0, "max_val": 0.2, "inplace": True}),
    ("F.gelu", {"approximate": "tanh"}), ("F.hardswish", {"inplace": True}),
    ("F.leaky_relu", {"negative_slope": 0.3, "inplace": True}), ("F.elu", {"alpha": 0.6, "inplace": True}),
    ("F.mish", {"inplace": True}), ("F.softplus", {"beta": 2.0, "threshold": 3.0}),
]  # fmt: skip
MODULES: list[tuple[type[nn.Module], dict[str, Any]]] = [
    (nn.ReLU, {}), (nn.ReLU, {"inplace": True}), (nn.ReLU6, {}), (nn.ReLU6, {"inplace": True}), (nn.Hardtanh, {}),
    (nn.Hardtanh, {"min_val": -0.1, "max_val": 0.5, "inplace": True}), (nn.SiLU, {}), (nn.SiLU, {"inplace": True}),
    (nn.GELU, {}), (nn.GELU, {"approximate": "tanh"}), (nn.Hardswish, {}), (nn.Hardswish, {"inplace": True}),
    (nn.LeakyReLU, {"negative_slope": 0.2}), (nn.LeakyReLU, {"inplace": True}), (nn.PReLU, {}), (nn.ELU, {}),
    (nn.ELU, {"alpha": 0.5, "inplace": True}),
    (nn.Mish, {}), (nn.Mish, {"inplace": True}), (nn.Softplus, {}),
    (nn.Softplus, {"beta": 3.0}), (nn.SELU, {}), (nn.SELU, {"inplace": True}), (nn.CELU, {"alpha": 0.5}),
    (nn.Threshold, {"threshold": 0.1, "value": 0.3}),
]  # fmt: skip


class Call(nn.Module):
    """A function as a step; its text is how a failing network is printed."""

    def __init__(self, text: str, call: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.text, self.call, self.parts = text, call, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.call(x, *self.parts)
        return y

    def extra_repr(self) -> str:
        return self.text


class Slopes(nn.Module):
    """PReLU as a call: a slope for each channel."""

    def __init__(self, channels: int, method: bool) -> None:
        super().__init__()
        self.weight, self.method = nn.Parameter(torch.empty(channels).uniform_(-0.3, 0.5)), method

    def forward(self, x: Tensor) -> Tensor:
        return x.prelu(self.weight) if self.method else F.prelu(x, self.weight)


class ChannelsLast(nn.Module):
    """LayerNorm over the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Pixels as tokens, in the spellings of the field."""

    def __init__(self, channels: int, heads: int, spelling: str, class_token: bool) -> None:
        super().__init__()
        self.heads, self.spelling = heads, spelling
        self.norm, self.qkv = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.token = nn.Parameter(torch.randn(1, 1, channels)) if class_token else None

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(n, -1, -1), tokens], 1)
        tokens = tokens + self.out(self.mixed(self.norm(tokens)))
        if self.token is not None:
            tokens = tokens[:, 1:]
        pixels: Tensor = tokens.transpose(1, 2).reshape(n, c, h, w)
        return pixels

    def mixed(self, tokens: Tensor) -> Tensor:
        n, length, channels = tokens.shape
        grouped = self.qkv(tokens).reshape(n, length, 3, self.heads, channels // self.heads)
        q, k, v = (part.squeeze(0) for part in grouped.permute(2, 0, 3, 1, 4).split(1))
        if self.spelling == "scaled_dot_product_attention":
            out = F.scaled_dot_product_attention(q, k, v)
        elif self.spelling == "einsum":
            weights = torch.einsum("nhqd,nhkd->nhqk", q, k).softmax(-1)
            out = torch.einsum("nhqk,nhkd->nhqd", weights, v)
        else:
            out = (q @ k.transpose(-2, -1) * 0.5).softmax(dim=-1) @ v
        joint: Tensor = out.transpose(1, 2).reshape(n, length, channels)
        return joint

    def extra_repr(self) -> str:
        return f"heads={self.heads}, {self.spelling}, class_token={self.token is not None}"


class Network(nn.Module):
    """Steps in a row, and a head."""

    def __init__(self, size: tuple[int, int], steps: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        # A module may come twice: then it is reused.
        self.size, self.steps, self.head = size, nn.Sequential(*steps), head

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.steps(image))
        return logits

    def extra_repr(self) -> str:
        return f"image 3 x {self.size[0]} x {self.size[1]}"


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


def question(network: Network) -> tuple[Tensor, Tensor]:
    """Two images and a seed for each.

    The images must not lie where autograd itself is undecided: a step of 1e-7 to either side moves no activation
    across a kink and no pooling to another pixel. The network must be one that autograd can take: it refuses some
    that write into what it has kept, or into a part of a split.
    """
    generator = torch.Generator().manual_seed(0)
    x, way = (torch.randn(2, 3, *network.size, generator=generator, dtype=torch.float64) for _ in range(2))
    seed = torch.randn(2, CLASSES, generator=generator, dtype=torch.float64)
    try:
        *_, here = at_image(network, x, seed, "gradient")
    except RuntimeError as error:
        event("autograd refuses")
        assume("inplace" not in str(error))
        raise
    for step in (-1e-7, 1e-7):
        if flips(sides(network, x + step * way), here):
            event("at a kink")
            assume(False)
    return x, seed


def sides(network: Network, x: Tensor) -> list[Tensor]:
    with torch.no_grad(), GateMode("gradient") as mode:
        network(x)
    found: list[Tensor] = mode.sides
    return found


def assert_equal(found: list[Tensor], wanted: list[Tensor], names: list[str]) -> None:
    """Equal within the bound of each value's own size; far below the largest, rounding is all there is."""
    least = 1e-4 * max(value.abs().max().item() for value in wanted)
    assert least > 0
    for name, left, right in zip(names, found, wanted, strict=True):
        assert left.shape == right.shape, name
        error, size = (left - right).abs().max().item(), max(right.abs().max().item(), least)
        assert error <= BOUND * size, f"{name}: off by {error / size:.1e}"


def laid_out(program: Program, values: list[Tensor]) -> list[Tensor]:
    """Layers as maps, wherever they lie."""
    pairs = zip(program.layers, values, strict=True)
    return [value if layer.axes is None else as_map(value, layer.axes) for layer, value in pairs]


# torch tells that an even kernel with "same" padding is slower.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
COMMON = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)

# Networks on which something was wrong once.
FOUND: dict[str, Callable[[], list[Step]]] = {
    "a gate at PReLU": lambda: [nn.Conv2d(3, 4, 3), nn.PReLU(4)],
    "two BatchNorms in a row": lambda: [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)],
    "a clone written into": lambda: [nn.Conv2d(3, 4, 3), joined("x + f(x.clone())", nn.ReLU(inplace=True))],
    "a channels last copy written into": lambda: [
        nn.Conv2d(3, 4, 3), joined("f(x, channels last) + x", nn.ReLU(inplace=True))
    ],
}  # fmt: skip


def joined(text: str, *bodies: nn.Module) -> Step:
    return Call(text, JOINS[text], *bodies)


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_right(name: str) -> None:
    with fixed_seed(0):
        head = nn.Sequential(Call("mean", lambda x: x.mean((2, 3))), nn.Linear(4, CLASSES))
        network = finished(Network((8, 9), FOUND[name](), head))
    assert_compiled_equals_autograd(network)


@given(network=networks())
@settings(COMMON, max_examples=40)
def test_compiled_equals_autograd(network: Network) -> None:
    assert_compiled_equals_autograd(network)


def assert_compiled_equals_autograd(network: Network) -> None:
    x, seed = question(network)
    example = torch.zeros(1, *x.shape[1:], dtype=x.dtype)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    program = compile_program(network, example, layers="all").program
    program.check()
    state = network.state_dict()
    assert list(state) == list(before) and all(torch.equal(state[name], before[name]) for name in before)

    forward = capture(network, example)
    names = [layer.name for layer in forward.layers]
    assert names == [layer.name for layer in program.layers]
    nodes = [layer.node for layer in forward.layers]
    answers = iter(program.run(program.asked(), image=x, seed=seed))
    logits, primals = next(answers), [next(answers) for _ in names]
    cotangents = {gate: [next(answers) for _ in names] for gate in program.cotangents}
    at_images = dict(zip(program.image_cotangents, answers, strict=True))
    assert set(cotangents) == set(at_images) == set(GATES)
    for gate in GATES:
        wanted_logits, wanted_image, _ = at_image(network, x, seed, gate)
        wanted_primals, wanted = at_nodes(forward, nodes, x, seed, gate)
        assert_equal([logits, *primals], [wanted_logits, *laid_out(forward, wanted_primals)], ["logits", *names])
        found = [seed, at_images[gate], *cotangents[gate]]
        places = ["seed", *(f"{gate} at {name}" for name in ("image", *names))]
        assert_equal(found, [seed, wanted_image, *laid_out(forward, wanted)], places)


@given(network=networks())
@settings(COMMON, max_examples=35)
def test_a_trunk_node_is_one_without_which_no_path_is_left(network: Network) -> None:
    program = capture(network, torch.zeros(1, 3, *network.size, dtype=torch.float64))
    assert connected(program)
    without = {node for node in program.graph.nodes if not connected(program, node)}
    assert trunk_nodes(program) == without
    assert without <= set(active_nodes(program))


def connected(program: Program, without: fx.Node | None = None) -> bool:
    """Do values still flow from the image to the logits when one node is taken out?"""
    reached, pending = {without}, [program.image]
    while pending:
        node = pending.pop()
        if node not in reached and isinstance(node.meta["val"], (Tensor, tuple, list)):
            reached.add(node)
            pending.extend(node.users)
    return program.logits in reached and program.logits is not without
