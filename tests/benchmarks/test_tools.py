"""The tools that are compared answer the same question, on a small network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import handbook, tools
from benchmarks.questions import LAYOUTS
from tests.benchmarks.small import GUIDED, SIDE, asked_of
from tests.conformance.test_agreement import needs


def alike(found: Tensor, wanted: Tensor) -> float:
    """The least correlation of an image's maps: some tools shift and scale them."""
    assert found.shape == wanted.shape and found.flatten(1).std(1).min() > 0
    return min(float(np.corrcoef(a.flatten(), b.flatten())[0, 1]) for a, b in zip(found, wanted, strict=True))


def resized(maps: Tensor) -> Tensor:
    return F.interpolate(maps, (SIDE, SIDE), mode="bilinear")


# What a tool answers, as [N, S, S] or [N, C, S, S].
SHAPED: dict[tuple[str, str], Callable[[Any], Tensor]] = {
    ("grad_cam", "captum"): lambda found: resized(found)[:, 0].detach(),
    ("grad_cam", "torchcam"): lambda found: resized(found[0][:, None])[:, 0],
    ("grad_cam", "grad-cam"): torch.from_numpy,
    (GUIDED, "captum"): torch.Tensor.detach,
    (GUIDED, "grad-cam"): lambda found: torch.from_numpy(found).permute(2, 0, 1)[None],
}
BATCHES = [(*key, batch) for key in SHAPED for batch in (1, 2) if batch == 1 or key not in tools.ONE_IMAGE]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("task", "tool", "batch"), BATCHES)
def test_a_tool_answers_the_question(small, explainer, task: str, tool: str, batch: int, layout: str) -> None:
    needs(tool)
    asked = asked_of(small, explainer.layers, batch)
    found = SHAPED[task, tool](tools.PEERS[task][tool](asked.laid_out(layout).own())())
    assert alike(found, explainer.explain(asked.x, asked.seed, task)) > 0.999


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", tools.PEERS["every_layer"])
def test_every_layer_of_other_tools(small, explainer, tool: str) -> None:
    for part in tool.split(" and "):
        needs(part)
    asked = asked_of(small, explainer.layers)
    found = tools.PEERS["every_layer"][tool](asked.own())()
    wanted = tools.ours(explainer, asked.x, asked.seed)["every_layer"]()
    assert list(found) == tools.EVERY
    for layer in range(len(explainer.layers)):
        assert alike(found["grad_cam"][:, layer], wanted["grad_cam"][:, layer]) > 0.999
    assert alike(found[GUIDED], wanted[GUIDED]) > 0.999
    product = found["grad_cam"][:, :, None] * found[GUIDED][:, None]
    assert torch.equal(found["guided_grad_cam"], product) and found["guided_grad_cam"].any()


def test_the_handbooks_loop(small, explainer) -> None:
    asked = asked_of(small, explainer.layers).own()
    asked.module.requires_grad_()
    answers = handbook.every_layer(asked.module, asked.x, asked.targets[0], range(5))
    assert len(answers) == 5
    for place, found in enumerate(answers):
        layer = f"features.{place}"
        for method in tools.EVERY:
            wanted = explainer.explain(asked.x, asked.seed, method, layer)[0]
            assert alike(torch.from_numpy(found[method])[None], wanted[None]) > 0.999
    asked.module.requires_grad_(False)


@pytest.mark.filterwarnings("ignore")
def test_forward_passes_in_all_ways_give_the_same(small) -> None:
    asked = asked_of(small, [], 2)
    ways = tools.forwards(asked)
    assert len(ways) == 6
    for way, call in ways.items():
        torch.testing.assert_close(call(), small(asked.x), msg=way)
