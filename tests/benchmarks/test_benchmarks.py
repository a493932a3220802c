"""The benchmarks' own arithmetic, on small networks and invented figures; no test depends on a time."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import __main__ as command
from benchmarks import (
    bfloat16,
    bounds,
    check,
    growth,
    handbook,
    machine,
    memory,
    networks,
    plot,
    reading,
    report,
    the_file,
    timing,
    tools,
)
from benchmarks.process import fresh
from benchmarks.questions import LAYOUTS, Question, question
from engine import compile_model
from tests.conformance.test_agreement import needs
from tests.oracle import fixed_seed

CLASSES, SIDE = 5, 26
GUIDED = "guided_backprop"


class Small(nn.Module):
    """Parts that bear VGG's names, for the handbook's loop."""

    def __init__(self) -> None:
        super().__init__()
        parts = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU()
        self.features, self.avgpool = nn.Sequential(*parts), nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@pytest.fixture(scope="module")
def small() -> nn.Module:
    with fixed_seed(0):
        module = Small().eval().requires_grad_(False)
    module.classifier.weight.abs_()  # so that no Grad-CAM is zero everywhere
    return module


@pytest.fixture(scope="module")
def explainer(small):
    return compile_model(small, torch.randn(2, 3, SIDE, SIDE))


def asked_of(small: nn.Module, layers: list[str], batch: int = 1) -> Question:
    with fixed_seed(1):
        x = torch.randn(batch, 3, SIDE, SIDE)
    return Question(small, x, torch.eye(CLASSES)[1 : batch + 1], layers)


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


def test_a_module_of_its_own_shares_the_weights(small) -> None:
    asked = asked_of(small, [])
    own = asked.own().module
    own.features[1] = nn.Identity()
    assert isinstance(small.features[1], nn.ReLU)
    assert own.classifier.weight is small.classifier.weight


def test_a_question_leaves_out_what_is_no_module() -> None:
    asked = question("squeezenet1_1", 2, ["features.3", "features.3.cat", "classifier.1"], size=(64, 64))
    assert asked.layers == ["features.3", "classifier.1"]
    assert asked.x.shape == (2, 3, 64, 64) and asked.seed.shape == (2, 1000) and asked.targets == [0, 1]
    assert not any(weight.requires_grad for weight in asked.module.parameters())


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


def test_rounds_are_interleaved_and_rare_calls_spread_evenly() -> None:
    asked: list[str] = []
    calls = {label: lambda label=label: asked.append(label) for label in ("often", "rarely")}
    times = timing.interleave(calls, {"often": 9, "rarely": 3})
    assert {label: len(found) for label, found in times.items()} == {"often": 9, "rarely": 3}
    assert asked.count("often") == 1 + 9
    thirds = [asked[start : start + 4] for start in (2, 6, 10)]
    assert [third.count("rarely") for third in thirds] == [1, 1, 1]


def test_a_time_is_that_of_its_call() -> None:
    calls = {"slow": lambda: time.sleep(0.02), "quick": lambda: None}
    times = timing.interleave(calls, {"slow": 3, "quick": 3})
    assert min(times["slow"]) >= 20 > min(times["quick"])


def test_a_first_round_is_not_counted() -> None:
    naps = iter([0.5] + [0.0] * 3)
    times = timing.interleave({"settling": lambda: time.sleep(next(naps))}, {"settling": 3})
    assert max(times["settling"]) < 500


def test_calls_share_the_time() -> None:
    counts = timing.shares({"quick": 1.0, "middling": 100.0, "slow": 10000.0}, 3.0, fewest=3, most=15)
    assert counts == {"quick": 15, "middling": 10, "slow": 3}


def test_summary() -> None:
    found = timing.summary([10.0, 12.0, 11.0, 30.0, 9.0])
    assert found == {"median": 11.0, "minimum": 9.0, "spread": pytest.approx(2 / 11), "calls": 5}
    assert timing.summary([7.0]) == {"median": 7.0, "minimum": 7.0, "spread": 0.0, "calls": 1}


def test_memory_sees_what_a_call_holds(explainer) -> None:
    if not os.access(memory.CLEAR, os.W_OK):
        pytest.skip("this system does not let a process reset the mark of its peak")
    megabytes = 200
    rise = memory.watched(lambda: torch.ones(megabytes << 18))["rise"] / 2**20
    assert megabytes * 0.9 < rise < megabytes * 1.3
    assert memory.watched(lambda: None)["rise"] / 2**20 < 20


def kept(megabytes: int) -> float:
    """The share of a freed tensor's memory that the process still holds."""
    before = memory.status("VmRSS")
    torch.ones(megabytes << 18)
    return (memory.status("VmRSS") - before) / (megabytes << 20)


kept.__module__ = "tests.benchmarks.test_benchmarks"  # as a process in the project's folder finds it


def test_a_fresh_process_keeps_its_memory_and_answers() -> None:
    assert kept(100) < 0.5 < fresh(kept, 100)


def test_what_a_fresh_process_said_at_its_end() -> None:
    with pytest.raises(RuntimeError, match=r"posix\.strerror.* ended with 1: [\s\S]*TypeError"):
        fresh(os.strerror, "no number")


def test_layers_are_spread_with_the_last_among_them() -> None:
    layers = list("abcdefgh")
    assert growth.spread(layers, 0.0) == ["h"]
    assert growth.spread(layers, 0.5) == ["b", "d", "f", "h"]
    assert growth.spread(layers, 1.0) == layers


def times(median: float, **more: Any) -> dict[str, Any]:
    return {"median": median, "minimum": median * 0.9, "spread": 0.05, "calls": 9, **more}


def result(**ours: float) -> dict[str, Any]:
    """An invented result: F is 100 ms, and `ours` are this project's forward passes for the tasks."""
    passes = {"grad_cam": 1.05, GUIDED: 2.0, "every_layer": 3.0} | ours
    cells = {
        "forward": {"eager, contiguous": times(130.0), "frozen, channels last": times(100.0)},
        "grad_cam": {tools.OURS: times(100 * passes["grad_cam"]), "captum": times(150.0, layout="contiguous")},
        GUIDED: {tools.OURS: times(100 * passes[GUIDED]), "captum": times(300.0, layout="channels_last")},
        "every_layer": {
            tools.OURS: times(100 * passes["every_layer"]),
            tools.BOTH: times(600.0, layout="channels_last"),
            "captum": times(9000.0, estimated=True, layout="contiguous"),
        },
    }
    both = {tools.OURS: {"peak": 900, "rise": 100}, "captum": {"peak": 950, "rise": 125}}
    sizes = {"compile": 9.0, "weights": 500, "file": 510}
    facts = {"title": "VGG16", "layers": ["features.0"] * 32, "modules": 30, "activations": 60, **sizes}
    point = {task: {tools.OURS: 10.0, growth.PEER[task]: 15.0} for task in tools.TASKS} | {"forward": 5.0, "at": 4}
    network = {"file": facts, "batches": {"1": cells, "8": cells}, "memory": dict.fromkeys(tools.TASKS, both)}
    return {
        "machine": machine.facts() | {"bfloat16": True, "cpu": "a CPU"},
        "networks": {"vgg16": network},
        "bfloat16": {
            "times": {"vgg16": {"float32": times(100.0), "bfloat16": times(61.0)}},
            "cosines": {method: dict.fromkeys(bfloat16.PHOTOS, 0.98) for method in bfloat16.METHODS},
        },
        "growth": {"vgg16": {kind: [point] for kind in ("layers", "side", "batch")}},
        "files": {"vgg16": sizes | {"special": 505, "calls": {"profiled": dict.fromkeys(the_file.STEPS, 3.0)}}},
    }


def test_ratios() -> None:
    cells = reading.cells_of(result(), "vgg16")
    assert reading.fastest_forward(cells) == ("frozen, channels last", 100.0)
    assert reading.ratio(cells, GUIDED) == 2.0
    assert reading.fastest_other(cells, "every_layer") == (tools.BOTH, 600.0)
    assert reading.gain(cells, GUIDED) == 1.5
    assert reading.ratio(cells, GUIDED, "torchcam") is None


def test_the_handbooks_loop_is_no_tool_to_be_faster_than() -> None:
    cells = reading.cells_of(result(), "vgg16")
    cells["every_layer"][networks.HANDBOOK] = times(1.0)
    assert reading.fastest_other(cells, "every_layer") == (tools.BOTH, 600.0)


def test_the_bounds_are_those_that_were_set() -> None:
    limits = [(bound.limit, bound.at_most) for bound in bounds.bounds()]
    passes = [1.08, 2.06, 3.15, 1.10, 2.2, 3.5, 1.15, 2.1, 3.5]
    others = [(1.0, False), (1.3, False), (1.3, False), (80.0, False), (0.6, True), (0.6, True)]
    assert limits == [(limit, True) for limit in passes] + others + [
        (0.999, False), (0.97, False), (1.0, True), (2.0, True),
    ]  # fmt: skip


def test_bounds_are_held_against_what_was_measured() -> None:
    kept = {bound.what: bound.kept(result(grad_cam=1.09)) for bound in bounds.bounds()}
    assert kept["Grad-CAM, last layer, VGG16"] is False
    assert kept["guided backprop, VGG16"] is True
    assert kept["guided backprop, ResNet-50"] is None
    assert kept["every cell: over the fastest other tool"] is True
    assert kept["guided backprop in bfloat16, VGG16: of the float32 time"] is False
    assert kept["Grad-CAM, last layer, in bfloat16: cosine with float32, least"] is False
    assert kept["guided backprop, in bfloat16: cosine with float32, least"] is True
    assert kept["peak memory of guided backprop: of captum's, most"] is True
    assert kept["peak memory of every layer: of the sum of the activations, most"] is True


def test_one_slow_cell_breaks_the_bound_of_every_cell() -> None:
    found = result()
    found["networks"]["vgg16"]["batches"]["8"] = result(every_layer=6.5)["networks"]["vgg16"]["batches"]["8"]
    bound = next(bound for bound in bounds.bounds() if bound.what.startswith("every cell"))
    assert bound.measure(found) == (pytest.approx(600 / 650), "every layer, VGG16, batch 8")
    assert bound.kept(found) is False


def test_no_bound_of_bfloat16_without_the_hardware() -> None:
    found = result()
    found["machine"]["bfloat16"] = False
    assert "| 0.61 |" not in bounds.table(found) and "0.61" in bounds.table(result())


def test_the_page_renders() -> None:
    page = report.page(result(), "performance.png")
    for wanted in (
        "VGG16 | 1 | 100.0 ms | **1.05 F**, 1.43 times as fast as captum",
        "| every layer | **ConvLens** | 300.0 | 270.0 | 5% | 9 | 3.00 | 0.50 | 0, of it 0 |",
        "≈ 9000.0",
        "(performance.png)",
        "| **no** |",
    ):
        assert wanted in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
    assert len(rows) > 50


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"vectors": "AVX512"}, "performance.md"),
        ({"vectors": "AVX2"}, "performance-avx2.md"),
        ({"vectors": "AVX512", "device": "Some GPU"}, "performance-some-gpu.md"),
    ],
)
def test_each_kind_of_processor_has_its_page(facts: dict[str, str], name: str) -> None:
    found = result()
    found["machine"] |= facts
    assert command._page(found).name == name


def test_what_was_tried_is_told_on_the_main_page() -> None:
    main, other = report.page(result(), "a.png"), report.page(result(), "a.png", main=False)
    assert "What was tried" in main and "(performance.md)" not in main
    assert "What did not help" not in other and "(performance.md)" in other


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    plot.draw(result(), path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


BASELINE = {"vgg16": {"grad_cam": 1.0, GUIDED: 2.0}}


def test_check_accepts_what_is_equal_or_a_little_slower() -> None:
    asked = []

    def measure(name: str) -> check.Ratios:
        asked.append(name)
        return {"grad_cam": 1.14, GUIDED: 1.5, "every_layer": 9.0}

    text, well = check.check(BASELINE, measure, ["vgg16"])
    assert well and asked == ["vgg16"]
    assert "All is well" in text and "+14%" in text and "new" in text


def test_check_finds_what_is_slower_twice() -> None:
    runs = iter([{"grad_cam": 1.0, GUIDED: 2.4}, {"grad_cam": 1.3, GUIDED: 2.36}])
    text, well = check.check(BASELINE, lambda name: next(runs), ["vgg16"])
    assert not well
    assert text.endswith("vgg16, guided backprop: 2.36 F, 18% more than 2.00 F")


def test_check_forgives_what_is_slower_once() -> None:
    runs = iter([{"grad_cam": 1.0, GUIDED: 2.4}, {"grad_cam": 1.3, GUIDED: 2.0}])
    assert check.check(BASELINE, lambda name: next(runs), ["vgg16"])[1]


def test_check_says_which_networks_the_baseline_has() -> None:
    with pytest.raises(ValueError, match=r"has no resnet50, only vgg16.*--update --models resnet50"):
        check.check(BASELINE, lambda name: {}, ["resnet50"])


def test_the_baseline_is_kept_for_the_same_machine_only(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(ValueError, match="--check --update"):
        check.read(path)
    check.write("a CPU", BASELINE, path)
    check.write("a CPU", {"resnet50": {GUIDED: 2.12345}}, path)
    assert check.read(path) == ("a CPU", BASELINE | {"resnet50": {GUIDED: 2.123}})
    check.write("another", {"resnet50": {GUIDED: 3.0}}, path)
    assert check.read(path) == ("another", {"resnet50": {GUIDED: 3.0}})


def test_the_committed_baseline_has_the_networks_of_the_check() -> None:
    _, ratios = check.read()
    assert set(check.MODELS) <= set(ratios)
    assert all(set(row) == set(tools.TASKS) for row in ratios.values())


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every process that the command starts is answered at once, and kept here."""
    invented, started = result(), []
    answers = {
        networks.compiled: invented["networks"]["vgg16"]["file"],
        networks.measured: invented["networks"]["vgg16"]["batches"]["1"],
    }

    def answer(function: Any, *arguments: Any) -> Any:
        started.append((function.__name__, *arguments))
        return answers[function]

    monkeypatch.setattr(command, "fresh", answer)
    return started


def test_the_command_measures_writes_and_reads(measurements, tmp_path: Path, capsys: Any) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "plot.png"
    options = ["--quick", "--models", "vgg16", "--json", str(figures), "--plot", str(picture)]
    assert command.main(options) == 0
    assert [call[0] for call in measurements] == ["compiled", "measured"]
    printed = capsys.readouterr().out
    assert "**1.05 F**" in printed and picture.is_file()
    assert list(json.loads(figures.read_text())["networks"]["vgg16"]["batches"]) == ["1"]
    assert command.main(["--read", str(figures)]) == 0
    assert capsys.readouterr().out == printed
    assert len(measurements) == 2


def test_the_commands_exit_status_tells_of_a_regression(
    measurements, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(check, "BASELINE", path)
    for function in (check.read, check.write):
        monkeypatch.setattr(function, "__defaults__", (path,))
    options = ["--check", "--quick", "--models", "vgg16"]
    assert command.main(options) == 2 and "--check --update" in capsys.readouterr().err
    assert command.main([*options, "--update"]) == 0
    assert command.main(options) == 0 and "All is well" in capsys.readouterr().out
    slowed = json.loads(path.read_text())
    slowed["forward passes"]["vgg16"][GUIDED] /= 1.2
    path.write_text(json.dumps(slowed | {"machine": "another"}))
    assert command.main(options) == 1
    printed = capsys.readouterr().out
    assert "vgg16, guided backprop: 2.00 F, 20% more than 1.67 F" in printed and "another machine" in printed
