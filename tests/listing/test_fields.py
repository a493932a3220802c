"""Receptive fields against an experiment: the pixels that move a unit are those that its field tells of."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from engine.compiler.capture import capture
from engine.files.fields import field_entry, field_of
from engine.listing.axes import as_map
from engine.listing.fields import Field, fields_of
from engine.listing.layers import find_layer
from engine.listing.program import Layer, Program
from engine.pictures.boxes import Box

IMAGES = 16  # of random numbers: of a max pooling each pixel wins in some


class Net(nn.Module):
    """A function of the image with the modules that it needs, then a last layer `end` and the logits."""

    def __init__(self, function: Any, **modules: nn.Module) -> None:
        super().__init__()
        self.function, self.end = function, nn.Identity()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.relu(self.function(self, x)) * 2.0).amax((2, 3))


def conv(*arguments: Any, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(*arguments, **options, bias=False)


def squeeze(net: Any, x: Tensor) -> Tensor:
    x = net.a(x)
    return x * torch.sigmoid(net.b(F.adaptive_avg_pool2d(x, 1)))


def halved(net: Any, x: Tensor) -> Tensor:
    """Three units of seven, and seven again, beside the seven: a U-Net of an odd size."""
    x = net.a(x)
    return torch.cat([x, F.interpolate(net.b(x), x.shape[2:])], 1)


def stacked(net: Any, x: Tensor) -> Tensor:
    """Blocks of 4 x 2 pixels as channels, by a reshape."""
    n, _, h, w = x.shape
    x = x.reshape(n, 2, h // 4, 4, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return net.a(x.reshape(n, 16, h // 4, w // 2))


def focus(net: Any, x: Tensor) -> Tensor:
    return net.a(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2]], 1))


def by(function: Any, **options: Any) -> Any:
    """A function of the image that has `function` of the module `a`'s result."""
    return lambda net, x: function(net.a(x), **options)


def in_a_row(net: Any, x: Tensor) -> Tensor:
    return net.b(net.a(x))


def added(net: Any, x: Tensor) -> Tensor:
    return net.a(x) + net.b(x)


def up_and_on(net: Any, x: Tensor) -> Tensor:
    return net.b(F.interpolate(net.a(x), scale_factor=2))


def joined(net: Any, x: Tensor) -> Tensor:
    return torch.cat([net.a(x), net.b(x), net.c(x)], 1)


def channels_last(net: Any, x: Tensor) -> Tensor:
    return net.a(x).permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2)


one, three, half = conv(2, 2, 1), conv(2, 2, 3, 1, 1), conv(2, 2, 3, 2, 1)
THREE = conv(2, 2, 3)  # without padding
BILINEAR = {"mode": "bilinear"}

LOCAL: dict[str, tuple[tuple[int, int], Net]] = {
    "strides": ((21, 18), Net(in_a_row, a=half, b=conv(2, 2, (5, 3), (1, 2), 1))),
    "dilation": ((20, 17), Net(in_a_row, a=conv(2, 2, 3, 1, 2, 2), b=conv(2, 2, 3, 1, (3, 1), (3, 1)))),
    "unpadded, then padded": ((22, 23), Net(in_a_row, a=conv(2, 2, 5), b=conv(2, 2, 3, 1, (3, 1), (3, 1)))),
    "same padding": ((16, 15), Net(lambda n, x: n.a(x), a=conv(2, 2, (3, 5), padding="same", dilation=2))),
    "valid padding": ((9, 8), Net(lambda n, x: n.a(x), a=conv(2, 2, 4, padding="valid"))),
    "asymmetric padding": ((14, 16), Net(lambda n, x: n.a(F.pad(x, (2, 0, 1, 3))), a=conv(2, 2, 4, 3))),
    "negative padding": ((14, 16), Net(lambda n, x: n.a(F.pad(x, (-2, -1, 0, -3))), a=conv(2, 2, 3, 2))),
    "max pooling": ((14, 13), Net(by(F.max_pool2d, kernel_size=3, stride=2, padding=1), a=three)),
    "ceil mode": ((14, 13), Net(by(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True), a=THREE)),
    "average pooling": ((14, 18), Net(by(F.avg_pool2d, kernel_size=(2, 3)), a=THREE)),
    "adaptive pooling": ((12, 9), Net(by(F.adaptive_avg_pool2d, output_size=(5, 4)), a=one)),
    "nearest": ((12, 10), Net(by(F.interpolate, scale_factor=2), a=half)),
    "nearest, then a convolution": ((16, 14), Net(up_and_on, a=half, b=three)),
    "nearest to a size": ((9, 7), Net(by(F.interpolate, size=(10, 7)), a=THREE)),
    "nearest-exact": ((8, 6), Net(by(F.interpolate, size=(12, 4), mode="nearest-exact"), a=one)),
    "bilinear": ((12, 10), Net(by(F.interpolate, scale_factor=2, **BILINEAR), a=half)),
    "bilinear by a third": ((8, 6), Net(by(F.interpolate, size=(9, 6), **BILINEAR), a=THREE)),
    "antialiased": ((12, 10), Net(by(F.interpolate, size=(4, 5), antialias=True, **BILINEAR), a=one)),
    "corners aligned": ((5, 4), Net(by(F.interpolate, size=(9, 7), align_corners=True, **BILINEAR), a=one)),
    "bicubic": ((9, 8), Net(by(F.interpolate, scale_factor=2, mode="bicubic"), a=one)),
    "transposed": ((12, 10), Net(in_a_row, a=half, b=nn.ConvTranspose2d(2, 2, 3, 2, 1, 1))),
    "transposed by four": ((6, 5), Net(lambda n, x: n.a(x), a=nn.ConvTranspose2d(2, 2, 4, 2, 1))),
    "transposed with holes": ((5, 4), Net(lambda n, x: n.a(x), a=nn.ConvTranspose2d(2, 2, 2, 3))),
    "residual sum": ((12, 10), Net(added, a=half, b=conv(2, 2, 1, 2))),
    "sum of unlike fields": (
        (12, 10),
        Net(added, a=conv(2, 2, (1, 3), 1, (0, 1)), b=conv(2, 2, (3, 1), 1, (1, 0))),
    ),
    "concatenation": ((11, 12), Net(joined, a=one, b=three, c=conv(2, 2, 5, 1, 2))),
    "pixel shuffle": ((9, 8), Net(by(F.pixel_shuffle, upscale_factor=2), a=conv(2, 8, 3))),
    "pixel unshuffle": ((12, 10), Net(lambda n, x: n.a(F.pixel_unshuffle(x, 2)), a=conv(8, 2, 3))),
    "slices": ((13, 11), Net(lambda n, x: n.a(x[:, :, 1::2, 2:-1]), a=THREE)),
    "every second pixel": ((12, 10), Net(focus, a=conv(6, 2, 3, 1, 1))),
    "stacked pixels": ((16, 12), Net(stacked, a=conv(16, 2, 3, 1, 1))),
    "channels last": ((8, 7), Net(channels_last, a=conv(2, 3, 3))),
    "attention in windows": (
        (16, 24),
        Net(lambda n, x: _attended(n, x, 2), a=conv(2, 4, 2, 2), b=nn.MultiheadAttention(4, 2, batch_first=True)),
    ),
}
# Padding stands there for pixels that a layer below left out, or a dilated kernel steps over the border's pixels.
WIDER_AT_BORDERS = {"unpadded, then padded", "dilation", "same padding"}

GLOBAL: dict[str, tuple[tuple[int, int], tuple[int, int], Net]] = {
    "squeeze and excitation": ((8, 9), (3, 3), Net(squeeze, a=three, b=one)),
    "minus the mean": ((8, 9), (3, 3), Net(lambda n, x: n.a(x) + x.mean((2, 3), keepdim=True), a=three)),
    "group norm": ((8, 9), (3, 3), Net(in_a_row, a=conv(2, 4, 3), b=nn.GroupNorm(2, 4))),
    "attention": (
        (8, 12),
        (2, 2),
        Net(lambda n, x: _attended(n, x, 1), a=conv(2, 4, 2, 2), b=nn.MultiheadAttention(4, 2, batch_first=True)),
    ),
}


def _attended(net: Any, x: Tensor, windows: int) -> Tensor:
    """Each token asks all of its window; `windows` of them along rows and columns."""
    x = net.a(x)
    n, c, h, w = x.shape
    tall, wide = h // windows, w // windows
    cut = x.reshape(n, c, windows, tall, windows, wide).permute(0, 2, 4, 3, 5, 1).reshape(-1, tall * wide, c)
    found = cut + net.b(cut, cut, cut, need_weights=False)[0]
    found = found.reshape(-1, windows, windows, tall, wide, c).permute(0, 5, 1, 3, 2, 4)
    return found.reshape(-1, c, h, w)


def program_of(net: nn.Module, size: Sequence[int], channels: int = 2) -> Program:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():  # all positive, so that no two ways cancel
            parameter.copy_(torch.rand_like(parameter) + 0.1)
        return capture(net.double().eval(), torch.zeros(1, channels, *size, dtype=torch.float64))


def last(program: Program) -> tuple[Layer, dict[str, Any], Field]:
    """The last layer as a manifest has it, with its field."""
    layer, field = program.layers[-1], fields_of(program)[-1]
    return layer, {"name": layer.name, "shape": list(layer.shape), "field": field_entry(field)}, field


def moved_by(
    program: Program, layer: Layer, size: Sequence[int], units: list[tuple[int, int]], images: int = IMAGES
) -> list[Box]:
    """The box around all pixels that move each unit in one of some random images, by autograd."""
    x = torch.rand(images, program.image.meta["val"].shape[1], *size, dtype=torch.float64, requires_grad=True)
    (value,) = program.run([layer.node], image=x)
    maps = value if layer.axes is None else as_map(value, layer.axes)
    boxes = []
    for row, column in units:
        (gradient,) = torch.autograd.grad(maps[:, :, row, column].square().sum(), x, retain_graph=True)
        where = gradient.ne(0).any(0).any(0).nonzero()
        if not len(where):
            boxes.append(Box(0, 0, 0, 0))
            continue
        (top, left), (bottom, right) = where.min(0)[0].tolist(), where.max(0)[0].tolist()
        boxes.append(Box(left, top, right + 1, bottom + 1))
    return boxes


def every_unit(layer: Layer) -> list[tuple[int, int]]:
    return [(row, column) for row in range(layer.shape[1]) for column in range(layer.shape[2])]


@pytest.mark.parametrize("name", LOCAL)
def test_a_field_is_what_moves_the_unit(name: str) -> None:
    size, net = LOCAL[name]
    program = program_of(net, size)
    layer, entry, field = last(program)
    assert not field.whole
    units = every_unit(layer)
    assert len(units) > 3
    exact = 0
    for unit, found in zip(units, moved_by(program, layer, size, units), strict=True):
        told = field_of(entry, *unit, size)
        if name in WIDER_AT_BORDERS and told != found:
            assert told.left <= found.left and found.right <= told.right
            assert told.top <= found.top and found.bottom <= told.bottom
            continue
        assert (told == found) or told.area == found.area == 0, (unit, entry["field"])
        exact += 1
    assert exact >= len(units) / 2


@pytest.mark.parametrize("name", GLOBAL)
def test_what_mixes_all_places_is_told_beside_the_field(name: str) -> None:
    size, spatial, net = GLOBAL[name]
    program = program_of(net, size)
    layer, entry, field = last(program)
    assert field.whole and entry["field"]["global"]
    assert entry["field"]["size"] == list(spatial)
    (found,) = moved_by(program, layer, size, [(1, 1)])
    assert found == Box(0, 0, size[1], size[0])
    assert not fields_of(program)[0].whole, "of the convolution before"


def test_a_gate_of_rows_sees_all_columns() -> None:
    """Coordinate attention (Hou et al. 2021): a mean along one axis alone."""
    size = (9, 8)
    net = Net(lambda n, x: n.a(x) * torch.sigmoid(x.mean(3, keepdim=True)), a=three)
    program = program_of(net, size)
    layer, entry, field = last(program)
    assert not field.whole and field.size == (3, 8)
    units = every_unit(layer)
    for unit, found in zip(units, moved_by(program, layer, size, units), strict=True):
        told = field_of(entry, *unit, size)
        assert told.left <= found.left and found.right <= told.right
        assert (told.top, told.bottom) == (found.top, found.bottom)


def test_grids_that_drift_apart_are_told_unit_by_unit() -> None:
    size = (7, 7)
    program = program_of(Net(halved, a=three, b=conv(2, 2, 3, 2)), size)
    layer, entry, _ = last(program)
    units = every_unit(layer)
    assert len(entry["field"]["rows"]["first"]) == 7
    assert [field_of(entry, *unit, size) for unit in units] == moved_by(program, layer, size, units)


def test_resnet18_has_the_fields_that_are_known_of_it() -> None:
    """Araujo et al. 2019 count 435 for all of it; its units by the experiment too."""
    size = (128, 96)
    program = program_of(resnet18(), size, 3)
    fields = dict(zip((layer.name for layer in program.layers), fields_of(program), strict=True))
    layers = ("conv1", "maxpool", "layer1.1", "layer2.1", "layer3.1", "layer4.1")
    assert [fields[name].size[0] for name in layers] == [7, 11, 43, 99, 211, 435]
    assert [fields[name].rows.step for name in layers] == [2, 4, 4, 8, 16, 32]
    for name, unit in (("maxpool", (0, 23)), ("layer1.1", (20, 11)), ("layer2.1", (8, 0))):
        layer = find_layer(program.layers, name)
        entry = {"name": name, "shape": list(layer.shape), "field": field_entry(fields[name])}
        (found,) = moved_by(program, layer, size, [unit], 2)  # of 64 channels each
        assert field_of(entry, *unit, size) == found


def test_a_unit_that_is_not_there_is_refused() -> None:
    _, entry, _ = last(program_of(Net(lambda n, x: n.a(x), a=THREE), (6, 7)))
    for unit in ((4, 0), (0, 5), (-1, 0)):
        with pytest.raises(ValueError, match=r"has units 0\.\.3, 0\.\.4; got"):
            field_of(entry, *unit, (6, 7))
    assert json.dumps(entry)


def test_a_field_is_told_with_its_padding() -> None:
    size = (8, 8)
    _, entry, _ = last(program_of(Net(in_a_row, a=half, b=three), size))
    assert field_of(entry, 0, 3, None) == Box(3, -3, 10, 4)
    assert field_of(entry, 0, 3, size) == Box(3, 0, 8, 4)
