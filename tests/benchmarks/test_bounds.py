"""Ratios of invented figures, held against the bounds."""

import pytest

from benchmarks import bounds, networks, reading, tools
from tests.benchmarks.invented import result, times
from tests.benchmarks.small import GUIDED


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
        (1.1, True), (1.05, True), (1.05, True), (10.0, False), (1.0, True),
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


def test_bounds_of_further_questions() -> None:
    found = {bound.what: (bound.measure(result()), bound.kept(result())) for bound in bounds.bounds()}
    assert found["HiResCAM, all layers: of Grad-CAM there, most"] == ((1.0, "VGG16"), True)
    passes = found["integrated gradients, 32 steps: of 32 gradient passes, most"]
    assert passes == ((pytest.approx(210 / (32 / 8 * 50)), "VGG16"), True)
    assert found["SmoothGrad, 25 samples: of 25 gradient passes, most"] == ((pytest.approx(0.32), "VGG16"), True)
    assert found["Ablation-CAM, last layer: over grad-cam, least"] == ((9.0, "VGG16"), False)
    assert found["a unit's guided backprop: of guided backprop, most"] == ((1.0, "VGG16"), True)


def test_a_further_question_is_one_of_the_cells() -> None:
    found = result()
    found["further"]["vgg16"]["occlusion"]["captum"] = times(40.0)
    bound = next(bound for bound in bounds.bounds() if bound.what.startswith("every cell"))
    assert bound.measure(found) == (0.8, "occlusion, 7 × 7 windows, VGG16")
    assert bound.kept(found) is False


def test_no_bound_of_bfloat16_without_the_hardware() -> None:
    found = result()
    found["machine"]["bfloat16"] = False
    assert "| 0.61 |" not in bounds.table(found) and "0.61" in bounds.table(result())
