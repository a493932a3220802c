"""What an author keeps out of the gradient stays out, and what only looks so is seen through."""

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from engine import CaptureError, CompileError, compile_model
from engine.compiler.grad_modes import leaving_traces
from tests.compiler.test_brought import SEED, Net, X, gradient


class Stepped(Net):
    """conv, then a step of the test's own, then linear."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.step(self.conv(x)))


def pooled(h: Tensor) -> Tensor:
    return h.relu().mean((2, 3))


def weighed(h: Tensor) -> Tensor:
    with torch.no_grad():
        weight = pooled(h).softmax(1)
    return weight * pooled(h)


@torch.no_grad()
def decorated(h: Tensor) -> Tensor:
    return pooled(h)


def switched(h: Tensor) -> Tensor:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    weight = pooled(h)
    torch.set_grad_enabled(before)
    return weight * pooled(h)


def nested(h: Tensor) -> Tensor:
    with torch.no_grad():
        out = pooled(h)
        with torch.enable_grad():
            inner = pooled(h * h)
        mixed = out * inner
    return out * inner + mixed * pooled(h)


def in_place(h: Tensor) -> Tensor:
    with torch.no_grad():
        weight = h.clone()
        weight.clamp_(max=0.5).mul_(2)
    return (weight * h).mean((2, 3))


def written_over(h: Tensor) -> Tensor:
    with torch.no_grad():
        weight = pooled(h)
    weight = weight.clone()
    weight[:, :2] += 1  # which torch's own functionalisation has to take apart
    return weight * pooled(h)


def through_rounding(h: Tensor) -> Tensor:
    return pooled(h + (h.round() - h).detach())


STEPS = {
    "no_grad": weighed,
    "a decorator": lambda h: decorated(h) * pooled(h),
    "set_grad_enabled": switched,
    "enable_grad inside": nested,
    "in place": in_place,
    "written over": written_over,
    "detach": through_rounding,
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_nothing_flows_back_where_the_author_has_it_so(step: Any) -> None:
    network = Stepped(step)
    found = compile_model(network, X)
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(network), rtol=1e-12, atol=1e-14)
    assert "detached by the network itself: the top level (test_grad_modes.py, line " in found.coverage


def test_the_same_network_gives_the_same_listing() -> None:
    """Nodes hash by where they lie in memory, which differs from run to run."""
    from engine.compiler.passes import compile_program

    def many(h: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [pooled(h * scale) for scale in range(1, 9)]
        return torch.stack(parts).sum(0) * pooled(h)

    listings = set()
    for _ in range(4):
        program = compile_program(Stepped(many), X, methods=["gradient"]).program
        listings.add(program.listing({"ct": program.image_cotangents["gradient"]}))
    assert len(listings) == 1


def test_inference_mode_acts_as_no_grad() -> None:
    def inferred(h: Tensor) -> Tensor:
        with torch.inference_mode():
            weight = pooled(h).softmax(1)
        return weight.clone() * pooled(h)

    network = Stepped(inferred)
    found = compile_model(network, X).explain(X, SEED, "gradient")
    torch.testing.assert_close(found, gradient(Stepped(weighed)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
def test_activation_checkpointing_is_seen_through(reentrant: bool) -> None:
    network = Stepped(lambda h: checkpoint.checkpoint(lambda v: pooled(v * v), h, use_reentrant=reentrant))
    found = compile_model(network, X)
    torch.testing.assert_close(found.explain(X, SEED, "gradient"), gradient(network), rtol=1e-12, atol=1e-14)
    assert "detached" not in found.coverage


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_network_that_is_frozen_so_is_refused_with_the_line(mode: Any) -> None:
    class Frozen(Net):
        def forward(self, x: Tensor) -> Tensor:
            with mode():
                h = self.conv(x).relu()
            return self.fc(h.mean((2, 3)))

    with pytest.raises(CompileError, match=r"no_grad.*test_grad_modes.py, line \d+.*weight.requires_grad = False"):
        compile_model(Frozen(), X)


def test_a_write_under_no_grad_into_what_has_a_gradient_is_refused() -> None:
    def clipped(h: Tensor) -> Tensor:
        with torch.no_grad():
            h.clamp_(max=0.5)
        return pooled(h)

    with pytest.raises(CaptureError, match=r"clamp_ at .*test_grad_modes.py, line \d+.*under no_grad"):
        compile_model(Stepped(clipped), X)


def test_torch_is_as_it_was_and_other_threads_never_see_it() -> None:
    before = torch.inference_mode.__enter__, torch.inference_mode.__exit__, checkpoint.CheckpointFunction
    seen = []

    def elsewhere() -> None:
        with torch.inference_mode():
            seen.append(torch.is_inference_mode_enabled())

    with leaving_traces():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with torch.inference_mode():
            seen.append(torch.is_inference_mode_enabled())
            assert not torch.is_grad_enabled()
            with torch.inference_mode(False):
                assert torch.is_grad_enabled()
    assert seen == [True, False]
    assert before == (torch.inference_mode.__enter__, torch.inference_mode.__exit__, checkpoint.CheckpointFunction)


def test_a_network_made_in_inference_mode_is_compiled() -> None:
    with torch.inference_mode():
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).double().eval()
    compile_model(network, X)
