"""Receptive fields as a manifest tells them, and on the input: what a unit of a layer depends on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever only reads manifests loads neither the compiler nor OpenCV
    from ..listing.fields import Field
    from ..listing.reach import Reach
    from ..pictures.boxes import Box


def field_entry(field: "Field") -> dict[str, Any]:
    """A field as `layers[].field` has it, in pixels of the input."""
    return {
        "size": list(field.size),
        "global": field.whole,
        "rows": _turns(field.rows),
        "columns": _turns(field.columns),
    }


def _turns(reach: "Reach") -> dict[str, Any]:
    seen = [(low, high) if low < high else (0, 0) for low, high in zip(reach.low, reach.high, strict=True)]
    return {
        "first": [int(low) for low, _ in seen],
        "end": [int(high) for _, high in seen],
        "step": reach.step,
    }


def field_of(layer: Mapping[str, Any], row: int, column: int, crop: Sequence[int] | None) -> "Box":
    """The box of what unit (row, column) of a layer sees, in pixels of the input [H, W], clipped to it; with the
    padding around it where crop is None.

    layer: an entry of a manifest's `layers`. `pictures.boxes.placed` brings the box to a photo. Where
    `layer["field"]["global"]` holds, the unit depends on all other pixels too, and the box is what it sees by
    convolutions, pooling and resizing alone. Near a border it may be larger than what moves the unit: where
    padding stands for pixels that a layer below left out, and where a dilated kernel steps over those at the edge.
    Raises ValueError for a unit that isn't there.
    """
    from ..pictures.boxes import Box, clipped

    height, width = layer["shape"][1:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"{layer['name']} has units 0..{height - 1}, 0..{width - 1}; got {row}, {column}")
    top, bottom = _interval(layer["field"]["rows"], row)
    left, right = _interval(layer["field"]["columns"], column)
    box = Box(left, top, right, bottom)
    return box if crop is None else clipped(box, crop)


def _interval(turns: Mapping[str, Any], unit: int) -> tuple[int, int]:
    turn, r = divmod(unit, len(turns["first"]))
    return turns["first"][r] + turn * turns["step"], turns["end"][r] + turn * turns["step"]
