"""The tools answer the same further question, on a small network; and one network measured."""

import pytest
import torch

from benchmarks import further, further_tools
from benchmarks.questions import LAYOUTS
from benchmarks.tools import OURS
from engine import compile_model
from tests.benchmarks.small import SIDE, asked_of
from tests.benchmarks.test_tools import alike
from tests.conformance.test_agreement import needs

BATCHED = [(task, tool) for task, tools in further_tools.BATCHED_PEERS.items() for tool in tools]
OTHERS = [(task, tool) for task, tools in further_tools.FURTHER_PEERS.items() for tool in tools]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def explainer(small):
    """Its last layer is a ReLU: where a layer has no zero, grad-cam's Ablation-CAM puts a large number there."""
    layers = [f"features.{place}" for place in range(5)]
    return compile_model(small, torch.randn(2, 3, SIDE, SIDE), layers=layers)


@pytest.fixture
def prepared(small, explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network in the place of one of the zoo."""
    for tool in ("captum", "grad-cam", "torchcam"):
        needs(tool)
    monkeypatch.setattr(further, "load", lambda path, device: explainer)
    monkeypatch.setattr(further, "question", lambda name, batch, layers, device: asked_of(small, layers, batch))
    monkeypatch.setitem(further.TASKS_OF, "small", further_tools.FURTHER)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("task", "tool"), BATCHED)
def test_a_tool_of_many_passes(small, explainer, task: str, tool: str, batch: int, layout: str) -> None:
    needs(tool)
    asked = asked_of(small, explainer.layers)
    make, told = further_tools.BATCHED_PEERS[task][tool], asked.laid_out(layout).own()
    if task == "smooth_grad":  # whose noise is each tool's own: without it the mean is the gradient
        found = further_tools.captum_smooth_grad(told, batch, 0.0)()
        assert alike(found, explainer.explain(asked.x, asked.seed, "gradient")) > 0.999
        assert make(told, batch)().shape == asked.x.shape
        return
    found = further.as_map(make(told, batch)(), task, asked)
    assert alike(found, further_tools.further(explainer, asked)[task]()) > 0.999


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("task", "tool"), OTHERS)
def test_another_tool(small, explainer, task: str, tool: str, layout: str) -> None:
    needs(tool)
    asked = asked_of(small, explainer.layers)
    found = further_tools.FURTHER_PEERS[task][tool](asked.laid_out(layout).own())()
    wanted = further_tools.further(explainer, asked)[task]()
    if task.endswith("_layers"):
        assert found.shape[1] == wanted.shape[1] == len(explainer.layers)
        for layer in range(len(explainer.layers)):
            assert alike(torch.as_tensor(found)[:, layer], wanted[:, layer]) > 0.999
    assert alike(further.as_map(found, task, asked), further.as_map(wanted, task, asked)) > 0.999


def test_one_network_measured(prepared, explainer) -> None:
    cells = further.measured("small", "", "cpu", further.Effort(seconds=0.05, rounds=4))
    peers = further_tools.BATCHED_PEERS | further_tools.FURTHER_PEERS
    wanted = {task: {OURS, *peers[task]} for task in further_tools.FURTHER}
    assert {task: set(found) for task, found in cells.items()} == wanted | {
        task: {OURS} for task in further_tools.BESIDE
    }
    assert cells["gradients"][OURS]["batch"] == explainer.module.room
    assert cells["ablation_cam"]["grad-cam"]["calls"] == 1
    for task, tools in cells.items():
        for tool, times in tools.items():
            if tool != OURS:
                assert times["layout"] in LAYOUTS and times["batch"] in further.AT_ONCE
                assert (times["agreement"] is None) == (task == "smooth_grad")


def test_of_some_networks_less_is_asked(prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(further.TASKS_OF, "small", {"unit_guided": ""})
    cells = further.measured("small", "", "cpu", further.Effort(seconds=0.05, rounds=3))
    assert {task: set(found) for task, found in cells.items()} == {
        "guided_backprop": {OURS},
        "unit_guided": {OURS, "captum"},
    }


def test_nothing_is_timed_that_answers_another_question(small, explainer) -> None:
    asked = asked_of(small, explainer.layers)
    answer, wanted = torch.rand(1, *asked.size), torch.rand(1, *asked.size)
    with pytest.raises(ValueError, match="captum answers another question than occlusion"):
        further.compared(asked, "occlusion", "captum", answer, wanted)
    assert further.compared(asked, "smooth_grad", "captum", answer, wanted) is None
    assert further.compared(asked, "occlusion", "captum", 0 * answer, 0 * wanted) is None
