"""How far an answer is from the truth: `certificate` of a file, `check_rule` of one op's rule; and how far a map
can be believed: metrics on (score, x, map), each beside controls.

Names are looked up when they are first used: who measures maps never loads the compiler.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import complexity, gini, histogram_entropy, spearman, ssim
    from .controls import CONTROLS, beside_controls, centre_map, edge_map, random_map
    from .curves import Curve, blurred, deletion, insertion, pixel_flipping
    from .filling import Road, road
    from .localisation import MaxBoxAcc, box_iou
    from .masking import average_drop
    from .over_images import OverImages, Summary
    from .pointing import energy, grid_energy, grid_hit, grid_mosaics, pointing_game
    from .randomisation import cascade, denoised
    from .sanity import class_contrast, completeness, entropy_rise, infidelity, max_sensitivity, runner_up

# The same once more, as data: name -> the room that it stands in. A test holds the two against each other.
_ROOMS = {
    "complexity": "agreement",
    "gini": "agreement",
    "histogram_entropy": "agreement",
    "spearman": "agreement",
    "ssim": "agreement",
    "CONTROLS": "controls",
    "beside_controls": "controls",
    "centre_map": "controls",
    "edge_map": "controls",
    "random_map": "controls",
    "Curve": "curves",
    "blurred": "curves",
    "deletion": "curves",
    "insertion": "curves",
    "pixel_flipping": "curves",
    "MaxBoxAcc": "localisation",
    "box_iou": "localisation",
    "average_drop": "masking",
    "OverImages": "over_images",
    "Summary": "over_images",
    "energy": "pointing",
    "grid_energy": "pointing",
    "grid_hit": "pointing",
    "grid_mosaics": "pointing",
    "pointing_game": "pointing",
    "cascade": "randomisation",
    "denoised": "randomisation",
    "Road": "filling",
    "road": "filling",
    "class_contrast": "sanity",
    "completeness": "sanity",
    "entropy_rise": "sanity",
    "infidelity": "sanity",
    "max_sensitivity": "sanity",
    "runner_up": "sanity",
}

__all__ = [
    "CONTROLS",
    "Curve",
    "MaxBoxAcc",
    "OverImages",
    "Road",
    "Summary",
    "average_drop",
    "beside_controls",
    "blurred",
    "box_iou",
    "cascade",
    "centre_map",
    "class_contrast",
    "completeness",
    "complexity",
    "deletion",
    "denoised",
    "edge_map",
    "energy",
    "entropy_rise",
    "gini",
    "grid_energy",
    "grid_hit",
    "grid_mosaics",
    "histogram_entropy",
    "infidelity",
    "insertion",
    "max_sensitivity",
    "pixel_flipping",
    "pointing_game",
    "random_map",
    "road",
    "runner_up",
    "spearman",
    "ssim",
]


def __getattr__(name: str) -> Any:
    """Import a public name's room at its first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
