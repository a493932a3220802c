"""ConvLens compiles a pretrained convolutional network into one file that explains itself."""

from engine.errors import ArtifactError, CaptureError, CompileError, PhotoError, WeightsError
from engine.files.artifact import load, save
from engine.files.compiling import compile_model
from engine.files.shelf import EXPORTED_MODELS, build, open_model
from engine.methods import METHODS
from engine.models.zoo import MODELS, availability, by_family, load_model
from engine.pictures.geometry import Geometry
from engine.pictures.photo import load_photo
from engine.run.explainer import Explainer

__all__ = [
    "EXPORTED_MODELS",
    "METHODS",
    "MODELS",
    "ArtifactError",
    "CaptureError",
    "CompileError",
    "Explainer",
    "Geometry",
    "PhotoError",
    "WeightsError",
    "availability",
    "build",
    "by_family",
    "compile_model",
    "load",
    "load_model",
    "load_photo",
    "open_model",
    "save",
]
