"""ConvLens compiles a pretrained convolutional network into one file that explains itself.

Names are looked up when they are first used: who loads a file never loads the compiler.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch.questions import Questions
    from .batch.reading import read_maps
    from .batch.run import explain_folder
    from .dream.ascent import Dream, Shaking
    from .dream.images import channel_image, class_image, deep_dream, invert, unit_image
    from .dream.objectives import Natural
    from .errors import ArtifactError, CaptureError, CompileError, PhotoError, WeightsError
    from .files.artifact import load, save
    from .files.compiling import compile_model
    from .files.pt2 import export_program, write_pt2
    from .files.pt2_package import write_pt2_package
    from .files.pt2_programs import export_programs
    from .files.shelf import EXPORTED_MODELS, build, open_model
    from .files.triton import write_triton
    from .methods import METHODS, Method, Place
    from .models.loading import load_model
    from .models.zoo import MODELS, availability, by_family
    from .pictures.boxes import Box
    from .pictures.geometry import Geometry
    from .pictures.photo import load_photo
    from .run.explainer import Explainer
    from .trust.certificate import register_method
    from .trust.check_rule import check_rule
    from .trust.relevance import register_composite

__version__ = "0.2.0"

# The same once more, as data: name -> the room that it stands in. A test holds the two against each other.
_ROOMS = {
    "Questions": "batch.questions",
    "read_maps": "batch.reading",
    "explain_folder": "batch.run",
    "Dream": "dream.ascent",
    "Shaking": "dream.ascent",
    "channel_image": "dream.images",
    "class_image": "dream.images",
    "deep_dream": "dream.images",
    "invert": "dream.images",
    "unit_image": "dream.images",
    "Natural": "dream.objectives",
    "ArtifactError": "errors",
    "CaptureError": "errors",
    "CompileError": "errors",
    "PhotoError": "errors",
    "WeightsError": "errors",
    "load": "files.artifact",
    "save": "files.artifact",
    "compile_model": "files.compiling",
    "export_program": "files.pt2",
    "write_pt2": "files.pt2",
    "write_pt2_package": "files.pt2_package",
    "export_programs": "files.pt2_programs",
    "EXPORTED_MODELS": "files.shelf",
    "build": "files.shelf",
    "open_model": "files.shelf",
    "write_triton": "files.triton",
    "METHODS": "methods",
    "Method": "methods",
    "Place": "methods",
    "register_method": "trust.certificate",
    "MODELS": "models.zoo",
    "availability": "models.zoo",
    "by_family": "models.zoo",
    "load_model": "models.loading",
    "Box": "pictures.boxes",
    "Geometry": "pictures.geometry",
    "load_photo": "pictures.photo",
    "Explainer": "run.explainer",
    "check_rule": "trust.check_rule",
    "register_composite": "trust.relevance",
}

__all__ = [
    "EXPORTED_MODELS",
    "METHODS",
    "MODELS",
    "ArtifactError",
    "Box",
    "CaptureError",
    "CompileError",
    "Dream",
    "Explainer",
    "Geometry",
    "Method",
    "Natural",
    "PhotoError",
    "Place",
    "Questions",
    "Shaking",
    "WeightsError",
    "availability",
    "build",
    "by_family",
    "channel_image",
    "check_rule",
    "class_image",
    "compile_model",
    "deep_dream",
    "explain_folder",
    "export_program",
    "export_programs",
    "invert",
    "load",
    "load_model",
    "load_photo",
    "open_model",
    "read_maps",
    "register_composite",
    "register_method",
    "save",
    "unit_image",
    "write_pt2",
    "write_pt2_package",
    "write_triton",
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
