"""Random small classifiers: what is compiled equals autograd through the network as it is, value by value."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from torch import Tensor, fx, nn

from engine.compiler.capture import capture
from engine.compiler.passes import compile_program
from engine.listing.axes import as_map
from engine.listing.layers import active_nodes, trunk_nodes
from engine.listing.program import Program
from tests.oracle import GATED, GateMode, at_image, at_nodes, fixed_seed, flips
from tests.whole.drawn import CLASSES, Step, finished, joined, networks
from tests.whole.parts import Call, Network

BOUND = 1e-9


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


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_right(name: str) -> None:
    with fixed_seed(0):
        head = nn.Sequential(Call("mean", lambda x: x.mean((2, 3))), nn.Linear(4, CLASSES))
        network = finished(Network((8, 9), FOUND[name](), head))
    assert_compiled_equals_autograd(network)


@given(network=networks())
@settings(COMMON, max_examples=20)
def test_compiled_equals_autograd(network: Network) -> None:
    assert_compiled_equals_autograd(network)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@given(network=networks())
@settings(COMMON, max_examples=200)
def test_many_more_equal_autograd(network: Network) -> None:
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
    cotangents = {policy: [next(answers) for _ in names] for policy in program.cotangents}
    at_images = dict(zip(program.image_cotangents, answers, strict=True))
    assert set(cotangents) == set(at_images) >= set(GATED)
    for policy in GATED:
        wanted_logits, wanted_image, _ = at_image(network, x, seed, policy)
        wanted_primals, wanted = at_nodes(forward, nodes, x, seed, policy)
        assert_equal([logits, *primals], [wanted_logits, *laid_out(forward, wanted_primals)], ["logits", *names])
        found = [seed, at_images[policy], *cotangents[policy]]
        places = ["seed", *(f"{policy} at {name}" for name in ("image", *names))]
        assert_equal(found, [seed, wanted_image, *laid_out(forward, wanted)], places)


@given(network=networks())
@settings(COMMON, max_examples=20)
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
