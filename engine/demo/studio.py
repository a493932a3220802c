"""The work behind the page: one pass of the network per question, kept, and pictures written when asked for."""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import torch
from torch import Tensor

from .. import EXPORTED_MODELS, METHODS, MODELS, CaptureError, CompileError, Explainer, load_photo, open_model
from ..files.shelf import model_file
from ..pictures.render import Picture, contact_sheet
from .cache import Cache
from .cores import Cores, in_own_thread
from .limits import OWN, Limits, size_of
from .question import Question, RefusalError
from .scene import Attributions, Model, Photo, Scene, Values

LARGE, MEDIUM, SMALL = 1024, 768, 220  # longest side of: the picture, the slider's frames, the contact sheet's


class Studio:
    """The models, photos and passes of all visitors, each kept while there is room.

    folder: where pictures are written, a part of gradio's upload folder so that they are served as they lie.
    artifacts: where compiled models are.
    """

    def __init__(self, folder: Path, artifacts: Path = EXPORTED_MODELS, limits: Limits = OWN) -> None:
        self.folder, self.artifacts, self.limits = folder, artifacts, limits
        self.pinned: set[Path] = set()  # folders of pictures that stay
        self._models: Cache[tuple[str, str], Model] = Cache(limits.memory, lambda model: model.size)
        self._photos: Cache[tuple[Path, int], Photo] = Cache(4e8, lambda photo: photo.pixels.nbytes)
        self._probabilities: Cache[tuple[Any, ...], Values] = Cache(1000)
        self._passes: Cache[tuple[Any, ...], Attributions] = Cache(8e8, _bytes)
        self._homes: Cache[str, Path] = Cache(limits.pictures, lambda home: 0, self._delete)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self.cores = Cores()

    def open(self, name: str, weights: str) -> Model:
        """A model, compiled at its first use.

        Raises WeightsError, and RefusalError where it can't be exact or is not offered here.
        """

        def read() -> Model:
            self._admit(name, weights)
            return Model(in_own_thread(lambda: open_model(name, weights, self.artifacts)))

        try:
            return self._models.get((name, weights), read)
        except (CaptureError, CompileError) as error:
            raise RefusalError(f"{name} can't be explained exactly: {error}") from error

    def prepared(self, name: str, weights: str) -> bool:
        """Does a file of the model lie ready?"""
        return model_file(name, weights, self.artifacts).is_file()

    def _admit(self, name: str, weights: str) -> None:
        """Raise RefusalError where opening a model would take more of this machine than visitors may."""
        title = MODELS[name].title
        if not self.limits.offers(name):
            raise RefusalError(f"{title} is too large for this page. Choose a smaller model from the list.")
        if self.prepared(name, weights):
            return
        if weights == "random" and not self.limits.random:
            raise RefusalError(f"This page draws no random weights for {title}. Choose the published ones.")
        if size_of(self.artifacts) > self.limits.artifacts:
            ready = [spec.title for spec in MODELS.values() if self.prepared(spec.name, "default")]
            raise RefusalError(f"This page has no room for another model. Choose one of {', '.join(ready)}.")

    def scene(self, question: Question) -> Scene:
        """Settle what the question leaves open, and run the network where it has not run for this yet.

        Raises PhotoError, WeightsError, and RefusalError where the question does not fit the model.
        """
        model, photo = self.open(question.model, question.weights), self._photo(question.photo)
        settle(question, model, 0)  # what does not fit needs no pass
        probabilities = self._classify(question, model, photo)
        question = settle(question, model, int(probabilities.argmax()))
        return Scene(question, model, photo, probabilities, self._explain(question, model, photo))

    def picture(self, scene: Scene) -> Path:
        """The picture that was asked for."""
        name = f"{scene.layer + 1}-large" if scene.layers else "image"
        return self._file(scene, name, lambda: scene.draw(scene.layer, LARGE))

    def frames(self, scene: Scene) -> list[tuple[Path, str]]:
        """The pictures of all layers, each with its line; none where the method has a single map."""
        if len(scene.layers) < 2:
            return []

        def frame(layer: int) -> tuple[Path, str]:
            path = self._file(scene, f"{layer + 1}", lambda: scene.draw(layer, MEDIUM))
            return path, scene.model.layers[layer]

        return list(self._pool.map(frame, scene.layers))

    def sheet(self, scene: Scene, title: str) -> Path:
        """The contact sheet of every layer."""
        if len(scene.layers) < 2:
            raise RefusalError("This method has a single map; a contact sheet is for those with one per layer.")

        def draw() -> Picture:
            tiles = list(self._pool.map(lambda layer: scene.draw(layer, SMALL), scene.layers))
            captions = [line.replace(" · ", "\n", 1) for line in scene.model.layers]
            return contact_sheet(tiles, captions, title=title, cell=SMALL)

        return self._file(scene, "every-layer", draw)

    def artifact(self, name: str, weights: str) -> Path:
        """A model's own file, laid where visitors can fetch it."""
        self.open(name, weights)
        source = model_file(name, weights, self.artifacts)
        path = self.folder / "artifacts" / source.name
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

    def _delete(self, home: Path) -> None:
        if home not in self.pinned:
            shutil.rmtree(home, ignore_errors=True)

    def _file(self, scene: Scene, name: str, draw: Callable[[], Picture]) -> Path:
        """A picture's file, drawn unless it is there already."""
        path = self.home(scene) / f"{scene.question.model}-{scene.question.method}-{name}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{uuid4().hex}")
            content = encode(draw())
            partial.write_bytes(content)
            partial.replace(path)
            self._homes.grow(scene.key, len(content))
        return path

    def _photo(self, path: Path) -> Photo:
        def read() -> Photo:
            content = path.read_bytes()
            return Photo(hashlib.sha256(content).hexdigest(), load_photo(content))

        return self._photos.get((path, path.stat().st_mtime_ns), read)

    def _classify(self, question: Question, model: Model, photo: Photo) -> Values:
        """The probabilities; the pass that they come from explains a class too, where only one is asked for."""
        explainer, target = model.explainer, -1 if question.target is None else question.target

        def run() -> tuple[Tensor, dict[str, Tensor]]:
            x = explainer.preprocess(torch.from_numpy(photo.pixels))
            if question.contrast is not None:
                return explainer.forward(x), {}
            return explainer.answers(x, [target], methods_of_a_pass(explainer, question.method))

        def make() -> Values:
            logits, maps = self.cores.run(run)
            if maps:
                top = int(logits[0].argmax())
                explained = replace(question, target=top if question.target is None else question.target)
                self._passes.get(_key(explained, photo), lambda: _arrays(maps))
            chances = explainer.probabilities(logits)
            return np.asarray((logits if chances is None else chances)[0].float().numpy())

        return self._probabilities.get((photo.key, question.model, question.weights), make)

    def _explain(self, question: Question, model: Model, photo: Photo) -> Attributions:
        """Every method at every layer, from one pass for each photo, model, target and contrast."""
        explainer, target, contrast = model.explainer, question.target or 0, question.contrast

        def run() -> Attributions:
            x = explainer.preprocess(torch.from_numpy(photo.pixels))
            seed = explainer.one_hot(target) if contrast is None else explainer.contrast(target, contrast)
            return _arrays(explainer.survey(x, seed, methods_of_a_pass(explainer, question.method)))

        return self._passes.get(_key(question, photo), lambda: self.cores.run(run))


def _key(question: Question, photo: Photo) -> tuple[Any, ...]:
    """What a pass depends on."""
    alone = "" if METHODS[question.method].light else question.method
    return photo.key, question.model, question.weights, question.target, question.contrast, alone


def methods_of_a_pass(explainer: Explainer, method: str) -> list[str]:
    """The methods that the pass for `method` answers: it alone, or with all those that are read on the way.

    Products of two are left out, and multiplied when they are looked at."""
    if not METHODS[method].light:
        return [method]
    return [name for name in explainer.one_pass_methods if METHODS[name].light and not METHODS[name].times]


def _arrays(maps: dict[str, Tensor]) -> Attributions:
    return {name: values[0].float().numpy() for name, values in maps.items()}


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
        title = METHODS[question.method].title
        raise RefusalError(f"{title} does not apply here: {explainer.manifest['absent'][question.method]}.")
    if question.method not in explainer.one_pass_methods:
        raise RefusalError(
            f"There is no method {question.method!r:.60}. Choose {', '.join(explainer.one_pass_methods)}."
        )
    layer = layers - 1 if question.layer is None else question.layer
    if not 0 <= layer < layers:
        raise RefusalError(f"There is no layer {layer + 1}: this model has {layers}, counted from 1.")
    target = top if question.target is None else question.target
    for index in (target, question.contrast or 0):
        if not 0 <= index < classes:
            raise RefusalError(f"There is no class {index}: this model has {classes}, counted from 0.")
    contrast = None if question.contrast == target else question.contrast
    return replace(question, layer=layer, target=target, contrast=contrast)


def _bytes(maps: Attributions) -> int:
    return sum(values.nbytes for values in maps.values())
