"""What callers bring and how they call: heads, probabilities, gray images, inference mode, threads, precisions."""

import copy
import random
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CaptureError, CompileError
from engine.files.artifact import Explainer, load, save
from engine.files.compiling import compile_model
from engine.files.shelf import open_model
from engine.pictures.figures import Look, picture
from engine.pictures.geometry import Geometry
from tests.oracle import at_image, deviation, fixed_seed

X = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SEED = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Net(nn.Module):
    """Two convolutions, BatchNorm, ReLUs, and a head; `ending` makes of the logits what is returned."""

    def __init__(self, ending: Callable[[Tensor], Any] = lambda y: y, channels: int = 3) -> None:
        super().__init__()
        with fixed_seed(0):
            self.first, self.second = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, 6, 3)
            self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(6, 5)
        self.ending = ending
        self.double().eval()

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.second(F.relu(self.norm(self.first(x)), inplace=True)))
        return self.ending(self.head(h.mean((2, 3))))


class Pair(NamedTuple):
    logits: Tensor
    extra: Tensor


HEADS: dict[str, tuple[Callable[[Tensor], Any], str | int | None, list[str], Callable[[Any], Tensor]]] = {
    "the first of a tuple": (lambda y: (y, y.exp()), None, ["0", "1"], lambda out: out[0]),
    "one of a tuple": (lambda y: (y, y.square()), 1, ["0", "1"], lambda out: out[1]),
    "one of a dict": (lambda y: {"a": y, "b": y * y}, "b", ["a", "b"], lambda out: out["b"]),
    "one of a dict in a tuple": (lambda y: (y, {"b": y * y}), "1.b", ["0", "1.b"], lambda out: out[1]["b"]),
    "the first of a named tuple": (lambda y: Pair(y, y.square()), None, ["logits", "extra"], lambda out: out[0]),
    "one of a named tuple": (lambda y: Pair(y, y.square()), "extra", ["logits", "extra"], lambda out: out[1]),
    "beside a None": (lambda y: (None, y), None, ["1"], lambda out: out[1]),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_network_with_several_heads(name: str) -> None:
    ending, head, heads, pick = HEADS[name]
    module = Net(ending)
    explainer = compile_model(module, X, head=head)
    assert explainer.manifest["heads"] == heads
    assert explainer.manifest["head"] == (heads[0] if head is None else str(head))
    logits, _, _, found = explainer.probe(X, SEED, "guided")
    wanted, ct, _ = at_image(_Picked(module, pick), X, SEED, "guided")
    assert deviation(logits, wanted) < 1e-12
    assert deviation(found, ct) < 1e-12
    assert max(explainer.manifest["certificate"]["original"].values()) < 1e-12


class _Picked(nn.Module):
    def __init__(self, module: nn.Module, pick: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.pick = module, pick

    def forward(self, x: Tensor) -> Tensor:
        return self.pick(self.module(x))


def test_a_wrong_head_is_answered_with_those_that_there_are() -> None:
    module = Net(lambda y: {"map": y[:, :, None], "logits": y})
    with pytest.raises(CaptureError, match=r"no head is called 'logit'; the module returns map \[.*logits \["):
        compile_model(module, X, head="logit")
    assert compile_model(module, X).manifest["head"] == "map"
    assert compile_model(module, X, head="logits").manifest["head"] == "logits"


ENDINGS = {
    "softmax": lambda y: y.softmax(1),
    "log_softmax": lambda y: F.log_softmax(y, -1),
    "sigmoid": torch.sigmoid,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network_that_ends_in_probabilities(ending: str) -> None:
    """It is explained as it is, and says so; the logits below are to be had, and are those of the bare network."""
    module, bare = Net(ENDINGS[ending]), Net()
    with pytest.warns(UserWarning, match=f"Net ends in {ending}, .*below_softmax=True"):
        as_it_is = compile_model(module, X)
    assert as_it_is.manifest["ending"] == ending
    assert deviation(as_it_is.probe(X, SEED, "guided")[3], at_image(module, X, SEED, "guided")[1]) < 1e-12
    below = compile_model(module, X, below_softmax=True)
    assert max(below.manifest["certificate"]["original"].values()) < 1e-12
    logits, _, _, found = below.probe(X, SEED, "guided")
    wanted, ct, _ = at_image(bare, X, SEED, "guided")
    assert deviation(logits, wanted) < 1e-12
    assert deviation(found, ct) < 1e-12
    assert "cam" in below.methods
    assert "cam" not in as_it_is.methods


def test_a_gray_network_on_images_that_are_not_square(tmp_path: Any) -> None:
    geometry = Geometry(16, (12, 20), "bilinear", (0.4,), (0.2,))
    module = Net(channels=1).float()
    built = compile_model(module, torch.zeros(1, 1, 12, 20), preprocess=geometry)
    save(built, tmp_path / "gray.pt")
    explainer = load(tmp_path / "gray.pt")
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    x = explainer.preprocess(torch.from_numpy(photo))
    assert x.shape == (1, 1, 12, 20)
    for method in explainer.one_pass_methods:
        found = explainer.explain(x, explainer.one_hot(2), method)
        assert found.shape[-2:] == (12, 20)
        wanted = at_image(module, x, explainer.one_hot(2), "gradient")[1]
        if method == "gradient":
            assert deviation(found, wanted) < 1e-5
        window = explainer.geometry.window(40, 60)
        at_the_image = found.ndim == 4 or method == "saliency"
        drawn = picture(photo, window, found[0].numpy(), Look(), at_image=at_the_image)
        assert drawn.shape[-1] == 3


CONTEXTS = {
    "inference mode": torch.inference_mode, "no_grad": torch.no_grad, "enable_grad": torch.enable_grad,
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("frozen", [False, True])
def test_callers_may_be_in_any_mode(context: str, frozen: bool) -> None:
    module = Net()
    wanted = at_image(module, X, SEED, "guided")[1]
    with CONTEXTS[context]():
        module = Net().requires_grad_(not frozen)
        x, seed = X.clone(), SEED.clone()
        explainer = compile_model(module, x)
        found = explainer.probe(x, seed, "guided")[3]
        x.requires_grad_(context != "inference mode")
        again = explainer.probe(x, seed, "guided")[3]
    assert not found.requires_grad
    assert deviation(found, wanted) < 1e-12
    assert torch.equal(again, found)


def _settings() -> dict[str, Any]:
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "warnings": list(warnings.filters),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "random": torch.get_rng_state().tolist(),
        "python random": random.getstate(),
        "optimized": torch._C._get_graph_executor_optimize(),
        "cudnn": torch.backends.cudnn.benchmark,
    }


class Broken(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.cumprod(3))


class Undecided(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


@pytest.mark.parametrize("kind", [Net, Broken, Undecided])
def test_global_settings_stay_as_they_are(kind: type[Net]) -> None:
    """Also after an error, and with a default type of the caller's own."""
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    try:
        module, before = kind(), _settings()
        state, flags = copy.deepcopy(module.state_dict()), [p.requires_grad for p in module.parameters()]
        if kind is Net:
            explainer = compile_model(module, X)
            with pytest.raises(ValueError, match="this network takes"):
                explainer.explain(X[0], SEED, "grad_cam")
            explainer.sweep(X, SEED, "guided_grad_cam")
        else:
            with pytest.raises((CaptureError, CompileError)):
                compile_model(module, X)
        assert _settings() == before
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert [p.requires_grad for p in module.parameters()] == flags
        assert all(p.grad is None for p in module.parameters())
        assert not any(part.training or part._forward_hooks or part._backward_hooks for part in module.modules())
    finally:
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)


def test_eight_threads_ask_one_explainer_two_hundred_times() -> None:
    """Any method, layer and batch size: each answer is the one that a single thread gets."""
    explainer = compile_model(Net(), X)
    r = random.Random(0)
    questions = []
    for _ in range(200):
        batch = r.randint(1, 3)
        start = r.randint(0, 3 - batch)
        part = slice(start, start + batch)
        kind = r.choice(["explain", "explain", "sweep", "survey", "probe"])
        if kind == "explain":
            method = r.choice([m for m in explainer.one_pass_methods if m != "cam"])
            rest: tuple[Any, ...] = (method, r.randrange(len(explainer.layers)))
        elif kind == "sweep":
            rest = (r.choice(["grad_cam", "guided_grad_cam"]),)
        elif kind == "survey":
            rest = (r.sample(explainer.one_pass_methods, 3),)
        else:
            rest = (r.choice(explainer.policies),)
        questions.append((kind, part, rest))

    def ask(question: tuple[str, slice, tuple[Any, ...]]) -> list[Tensor]:
        kind, part, rest = question
        answer = getattr(explainer, kind)(X[part], SEED[part], *rest)
        if isinstance(answer, dict):
            return list(answer.values())
        if isinstance(answer, Tensor):
            return [answer]
        return [t for item in answer for t in (item if isinstance(item, list) else [item])]

    alone = [ask(question) for question in questions]
    ready = threading.Barrier(8)

    def work(number: int) -> list[list[Tensor]]:
        ready.wait()
        return [ask(question) for question in questions[number::8]]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(8)))
    for number, answers in enumerate(together):
        for found, wanted in zip(answers, alone[number::8], strict=True):
            for a, b in zip(found, wanted, strict=True):
                assert a.shape == b.shape
                assert (a - b).abs().max() <= 1e-6 * b.abs().max()


def test_casts_are_followed_back() -> None:
    class Casting(Net):
        def forward(self, x: Tensor) -> Any:
            h = F.relu(self.second(F.relu(self.first(x)).float().double()))
            return self.head(h.mean((2, 3)))

    module = Casting()
    found = compile_model(module, X).probe(X, SEED, "guided")[3]
    assert deviation(found, at_image(module, X, SEED, "guided")[1]) < 1e-6
    assert found.dtype == torch.float64


def test_bfloat16_on_photos(artifacts: Path) -> None:
    """Grad-CAM, CAM and deconvnet keep a cosine of 0.99. Guided backprop and the gradient can't: rounding the
    weights alone, with all else in float32, takes them below it (docs/exactness.md has the figures)."""
    exact, moved = (open_model("efficientnet_lite0", folder=artifacts) for _ in range(2))
    moved.module.to(torch.bfloat16)
    for name in ("chelsea", "coffee"):
        photo = torch.from_numpy(getattr(skimage.data, name)())
        target = int(exact.forward(exact.preprocess(photo)).argmax())
        assert int(moved.forward(moved.preprocess(photo)).argmax()) == target
        for method, least in {"grad_cam": 0.99, "cam": 0.99, "deconvnet": 0.99, "guided_backprop": 0.95}.items():
            one, other = (e.explain(e.preprocess(photo), e.one_hot(target), method) for e in (exact, moved))
            assert F.cosine_similarity(one.flatten(), other.float().flatten(), dim=0) > least, method


def test_the_file_moves_to_another_precision(tmp_path: Any) -> None:
    """`.to` reaches all that the program holds, constants made by the network included."""

    class Placed(Net):
        def forward(self, x: Tensor) -> Any:
            rows = torch.arange(x.shape[2], dtype=x.dtype, device=x.device)[:, None] / 16
            return super().forward(x * rows + torch.zeros(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device))

    module = Placed().float()
    explainer = compile_model(module, X.float())
    wanted = explainer.probe(X.float(), SEED.float(), "guided")[3]
    explainer.module.to(torch.bfloat16)
    moved = Explainer(explainer.module, explainer.manifest)
    found = moved.probe(X.bfloat16(), SEED.bfloat16(), "guided")[3]
    assert found.dtype == torch.bfloat16
    assert F.cosine_similarity(found.float().flatten(), wanted.flatten(), dim=0) > 0.99
