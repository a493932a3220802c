"""What random networks are made of: activations in all their spellings, and modules of the field."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
