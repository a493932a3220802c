"""The table of whole networks, and timm's models by name."""

import dataclasses
import math
import os

import pytest
import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from engine.__main__ import main
from engine.errors import WeightsError
from engine.models.loading import load_model
from engine.models.timm import timm_labels
from engine.trust.verify_models import header, rows, verify

EXAMPLE = torch.zeros(1, 3, 16, 16)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.silu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_row_is_within_the_bound(dtype: torch.dtype) -> None:
    module = Small().eval()
    row = verify("small", module, EXAMPLE, dtype)
    assert row.kept
    assert (row.gated, row.layers, row.refusal) == ("1 (1 smooth)", 3, "")
    assert len(row.deviations) == 7
    assert str(row).count("|") == header().splitlines()[0].count("|")


def test_a_deviation_above_the_bound_is_not_kept() -> None:
    row = verify("small", Small().eval(), EXAMPLE)
    assert not dataclasses.replace(row, policies={**row.policies, "guided": 1e-8}).kept


def test_a_refusal_names_the_reason() -> None:
    class Multiplied(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.cumprod(3))

    row = verify("multiplied", Multiplied().eval(), EXAMPLE)
    assert row.kept
    assert "no rule for 1 op(s) as called here: aten.cumprod" in str(row)
    assert str(row).count("|") == header().splitlines()[0].count("|")


def ended(*_: object) -> None:
    os._exit(9)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_ends_is_one_row_and_not_kept(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr("engine.trust.verify_models._row", ended)
    found = list(rows(["resnet18", "alexnet"], jobs=jobs))
    assert [row.name for row in found] == ["resnet18", "alexnet"]
    for row in found:
        assert not row.kept
        assert "not measured: its process was ended" in str(row)
        assert str(row).count("|") == header().splitlines()[0].count("|")


def failing(name: str, *_: object) -> object:
    if name == "resnet18":
        raise RuntimeError("the image is\n  too small")
    return verify(name, Small().eval(), EXAMPLE)


def test_a_network_that_fails_costs_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.trust.verify_models._row", failing)
    failed, kept = rows(["resnet18", "alexnet"])
    assert not failed.kept and "not measured: RuntimeError: the image is too small" in str(failed)
    assert kept.kept and kept.name == "alexnet"


def test_a_reference_of_zeros_proves_nothing() -> None:
    class Dead(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * 0)

    row = verify("dead", Dead().eval(), EXAMPLE)
    assert math.isnan(row.policies["gradient"])
    assert not row.kept


def test_verify_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "squeezenet1_1", "--jobs", "0"]) == 1
    assert "--jobs 0: at least one network" in capsys.readouterr().err
    assert main(["verify", "squeezenet1_1", "timm/resnet10t", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert "| squeezenet1_1 |" in out
    assert "| timm/resnet10t |" in out
    assert out.endswith("all within the bound\n")


def test_a_model_of_timm_has_timms_input_and_statistics_of_its_own() -> None:
    model = load_model("timm/resnet10t", "random")
    data = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg("resnet10t").to_dict())
    assert model.geometry.crop == data["input_size"][1:]
    assert model.geometry.interpolation == data["interpolation"]
    assert model.geometry.mean == tuple(data["mean"])
    assert model.geometry.resize == int(data["input_size"][1] / data["crop_pct"])
    assert len(model.labels) == 1000
    assert float(model.module.bn1.running_var.std()) > 0.1
    again = load_model("timm/resnet10t", "random").module.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.module.state_dict().items())


def test_the_classes_of_a_timm_model_have_timms_names() -> None:
    names = timm_labels(timm.get_pretrained_cfg("resnetv2_50x1_bit.goog_in21k").to_dict(), 21843)
    assert len(names) == 21843
    assert "tiger cat" in names
    assert timm_labels({"num_classes": 3, "label_names": ["a", "b", "c"]}, 3) == ["a", "b", "c"]
    assert timm_labels({"num_classes": 7}, 7)[-1] == "class 6"


def test_a_checkpoint_of_a_timm_model(tmp_path: object) -> None:
    path = f"{tmp_path}/mine.pth"
    state = timm.create_model("resnet10t").state_dict()
    torch.save(state, path)
    loaded = load_model("timm/resnet10t", path)
    assert torch.equal(loaded.module.fc.weight, state["fc.weight"])
    assert loaded.sha256


def test_what_timm_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"timm has no model 'resnet99'; it has .*resnet"):
        load_model("timm/resnet99", "random")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"timm/resnet10t: its weights could not be fetched"):
        load_model("timm/resnet10t")


def test_a_certificate_knows_every_kind_of_activation() -> None:
    """The certificate's own formula agrees with the policies at hardtanh, which is open below zero too."""

    class Bounded(Small):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.hardtanh(self.norm(self.conv(x))).clamp(min=0).mean((2, 3)))

    torch.manual_seed(0)  # other weights may leave no unit between the ends
    row = verify("bounded", Bounded().eval(), torch.zeros(1, 3, 16, 16))
    assert row.gated == "2 (0 smooth)"
    assert row.kept
