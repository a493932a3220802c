"""ConvLens compiles a pretrained convolutional network into one file that explains itself."""

from engine.compiler.differentiate import CompileError
from engine.compiler.export import CaptureError
from engine.files.artifact import compile_model, load, save
from engine.files.manifest import ArtifactError
from engine.files.shelf import EXPORTED_MODELS, build, open_model
from engine.methods import METHODS
from engine.models.weights import WeightsError
from engine.models.zoo import MODELS, availability, by_family, load_model
from engine.pictures.geometry import Geometry
from engine.pictures.photo import PhotoError, load_photo
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
