"""What people call a layer or a class, and its number; and the method that is meant where none is named."""

import operator
from collections.abc import Sequence
from typing import Any

from ..text import nearest


def index_of_layer(layer: int | str, layers: Sequence[dict[str, Any]]) -> int:
    """The index of a layer, by index (negative from the end), name or alias.

    layers: as a manifest has them. Raises ValueError with the nearest names.
    """
    if not layers:
        raise ValueError("no layer lies on every path of this network; compile it with layers='all' or names")
    if isinstance(layer, int):
        if not -len(layers) <= layer < len(layers):
            raise ValueError(f"layer {layer} is not one of 0..{len(layers) - 1}")
        return layer
    names = {name: index for index, entry in enumerate(layers) for name in (entry["name"], *entry["aliases"])}
    if layer not in names:
        raise ValueError(f"no layer is called {layer!r}; {nearest(layer, names)}")
    return names[layer]


def default_method(layer: int | str, layers: Sequence[dict[str, Any]], methods: Sequence[str]) -> str:
    """HiResCAM below the last layer and Grad-CAM at it, which knows the class there alone; the first method of a
    file that has neither.

    layer: as in `index_of_layer`, or "all"; layers: as a manifest has them. Raises ValueError for a wrong one.
    """
    last = layer != "all" and layers and index_of_layer(layer, layers) % len(layers) == len(layers) - 1
    names = ("grad_cam", "hires_cam") if last else ("hires_cam", "grad_cam")
    return next((name for name in names if name in methods and layers), methods[0])


def index_of_class(target: Any, labels: Sequence[str]) -> int:
    """The index of a class, by index or name.

    target: a whole number of any type, in a tensor or an array of one too, digits, a label, or what a label starts
    with. Raises ValueError with the nearest names.
    """
    if isinstance(target, str) and not target.lstrip("-").isdigit():
        return _index_of_label(target, labels)
    index = int(target) if isinstance(target, str) else _whole(target)
    if not 0 <= index < len(labels):
        raise ValueError(f"class {index} is not one of 0..{len(labels) - 1}")
    return index


def _index_of_label(name: str, labels: Sequence[str]) -> int:
    known, wanted = [label.lower() for label in labels], name.lower()
    matches = [i for i, label in enumerate(known) if label == wanted]
    matches = matches or [i for i, label in enumerate(known) if label.startswith(wanted)]
    if not matches:
        raise ValueError(f"no class is called {name!r}; {nearest(name, labels)}")
    return matches[0]


def _whole(target: Any) -> int:
    try:
        if isinstance(target, bool):
            raise TypeError
        return int(operator.index(target.item() if hasattr(target, "item") else target))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"a class is a number or a name, not {target!r:.60}") from None
