"""Networks in their wrappers, with other inputs and outputs, and what is refused with the way out."""

import dataclasses
from collections import namedtuple
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from engine import CaptureError, compile_model
from engine.compiler.brought import bring
from engine.compiler.heads import heads_of

X = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SEED = torch.randn(2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


def gradient(network: Any, x: Tensor = X, seed: Tensor = SEED) -> Tensor:
    leaf = x.clone().requires_grad_()
    (network(leaf) * seed).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def exact(brought: Any, **options: Any) -> None:
    found = compile_model(brought, X, **options)
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(Net()), rtol=1e-12, atol=1e-14)
    assert found.layers[0] == "conv"  # without the wrapper's name in front


class Fed(Net):
    """One that takes more than an image."""

    def forward(self, x: Tensor, scale: Tensor, shift: float = 0.0) -> Tensor:  # type: ignore[override]
        return super().forward(x) * scale + shift


class Loose(Net):
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs)


WRAPPED = {
    "DataParallel": nn.DataParallel,
    "torch.compile": torch.compile,
    "an average": torch.optim.swa_utils.AveragedModel,
    "one in another": lambda net: torch.compile(nn.DataParallel(net)),
    "Sequential": lambda net: nn.Sequential(net.conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.fc),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_network_is_taken_out_of_its_wrapper(wrap: Any) -> None:
    found = compile_model(wrap(Net()).eval(), X)
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(Net()), rtol=1e-12, atol=1e-14)


def test_any_signature_that_takes_an_image_will_do() -> None:
    exact(Loose())


def test_an_exported_program_is_taken() -> None:
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(Net(), (X,), dynamic_shapes=(batch,))
    found = compile_model(program, X)  # type: ignore[arg-type]
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(Net()), rtol=1e-12, atol=1e-14)


def test_what_is_taken_beside_the_image_is_named_and_may_be_fixed() -> None:
    with pytest.raises(CaptureError, match=r'takes scale beside the image.*inputs=\{"scale": …\}'):
        compile_model(Fed(), X)
    scale = torch.full((1, 4), 2.0, dtype=torch.float64)
    found = compile_model(Fed(), X, inputs={"scale": scale, "shift": 1.0})
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), 2 * gradient(Net()), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.forward(X), 2 * Net()(X) + 1)
    with pytest.raises(CaptureError, match="unexpected keyword argument 'size'"):
        compile_model(Fed(), X, inputs={"scale": scale, "size": 1})


@dataclasses.dataclass
class Out:
    logits: Tensor
    hidden: Tensor | None = None


class Pair(NamedTuple):
    logits: Tensor
    aux: Tensor


RETURNED = {
    "a dataclass": Out,
    "a named tuple": lambda logits: Pair(logits, logits * 2),
    "a dict": lambda logits: {"aux": None, "logits": logits},
    "one in another": lambda logits: {"a": [Out(logits)]},
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED)
def test_a_head_of_any_container_is_found_by_name(returned: Any) -> None:
    class Returning(Net):
        def forward(self, x: Tensor) -> Any:
            return returned(super().forward(x))

    name = next(name for name in heads_of(Returning()(X)) if name.endswith("logits"))
    exact(Returning(), head=name)


def test_an_output_without_tensors_that_are_found_is_refused() -> None:
    class Bag:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

    class Bagged(Net):
        def forward(self, x: Tensor) -> Any:
            return Bag(super().forward(x))

    with pytest.raises(CaptureError, match=r"Bagged returns no tensor that could be found: .* dataclass"):
        compile_model(Bagged(), X)


def test_the_names_of_heads() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    other = namedtuple("other", "x y")(one, two)
    assert list(heads_of({"a": [one, (two,)], "b": Out(one), "c": other, "d": 3})) == [
        "a.0", "a.1.0", "b.logits", "c.x", "c.y",
    ]  # fmt: skip
    assert heads_of(one)[""] is one


def test_the_network_is_as_it_was() -> None:
    network = Net()
    modules, keys = dict(network.named_modules()), list(network.state_dict())
    compile_model(network, X)
    assert dict(network.named_modules()) == modules and list(network.state_dict()) == keys
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(part._forward_hooks for part in network.modules())


def test_an_exported_program_of_a_fixed_batch_is_taken_too() -> None:
    for images in (1, 2):
        program = torch.export.export(Net(), (X[:images],))
        found = compile_model(program, X)  # type: ignore[arg-type]
        torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(Net()), rtol=1e-12, atol=1e-14)


def test_an_image_that_is_taken_by_its_name_alone() -> None:
    class Named(Net):
        def forward(self, *, image: Tensor, scale: float = 1.0) -> Tensor:  # type: ignore[override]
            return super().forward(image) * scale

    exact(Named())
    found = compile_model(Named(), X, inputs={"scale": 2.0})
    torch.testing.assert_close(found.forward(X), 2 * Net()(X))


def test_a_network_that_fails_by_itself_says_so_in_torchs_own_words() -> None:
    class Failing(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).mean((2, 3)).float())

    with pytest.raises(
        CaptureError, match=r"Failing cannot take its example, float64 \[2, 3, 10, 10\] \(test_brought"
    ):
        compile_model(Failing(), X)
    with pytest.raises(CaptureError, match=r"expected input\[1, 4, 10, 10\] to have 3 channels"):
        compile_model(Net(), torch.zeros(1, 4, 10, 10, dtype=torch.float64))


def test_what_torch_logs_of_a_refusal_reaches_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    class Looking(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(CaptureError) as refused:
        compile_model(Looking(), X)
    assert capfd.readouterr() == ("", "")
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__  # nor does the graph, by way of a traceback


PLAIN = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).double().eval()
REFUSED = {
    "TorchScript": (lambda: torch.jit.script(PLAIN), "is TorchScript already.*nn.Module that it was scripted"),
    "a trace": (lambda: torch.jit.trace(PLAIN, X), "is TorchScript already"),
    "a frozen script": (lambda: torch.jit.freeze(torch.jit.script(PLAIN)), "is TorchScript already"),
    "a script inside": (
        lambda: nn.Sequential(PLAIN, torch.jit.script(nn.ReLU())).eval(),
        "^1 is TorchScript.*nn.Module there",
    ),
    "a function": (lambda: torch.relu, "no nn.Module"),
    "a state": (lambda: PLAIN.state_dict(), "OrderedDict is no nn.Module"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_what_holds_no_network_is_refused_in_the_sentence_that_fits(make: Any, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        bring(make(), X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_network_is_refused_by_the_name_of_its_layer() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(Net().float(), {nn.Linear})
    with pytest.raises(CaptureError, match=r"fc is quantised .*compile the network that it was quantised from"):
        bring(quantised, X.float())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 10, 10), r"\[3, 10, 10\], where images \[N, C, H, W\].*example\[None\]"),
        ((1, 1, 64), r"signals \[N, C, L\].*image.squeeze\(2\)"),
        ((1, 1, 4, 8, 8), r"volumes \[N, C, D, H, W\].*unflatten"),
        ((10,), r"images \[N, C, H, W\] are taken"),
    ],
)
def test_another_rank_is_refused_with_the_wrapper_to_write(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        compile_model(Net(), torch.zeros(shape, dtype=torch.float64))


def test_the_wrapper_for_signals_is_right() -> None:
    class Signals(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())

        def forward(self, image: Tensor) -> Tensor:
            return self.net(image.squeeze(2))

    network = Signals().double().eval()
    x = torch.randn(2, 2, 1, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seed = torch.ones(2, 6, dtype=torch.float64)
    found = compile_model(network, x).explain(x, seed, "gradient")
    torch.testing.assert_close(found, gradient(network, x, seed))


def test_another_precision_is_told_apart_from_all_else() -> None:
    with pytest.raises(
        CaptureError, match=r"example is float64, the weights are float32.*example.to\(torch.float32"
    ):
        compile_model(Net().float(), X)
    with pytest.raises(CaptureError, match=r"example is uint8, the weights are float64"):
        compile_model(Net(), torch.zeros(1, 3, 10, 10, dtype=torch.uint8))
