import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.compiler.capture import capture
from engine.compiler.passes import compile_program
from engine.listing.layers import choose_layers, find_layer
from engine.listing.program import aten
from engine.text import nearest

EXAMPLE = torch.zeros(1, 4, 8, 8)


class Net(nn.Module):
    """A network made of named modules and a forward pass."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, image):
        return self._forward(self, image)


def program_of(network, example=EXAMPLE):
    return capture(network.eval(), example)


def names(network, example=EXAMPLE):
    return [layer.name for layer in program_of(network, example).layers]


def aliases(network):
    return {layer.name: layer.aliases for layer in program_of(network).layers}


def conv(inside=4, outside=4):
    return nn.Conv2d(inside, outside, 3, padding=1)


def head(value):
    return value.mean((2, 3))


# Names


def test_a_layer_bears_the_name_of_its_module():
    network = Net(lambda n, i: head(n.relu(n.bn(n.conv(i)))), conv=conv(), bn=nn.BatchNorm2d(4), relu=nn.ReLU())
    assert names(network) == ["conv", "bn", "relu"]


def test_functional_and_in_place_calls_bear_the_name_of_their_op():
    network = Net(lambda n, i: head(F.relu_(n.conv(F.relu(i)))), conv=conv())
    assert names(network) == ["relu", "conv", "relu@2"]


def test_an_in_place_module_is_a_layer_of_its_own():
    """Fault 4: the convolution before it keeps its own value."""
    network = Net(lambda n, i: head(n.relu(n.conv(i))), conv=conv(), relu=nn.ReLU(inplace=True))
    program = program_of(network)
    assert [layer.name for layer in program.layers] == ["conv", "relu"]
    assert [layer.node.target for layer in program.layers] == [aten.conv2d, aten.relu]
    image = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    before, after = program.run([layer.node for layer in program.layers], image=image)
    assert before.min() < 0
    assert torch.equal(after, before.clamp(min=0))


def test_outer_modules_that_end_at_the_same_value_are_aliases():
    inner = nn.Sequential(conv(), nn.ReLU())
    network = Net(lambda n, i: head(n.body(i)), body=nn.Sequential(conv(), nn.Sequential(inner)))
    assert aliases(network) == {
        "body.0": (),
        "body.1.0.0": (),
        "body.1.0.1": ("body.1.0", "body.1", "body"),
    }


def test_a_module_called_twice_is_told_apart():
    """Fault 6: the wrong use of a module is explained, or uses are mixed."""
    network = Net(lambda n, i: head(n.conv(n.relu(n.conv(i)))), conv=conv(), relu=nn.ReLU())
    program = program_of(network)
    assert [layer.name for layer in program.layers] == ["conv", "relu", "conv@2"]
    nodes = list(program.graph.nodes)
    first, second = find_layer(program.layers, "conv").node, find_layer(program.layers, "conv@2").node
    assert nodes.index(first) < nodes.index(second)


def test_a_module_called_three_times():
    network = Net(lambda n, i: head(n.conv(n.conv(n.conv(i)))), conv=conv())
    assert names(network) == ["conv", "conv@2", "conv@3"]


def test_a_block_outranks_the_relu_that_it_calls_several_times():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.relu = conv(), conv(), nn.ReLU(inplace=True)

        def forward(self, image):
            return self.relu(self.two(self.relu(self.one(image))) + image)

    network = Net(lambda n, i: head(n.layer1(i)), layer1=nn.Sequential(Block(), Block()))
    found = aliases(network)
    assert list(found) == [
        "layer1.0.one", "layer1.0.relu", "layer1.0.two", "layer1.0.add", "layer1.0",
        "layer1.1.one", "layer1.1.relu", "layer1.1.two", "layer1.1.add", "layer1.1",
    ]  # fmt: skip
    assert found["layer1.0"] == ("layer1.0.relu@2",)
    assert found["layer1.1"] == ("layer1", "layer1.1.relu@2")


def test_one_module_under_two_names_is_two_uses_of_one():
    shared = conv()
    network = Net(lambda n, i: head(n.b(F.relu(n.a(i)))), a=shared, b=shared)
    found = names(network)
    assert len(found) == len(set(found)) == 3
    assert found[0] == "a" and found[1] == "relu"


def test_a_value_inside_a_module_is_module_and_op():
    class Block(nn.Module):
        def forward(self, image):
            return F.relu(F.relu(image * 2) + image * 3)

    network = Net(lambda n, i: head(n.stage(i)), stage=Block())
    found = aliases(network)
    assert list(found) == ["stage.mul", "stage.relu", "stage.mul@2", "stage.add", "stage"]


def test_pooling_is_one_layer_and_named_like_its_module():
    network = Net(lambda n, i: head(n.pool(i)), pool=nn.MaxPool2d(2))
    program = program_of(network)
    assert [layer.name for layer in program.layers] == ["pool"]
    assert program.layers[0].shape == (4, 4, 4)
    assert names(Net(lambda n, i: head(F.max_pool2d(i, 2)))) == ["max_pool2d_with_indices"]


def test_names_are_unique_and_in_the_order_of_the_listing():
    network = Net(
        lambda n, i: head(torch.cat([n.a(i), F.relu(n.b(n.a(i))), n.a(F.relu(i))], 1)), a=conv(), b=nn.Identity()
    )
    program = program_of(network)
    known = [name for layer in program.layers for name in (layer.name, *layer.aliases)]
    assert len(known) == len(set(known))
    order = list(program.graph.nodes)
    positions = [order.index(layer.node) for layer in program.layers]
    assert positions == sorted(positions)


def test_what_the_logits_do_not_read_is_no_layer():
    network = Net(lambda n, i: (n.spare(i), head(n.conv(i)))[1], conv=conv(), spare=conv())
    assert names(network) == ["conv"]


def test_a_value_of_one_pixel_is_no_layer():
    network = Net(lambda n, i: n.pool(n.conv(i)).flatten(1), conv=conv(), pool=nn.AdaptiveAvgPool2d(1))
    assert names(network) == ["conv"]


def test_a_layers_shape_is_its_values_without_the_batch():
    network = Net(lambda n, i: head(n.conv(i)), conv=nn.Conv2d(4, 7, 3, stride=2))
    assert [layer.shape for layer in program_of(network).layers] == [(7, 3, 3)]


# Axes: only [N, C, H, W] is a layer


def test_a_permute_round_trip_gives_each_map_once():
    """As in ConvNeXt: what is computed channels last is a layer, and what only moves it is none of its own."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

        def forward(self, image):
            return image + F.gelu(self.linear(self.norm(image.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)

    network = Net(lambda n, i: head(n.after(n.block(n.stem(i)))), stem=conv(), block=Block(), after=nn.ReLU())
    assert names(network) == ["stem", "block.norm", "block.linear", "block.gelu", "block", "after"]


MOVES = {
    "channels last": lambda v: v.permute(0, 2, 3, 1),
    "columns first": lambda v: v.transpose(2, 3),
    "negative axes": lambda v: v.permute(0, -2, -1, 1),
    "tokens": lambda v: v.flatten(2).transpose(1, 2),
    "windows": lambda v: v.view(-1, 4, 2, 4, 4, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 16, 4),
    "windows in the batch": lambda v: v.view(-1, 4, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 4),
    "heads": lambda v: v.flatten(2).transpose(1, 2).unflatten(2, (2, 2)).transpose(1, 2),
    "cut elsewhere": lambda v: v.flatten(2).view(-1, 4, 4, 16),
    "four axes, mixed": lambda v: v.reshape(v.shape[0], 8, 4, 8),
    "four axes, whole rows": lambda v: v.reshape(v.shape[0], 16, 4, 4),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_moved_value_is_the_same_map(move):
    """However its axes lie, the layer after the move is given back as [N, C, H, W], exactly."""
    network = Net(
        lambda n, i: n.head(F.relu(move(n.conv(i))).reshape(i.shape[0], -1)), conv=conv(), head=nn.Linear(256, 3)
    )
    compiled = compile_program(network.eval(), EXAMPLE, "all", ["grad_cam"]).program
    assert [layer.name for layer in compiled.layers] == ["conv", "relu"]
    assert compiled.layers[1].shape == (4, 8, 8)
    image = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    seed = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    before, after = compiled.run(compiled.primals, image=image)
    assert torch.equal(after, before.relu())
    ct_before, ct_after = compiled.run(compiled.cotangents["gradient"], image=image, seed=seed)
    assert torch.equal(ct_before, ct_after * (before > 0))


def test_class_tokens_are_no_pixels():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = conv(), nn.LayerNorm(4), nn.Linear(4, 3)
            self.token = nn.Parameter(torch.ones(1, 1, 4))

        def forward(self, image):
            tokens = self.conv(image).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(image.shape[0], -1, -1), tokens], 1)
            return self.head(self.norm(tokens)[:, 0] + F.relu(self.norm(tokens)[:, 1:]).sum(1))

    program = compile_program(Tokens().eval(), EXAMPLE, "all", ["grad_cam"]).program
    assert [layer.name for layer in program.layers] == [
        "conv",
        "cat",
        "norm@2",
        "relu",
    ]  # the first norm is read for its class token
    assert {layer.shape for layer in program.layers} == {(4, 8, 8)}
    image = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    first, joined, second, last = program.run(program.primals, image=image)
    assert torch.equal(first, joined)
    assert torch.equal(second.relu(), last)


def test_a_rolled_value_is_no_map_until_it_is_rolled_back():
    def forward(n, i):
        rolled = F.relu(torch.roll(n.conv(i), [1, 2], [2, 3]))
        return head(F.silu(torch.roll(rolled, [-1, -2], [2, 3])))

    assert names(Net(forward, conv=conv())) == ["conv", "silu"]


def test_what_follows_a_convolution_over_mixed_axes_is_no_layer():
    """Its rows are no rows of the photo, and nobody knows where its pixels lie."""
    network = Net(lambda n, i: head(n.after(n.conv(i).reshape(i.shape[0], 4, 4, 16))), conv=conv(), after=conv())
    assert names(network) == ["conv"]


def test_blocks_of_pixels_stacked_as_channels_are_a_coarser_grid():
    def stacked(image):
        blocks = image.view(-1, 4, 4, 2, 4, 2).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(image.shape[0], 16, 4, 4)

    network = Net(lambda n, i: head(n.after(stacked(n.conv(i)))), conv=conv(), after=conv(16))
    assert names(network) == ["conv", "after"]


def test_channel_shuffle_keeps_the_layers_after_it():
    def shuffle(image):
        n, c, h, w = image.shape
        return image.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)

    network = Net(lambda n, i: head(n.relu(shuffle(n.conv(i)))), conv=conv(), relu=nn.ReLU())
    found = program_of(network).layers
    assert [layer.name for layer in found] == ["conv", "relu"]


def test_colours_taken_apart_and_joined_again_are_the_image():
    """As GoogLeNet scales its input: what follows is a layer like any other."""

    def scaled(image):
        return torch.cat([(image[:, index] * (index + 1)).unsqueeze(1) for index in range(4)], 1)

    network = Net(lambda n, i: head(n.relu(n.conv(scaled(i)))), conv=conv(), relu=nn.ReLU())
    assert names(network)[-3:] == ["cat", "conv", "relu"]


def test_shuffled_channels_stay_shuffled():
    """A primal is what the module returned, its channels in their order."""

    def shuffled(value):
        return value.view(-1, 2, 2, 8, 8).transpose(1, 2).reshape(-1, 4, 8, 8)

    network = Net(lambda n, i: head(shuffled(n.conv(i)).relu()), conv=conv())
    program = compile_program(network.eval(), EXAMPLE, "all", ["grad_cam"]).program
    image = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    first, last = program.run([program.primals[0], program.primals[-1]], image=image)
    assert torch.equal(last, first[:, [0, 2, 1, 3]].relu())


# Choosing and finding


@pytest.fixture(scope="module")
def branched():
    """A stem, a block with a way around its inner part, and an end."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.relu = conv(), nn.ReLU()

        def forward(self, image):
            return self.relu(image + self.inner(image))

    return program_of(
        Net(lambda n, i: head(n.last(n.block(n.stem(i)))), stem=conv(), block=Block(), last=nn.Sequential(conv()))
    )


def test_trunk_and_all(branched):
    assert [layer.name for layer in choose_layers(branched, "trunk")] == [
        "stem",
        "block.add",
        "block.relu",
        "last.0",
    ]
    assert [layer.name for layer in choose_layers(branched, "all")] == [
        "stem", "block.inner", "block.add", "block.relu", "last.0",
    ]  # fmt: skip


def test_names_come_back_in_the_order_of_the_listing_and_once(branched):
    chosen = choose_layers(branched, ["last", "block.inner", "last.0", "stem"])
    assert [layer.name for layer in chosen] == ["stem", "block.inner", "last.0"]
    assert [layer.name for layer in choose_layers(branched, "block.inner")] == ["block.inner"]
    assert choose_layers(branched, []) == []


def test_choosing_leaves_the_program_alone(branched):
    before = list(branched.layers)
    choose_layers(branched, "trunk").clear()
    choose_layers(branched, "all").clear()
    assert branched.layers == before


@pytest.mark.parametrize(("wrong", "right"), [("block.iner", "block.inner"), ("lasst", "last"), ("blok", "block")])
def test_a_wrong_name_is_answered_with_the_nearest(branched, wrong, right):
    for call in (lambda: find_layer(branched.layers, wrong), lambda: choose_layers(branched, ["stem", wrong])):
        with pytest.raises(ValueError, match=rf"no layer is called '{wrong}'; the nearest are ") as raised:
            call()
        assert right in str(raised.value).split("the nearest are ")[1].split(", ")


def test_a_name_like_no_other_is_answered_too(branched):
    with pytest.raises(ValueError, match=r"'zzz'; the nearest are stem"):
        find_layer(branched.layers, "zzz")
    with pytest.raises(ValueError, match=r"'zzz'; there are none"):
        find_layer([], "zzz")


def test_an_alias_finds_the_same_layer(branched):
    assert find_layer(branched.layers, "block") is find_layer(branched.layers, "block.relu")
    assert nearest("grad-cam", ["cam", "grad_cam"]).startswith("the nearest are grad_cam")
