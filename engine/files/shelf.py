"""A folder of artifacts: open a model by name, and compile it the first time."""

import threading
from pathlib import Path

import torch

from engine.errors import ArtifactError
from engine.files.artifact import load, save
from engine.files.compiling import compile_model
from engine.files.manifest import COMPILER, read_manifest
from engine.models.timm import PREFIX
from engine.models.zoo import Model, Size, load_model, model_spec
from engine.run.explainer import Explainer

EXPORTED_MODELS = Path(__file__).parents[2] / "exported_models"

_building: dict[Path, threading.Lock] = {}


def open_model(name: str, weights: str = "default", folder: Path = EXPORTED_MODELS) -> Explainer:
    """The explainer of a model of the zoo, from its file in `folder`, or compiled and kept there.

    weights: "default" or "random". A file of another compiler or torch is made anew. Raises
    WeightsError where the weights can't be had, ValueError where there is no such model.
    """
    if not name.startswith(PREFIX):
        model_spec(name)
    path = _path(name, weights, folder)
    with _building.setdefault(path, threading.Lock()):
        if path.is_file() and (explainer := _current(path)):
            return explainer
        explainer = build(name, weights)
        save(explainer, path)
        return explainer


def build(
    name: str,
    weights: str | Path = "default",
    layers: str | list[str] = "trunk",
    methods: list[str] | None = None,
    size: Size | None = None,
) -> Explainer:
    """Load a model of the zoo and compile it; see `load_model` and `compile_model` for what they raise."""
    return build_loaded(load_model(name, weights, size=size), layers, methods)


def build_loaded(model: Model, layers: str | list[str] = "trunk", methods: list[str] | None = None) -> Explainer:
    """Compile a model that is loaded already; see `compile_model` for what it raises."""
    return compile_model(
        model.module, model.example[:1], layers, methods, model.labels, model.geometry, model.source
    )


def coverage_of(name: str, folder: Path = EXPORTED_MODELS) -> str:
    """What the gates reach in a model of which `folder` has a file; empty where it has none."""
    for weights in ("default", "random"):
        try:
            return str(read_manifest(_path(name, weights, folder))["coverage"]["text"])
        except ArtifactError:
            continue
    return ""


def _path(name: str, weights: str, folder: Path) -> Path:
    file = name.replace("/", "-")
    return folder / (f"{file}.pt" if weights == "default" else f"{file}-{weights}.pt")


def _current(path: Path) -> Explainer | None:
    try:
        explainer = load(path)
    except ArtifactError:
        return None
    made_by = explainer.manifest.get("compiler"), explainer.manifest["torch"]
    return explainer if made_by == (COMPILER, torch.__version__) else None
