"""From what a checkpoint holds to a network's weights: found by structure, and by the names that the network has.

A trainer wraps the weights in containers ({"state_dict": …}, {"model": {"ema": …}}) and their names in prefixes
("model.", "module._orig_mod."). Both are one thing here. Every tensor of the file has a way to it, its keys joined
by dots, as in `state_dict.model.layer1.0.conv1.weight`, and the network wants `layer1.0.conv1.weight`: what stands
before it is the place of its weights, if all other names that the network wants are there too.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..text import nearest
from .numbers import entries, faults
from .reading import Checkpoint, refusal

Build = Callable[[int, int], nn.Module]  # classes and channels -> the bare network

_DEEP = 8  # containers within one another; more is no checkpoint
_TRAINING = re.compile(r"(^|_)optim(izers?|s)?(?![a-z])|exp_avg|momentum_buffer|(^|_)grads?$")
# Wrappers that stand in the middle of names too: of parts that were compiled, sharded or recomputed by themselves.
_WRAPPERS = re.compile(r"(?:(?<=^)|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_DATA_PARALLEL = re.compile(r"(?:(?<=^)|(?<=\.))module\.")
_AVERAGED = re.compile(r"(?i:(^|_)(ema|swa|averaged?)(?![a-z]))|EMA|[a-z]Ema(?![a-z])")
_ASIDE = re.compile(r"teacher|target|momentum|encoder_k|key_encoder|(^|_)(old|initial|previous)", re.IGNORECASE)


@dataclass(frozen=True)
class Fitted:
    """Where the weights of a network were found."""

    module: nn.Module  # the network as the weights need it, still bare
    state: dict[str, Tensor]  # by the network's own names
    place: str  # what stands before them in the file; empty where nothing does
    classes: int
    channels: int
    others: list[str]  # more places with weights that fit
    left_out: list[str]  # entries that belong to something else

    @property
    def averaged(self) -> bool:
        """Are they a mean over the training (EMA, SWA), by what the file calls them?"""
        return _is_averaged(self.place)


def tensors(checkpoint: Checkpoint, key: str | None = None) -> dict[str, Tensor]:
    """All tensors of a checkpoint by the way to them, but for those of an optimizer.

    key: only those that the file has under this way, as in "state_dict_ema" or "model.ema".
    Raises WeightsError where there are none.
    """
    found = {_WRAPPERS.sub("", way): tensor for way, tensor in _walk(checkpoint.content, "", set(), _DEEP)}
    if not found and checkpoint.objects:
        raise refusal(checkpoint.name, checkpoint.objects[0])
    if not found:
        kind = type(checkpoint.content).__name__
        raise WeightsError(f"{checkpoint.name} holds no state_dict (names with tensors), but a {kind}")
    if key is None:
        return found
    chosen = {way: tensor for way, tensor in found.items() if way.startswith(f"{key.strip('.')}.")}
    if not chosen:
        keys = {way[:dot] for way in found for dot in islice(_dots(way), 2)}
        raise WeightsError(f"{checkpoint.name} has no tensors under {key!r}; {nearest(key, sorted(keys))}")
    return chosen


def fitted(found: dict[str, Tensor], build: Build, classes: int, channels: int, complaint: str) -> Fitted:
    """Find the weights that fit a network, built with as many classes and input channels as they have.

    classes, channels: of the published network, whose names and shapes tell what to look for.
    Where the weights at several places fit, a mean over the training (EMA) goes before the last step's: who keeps
    one keeps it to be used, and timm's own loader takes it first. A teacher's or a target network's come last.
    Entries beside those that fit are left out where they belong to something else. They do not where the network
    has a part of that name: then the weights are of a larger network, or of one with another setting.
    Raises WeightsError, which begins with `complaint` and names the entries, where nothing fits.
    """
    bare = build(classes, channels)
    wanted = entries(bare.state_dict())
    votes = _places(wanted, found)
    if len(wanted) not in votes.values():
        # DataParallel around a part of the network: torchvision's own training once wrapped `features` so.
        unwrapped = {_DATA_PARALLEL.sub("", way): tensor for way, tensor in found.items()}
        if len(wanted) in (again := _places(wanted, unwrapped)).values():
            found, votes = unwrapped, again
    built, fits = {(classes, channels): bare}, list[Fitted]()
    place = max(votes, key=lambda place: votes[place], default=_common(found))
    wrong = faults(wanted, entries(_under(found, place)))
    for candidate in sorted((way for way in votes if votes[way] == len(wanted)), key=_rank):
        given = _under(found, candidate)
        numbers = _numbers(wanted, given, classes, channels)
        module = built[numbers] = built.get(numbers) or build(*numbers)
        ours = entries(module.state_dict())
        state = {name: tensor for name, tensor in given.items() if name in module.state_dict()}
        stray = {name: given[name] for name in given if name not in ours and _is_part(module, name)}
        if told := faults(ours, entries(state | stray)):
            place, wrong = (candidate, told) if not fits else (place, wrong)
        else:
            fits.append(Fitted(module, state, candidate.rstrip("."), *numbers, [], []))
    if not fits:
        where = f" (looked at {place}*)" if place else ""
        raise WeightsError(
            f"{complaint}: {wrong}{where}. For a network that differs, build it yourself and give it to "
            "compile_model(module, example)"
        )
    best, *rest = fits
    used = {f"{fit.place}.{name}".lstrip(".") for fit in fits for name in fit.state}
    left_out = [way for way in entries(found) if way not in used]
    others = [fit.place for fit in rest if not _same(fit.state, best.state)]
    return Fitted(best.module, best.state, best.place, best.classes, best.channels, others, left_out)


def _walk(value: Any, way: str, met: set[int], deep: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, each with the way to it."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = torch.from_numpy(value)
    if isinstance(value, Tensor):
        if way:
            yield way, value
        return
    again = id(value) in met  # a file may hold itself, or one list ten thousand times
    met.add(id(value))
    if isinstance(value, list | tuple):
        pairs = all(isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) for entry in value)
        value = dict(value) if pairs else dict(enumerate(value))
    if not isinstance(value, Mapping) or "param_groups" in value or not deep:
        return
    for key, entry in value.items():
        if isinstance(entry, Tensor | np.ndarray) or not (again or _TRAINING.search(str(key))):
            yield from _walk(entry, f"{way}.{key}" if way else str(key), met, deep - 1)


def _places(wanted: Collection[str], found: Collection[str]) -> Counter[str]:
    """How many of the wanted names stand behind each beginning of the ways, which ends in a dot or is empty."""
    votes = Counter[str]()
    for way in found:
        for start in (0, *(dot + 1 for dot in _dots(way))):
            if way[start:] in wanted:
                votes[way[:start]] += 1
    return votes


def _dots(way: str) -> Iterator[int]:
    return (at for at, character in enumerate(way) if character == ".")


def _common(found: Collection[str]) -> str:
    """What all ways begin with: the container, where none of the names is known."""
    shared, *rest = (way.split(".")[:-1] for way in found)
    for keys in rest:
        same = (one == other for one, other in zip(shared, keys, strict=False))
        shared = shared[: sum(1 for _ in takewhile(bool, same))]
    return "".join(f"{key}." for key in shared)


def _under(found: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
    return {way.removeprefix(place): tensor for way, tensor in found.items() if way.startswith(place)}


def _numbers(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], classes: int, channels: int
) -> tuple[int, int]:
    """Classes and input channels of a state: told by the head, and by the first convolution."""
    heads = (name for name in wanted if wanted[name].shape[:1] == (classes,))
    changed = [name for name in heads if given[name].shape[1:] == wanted[name].shape[1:] and given[name].dim()]
    stem = next((n for n in wanted if wanted[n].dim() == 4 and wanted[n].shape[1] % channels == 0), None)
    counts = [len(given[name]) for name in changed if len(given[name]) != classes]
    if stem is not None and given[stem].dim() == 4:
        # Stems that gather 2 × 2 pixels have four times the image's channels.
        found = given[stem].shape[1] * channels / wanted[stem].shape[1]
        channels = int(found) if found.is_integer() and found else channels
    return (counts[-1] if counts else classes), channels  # the head stands last


def _is_part(module: nn.Module, name: str) -> bool:
    """Does an unexpected entry lie in a part that the network has, or could have had?"""
    holder, _, last = name.rpartition(".")
    try:
        own = getattr(module.get_submodule(holder), last, None)
    except AttributeError:
        own = None
    if isinstance(own, Tensor):
        return False  # a table that the network computes itself, which older versions saved
    if last in ("total_ops", "total_params"):
        return False  # counts that a profiler leaves in every module
    first = name.partition(".")[0]
    return first in vars(module) or first in {*module._modules, *module._parameters, *module._buffers}


def _rank(place: str) -> tuple[int, int]:
    """Means over the training first, what stands aside last, and else the outermost."""
    aside = any(_ASIDE.search(key) for key in place.split("."))
    return (0 if _is_averaged(place) else 2 if aside else 1), place.count(".")


def _is_averaged(place: str) -> bool:
    return any(_AVERAGED.search(key) for key in place.split("."))


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """The same weights twice, as a trainer has them that holds a network under two names."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
