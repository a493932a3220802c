"""One network measured, by a small one."""

import pytest

from benchmarks import handbook, networks, tools
from benchmarks.questions import LAYOUTS
from tests.benchmarks.small import CLASSES, GUIDED, asked_of
from tests.conformance.test_agreement import needs


@pytest.mark.filterwarnings("ignore")
def test_one_network_measured(small, explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("captum", "grad-cam", "torchcam"):
        needs(tool)
    monkeypatch.setattr(networks, "load", lambda path, device: explainer)
    monkeypatch.setattr(networks, "question", lambda name, batch, layers, device: asked_of(small, layers, batch))
    monkeypatch.setattr(handbook, "LAYERS", 2)
    effort = networks.Effort(seconds=0.05, rounds=3, peers=True, loop=True)
    cells = first = networks.measured("small", 1, "", "cpu", effort, None)
    assert {task: set(found) for task, found in cells.items()} == {
        "forward": set(tools.forwards(asked_of(small, []))),
        "grad_cam": {tools.OURS, "captum", "grad-cam", "torchcam"},
        GUIDED: {tools.OURS, "captum", "grad-cam"},
        "every_layer": {tools.OURS, tools.BOTH, "grad-cam", "captum", networks.HANDBOOK},
    }
    assert cells["every_layer"]["captum"]["estimated"] and cells["grad_cam"]["captum"]["layout"] in LAYOUTS
    cells = networks.measured("small", 2, "", "cpu", effort | {"loop": False}, first)
    assert set(cells[GUIDED]) == {tools.OURS, "captum"} and set(cells["every_layer"]) == {tools.OURS, tools.BOTH}
    assert cells[GUIDED]["captum"]["layout"] == first[GUIDED]["captum"]["layout"]
    cells = networks.measured("small", 1, "", "cpu", effort | {"peers": False, "loop": False}, None)
    assert [set(found) for task, found in cells.items() if task != "forward"] == [{tools.OURS}] * 3


def test_captum_is_estimated_from_some_layers() -> None:
    some = {"median": 50.0, "minimum": 40.0, "spread": 0.1, "calls": 3, "layout": "contiguous"}
    cells = {networks.SOME: {"captum": some}, GUIDED: {"captum": {"median": 7.0, "minimum": 6.0}}}
    found = networks.estimated(cells, 3 * tools.SAMPLES)
    assert found["median"] == 7 + 3 * 50 and found["minimum"] == 6 + 3 * 40
    assert networks.SOME not in cells


def test_the_sum_of_the_activations(small) -> None:
    first, pooled, second = 8 * 24 * 24, 8 * 12 * 12, 12 * 10 * 10
    assert networks.activations(asked_of(small, [])) == 4 * (2 * first + pooled + 2 * second + 48 + CLASSES)
