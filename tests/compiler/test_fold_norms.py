import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import engine.compiler.passes
from engine import METHODS, compile_model
from engine.compiler.passes import compile_program
from engine.listing.program import aten
from engine.methods import Method
from engine.methods.places import LAYER
from engine.trust.certificate import AT_LAYER
from tests.oracle import GATED


class Folding(nn.Module):
    """Convolution, BatchNorm, ReLU, and a head; `body` may wire them otherwise."""

    def __init__(self, conv, norm, body=None):
        super().__init__()
        self.conv, self.norm = conv, norm
        self.head = nn.Conv2d(norm.num_features, 5, 3, padding=1)
        self.body = body or (lambda n, i: F.relu(n.norm(n.conv(i))))

    def forward(self, image):
        return self.head(self.body(self, image)).mean((2, 3))


def conv(inside=4, outside=6, kernel=3, **options):
    return nn.Conv2d(inside, outside, kernel, padding=1, **options)


def norm(channels=6, **options):
    module = nn.BatchNorm2d(channels, **options)
    generator = torch.Generator().manual_seed(channels)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        module.running_var.abs_().add_(0.3)
    return module


def built(*parts, **options):
    torch.manual_seed(0)
    return Folding(*parts, **options).double().eval()


EXAMPLE = torch.zeros(1, 4, 9, 8, dtype=torch.float64)


BY_GATES = ["gradient", "deconvnet", "guided_backprop"]


def compiled(network, layers="all", methods=None):
    return compile_program(network, EXAMPLE, layers, methods)


def unfolded(network, layers, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(engine.compiler.passes, "fold_batch_norm", lambda program: 0)
        return compile_program(network, EXAMPLE, layers)


def values(found, count=2):
    """Everything that can be asked for, by what it is, but for relevance: a convolution and the norm behind it
    hand it on otherwise than the one convolution that stands for both, as its rules are meant to."""
    program = found.program
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 4, 9, 8, dtype=torch.float64, generator=generator)
    seed = torch.randn(count, 5, dtype=torch.float64, generator=generator)
    names = ["logits", *(f"primal {layer.name}" for layer in program.layers)]
    names += [f"{policy} {layer.name}" for policy in program.cotangents for layer in program.layers]
    names += [f"{policy} image" for policy in program.image_cotangents]
    all_values = dict(zip(names, program.run(program.asked(), image=image, seed=seed), strict=True))
    return {name: value for name, value in all_values.items() if name.split()[0] not in program.relevances}


def assert_same_values(left, right, bound=1e-12):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.abs().max() > 0, name
        assert (value - right[name]).abs().max() <= bound * right[name].abs().max(), name


def ops(found):
    return [node.target for node in found.program.graph.nodes if node.op == "call_function"]


PAIRS = {
    "without_bias": (conv(bias=False), norm()),
    "with_bias": (conv(), norm()),
    "strided": (conv(stride=2), norm()),
    "groups": (conv(4, 8, groups=4, bias=False), norm(8)),
    "depthwise": (conv(4, 4, groups=4), norm(4)),
    "dilated": (conv(dilation=2), norm()),
    "pointwise": (conv(kernel=1, bias=False), norm()),
    "not_affine": (conv(), norm(affine=False)),
    "not_affine_without_bias": (conv(bias=False), norm(affine=False)),
    "large_eps": (conv(), norm(eps=0.5)),
}


class SideBySide(nn.Module):
    """Every pair in one network, one branch each, so that one compilation serves them all."""

    def __init__(self):
        super().__init__()
        for name, (convolution, normalisation) in PAIRS.items():
            self.add_module(name, nn.Sequential(convolution, normalisation, nn.ReLU()))
            self.add_module(f"{name}_head", nn.Linear(normalisation.num_features, 5))

    def forward(self, image):
        return sum(getattr(self, f"{name}_head")(getattr(self, name)(image).mean((2, 3))) for name in PAIRS)


BETWEEN = [f"{name}.0" for name in PAIRS]
BEHIND = [f"{name}.{index}" for name in PAIRS for index in (1, 2)]


@pytest.mark.parametrize("layers", [BEHIND, BETWEEN + BEHIND], ids=["behind", "between"])
def test_folding_changes_no_value(layers, monkeypatch):
    """`between` asks for the layers between convolution and BatchNorm as well."""
    torch.manual_seed(0)
    network = SideBySide().double().eval()
    found, plain = compiled(network, layers), unfolded(network, layers, monkeypatch)
    assert (found.folded, plain.folded) == (len(PAIRS), 0)
    assert aten.batch_norm not in ops(found) and aten.batch_norm in ops(plain)
    assert set(found.program.cotangents) >= set(GATED)
    assert len(found.program.layers) == len(layers)
    assert_same_values(values(found), values(plain))


def test_the_values_are_autograds():
    """Not only alike: equal to what the network and autograd say, the layer between included."""
    network = built(conv(), norm())
    found = values(compiled(network))
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 4, 9, 8, dtype=torch.float64, generator=generator).requires_grad_()
    seed = torch.randn(2, 5, dtype=torch.float64, generator=generator)
    between = network.conv(image)
    behind = network.norm(between)
    logits = network.head(F.relu(behind)).mean((2, 3))
    expected = torch.autograd.grad(logits, [image, between, behind], seed)
    pairs = {
        "logits": logits, "primal conv": between, "primal norm": behind,
        "gradient image": expected[0], "gradient conv": expected[1], "gradient norm": expected[2],
    }  # fmt: skip
    for name, value in pairs.items():
        assert (found[name] - value).abs().max() <= 1e-12 * value.abs().max(), name


def test_what_folding_leaves_is_one_convolution():
    found = compiled(built(conv(), norm()), ["norm"], BY_GATES)
    assert ops(found).count(aten.conv2d) == 2
    used = [name for name in found.program.constants if name.startswith(("conv", "norm"))]
    assert len(used) == 2, "a kernel and a bias, and nothing of the BatchNorm"


def test_chains_are_folded_link_by_link(monkeypatch):
    def body(n, i):
        return F.relu(n.norm(n.conv(F.relu(n.first_norm(n.first(i))))))

    network = Folding(conv(6, 6), norm(), body)
    network.first, network.first_norm = conv(), norm()
    network = network.double().eval()
    found = compiled(network)
    assert found.folded == 2
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_a_convolution_with_a_second_reader_is_not_folded(monkeypatch):
    def body(n, i):
        value = n.conv(i)
        return F.relu(n.norm(value)) + value

    network = built(conv(), norm(), body=body)
    found = compiled(network, ["norm"])
    assert found.folded == 0 and aten.batch_norm in ops(found)
    assert_same_values(values(found), values(unfolded(network, ["norm"], monkeypatch)))


def test_a_convolution_read_twice_by_norms_is_not_folded(monkeypatch):
    def body(n, i):
        value = n.conv(i)
        return F.relu(n.norm(value)) + n.norm(value)

    network = built(conv(), norm(), body=body)
    found = compiled(network)
    assert found.folded == 0
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_a_convolution_called_twice_is_folded_per_call(monkeypatch):
    """The kernel is shared by two calls with different norms: each call gets a kernel of its own."""

    def body(n, i):
        return F.relu(n.norm(n.conv(F.relu(n.other(n.conv(i))))))

    network = Folding(conv(4, 4), norm(4), body)
    network.other = norm(4)
    nn.init.constant_(network.other.weight, 0.7)
    network = network.double().eval()
    found = compiled(network)
    assert found.folded == 2
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_a_convolution_that_also_stands_alone_keeps_its_kernel(monkeypatch):
    def body(n, i):
        return F.relu(n.norm(n.conv(i))) + n.conv(F.relu(n.conv(i)))

    network = built(conv(4, 4), norm(4), body=body)
    found = compiled(network)
    assert found.folded == 1
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_a_norm_without_a_convolution_before_it_stays(monkeypatch):
    network = built(conv(), norm(), body=lambda n, i: n.norm(F.relu(n.conv(i))))
    found = compiled(network)
    assert found.folded == 0 and aten.batch_norm in ops(found)
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_a_layer_between_is_given_back_exactly(monkeypatch):
    network = built(conv(), norm())
    found, plain = compiled(network, ["conv"]), unfolded(network, ["conv"], monkeypatch)
    assert found.folded == 1 and found.program.layers[0].scale is not None
    left, right = values(found), values(plain)
    assert_same_values(left, right)
    assert "primal conv" in left and {f"{policy} conv" for policy in GATED} <= set(left)


def with_gamma(gamma):
    network = built(conv(), norm())
    with torch.no_grad():
        network.norm.weight[2] = gamma
    return network


def test_gamma_zero_is_not_folded_where_the_layer_between_is_asked_for(monkeypatch):
    """Zero times a value cannot be given back."""
    network = with_gamma(0.0)
    found = compiled(network)
    assert found.folded == 0
    left, right = values(found), values(unfolded(network, "all", monkeypatch))
    assert all(torch.isfinite(value).all() for value in left.values())
    assert_same_values(left, right)


def test_gamma_zero_is_folded_where_nobody_asks_for_the_layer_between(monkeypatch):
    network = with_gamma(0.0)
    found = compiled(network, ["norm"])
    assert found.folded == 1
    assert_same_values(values(found), values(unfolded(network, ["norm"], monkeypatch)))


@pytest.mark.parametrize("gamma", [1e-3, 1e-9, -1e-6])
def test_a_gamma_near_zero_costs_no_precision(gamma, monkeypatch):
    """Either not folded, or given back as exactly as elsewhere: per channel, not only on the whole."""
    network = with_gamma(gamma)
    left, right = values(compiled(network)), values(unfolded(network, "all", monkeypatch))
    assert_same_values(left, right, 1e-11)
    given, true = left["primal conv"][:, 2], right["primal conv"][:, 2]
    assert (given - true).abs().max() <= 1e-11 * true.abs().max()


def test_float32_loses_no_more_than_a_rounding():
    network = built(conv(), norm())
    exact = values(compiled(network, methods=BY_GATES))
    single = compile_program(network.float(), EXAMPLE.float(), "all", BY_GATES).program
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 4, 9, 8, dtype=torch.float64, generator=generator).float()
    seed = torch.randn(2, 5, dtype=torch.float64, generator=generator).float()
    for name, value in zip(exact, single.run(single.asked(), image=image, seed=seed), strict=True):
        assert (value - exact[name]).abs().max() <= 1e-5 * exact[name].abs().max(), name


def test_a_network_that_ends_in_a_norm_is_folded(monkeypatch):
    class Ending(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 5, (9, 8)), norm(5)

        def forward(self, image):
            return self.norm(self.conv(F.relu(image))).flatten(1)

    network = Ending().double().eval()
    found = compiled(network)
    assert found.folded == 1
    assert_same_values(values(found), values(unfolded(network, "all", monkeypatch)))


def test_folding_leaves_the_module_alone():
    network = built(conv(), norm())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compiled(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("layers", [["0", "1"], ["0", "2"], ["0", "1", "2"]], ids=" ".join)
def test_the_maps_before_and_behind_a_folded_norm_are_read_as_one_sum(layers):
    """Of the value behind the norm; alone, and with the layer behind read first."""
    torch.manual_seed(0)
    network = nn.Sequential(conv(3), norm(), nn.ReLU(), conv(6, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    explainer = compile_model(network.double().eval(), EXAMPLE[:, :3], layers=layers, methods="grad_cam")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=generator)
    seed = torch.randn(2, 5, dtype=torch.float64, generator=generator)
    _, primals, cotangents, _ = explainer.probe(x, seed, "gradient")
    swept = explainer.sweep(x, seed, "grad_cam")
    for index, (primal, ct) in enumerate(zip(primals, cotangents, strict=True)):
        small = F.relu(torch.einsum("nchw,nc->nhw", primal, ct.mean((2, 3))))
        assert small.max() > 0
        expected = F.interpolate(small[:, None], (9, 8), mode="bilinear")[:, 0]
        for map in (swept[:, index], explainer.explain(x, seed, "grad_cam", index)):
            torch.testing.assert_close(map, expected, rtol=1e-12, atol=1e-12)


def products(primal: Tensor, ct: Tensor) -> Tensor:
    """A reading that is no weighted sum: HiResCAM's, Draelos and Carin 2020."""
    return torch.relu((primal * ct).sum(1))


def test_a_reading_of_another_kind_gets_the_values_given_back(monkeypatch):
    """In one question with a weighted sum too, before a folded norm and behind it."""
    method = Method("products", "gradient", LAYER, products, "Products", "arXiv:2011.08891")
    monkeypatch.setitem(METHODS, "products", method)
    monkeypatch.setitem(AT_LAYER, "products", (lambda a, ct: torch.einsum("nchw,nchw->nhw", a, ct), False))
    torch.manual_seed(0)
    network = nn.Sequential(conv(3), norm(), nn.ReLU(), conv(6, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    names = ["grad_cam", "products"]
    explainer = compile_model(network.double().eval(), EXAMPLE[:, :3], ["0", "1"], names)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=generator)
    seed = torch.randn(2, 5, dtype=torch.float64, generator=generator)
    _, primals, cotangents, _ = explainer.probe(x, seed, "gradient")
    maps = [products(primal, ct) for primal, ct in zip(primals, cotangents, strict=True)]
    expected = F.interpolate(torch.stack(maps, 1), (9, 8), mode="bilinear")
    both = explainer.survey(x, seed, names)
    assert expected.max() > 0
    torch.testing.assert_close(both["products"], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(explainer.sweep(x, seed, "products"), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(both["grad_cam"], explainer.sweep(x, seed, "grad_cam"), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.weigh], ids=lambda m: m.name)
def test_a_weighted_reading_is_the_sum_that_its_weights_tell(method):
    generator = torch.Generator().manual_seed(2)
    primal, ct = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, generator=generator)
    weights = method.weigh(ct)
    expected = torch.einsum("nchw,nc->nhw" if weights.ndim == 2 else "nchw,nchw->nhw", primal, weights)
    assert (expected < 0).any()
    torch.testing.assert_close(method.read(primal, ct), F.relu(expected) if method.rectified else expected)
