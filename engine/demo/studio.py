"""The work behind the page: one pass of the network per question, kept, and pictures written when asked for."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np

from .. import (
    EXPORTED_MODELS,
    METHODS,
    ArtifactError,
    CaptureError,
    CompileError,
    load,
    load_photo,
    open_model,
)
from ..methods import Place
from ..pictures.render import Picture, contact_sheet
from . import log, passes
from .cache import Cache
from .controls import RefusalError
from .cores import Cores, in_own_thread
from .gpu import has_gpu, on_gpu
from .language import say
from .limits import OWN, Limits
from .names import file_name, safe, spoken
from .of_a_pass import is_alone, methods_of_a_pass
from .offer import Offer, OwnModel
from .passes import Attributions, Values
from .question import Question
from .scene import Model, Photo, Scene, options_of
from .watch import Tell

LARGE, MEDIUM, SMALL = 1024, 768, 220  # longest side of: the picture, the slider's frames, the contact sheet's


class Studio:
    """The models, photos and passes of all visitors, each kept while there is room.

    folder: where pictures are written, a part of gradio's upload folder so that they are served as they lie.
    artifacts: where compiled models are. own: those that the host has put on the page.
    """

    def __init__(
        self,
        folder: Path,
        artifacts: Path = EXPORTED_MODELS,
        limits: Limits = OWN,
        own: Sequence[OwnModel] = (),
    ) -> None:
        self.folder, self.artifacts, self.limits = folder, artifacts, limits
        self.offer = Offer(limits, own, artifacts)
        self.pinned: set[Path] = set()  # folders of pictures that stay
        self.examples: Sequence[Path] = ()  # photos that the page offers
        self._models: Cache[tuple[str, str], Model] = Cache(limits.memory, lambda model: model.size)
        self._photos: Cache[tuple[Path, int], Photo] = Cache(4e8, lambda photo: photo.pixels.nbytes)
        self._probabilities: Cache[tuple[Any, ...], Values] = Cache(1000)
        self._passes: Cache[tuple[Any, ...], Attributions] = Cache(
            8e8, lambda maps: _bytes_of(tuple(maps.values()))
        )
        self._answers: Cache[tuple[Any, ...], Any] = Cache(3e8, _bytes_of)
        self._homes: Cache[str, Path] = Cache(limits.pictures, lambda home: 0, self._delete)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self.cores = Cores()
        self.compute, self.forked = on_gpu(self._compute), has_gpu()

    def open(self, name: str, weights: str) -> Model:
        """A model, compiled at its first use.

        Raises WeightsError, and RefusalError where it can't be exact or is not offered here.
        """

        def read() -> Model:
            self.offer.admit(name, weights)
            if name in self.offer.own:
                return Model(in_own_thread(lambda: load(self.offer.own[name].path)))
            return Model(in_own_thread(lambda: open_model(name, weights, self.artifacts)))

        try:
            return self._models.get((name, weights), read)
        except ArtifactError as error:  # the zoo's are made anew
            told = say("{model} can't be opened: {reason}.", model=self.offer.title(name), reason=error)
            raise RefusalError(told) from error
        except (CaptureError, CompileError) as error:
            told = say("{model} can't be explained exactly: {reason}", model=name, reason=error)
            raise RefusalError(told) from error

    @property
    def opened(self) -> int:
        """How many models are open."""
        return len(self._models)

    def scene(self, question: Question, tell: Tell | None = None) -> Scene:
        """Settle what the question leaves open, and run the network where it has not run for this yet.

        tell: called with passes done and passes in all where they are many; what it raises ends them.
        Raises PhotoError, WeightsError, and RefusalError where the question does not fit the model.
        """
        log.tell(model=question.model)
        model, photo = self.open(question.model, question.weights), self.photo(question.photo)
        settle(question, model, 0)  # what does not fit needs no pass
        probabilities = self._classify(question, model, photo)
        question = settle(question, model, int(probabilities.argmax()))
        log.tell(method=question.method, layers=(question.layer or 0) + 1)
        return Scene(question, model, photo, probabilities, self._explain(question, model, photo, tell))

    def picture(self, scene: Scene) -> Path:
        """The picture that was asked for."""
        name = file_name(scene, "_large.jpg", scene.layer) if scene.layers else file_name(scene, ".jpg")
        return self._file(scene, name, lambda: scene.draw(scene.layer, LARGE))

    def frames(self, scene: Scene) -> list[tuple[Path, str]]:
        """The pictures of all layers, each with its line; none where the method has a single map."""
        if len(scene.layers) < 2:
            return []

        def frame(layer: int) -> Path:
            name = file_name(scene, ".jpg", layer)
            return self._file(scene, name, lambda: scene.draw(layer, MEDIUM))

        # Said here: a worker's thread speaks English.
        lines = [scene.model.layers[layer] for layer in scene.layers]
        return list(zip(self._pool.map(frame, scene.layers), lines, strict=True))

    def sheet(self, scene: Scene, title: str) -> Path:
        """The contact sheet of every layer."""
        if len(scene.layers) < 2:
            raise RefusalError(
                say("This method has a single map; a contact sheet is for those with one per layer.")
            )

        def draw() -> Picture:
            tiles = list(self._pool.map(lambda layer: scene.draw(layer, SMALL), scene.layers))
            captions = [scene.caption(layer) for layer in scene.layers]
            return contact_sheet(tiles, captions, title=title, cell=SMALL)

        return self._file(scene, file_name(scene, spoken("-every-layer.jpg")), draw)

    def artifact(self, name: str, weights: str) -> Path:
        """A model's own file, laid where visitors can fetch it."""
        self.open(name, weights)
        source = self.offer.file(name, weights)
        path = self.folder / "artifacts" / safe(name if name in self.offer.own else source.name)
        if not (path.exists() and path.samefile(source)):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{uuid4().hex}.part")
            try:
                partial.hardlink_to(source)  # no second half gigabyte, where the file system can
            except OSError:
                shutil.copyfile(source, partial)
            partial.replace(path)
        return path

    def home(self, scene: Scene) -> Path:
        """The folder of a scene's pictures; those unused for longest are deleted."""
        return self._homes.get(scene.key, lambda: self.folder / scene.key)

    def keep(self, key: str, name: str, make: Callable[[], bytes]) -> Path:
        """The file `name` in the folder of `key`, made unless it is there; folders unused for longest go."""
        path = self._homes.get(key, lambda: self.folder / key) / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{uuid4().hex}")
            content = make()
            partial.write_bytes(content)
            partial.replace(path)
            self._homes.grow(key, len(content))
        return path

    def _delete(self, home: Path) -> None:
        if home not in self.pinned:
            shutil.rmtree(home, ignore_errors=True)

    def _file(self, scene: Scene, name: str, draw: Callable[[], Picture]) -> Path:
        """A picture's file, drawn unless it is there already."""
        return self.keep(scene.key, name, lambda: encode(draw()))

    def photo(self, path: Path) -> Photo:
        """A photo as it was read. Raises PhotoError."""

        def read() -> Photo:
            content = path.read_bytes()
            return Photo(hashlib.sha256(content).hexdigest(), load_photo(content))

        return self._photos.get((path, path.stat().st_mtime_ns), read)

    def classify(self, name: str, weights: str, photo: Photo) -> Values:
        """The probabilities [K] of a photo that no picture is asked of: one that was changed, and lies nowhere."""

        def make() -> Values:
            found: tuple[Values, int, Attributions] = self.compute(
                passes.classify, name, weights, photo.pixels, None, []
            )
            return found[0]

        return self._probabilities.get((photo.key, name, weights), make)

    def _compute(self, work: Callable[..., Any], name: str, weights: str, *given: Any, **named: Any) -> Any:
        """What a function of `passes` returns or raises for a model, computed by a core that is free."""
        explainer = self.open(name, weights).explainer
        return self.cores.run(lambda: work(explainer, *given, **named))

    def ask(self, scene: Scene, work: Callable[..., tuple[Any, ...]], *given: Any, **beside: Any) -> Any:
        """What a function of `passes` answers of a scene's photo, for the model of the scene: computed once, and
        kept while there is room. beside: what follows from those. Raises ValueError where the engine does."""
        model = scene.question.model, scene.question.weights
        key = scene.photo.key, *model, work.__name__, *given
        return self._answers.get(key, lambda: self.compute(work, *model, scene.photo.pixels, *given, **beside))

    def _classify(self, question: Question, model: Model, photo: Photo) -> Values:
        """The probabilities; the pass that they come from explains a class too, where only one is asked for."""

        def make() -> Values:
            asked = [] if question.contrast is not None else methods_of_a_pass(model, question.method)
            given = question.model, question.weights, photo.pixels, question.target, asked
            found: tuple[Values, int, Attributions] = self.compute(passes.classify, *given)
            chances, top, maps = found
            if maps:
                explained = replace(question, target=top if question.target is None else question.target)
                self._passes.get(_key(explained, photo, model), lambda: maps)
            return chances

        return self._probabilities.get((photo.key, question.model, question.weights), make)

    def _explain(self, question: Question, model: Model, photo: Photo, tell: Tell | None) -> Attributions:
        """Every method at every layer, from one pass for each photo, model, target and contrast."""

        def run() -> Attributions:
            asks = {"target": question.target or 0, "contrast": question.contrast}
            given: Any = (question.model, question.weights, photo.pixels, *asks.values())
            maps: Attributions
            if METHODS[question.method].at is Place.THROUGHOUT:
                maps = self.compute(passes.throughout, *given, question.method)
            elif methods_of_a_pass(model, question.method):
                maps = self.compute(passes.survey, *given, methods_of_a_pass(model, question.method))
            else:
                asked: dict[str, Any] = asks | {"method": question.method, "options": options_of(question.method)}
                if not self.forked:  # nothing is told from one process to another
                    asked["progress"] = tell
                values, _ = self.compute(passes.ask, *given[:3], **asked)
                maps = {question.method: values}
            return maps

        return self._passes.get(_key(question, photo, model), run)


def _key(question: Question, photo: Photo, model: Model) -> tuple[Any, ...]:
    """What a pass depends on."""
    alone = question.method if is_alone(model, question.method) else ""
    return photo.key, question.model, question.weights, question.target, question.contrast, alone


# Full colour resolution: signed attributions are colours that change from pixel to pixel.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode(picture: Picture) -> bytes:
    """A picture as a JPEG file."""
    # OpenCV takes BGR, and would copy a mirrored view value by value.
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


def settle(question: Question, model: Model, top: int) -> Question:
    """Fill in what the question leaves open; RefusalError where it does not fit the model."""
    explainer, layers, classes = model.explainer, len(model.layers), len(model.labels)
    if question.method in explainer.manifest["absent"]:
        reason = say(explainer.manifest["absent"][question.method])
        title = say(METHODS[question.method].title)
        raise RefusalError(say("{method} does not apply here: {reason}.", method=title, reason=reason))
    if question.method not in model.methods:
        told = {"name": f"{question.method!r:.60}", "methods": ", ".join(model.methods)}
        raise RefusalError(say("There is no method {name}. Choose {methods}.", **told))
    layer = layers - 1 if question.layer is None else question.layer
    if not 0 <= layer < layers:
        told = {"layer": str(layer + 1), "layers": str(layers)}
        raise RefusalError(say("There is no layer {layer}: this model has {layers}, counted from 1.", **told))
    target = top if question.target is None else question.target
    for index in (target, question.contrast or 0):
        if not 0 <= index < classes:
            told = {"index": str(index), "classes": str(classes)}
            raise RefusalError(say("There is no class {index}: this model has {classes}, counted from 0.", **told))
    contrast = None if question.contrast == target else question.contrast
    return replace(question, layer=layer, target=target, contrast=contrast)


def _bytes_of(answer: tuple[Any, ...]) -> int:
    """Of the arrays in an answer; what else it says takes no room beside them."""
    return sum(part.nbytes for part in answer if isinstance(part, np.ndarray))
