"""Put numbers into a bare module: a state that has to fit, or random ones from a fixed seed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import WeightsError

SEED = 0  # of random weights


class WithoutNumbers(TorchFunctionMode):
    """Modules built inside have parameters on the meta device: no memory, no slow initial values.

    `torch.device("meta")` would do, but RegNet computes its widths with torch.arange.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def entries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out BatchNorm's counters, which old checkpoints lack and nobody here reads."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def faults(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What of a state does not fit, in words, the first three names of each kind; empty where all does."""
    wrong = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in wanted
            if name in given and given[name].shape != wanted[name].shape
        ],
    }
    told = [f"{len(names)} {fault} ({'; '.join(names[:3])})" for fault, names in wrong.items() if names]
    return ", ".join(told)


def fit(module: nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Put the state into a module without numbers; WeightsError names the entries that don't fit."""
    todays = module.state_dict()
    if told := faults(entries(todays), entries(state)):
        raise WeightsError(f"{complaint}: {told}")
    # With its names and shapes a state is today's, whatever version its file was saved by, or if none is told.
    todays.clear()
    todays.update(state)
    module.load_state_dict(todays, strict=False, assign=True)


def randomise(module: nn.Module) -> None:
    """Draw all weights and BatchNorm statistics so that signals neither die nor drown on the way.

    Statistics differ between channels: at 0 and 1, as they start, a BatchNorm folded wrongly would not show.
    """
    generator = torch.Generator().manual_seed(SEED)
    drawn = {name for name, tensor in module.state_dict().items() if tensor.is_meta}
    # What is not on the meta device is no weight: an index of relative positions, a counter.
    module._apply(lambda t: torch.empty_like(t, device="cpu") if t.is_meta else t)  # type: ignore[no-untyped-call]
    for name, tensor in module.state_dict().items():
        if name not in drawn:
            continue
        if tensor.dim() in (2, 4):
            nn.init.kaiming_normal_(tensor, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith(("weight", "layer_scale")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0.0, 0.1, generator=generator)


def randomise_statistics(module: nn.Module) -> None:
    """Draw the BatchNorm statistics alone: the weights are their author's initial ones."""
    generator = torch.Generator().manual_seed(SEED)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith("running_mean"):
            tensor.normal_(0.0, 0.1, generator=generator)
