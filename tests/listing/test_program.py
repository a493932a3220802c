import operator
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.compiler.differentiate import differentiate
from engine.compiler.passes import compile_program
from engine.errors import ProgramError
from engine.listing.program import Layer, Program, aten, identifier, unique


class Tiny(nn.Module):
    """Constants, several outputs, integers, keyword arguments, an unread half and an infinite number."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.mix = nn.Conv2d(6, 6, 3, padding="same", bias=False)
        self.pool, self.head = nn.MaxPool2d(3, 2, 1), nn.Linear(24, 4)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, image):
        hidden = F.gelu(self.norm(self.conv(image)), approximate="tanh")
        left, right = self.mix(hidden).chunk(2, 1)
        hidden = torch.cat([F.hardtanh(left, -float("inf"), 1.0), right, left], 1)[:, :6]
        hidden = F.relu(self.pool(hidden + F.adaptive_avg_pool2d(hidden, 1)))
        return self.head(F.layer_norm(hidden, (4, 4))[:, :, ::2, ::2].flatten(1))


EXAMPLE = torch.zeros(1, 3, 8, 8, dtype=torch.float64)


def forward_half():
    """Convolution, ReLU, mean; written by hand, for the tests that break it."""
    graph, values = fx.Graph(), FakeTensorMode()
    with values:
        fakes = [torch.empty(shape, dtype=torch.float64) for shape in ((2, 3, 8, 8), (4, 3, 3, 3))]
    image, weight = graph.placeholder("image"), graph.create_node("get_attr", "conv_weight", name="conv_weight")
    image.meta["val"], weight.meta["val"] = fakes
    program = Program(graph, {"conv_weight": torch.ones(4, 3, 3, 3, dtype=torch.float64)}, image, image)
    conv = appended(program, aten.conv2d, image, weight)
    relu = appended(program, aten.relu, conv)
    program.logits = appended(program, aten.mean, relu, [2, 3])
    program.layers = [Layer("conv", conv, (4, 6, 6)), Layer("relu", relu, (4, 6, 6))]
    return program


def complete():
    """The same with a backward half."""
    program = forward_half()
    with program.graph.inserting_after(program.image):
        program.seed = program.graph.placeholder("seed")
    program.seed.meta["val"] = program.logits.meta["val"]
    program.primals = [layer.node for layer in program.layers]
    found = differentiate(program, "gradient", {program.image, *program.primals})
    program.cotangents["gradient"] = [found[node] for node in program.primals]
    program.image_cotangents["gradient"] = found[program.image]
    return program


def calls(program, op):
    return next(node for node in program.graph.nodes if node.target is op)


def appended(program, op, *args, value=None, **kwargs):
    """One more call at the end; its value is computed unless it is given."""
    node = program.graph.call_function(op, args, kwargs)
    if value is None:
        with program.image.meta["val"].fake_mode:
            value = op(*fx.map_arg(args, lambda source: source.meta["val"]))
    node.meta["val"] = value
    return node


@pytest.fixture(scope="module")
def tiny():
    network = Tiny().double().eval()
    program = compile_program(network, EXAMPLE, layers="all").program
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    seed = torch.randn(2, 4, dtype=torch.float64, generator=generator)
    return program, image, seed


# check


def test_check_passes_what_the_compiler_makes(tiny):
    tiny[0].check()
    forward_half().check()
    complete().check()


def test_check_finds_a_name_bound_twice():
    program = forward_half()
    calls(program, aten.relu).name = calls(program, aten.conv2d).name
    with pytest.raises(ProgramError, match=r"conv2d is bound twice"):
        program.check()


@pytest.mark.parametrize("op", [aten.relu_, aten.add_, aten.copy_, aten.hardtanh_, aten.clamp_min_])
def test_check_finds_an_op_that_overwrites_its_input(op):
    program = forward_half()
    appended(program, op, program.image, program.image, value=program.image.meta["val"])
    with pytest.raises(ProgramError, match=rf"{op.__name__}, which is not a functional ATen op"):
        program.check()


@pytest.mark.parametrize(
    ("op", "name"),
    [(aten.relu, "out"), (aten.silu_backward, "grad_input"), (aten.native_layer_norm, "out0")],
    ids=["out", "grad_input", "out0"],
)
def test_check_finds_an_op_that_writes_into_an_argument(op, name):
    program = forward_half()
    appended(program, op, program.image, value=program.image.meta["val"], **{name: program.image})
    with pytest.raises(ProgramError, match="not a functional ATen op"):
        program.check()


def test_check_finds_a_batch_norm_that_would_update_its_statistics():
    program = forward_half()
    appended(program, aten._native_batch_norm_legit, program.image, value=program.image.meta["val"])
    with pytest.raises(ProgramError, match="not a functional ATen op"):
        program.check()


@pytest.mark.parametrize(
    "function",
    [torch.relu, aten.relu.default, operator.iadd, operator.truediv, print, F.relu],
    ids=["torch.relu", "overload", "iadd", "truediv", "print", "F.relu"],
)
def test_check_finds_a_call_that_is_no_aten_packet(function):
    program = forward_half()
    appended(program, function, program.image, value=program.image.meta["val"])
    with pytest.raises(ProgramError, match="not a functional ATen op"):
        program.check()


def test_check_finds_a_missing_constant():
    program = forward_half()
    del program.constants["conv_weight"]
    with pytest.raises(ProgramError, match=r"reads the constant conv_weight, which is not there"):
        program.check()


def test_check_finds_a_value_without_a_shape():
    program = forward_half()
    del program.logits.meta["val"]
    with pytest.raises(ProgramError, match=rf"{program.logits.name} has no shape"):
        program.check()


@pytest.mark.parametrize("kind", ["call_method", "call_module", "output"])
def test_check_finds_a_node_that_is_no_call_of_a_function(kind):
    program = forward_half()
    node = program.graph.create_node(kind, "relu" if kind != "output" else "output", (program.image,))
    node.meta["val"] = program.image.meta["val"]
    with pytest.raises(ProgramError, match=rf"{node.name} is a {kind}"):
        program.check()


def test_check_finds_a_value_that_is_read_before_it_is_bound():
    program = forward_half()
    conv, relu = calls(program, aten.conv2d), calls(program, aten.relu)
    conv.prepend(relu)
    with pytest.raises(ProgramError, match=conv.name):
        program.check()


@pytest.mark.parametrize("at", ["conv", "relu", "image"])
def test_check_finds_a_cotangent_of_another_shape(at):
    program = complete()
    wrong = appended(program, aten.clone, program.seed, value=program.seed.meta["val"])
    if at == "image":
        program.image_cotangents["gradient"] = wrong
    else:
        index = [layer.name for layer in program.layers].index(at)
        program.cotangents["gradient"][index] = wrong
    with pytest.raises(ProgramError, match=rf"cotangent of .*{at}.*float64.*float64"):
        program.check()


def test_check_finds_a_cotangent_with_another_spatial_size():
    program = complete()
    ct = program.image_cotangents["gradient"]
    program.image_cotangents["gradient"] = appended(program, aten.slice, ct, 2, 1)
    with pytest.raises(ProgramError, match="at the image"):
        program.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_check_finds_a_cotangent_of_another_dtype(dtype):
    program = complete()
    ct = program.cotangents["gradient"][0]
    with program.image.meta["val"].fake_mode:
        value = ct.meta["val"].to(dtype)
    program.cotangents["gradient"][0] = appended(program, aten.clone, ct, value=value)
    with pytest.raises(ProgramError, match=rf"gradient at conv: {dtype}"):
        program.check()


def test_check_finds_a_layer_without_a_cotangent():
    program = complete()
    program.cotangents["gradient"].pop()
    with pytest.raises((ProgramError, ValueError)):
        program.check()


# needed and prune


def depends_on(node, source):
    return node is source or any(depends_on(before, source) for before in node.all_input_nodes)


def test_needed_is_what_an_output_depends_on_in_order(tiny):
    program, _, _ = tiny
    order = list(program.graph.nodes)
    for output in program.asked()[::5]:
        needed = program.needed([output])
        assert needed == [node for node in order if depends_on(output, node)]


def test_the_logits_need_no_backward_half(tiny):
    program, _, _ = tiny
    needed = program.needed([program.logits])
    assert program.seed not in needed
    assert not any("policy" in node.meta for node in needed)


def test_needed_of_two_outputs_is_the_union(tiny):
    program, _, _ = tiny
    left, right = program.primals[2], program.image_cotangents["guided"]
    both = set(program.needed([left, right]))
    assert both == {*program.needed([left]), *program.needed([right])}


def test_prune_drops_what_nobody_asks_for():
    program = forward_half()
    nodes, constants = len(program.graph.nodes), dict(program.constants)
    spare = program.constant("spare", torch.zeros(3), program.image.meta["val"])
    appended(program, aten.mul, program.image, spare)
    program.prune()
    program.check()
    assert len(program.graph.nodes) == nodes
    assert program.constants.keys() == constants.keys()


def test_prune_keeps_image_and_seed():
    program = complete()
    program.primals, program.cotangents, program.image_cotangents, program.layers = [], {}, {}, []
    program.prune()
    names = [node.name for node in program.graph.nodes]
    assert {"image", "seed"} <= set(names)
    assert not any(node.target is aten.threshold_backward for node in program.graph.nodes)


def test_a_compiled_program_holds_nothing_unasked(tiny):
    program, _, _ = tiny
    needed = set(program.needed([*program.asked(), *program.added()]))
    assert set(program.graph.nodes) == needed
    assert set(program.constants) == {node.target for node in needed if node.op == "get_attr"}


def test_a_constant_never_takes_anothers_name():
    program = forward_half()
    fake, weight = program.image.meta["val"], program.constants["conv_weight"]
    nodes = [program.constant("conv.weight", torch.full((1,), float(value)), fake) for value in (1, 2)]
    assert program.constants["conv_weight"] is weight
    assert [program.constants[node.target].item() for node in nodes] == [1, 2]
    program.check()


# The printer


def executed(program, outputs, image, seed):
    """Run the printed listing as the Python that it is."""
    weights = SimpleNamespace(**program.constants)
    space = {"aten": torch.ops.aten, "self": SimpleNamespace(weights=weights)}
    text = program.listing(outputs)
    exec(text, space)
    arguments = re.match(r"def program\((.*?)\):", text)[1].split(", ")
    found = space["program"](**{name: {"image": image, "seed": seed}[name] for name in arguments})
    return found if isinstance(found, tuple) else (found,)


def test_the_listing_of_everything_runs_as_python(tiny):
    program, image, seed = tiny
    outputs = {str(index): node for index, node in enumerate(program.asked())}
    found = executed(program, outputs, image, seed)
    expected = program.run(outputs.values(), image=image, seed=seed)
    assert len(found) == len(expected) > 30
    for left, right in zip(found, expected, strict=True):
        assert torch.equal(left, right)


def test_run_gives_the_logits_of_the_network(tiny):
    program, image, _ = tiny
    with torch.no_grad():
        expected = Tiny().double().eval()(image)
    (found,) = program.run([program.logits], image=image)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_listing_binds_every_name_once(tiny):
    program, _, _ = tiny
    everything = [*program.asked(), *program.added()]
    text = program.listing({str(index): node for index, node in enumerate(dict.fromkeys(everything))})
    bound = re.findall(r"^    (\w+) = ", text, re.M)
    assert len(bound) == len(set(bound)) == sum(node.op == "call_function" for node in program.graph.nodes)


def test_the_listing_announces_each_layer_with_its_shape(tiny):
    """Also a convolution whose BatchNorm was folded away: its value is complete where it is given back."""
    program, _, _ = tiny
    lines = program.listing({str(index): node for index, node in enumerate(program.asked())}).splitlines()
    announced = [line.split("  # ")[1] for line in lines if "  # " in line]
    assert "mix [6, 8, 8]" in announced
    assert sorted(announced) == sorted(f"{layer.name} {list(layer.shape)}" for layer in program.layers)


def test_the_listing_of_the_logits_takes_no_seed(tiny):
    program, image, _ = tiny
    text = program.listing({"logits": program.logits})
    assert text.startswith("def program(image):\n") and text.endswith("return logits")
    (found,) = executed(program, {"logits": program.logits}, image, None)
    assert torch.equal(found, program.run([program.logits], image=image)[0])


def test_modules_may_have_any_name():
    """Also one that a listing uses for itself; no value may take it."""
    names = ["image", "seed", "aten", "self", "logits", "ct_image", "1", "a-b", "a_b"]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            for name in names:
                self.add_module(name, nn.Conv2d(3, 3, 1))

        def forward(self, image):
            for name in names:
                image = F.hardtanh(getattr(self, name)(image), -float("inf"))
            return image.mean((2, 3))

    program = compile_program(Network().double().eval(), EXAMPLE, "all", "gradient").program
    image, seed = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    outputs = {str(index): node for index, node in enumerate(program.asked())}
    expected = program.run(outputs.values(), image=image, seed=seed)
    for left, right in zip(executed(program, outputs, image, seed), expected, strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("text", "name"),
    [("layer1.0.relu", "layer1_0_relu"), ("0", "m_0"), ("", "m_"), ("conv", "conv"), ("a-b@2", "a_b_2")],
)
def test_identifier_reads_like_the_text(text, name):
    assert identifier(text) == name and name.isidentifier()


def test_unique_counts_from_two():
    assert unique("a", []) == "a"
    assert unique("a", ["a"]) == "a_2"
    assert unique("a", ["a", "a_2", "a_4"]) == "a_3"
