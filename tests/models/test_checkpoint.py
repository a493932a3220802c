"""Weights found in whatever a trainer wraps them in, by the names that the network wants."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.checkpoint import Fitted, fitted, tensors
from engine.models.reading import Checkpoint

State = dict[str, Tensor]


class Small(nn.Module):
    """A stem, a body of two blocks or more, a table that is not saved, a part that may be there, and a head."""

    def __init__(self, classes: int, channels: int, blocks: int = 2, normed: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(blocks)))
        self.register_buffer("table", torch.zeros(2), persistent=False)
        self.norm = nn.BatchNorm2d(4) if normed else None
        self.fc = nn.Linear(4, classes)


def state_of(seed: int = 0, *sizes: Any) -> State:
    torch.manual_seed(seed)
    return {name: torch.randn(value.shape) for name, value in Small(*(sizes or (7, 3))).state_dict().items()}


def find(content: Any, key: str | None = None, build: Callable[[int, int], nn.Module] = Small) -> Fitted:
    checkpoint = Checkpoint("c.pth", "0" * 64, content, [])
    return fitted(tensors(checkpoint, key), build, 7, 3, "c.pth does not fit Small")


def assert_is(found: Fitted, state: State) -> None:
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], state[name]) for name in state)


def before(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


S, T = state_of(0), state_of(1)
OPTIMIZER = {
    "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 3, 3, 3)}},
    "param_groups": [{"lr": 0.1, "params": [0]}],
}
CONTAINERS: dict[str, Any] = {
    "": S,
    "state_dict.": {"state_dict": S, "epoch": 3, "optimizer": OPTIMIZER},
    "model_state_dict.": {"model_state_dict": S, "optimizer_state_dict": OPTIMIZER, "loss": 0.1},
    "weights.": {"weights": OrderedDict(S)},
    "whatever it is called.": {"whatever it is called": S},
    "model.state_dict.": {"model": {"state_dict": S, "config": {"width": 3}}},
    "a.b.c.": {"a": {"b": {"c": S}}},
    "1.": [3, S],
    "0.net.": ({"net": S},),
}


@pytest.mark.parametrize("place", CONTAINERS)
def test_any_container(place: str) -> None:
    found = find(CONTAINERS[place])
    assert_is(found, S)
    assert found.place == place.removesuffix(".")
    assert (found.classes, found.channels, found.others) == (7, 3, [])


@pytest.mark.parametrize(
    "prefix",
    ["model.", "module.", "backbone.", "net.", "encoder.", "module.model.", "model.backbone.net.", "stem."],
)
def test_any_prefix(prefix: str) -> None:
    found = find({"state_dict": before(prefix, S), "epoch": 1})
    assert_is(found, S)
    assert found.place == f"state_dict.{prefix}".removesuffix(".")


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "model._orig_mod.module.", "_fsdp_wrapped_module."]
)
def test_the_wrappers_of_torch(prefix: str) -> None:
    assert_is(find({"model": before(prefix, S)}), S)


@pytest.mark.parametrize("wrapper", ["module", "_orig_mod", "_checkpoint_wrapped_module"])
def test_a_wrapper_around_a_part(wrapper: str) -> None:
    inside = {name.replace("blocks.", f"blocks.{wrapper}."): tensor for name, tensor in S.items()}
    assert_is(find({"state_dict": before("model.", inside)}), S)


def test_pairs_arrays_and_parameters() -> None:
    assert_is(find(list(S.items())), S)
    assert_is(find({name: tensor.numpy() for name, tensor in S.items()}), S)
    assert_is(find({name: nn.Parameter(tensor, requires_grad=False) for name, tensor in S.items()}), S)
    assert find({**S, "epoch": 3, "best": 0.1, "history": [1.0], "names": np.array(["a"])}).left_out == []


def test_a_file_that_holds_itself() -> None:
    content: dict[str, Any] = {"model": S}
    content["trainer"] = [content]
    assert_is(find(content), S)


@pytest.mark.timeout(20)  # walked one by one, they would take for ever
def test_a_file_that_holds_the_same_list_ten_thousand_million_times() -> None:
    held: Any = {"epoch": 1}
    for _ in range(7):
        held = [held] * 30
    assert_is(find({"held": held, "model": S}), S)
    held = {"t": torch.ones(1)}
    for _ in range(7):
        held = {"t": torch.ones(1)} | {str(index): held for index in range(30)}
    assert_is(find({"held": held, "model": S}), S)


def test_lists_within_lists_are_all_walked() -> None:
    for count in range(1, 6):
        assert_is(find([*([{"epoch": index}] for index in range(count)), [[S]], [{"epoch": 0}]]), S)
    averaged = find({"model": S, "ema": S})  # one mapping under two names
    assert_is(averaged, S)
    assert averaged.place == "ema"


def test_counters_may_be_missing() -> None:
    counted = {name: tensor for name, tensor in S.items() if not name.endswith("num_batches_tracked")}
    assert_is(find(counted), counted)


@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": {"exp_avg": S}},
        {"optim": S},
        {"last_optimizer_state": {"moments": S}},
        {"state": {"exp_avg_sq": S}},
        {"opt": {"state": S, "param_groups": []}},
        {"optimizerG": S},
        {"grads": S},
    ],
)
def test_the_state_of_the_training_is_never_taken(training: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match=r"^c.pth holds no state_dict \(names with tensors\), but a dict$"):
        find(training)
    found = find(training | {"network": T})
    assert_is(found, T)
    assert (found.others, found.left_out) == ([], [])


# Several that fit


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"state_dict": S, "state_dict_ema": T}, "state_dict_ema"),
        ({"ema": T, "model": S}, "ema"),
        ({"params": S, "params_ema": T}, "params_ema"),
        ({"model": {"net": S, "ema": T}}, "model.ema"),
        ({"state_dict": before("model.", S) | before("ema_model.module.", T)}, "state_dict.ema_model.module"),
        ({"net": S, "modelEMA": T}, "modelEMA"),
        ({"net": S, "swa_model": {"n_averaged": torch.tensor(3)} | before("module.", T)}, "swa_model.module"),
    ],
)
def test_a_mean_over_the_training_goes_first_and_the_others_are_told(content: dict[str, Any], place: str) -> None:
    found = find(content)
    assert_is(found, T)
    assert (found.place, found.averaged) == (place, True)
    (other,) = found.others
    assert_is(find(content, other), S)
    assert find(content, other).place == other


@pytest.mark.parametrize("aside", ["teacher", "target_net", "encoder_k", "old_model"])
def test_a_teacher_comes_last(aside: str) -> None:
    found = find({aside: S, "student": T})
    assert_is(found, T)
    assert (found.averaged, found.others) == (False, [aside])


def test_the_outermost_goes_before_the_inner_and_the_first_before_the_second() -> None:
    assert_is(find({"a": {"b": S}, "c": T}), T)
    assert_is(find({"b": T, "a": S}), T)
    assert find({"schema": S, "cinema_x": T}).averaged is False


def test_the_same_weights_under_two_names_are_no_others() -> None:
    found = find({"state_dict": before("model.", S) | before("backbone.", S)})
    assert_is(found, S)
    assert (found.others, found.left_out) == ([], [])


def test_one_that_does_not_fit_is_passed_over() -> None:
    larger = state_of(2, 7, 3, 3)
    for order in ({"ema": larger, "model": S}, {"model": S, "ema": larger}):
        found = find(order)
        assert_is(found, S)
        assert found.others == []
    without_statistics = {name: tensor for name, tensor in T.items() if "running" not in name}
    assert_is(find({"ema": without_statistics, "model": S}), S)


@pytest.mark.parametrize("key", ["model.ema", "model.ema.", "model"])
def test_a_key_chooses(key: str) -> None:
    assert_is(find({"model": {"net": S, "ema": T}, "more": S}, key), T)
    with pytest.raises(WeightsError, match=r"^c.pth has no tensors under 'model.emma'; the nearest are model.ema"):
        find({"model": {"net": S, "ema": T}}, "model.emma")
    with pytest.raises(WeightsError, match=r"missing .*looked at model.\*"):
        find({"model": S}, "model.fc")


# What belongs to something else


@pytest.mark.parametrize(
    "beside",
    [
        {"criterion.weight": torch.ones(3)},
        {"loss_fn.pos_weight": torch.ones(1), "projection.0.weight": torch.ones(4, 4)},
        {"aux_head.weight": torch.ones(2, 4), "n_averaged": torch.tensor(2)},
    ],
)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_something_else_is_left_out_and_told(prefix: str, beside: State) -> None:
    found = find(before(prefix, S) | beside)
    assert_is(found, S)
    assert found.left_out == list(beside)
    assert_is(find(before(prefix, S) | before(prefix, beside)), S)


def test_counts_of_a_profiler_and_a_table_of_the_networks_own_are_left_out() -> None:
    beside = {"total_ops": torch.ones(1), "blocks.0.0.total_params": torch.ones(1), "table": torch.ones(2)}
    found = find(S | beside)
    assert_is(found, S)
    assert found.left_out == list(beside)


def test_weights_of_a_larger_network_do_not_fit_a_smaller_one() -> None:
    with pytest.raises(
        WeightsError, match=r"6 unexpected \(blocks.2.0.weight; blocks.2.0.bias; blocks.2.1.weight\)"
    ):
        find({"model": state_of(0, 7, 3, 3)})


def test_nor_do_those_of_another_setting() -> None:
    """A part that the network could have had: here it would have been used."""
    with pytest.raises(WeightsError, match=r"4 unexpected \(norm.weight; norm.bias; norm.running_mean\)"):
        find(state_of(0, 7, 3, 2, True))


# Numbers of classes and channels


@pytest.mark.parametrize(("classes", "channels"), [(3, 3), (7, 1), (2, 4), (1, 12)])
def test_classes_and_channels_are_those_of_the_file(classes: int, channels: int) -> None:
    state = state_of(3, classes, channels)
    found = find({"model": state})
    assert_is(found, state)
    assert (found.classes, found.channels) == (classes, channels)
    shapes = {name: tensor.shape for name, tensor in found.module.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in state.items()}


def test_a_stem_that_gathers_pixels_has_more_channels_than_the_image() -> None:
    def build(classes: int, channels: int) -> nn.Module:
        return Small(classes, 4 * channels)

    found = find(state_of(0, 5, 8), build=build)
    assert (found.classes, found.channels) == (5, 2)
    with pytest.raises(WeightsError, match=r"stem.weight \(4, 6, 3, 3\), not \(4, 12, 3, 3\)"):
        find(state_of(0, 7, 6), build=build)


def test_only_the_first_convolution_tells_of_channels() -> None:
    other = dict(S)
    other["blocks.0.0.weight"] = torch.zeros(4, 12, 1, 1)
    with pytest.raises(
        WeightsError, match=r"fit Small: 1 of another shape \(blocks.0.0.weight \(4, 12, 1, 1\), not"
    ):
        find(other)
    with pytest.raises(
        WeightsError, match=r"1 of another shape \(stem.weight \(5, 3, 3, 3\), not \(4, 3, 3, 3\)\)"
    ):
        find(S | {"stem.weight": torch.zeros(5, 3, 3, 3)})
    with pytest.raises(WeightsError, match=r"1 of another shape \(fc.bias \(\), not \(7,\)\)"):
        find(S | {"fc.bias": torch.tensor(1.0)})


# What does not fit


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}, "text"])
def test_no_weights_at_all(content: object) -> None:
    with pytest.raises(WeightsError, match=rf"^c.pth holds no state_dict .*, but a {type(content).__name__}$"):
        find(content)


def test_weights_that_only_lie_in_an_object_are_refused_by_its_name() -> None:
    with pytest.raises(WeightsError, match=r"would run code \(somebody.Network\), which is refused"):
        tensors(Checkpoint("c.pth", "", OrderedDict(), ["somebody.Network"]))


def test_what_does_not_fit_is_named_with_its_place_and_the_way_out() -> None:
    wrong = dict(S)
    wrong["fc.1.weight"] = wrong.pop("fc.weight")
    wrong["stem.bias"] = torch.zeros(5)
    with pytest.raises(WeightsError) as caught:
        find({"state_dict": before("model.", wrong), "optimizer": OPTIMIZER})
    assert str(caught.value) == (
        "c.pth does not fit Small: 1 missing (fc.weight), 1 unexpected (fc.1.weight), "
        "1 of another shape (stem.bias (5,), not (4,)) (looked at state_dict.model.*). "
        "For a network that differs, build it yourself and give it to compile_model(module, example)"
    )


def test_of_another_network_its_container_is_told() -> None:
    with pytest.raises(
        WeightsError, match=r"\d+ missing .*1 unexpected \(weight\) \(looked at state_dict.lin.\*\)"
    ):
        find({"state_dict": {"lin.weight": torch.ones(2)}})
