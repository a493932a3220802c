"""The models of one page: the host's own files first, and those of the zoo that its limits let in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import EXPORTED_MODELS, METHODS, MODELS, ArtifactError
from ..files.manifest import check_program, manifest_in, open_artifact
from ..files.shelf import model_file
from ..models.weights import arrived
from ..text import COMMAND
from . import words
from .controls import RefusalError
from .language import say
from .limits import OWN, Limits, size_of

PICTURES = ("choice", "independent")  # the kinds of outputs that the page can show: classes with probabilities


@dataclass(frozen=True)
class OwnModel:
    """A ConvLens file that the host has put on the page. name: what a question calls it, the name of the file."""

    name: str
    path: Path
    title: str


class Offer:
    """What models a page has. own: those of its host, in their order; limits: of those of the zoo, whose compiled
    files lie in `artifacts`."""

    def __init__(
        self, limits: Limits = OWN, own: Sequence[OwnModel] = (), artifacts: Path = EXPORTED_MODELS
    ) -> None:
        self.limits, self.own, self.artifacts = limits, {model.name: model for model in own}, artifacts

    def __contains__(self, name: object) -> bool:
        """Does the page know a model of that name, whether it opens it or not?"""
        return isinstance(name, str) and (name in self.own or name in MODELS)

    def title(self, name: str) -> str:
        """The name of a model, for people."""
        return self.own[name].title if name in self.own else MODELS[name].title

    def choices(self) -> list[tuple[str, str]]:
        """The models for a dropdown: a label that tells where each comes from, and the name."""
        return [(f"{own.title}  ·  {own.name}", own.name) for own in self.own.values()] + words.model_choices(
            self.limits.offers
        )

    def file(self, name: str, weights: str) -> Path:
        """Where a model's file is, or will be."""
        return self.own[name].path if name in self.own else model_file(name, weights, self.artifacts)

    def prepared(self, name: str, weights: str) -> bool:
        """Does a file of the model lie ready?"""
        return self.file(name, weights).is_file()

    def admit(self, name: str, weights: str) -> None:
        """Raise RefusalError where opening a model would take more of this machine than visitors may."""
        title = self.title(name)
        if name in self.own:
            if weights != "default":
                raise RefusalError(say("{model} has weights of its own, and no random ones.", model=title))
            return
        if not self.limits.offers(name):
            told = say("{model} is too large for this page. Choose a smaller model from the list.", model=title)
            raise RefusalError(told)
        if self.prepared(name, weights):
            return
        if weights == "random" and not self.limits.random:
            told = say("This page draws no random weights for {model}. Choose the published ones.", model=title)
            raise RefusalError(told)
        if size_of(self.artifacts) > self.limits.artifacts:
            ready = ", ".join(spec.title for spec in MODELS.values() if self.prepared(spec.name, "default"))
            told = say("This page has no room for another model. Choose one of {models}.", models=ready)
            raise RefusalError(told)

    def opening(self, name: str, weights: str, prepared: bool) -> str:
        """What happens while a model is opened. prepared: its file lies ready."""
        if name in self.own:
            return say("Opening {model} …", model=self.title(name))
        return words.opening(name, weights, prepared, arrived(MODELS[name].url))


ZOO = Offer()


def find(places: Iterable[str | Path]) -> tuple[list[OwnModel], list[str]]:
    """The models in files, and in the .pt files of folders, and a sentence for each that can't be shown.

    They are read and held against their digests; nothing of a file runs before it is chosen. Of several that have
    one name the later ones get a number.
    """
    found: dict[str, OwnModel] = {}
    complaints: list[str] = []
    for path in _files(places, complaints):
        try:
            manifest = _checked(path)
            if why := unfit(manifest):
                raise ArtifactError(f"{path.name} {why}")
        except (ArtifactError, OSError) as error:
            complaints.append(str(error) if isinstance(error, ArtifactError) else f"{path.name}: {error.strerror}")
            continue
        name, number = path.name, 2
        while name in found or name in MODELS:
            name, number = f"{path.stem}-{number}{path.suffix}", number + 1
        found[name] = OwnModel(name, path, str(manifest["model"].get("title") or path.stem))
    return list(found.values()), complaints


def unfit(manifest: dict[str, Any]) -> str:
    """Why the page can't show a file, as the rest of a sentence; nothing where it can."""
    channels, outputs = len(manifest["geometry"]["mean"]), manifest.get("outputs", "choice")
    if channels not in (1, 3):
        return f"takes images of {channels} channels, and the page shows photos: ask it from Python"
    one_value = outputs == "choice" and manifest["classes"] == 1 and not manifest.get("ending")
    if outputs not in PICTURES or one_value:
        told = {"embedding": "an embedding", "dense": "a class for every place"}.get(outputs, "values")
        return f"answers with {told}, and the page shows classes with probabilities: ask it from Python"
    if not any(method["name"] in METHODS and "path" not in method for method in manifest["methods"]):
        return "has none of the page's methods: export it with --methods grad_cam, or with all of them"
    if not manifest["layers"]:
        return "has no layers: export it with --layers all"
    return ""


def _checked(path: Path) -> dict[str, Any]:
    """The manifest of a whole file. Raises ArtifactError."""
    with open_artifact(path) as file:
        manifest = manifest_in(file)
        check_program(file, manifest)
    return manifest


def _files(places: Iterable[str | Path], complaints: list[str]) -> Iterable[Path]:
    """The files, each once, in order; what is no file nor folder with files goes to the complaints."""
    seen = set()
    for place in map(Path, places):
        inside = sorted(place.glob("*.pt")) if place.is_dir() else [place]
        if not inside:
            complaints.append(
                f"{place.name or place} has no .pt file in it: {COMMAND} export MODEL -o FILE.pt makes one"
            )
        for path in inside:
            if (resolved := path.resolve()) not in seen:
                seen.add(resolved)
                yield path
