import operator
import random

import pytest
import torch
import torchvision
from torch import fx

from engine.compiler.capture import capture
from engine.listing.layers import active_nodes, choose_layers, find_layer, name_layers, trunk_nodes
from engine.listing.program import Program, aten
from tests.listing.test_layers import Net, conv, head, program_of


def random_program(seed):
    """A random graph of one- and two-input ops with dead ends, constants, integers and ops of several outputs."""
    source = random.Random(seed)
    graph = fx.Graph()
    image = graph.placeholder("image")
    constant = graph.create_node("get_attr", "weight", name="weight")
    size = graph.call_function(aten.size, (image, 0))
    image.meta["val"] = constant.meta["val"] = torch.zeros(2, 3, 4, 4)
    size.meta["val"] = 2
    values, recent = [image], source.choice([1, 2, 4, 100])
    for _ in range(source.randrange(1, 14)):
        kind = source.random()
        left = source.choice(values[-recent:])
        if kind < 0.4:
            node = graph.call_function(aten.relu, (left,))
        elif kind < 0.75:
            node = graph.call_function(aten.add, (left, source.choice(values[-recent:])))
        elif kind < 0.85:
            node = graph.call_function(aten.mul, (left, constant))
        elif kind < 0.9:
            node = graph.call_function(aten.expand, (constant, [size, 3, 4, 4]))
        else:
            pair = graph.call_function(aten.split, (left, 1, 1))
            pair.meta["val"] = (image.meta["val"],) * 3
            parts = [graph.call_function(operator.getitem, (pair, index)) for index in (0, 1)]
            for part in parts:
                part.meta["val"] = image.meta["val"]
            values.append(parts[0])
            node = parts[1]
        node.meta["val"] = image.meta["val"]
        values.append(node)
    logits = graph.call_function(aten.mean, (values[-1], [2, 3]))
    logits.meta["val"] = torch.zeros(2, 3)
    return Program(graph, {}, image, logits)


def connected(program, without=None):
    """Whether a path of values leads from the image to the logits when one node is taken out."""
    stack, seen = [program.logits], set()
    while stack:
        node = stack.pop()
        if node in seen or node is without or not isinstance(node.meta["val"], (torch.Tensor, tuple)):
            continue
        if node is program.image:
            return True
        seen.add(node)
        stack.extend(node.all_input_nodes)
    return False


def is_trunk(program):
    assert connected(program)
    return {node for node in program.graph.nodes if not connected(program, without=node)}


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_removing_a_trunk_node_disconnects_and_no_other_does(start):
    checked = inner = 0
    for seed in range(start, start + 100):
        program = random_program(seed)
        if not connected(program):
            continue
        expected = is_trunk(program)
        assert trunk_nodes(program) == expected, f"seed {seed}\n{program.graph}"
        checked += 1
        inner += len(active_nodes(program)) > len(expected)
    assert checked > 50 and inner > 15


def test_active_nodes_lie_on_a_path():
    for seed in range(100):
        program = random_program(seed)
        if not connected(program):
            continue
        order = list(program.graph.nodes)
        expected = []
        for node in order:
            behind = Program(program.graph, {}, program.image, node)
            before = Program(program.graph, {}, node, program.logits)
            if isinstance(node.meta["val"], (torch.Tensor, tuple)) and connected(behind) and connected(before):
                expected.append(node)
        assert active_nodes(program) == expected


def test_hand_made_trunks():
    skip = Net(lambda n, i: head(n.c(i + n.b(n.a(i)))), a=conv(), b=conv(), c=conv())
    around = Net(
        lambda n, i: head(n.c(n.b(n.a(i)) * i.mean((1, 2, 3), keepdim=True))), a=conv(), b=conv(), c=conv()
    )
    dense = Net(lambda n, i: head(n.b(torch.cat([n.a(i), i], 1))), a=conv(), b=conv(8))
    straight = Net(lambda n, i: head(n.b(n.a(i).view(i.shape[0], 4, 8, 8))), a=conv(), b=conv())
    trunks = []
    for network in (skip, around, dense, straight):
        program = program_of(network)
        trunks.append([layer.name for layer in choose_layers(program, "trunk")])
        assert trunk_nodes(program) == is_trunk(program)
    assert trunks[:3] == [["add", "c"], ["mul", "c"], ["cat", "b"]]
    assert trunks[3][0] == "a" and trunks[3][-1] == "b"


@pytest.fixture(scope="module")
def vgg16():
    with torch.device("meta"):
        network = torchvision.models.vgg16(init_weights=False)
    return capture(network.eval(), torch.zeros(1, 3, 224, 224, device="meta"))


@pytest.fixture(scope="module")
def resnet50():
    with torch.device("meta"):
        network = torchvision.models.resnet50()
    return capture(network.eval(), torch.zeros(1, 3, 64, 64, device="meta"))


def test_the_trunk_of_vgg16(vgg16):
    trunk = [layer.name for layer in choose_layers(vgg16, "trunk")]
    assert trunk == [f"features.{index}" for index in range(31)] + ["avgpool"]
    assert trunk_nodes(vgg16) == is_trunk(vgg16)
    assert find_layer(vgg16.layers, "features").name == "features.30"


def test_the_trunk_of_resnet50(resnet50):
    blocks = [f"layer{stage}.{block}" for stage, count in enumerate([3, 4, 6, 3], 1) for block in range(count)]
    ends = [name for block in blocks for name in (f"{block}.add", block)]
    trunk = choose_layers(resnet50, "trunk")
    assert [layer.name for layer in trunk] == ["conv1", "bn1", "relu", "maxpool", *ends]
    assert trunk_nodes(resnet50) == is_trunk(resnet50)
    assert find_layer(resnet50.layers, "layer1").name == "layer1.2"
    assert find_layer(resnet50.layers, "layer4.2.relu@3").name == "layer4.2"


def test_layers_inside_a_block_can_be_asked_for_by_name(resnet50):
    known = {layer.name for layer in resnet50.layers}
    assert {"layer2.0.downsample.0", "layer2.0.downsample.1", "layer3.5.bn2", "layer1.0.relu"} <= known
    assert len(known) == len(resnet50.layers)


def test_naming_twice_gives_the_same(resnet50):
    again = name_layers(resnet50)
    assert [(one.name, one.node, one.aliases) for one in again] == [
        (one.name, one.node, one.aliases) for one in resnet50.layers
    ]
