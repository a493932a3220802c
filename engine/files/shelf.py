"""A folder of artifacts: open a model by name, and compile it the first time."""

import os
import threading
from pathlib import Path
from typing import Unpack

import torch

from ..errors import ArtifactError
from ..models.loading import Model, Own, load_model
from ..models.timm import PREFIX
from ..models.zoo import Size, model_spec
from ..run.explainer import Explainer
from .artifact import load, save
from .manifest import COMPILER, read_manifest


def models_folder() -> Path:
    """Where compiled models are kept: CONVLENS_HOME where it is set, else the checkout's own `exported_models`,
    else `convlens` in the user's cache."""
    if home := os.environ.get("CONVLENS_HOME"):
        return Path(home).expanduser()
    checkout = Path(__file__).parents[2] / "exported_models"
    if (checkout / "README.md").is_file():
        return checkout
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "convlens"


EXPORTED_MODELS = models_folder()

_building: dict[Path, threading.Lock] = {}


def open_model(name: str, weights: str = "default", folder: Path = EXPORTED_MODELS) -> Explainer:
    """The explainer of a model of the zoo, from its file in `folder`, or compiled and kept there.

    weights: "default" or "random". A file of another compiler or torch is made anew. Raises
    WeightsError where the weights can't be had, ValueError where there is no such model.
    """
    if not name.startswith(PREFIX):
        model_spec(name)
    path = model_file(name, weights, folder)
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
    **own: Unpack[Own],
) -> Explainer:
    """Load a model of the zoo, or a checkpoint of one's own, and compile it.

    weights, size and own (key, labels, mean, std, fit, transform_input): as `load_model` takes them; layers and
    methods: as `compile_model` does. These two say what is raised.
    """
    return build_loaded(load_model(name, weights, size=size, **own), layers, methods)


def build_loaded(model: Model, layers: str | list[str] = "trunk", methods: list[str] | None = None) -> Explainer:
    """Compile a model that is loaded already; see `compile_model` for what it raises."""
    from .compiling import compile_model  # here: whoever only asks files never loads the compiler

    return compile_model(
        model.module, model.example[:1], layers, methods, model.labels, model.geometry, model.source
    )


def coverage_of(name: str, folder: Path = EXPORTED_MODELS) -> str:
    """What the policies reach in a model of which `folder` has a file; empty where it has none."""
    for weights in ("default", "random"):
        try:
            return str(read_manifest(model_file(name, weights, folder))["coverage"]["text"])
        except ArtifactError:
            continue
    return ""


def model_file(name: str, weights: str, folder: Path = EXPORTED_MODELS) -> Path:
    """The file in `folder` that a model is kept in, whether it is there or not."""
    file = name.replace("/", "-")
    return folder / (f"{file}.pt" if weights == "default" else f"{file}-{weights}.pt")


def _current(path: Path) -> Explainer | None:
    try:
        explainer = load(path)
    except ArtifactError:
        return None
    made_by = explainer.manifest.get("compiler"), explainer.manifest["torch"]
    return explainer if made_by == (COMPILER, torch.__version__) else None
