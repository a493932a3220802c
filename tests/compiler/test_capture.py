import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.compiler.capture import CaptureError, capture
from engine.compiler.passes import compile_program
from engine.errors import CompileError
from engine.listing.program import aten


class Net(nn.Module):
    def __init__(self, drop=0.5):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.drop, self.head = nn.Dropout(drop), nn.Linear(6, 4)
        nn.init.uniform_(self.bn.running_var, 0.5, 2)
        nn.init.normal_(self.bn.running_mean)

    def forward(self, image):
        hidden = self.pool(self.relu(self.bn(self.conv(image))))
        return self.head(self.drop(hidden.mean((2, 3))))


class Step(nn.Module):
    """A forward pass that is not a method, so that each test can bring its own."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, image):
        return self.step(image)


EXAMPLE = torch.zeros(1, 3, 8, 8)


def images(count, dtype=torch.float32):
    return torch.randn(count, 3, 8, 8, dtype=dtype, generator=torch.Generator().manual_seed(count))


def ops(program):
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


# What comes out


def test_the_forward_half_is_the_network():
    network = Net().eval()
    program = capture(network, EXAMPLE)
    program.check()
    for count in (1, 2, 5):
        (found,) = program.run([program.logits], image=images(count))
        torch.testing.assert_close(found, network(images(count)).detach())


@pytest.mark.parametrize("count", [1, 3])
def test_the_examples_batch_is_free(count):
    network = Net().eval()
    program = capture(network, torch.zeros(count, 3, 8, 8))
    (found,) = program.run([program.logits], image=images(4))
    torch.testing.assert_close(found, network(images(4)).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_program_keeps_its_networks_dtype(dtype):
    network = Net().to(dtype).eval()
    program = compile_program(network, EXAMPLE.to(dtype), "all").program
    image = images(2, dtype).requires_grad_()
    logits = network(image)
    (expected,) = torch.autograd.grad(logits.sum(), image)
    outputs = [program.logits, program.image_cotangents["gradient"], *program.primals]
    found = program.run(outputs, image=image.detach(), seed=torch.ones_like(logits))
    assert {value.dtype for value in found} == {dtype}
    floating = [value for value in program.constants.values() if value.is_floating_point()]
    assert {value.dtype for value in floating} == {dtype}
    bound = 1e-12 if dtype == torch.float64 else 1e-5
    assert (found[0] - logits).abs().max() <= bound * logits.abs().max()
    assert (found[1] - expected).abs().max() <= bound * expected.abs().max()


def test_dropout_in_evaluation_is_no_op():
    with_dropout, without = Net(), Net()
    without.drop = nn.Identity()
    left, right = capture(with_dropout.eval(), EXAMPLE), capture(without.eval(), EXAMPLE)
    assert ops(left) == ops(right)
    assert [layer.name for layer in left.layers] == [layer.name for layer in right.layers]


def test_copies_are_no_ops():
    network = Step(lambda i: i.clone().contiguous().relu().clone().mean((2, 3))).eval()
    assert ops(capture(network, EXAMPLE)) == [aten.relu, aten.mean]


def test_pooling_and_layer_norm_keep_what_their_rules_read():
    network = Step(lambda i: F.layer_norm(F.max_pool2d(i, 2), (4,)).mean((2, 3))).eval()
    found = ops(capture(network, EXAMPLE))
    assert aten.max_pool2d_with_indices in found and aten.native_layer_norm in found
    assert aten.max_pool2d not in found and aten.layer_norm not in found


def test_in_place_steps_become_functional():
    def step(image):
        hidden = image * 2
        hidden += 1
        F.hardtanh_(hidden, -1, 1)
        return hidden.mul_(3).mean((2, 3))

    network = Step(step).eval()
    program = capture(network, EXAMPLE)
    program.check()
    (found,) = program.run([program.logits], image=images(2))
    torch.testing.assert_close(found, network(images(2)))


def test_a_network_may_overwrite_its_input():
    """As normalisation inside a network does; the first output of export is then the input, not the logits."""
    network = Step(lambda i: i.sub_(0.5).relu().mean((2, 3))).eval()
    image = images(2)
    expected = network(image.clone())
    program = capture(network, EXAMPLE)
    (found,) = program.run([program.logits], image=image)
    torch.testing.assert_close(found, expected)


def test_a_network_may_count_its_calls():
    """A buffer that the forward pass updates comes before the logits among the outputs of export."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1, 3))

        def forward(self, image):
            self.seen += 1
            return image.relu().mean((2, 3))

    network = Counting().eval()
    program = capture(network, EXAMPLE)
    (found,) = program.run([program.logits], image=images(2))
    torch.testing.assert_close(found, images(2).relu().mean((2, 3)))
    assert network.seen.abs().max() == 0


def test_a_shared_weight_is_one_network():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.two.weight = self.one.weight

        def forward(self, image):
            return self.two(self.one(image).relu()).mean((2, 3))

    network = Shared().eval()
    program = capture(network, EXAMPLE)
    (found,) = program.run([program.logits], image=images(2))
    torch.testing.assert_close(found, network(images(2)).detach())


# Nothing of the caller's changes (fault 7)


def snapshot(network):
    return {
        "state": {name: (value.data_ptr(), value.clone()) for name, value in network.state_dict().items()},
        "identities": {name: id(value) for name, value in [*network.named_parameters(), *network.named_modules()]},
        "grads": {name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()},
        "requires_grad": {name: p.requires_grad for name, p in network.named_parameters()},
        "versions": {name: value._version for name, value in network.state_dict(keep_vars=True).items()},
        "training": {name: module.training for name, module in network.named_modules()},
        "hooks": {
            name: [
                list(getattr(module, kind))
                for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
            ]
            for name, module in network.named_modules()
        },
        "attributes": {name: sorted(vars(module)) for name, module in network.named_modules()},
        "random": torch.random.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "filters": list(warnings.filters),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


def assert_same(left, right, path=""):
    if isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_same(left[key], right[key], f"{path}/{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), path
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{path}/{index}")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), path
    else:
        assert left == right, path


def used():
    """A network as a caller has it: trained a step, partly frozen, with a hook, one part in training mode."""
    network = Net()
    network(images(4)).sum().backward()
    network.eval()
    network.conv.bias.requires_grad_(False)
    network.calls = 0

    def count(module, inputs, output):
        network.calls += 0

    network.head.register_forward_hook(count)
    return network


def test_compiling_leaves_the_module_as_it_was():
    network, example = used(), images(1)
    before, pixels = snapshot(network), example.clone()
    compile_program(network, example, "all")
    assert_same(before, snapshot(network))
    assert torch.equal(example, pixels) and example.grad is None


def test_a_failed_capture_leaves_the_module_as_it_was():
    network = used()
    network.bn.train()
    before = snapshot(network)
    with pytest.raises(CaptureError):
        compile_program(network, images(1))
    assert_same(before, snapshot(network))


def test_a_failed_compilation_leaves_the_module_as_it_was():
    network = used()
    network.relu = Step(lambda i: i.cumprod(1))
    network.eval()
    before = snapshot(network)
    with pytest.raises(CompileError):
        compile_program(network, images(1))
    with pytest.raises(ValueError, match="nearest"):
        compile_program(network, images(1), ["convv"])
    assert_same(before, snapshot(network))


def test_an_error_in_the_forward_pass_leaves_the_module_as_it_was():
    network = used()
    before = snapshot(network)
    with pytest.raises(CaptureError):
        compile_program(network, torch.zeros(1, 5, 8, 8))
    assert_same(before, snapshot(network))


def test_training_the_module_further_does_not_reach_the_folded_program():
    """Folding makes new kernels; the module's own stay as they are."""
    network = Net().eval()
    weight = network.conv.weight.detach().clone()
    program = compile_program(network, EXAMPLE).program
    assert torch.equal(network.conv.weight, weight)
    assert any("folded" in name for name in program.constants)
    assert all(value.grad_fn is None and not value.requires_grad for value in program.constants.values())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_does_not_matter(mode):
    network = Net().eval().requires_grad_(False)
    with mode():
        enabled = torch.is_grad_enabled()
        program = compile_program(network, EXAMPLE).program
        assert torch.is_grad_enabled() == enabled
    (found,) = program.run([program.logits], image=images(2))
    torch.testing.assert_close(found, network(images(2)))


def test_the_global_random_state_is_untouched_when_the_network_has_dropout():
    network = Net().eval()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    compile_program(network, EXAMPLE)
    assert torch.equal(torch.rand(4), expected)


def test_a_second_compilation_gives_the_same_program():
    network = Net().eval()
    first, second = compile_program(network, EXAMPLE).program, compile_program(network, EXAMPLE).program
    outputs = [{str(i): node for i, node in enumerate(program.asked())} for program in (first, second)]
    assert first.listing(outputs[0]) == second.listing(outputs[1])
    other = compile_program(copy.deepcopy(network), EXAMPLE).program
    assert first.listing(outputs[0]) == other.listing({str(i): node for i, node in enumerate(other.asked())})


class Standardised(nn.Module):
    """A convolution whose kernel is standardised at each call, as in normaliser-free networks."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, image):
        kernel = self.conv.weight
        flat = nn.functional.batch_norm(kernel.reshape(1, 4, -1), None, None, training=True, momentum=0.0)
        return self.head(nn.functional.conv2d(image, flat.reshape_as(kernel)).mean((2, 3)))


def test_a_standardised_kernel_is_a_constant():
    """Its BatchNorm runs in training mode, but over a kernel: no image of the batch is in it."""
    network = Standardised().double().eval()
    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    program = compile_program(network, image).program
    assert not any(node.target is aten.batch_norm for node in program.graph.nodes)
    torch.testing.assert_close(program.run([program.logits], image=image)[0], network(image), rtol=1e-12, atol=0)


def test_a_region_without_autocast_is_part_of_the_network():
    class Region(nn.Module):
        def __init__(self, enabled):
            super().__init__()
            self.head, self.enabled = nn.Linear(3, 3), enabled

        def forward(self, image):
            with torch.autocast("cpu", enabled=self.enabled):
                pooled = (image * image).float().mean((2, 3))
            return self.head(pooled)

    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = Region(False).eval()
    program = compile_program(network, image).program
    torch.testing.assert_close(program.run([program.logits], image=image)[0], network(image))
    with pytest.raises(CaptureError, match="autocast is switched on"):
        compile_program(Region(True).eval(), image)
