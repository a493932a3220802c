"""The parts of a network for people: a stem, stages, a head, and the layers that are worth a look in each.

All of it is told by what a manifest says of its layers: their names, where modules end, their shapes. No table of
networks is asked. People call a stage what works at one resolution, so that is where the cuts are, moved to the
border of the block in which the resolution changes; where it never does, as in a ViT, blocks are counted off.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Layers = Sequence[Mapping[str, Any]]  # a manifest's `layers`: name, aliases, shape [C, h, w], stride

GROUPS = 4  # that the blocks of a network of one resolution are counted off into, as most others have stages
CUT = 1.5  # what the resolution falls or rises by; a convolution without padding takes less
PATCHES = 4  # the stride of a first layer that cuts patches
HEADS = re.compile(r"head|classifier|avg_?pool|global_?pool|final|fc\d*$|logits")
IDENTITIES = re.compile(
    r"(?:^|_)(?:\w*pad(?:ding)?(?:2d)?|\w*norm(?:2d)?|bn|ln|drop(?:out|_path)?(?:2d)?|identity|permute|transpose|"
    r"contiguous|clone|slice)\d*(?:_|$)"
)


@dataclass(frozen=True)
class Stage:
    """A part of a network: "stem", "stage 1" … or "head", with its layers [first, stop) and the outermost modules
    that lie in it whole. A head whose layers have one pixel each, and so no maps, has none: first == stop."""

    name: str
    first: int
    stop: int
    modules: tuple[str, ...]


def stages_of(layers: Layers) -> list[Stage]:
    """The parts of a network from the image to the logits; each layer is in one.

    layers: a manifest's, in their order: `name`, `shape` and, to tell a stem, `stride`. The stem is what first
    makes the image smaller; a network whose first layer keeps all pixels (VGG) begins with stage 1. The head lies
    behind the last pooling, where maps have one pixel, or in modules that are named so. Empty for no layers.
    """
    if not layers:
        return []
    lead = next((index for index, layer in enumerate(layers) if not _moves(layer)), 0)
    if lead:  # pads before all else belong to what reads them
        first, *rest = stages_of(layers[lead:])
        shifted = [replace(part, first=part.first + lead, stop=part.stop + lead) for part in rest]
        return [replace(first, first=0, stop=first.stop + lead), *shifted]
    spans = _spans(layers)
    head = _head(layers, spans)
    cuts = _cuts(layers, spans, head)
    if cuts == [0]:
        cuts, head = _counted_off(layers, head)
        stem = len(cuts) > 1
    else:
        stem = bool(min(layers[0].get("stride", [2.0])) > 1)
        stop = cuts[1]
        if stem and (block := _first_block(layers, spans, stop)) < stop:
            cuts.insert(1, block)
    numbered = [f"stage {number}" for number in range(1, len(cuts) + (not stem))]
    titles = [*(["stem"] if stem else []), *numbered, "head"]
    return [
        Stage(title, first, stop, _modules(layers, spans, first, stop))
        for title, (first, stop) in zip(titles, pairwise([*cuts, head, len(layers)]), strict=True)
    ]


def of_interest(layers: Layers) -> list[bool]:
    """For each layer: is it worth a look, or folded away unless asked for?

    Folded are pads, norms, dropouts and what only moves values, told by their names; the sum of a block of which
    the next layer is the end; and of a unit of up to three layers of one shape (convolution, norm, activation) all
    but its last. Kept are the ends of all modules of several layers, whatever they are called, and the last layer.
    """
    spans = _spans(layers)
    kept = list[bool]()
    for index, layer in enumerate(layers):
        names = (layer["name"], *layer["aliases"])
        whole = [name for name in names if name in spans and spans[name][0] < spans[name][1] == index]
        inner = _parent(layer["name"])
        following = layers[index + 1] if index + 1 < len(layers) else None
        if following is None or whole:
            kept.append(True)
        elif _moves(layer):
            kept.append(False)
        elif following["shape"] == layer["shape"] and inner in (following["name"], *following["aliases"]):
            # The end of this layer's module comes next: of a block it is the activation of the sum.
            kept.append(not (layer["name"].rpartition(".")[2].startswith("add") or _unit(layers, spans, inner)))
        else:
            kept.append(not _unit(layers, spans, inner))
    return kept


def _moves(layer: Mapping[str, Any]) -> bool:
    """Does a layer pad, scale or move what is there, by its name?"""
    return bool(IDENTITIES.search(layer["name"].rpartition(".")[2].lower()))


def _unit(layers: Layers, spans: Mapping[str, tuple[int, int]], module: str) -> bool:
    """Is a module a unit of two or three layers of one shape?

    Residual blocks in a row look the same where only numbers name them, but what comes before has their shape too.
    """
    first, last = spans.get(module, (0, -1))
    inside = {tuple(layer["shape"]) for layer in layers[first : last + 1]}
    ends = last >= 0 and module in (layers[last]["name"], *layers[last]["aliases"])
    if not ends or not 2 <= last + 1 - first <= 3 or len(inside) != 1:
        return False
    numbered = layers[first]["name"].rpartition(".")[2].isdigit()
    return not numbered or first == 0 or tuple(layers[first - 1]["shape"]) not in inside


def _spans(layers: Layers) -> dict[str, tuple[int, int]]:
    """Each module's first and last layer, by the names of the layers inside of it."""
    spans = dict[str, tuple[int, int]]()
    for index, layer in enumerate(layers):
        parts = layer["name"].split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            spans[name] = (spans.get(name, (index,))[0], index)
        for alias in layer["aliases"]:
            if "@" not in alias:
                spans[alias] = (spans.get(alias, (index,))[0], index)
    return spans


def _head(layers: Layers, spans: Mapping[str, tuple[int, int]]) -> int:
    """Where the head begins: the first layer of one pixel, or of a last top module that is named a head."""
    changes = [0, *(k for k in range(1, len(layers)) if _changes(layers, k) and layers[k]["shape"][1:] != [1, 1])]
    single = next((k for k, layer in enumerate(layers) if list(layer["shape"][1:]) == [1, 1]), len(layers))
    for index, layer in enumerate(layers[:single]):
        top = layer["name"].partition(".")[0]
        later = [k for k in changes if k > index]
        if index and spans[top][0] == index and HEADS.search(top.lower()) and not later:
            return index
    return single


def _changes(layers: Layers, index: int) -> bool:
    """Does the resolution fall or rise here?"""
    before, after = layers[index - 1]["shape"][1:], layers[index]["shape"][1:]
    ratio = max(a / b for a, b in zip(before, after, strict=True))
    return bool(ratio >= CUT or 1 / min(a / b for a, b in zip(before, after, strict=True)) >= CUT)


def _cuts(layers: Layers, spans: Mapping[str, tuple[int, int]], head: int) -> list[int]:
    """Where parts begin: 0, and one place for each change of the resolution."""
    changes = [k for k in range(1, head) if _changes(layers, k)]
    cuts = [0]
    for k in changes:
        begin, single = k, True
        for module in _around(layers[k]["name"]):  # from the innermost to the outermost
            first, last = spans[module]
            if sum(first < c <= last or c == first == k for c in changes) != 1 or first <= cuts[-1]:
                break
            begin, single = first, single and first == last
        name = layers[k]["name"].rpartition(".")[2].lower()
        follows = k + 1 not in changes  # or each of a row of strided convolutions would close the one before
        same = layers[k]["shape"][0] == layers[k - 1]["shape"][0]
        # A pooling by itself closes what it pools; in a Sequential its name is but a number.
        if single and same and ("pool" in name or (name.isdigit() and follows)):
            begin = k + 1
        if cuts[-1] < begin < head:
            cuts.append(begin)
    return cuts


def _first_block(layers: Layers, spans: Mapping[str, tuple[int, int]], stop: int) -> int:
    """Where the stem's first part gives way to blocks of the same resolution; `stop` where it does not.

    A block is a module of several layers: behind a layer that cuts patches any, else one whose insides are named
    two levels deeper than all before it, since a stem may be several units too.
    """
    patches = max(layers[0].get("stride", [1.0])) >= PATCHES
    deepest = 0
    for module in _modules(layers, spans, 0, stop):
        first, last = spans[module]
        depth = max(layer["name"].count(".") for layer in layers[first : last + 1])
        if first > 0 and last > first and (patches or depth >= deepest + 2):
            return first
        deepest = max(deepest, depth)
    return stop


def _counted_off(layers: Layers, head: int) -> tuple[list[int], int]:
    """Where parts begin in a network of one resolution, whose numbered blocks are divided by their count; and
    where the head does."""
    found = dict[str, dict[str, int]]()  # what blocks are called but for their number -> block -> its first layer
    for index, layer in enumerate(layers[:head]):
        for module in reversed(_around(layer["name"])):
            if match := re.fullmatch(r"(.*?)\d+", module):
                found.setdefault(match[1], {}).setdefault(module, index)
                break
    blocks = list(max(found.values(), key=len, default={}).values())
    if len(blocks) < 2:
        return [0], head
    each = -(-len(blocks) // GROUPS)
    begins = blocks[::each]
    last = max(
        index
        for index, layer in enumerate(layers[:head])
        if any(module in max(found.values(), key=len) for module in _around(layer["name"]))
    )
    return ([0, *begins] if begins[0] else begins), last + 1


def _modules(layers: Layers, spans: Mapping[str, tuple[int, int]], first: int, stop: int) -> tuple[str, ...]:
    """The outermost modules that lie whole in [first, stop), in their order."""
    found = dict[str, None]()
    for layer in layers[first:stop]:
        around = reversed(_around(layer["name"]))
        found[next((m for m in around if first <= spans[m][0] and spans[m][1] < stop), layer["name"])] = None
    return tuple(found)


def _around(name: str) -> list[str]:
    """A layer's own name and the modules around it, from the innermost to the outermost."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
