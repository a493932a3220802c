"""The page for programs: what gradio's client, curl and MCP may ask, and how each question is answered.

An endpoint is a method of Programs and its row in ENDPOINTS. Its docstring is what `client.view_api()` and MCP
tell of it. They ask as the page does: the same checks of photos and models, the same bounds, the same workers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from .. import METHODS
from ..methods import Place
from ..pictures.figures import Look, empty_line, picture
from ..pictures.render import contact_sheet, png
from ..run.starting import Position
from . import log, passes
from .answers import (
    Asked,
    check_passes,
    class_of,
    classes,
    files,
    layer_of,
    method_of,
    number,
    numbers,
    pixel_of,
    sentence,
    whole,
)
from .controls import DEFAULT_METHOD, RefusalError, uploaded
from .desk import plainly
from .scene import Model, Photo, fitted
from .studio import LARGE, SMALL, Studio

NO_OPTIONS: Asked = {"smooth": 0, "baseline": "mean", "options": None}
TOP = 5  # classes that `explain` tells beside its map


class Programs:
    """The endpoints. home: the model that is asked where none is named."""

    def __init__(self, studio: Studio, uploads: Path, home: str) -> None:
        self.studio, self.uploads, self.home = studio, uploads, home

    def classify(self, photo: gr.FileData, model: str | None = None, top: int = 5) -> dict[str, Any]:
        """What a model sees in a photo: its most probable classes, the first first.

        Args:
            photo: an image file, handle_file(path or address) in Python
            model: name of a model; the one that the page opens with if left out
            top: how many classes are told

        Returns:
            seen: model, title, and classes, each with index, label and probability
        """
        with plainly():
            name, opened, seen = self._open(photo, model)
            most = whole("number of classes", top, 1)
            chances, _, _ = self._compute(passes.classify, name, seen.pixels, None, [])
            return {"model": name, "title": opened.title, "classes": classes(opened, chances, most)}

    def explain(
        self,
        photo: gr.FileData,
        model: str | None = None,
        method: str | None = None,
        layer: int | str | None = None,
        target: int | str | None = None,
        contrast: int | str | None = None,
        smooth: int = 0,
        baseline: str = "mean",
        options: dict[str, float] | None = None,
    ) -> tuple[gr.FileData, dict[str, float], gr.FileData, dict[str, Any]]:
        """Why a model sees a class in a photo: the map of one method at one layer.

        Args:
            photo: an image file, handle_file(path or address) in Python
            model: name of a model; the one that the page opens with if left out
            method: any of the model's file, those of many passes too; HiResCAM or Grad-CAM if left out
            layer: name of a layer, or its number from 1; if left out the last one, or for relevance the image
            target: the class, by its name or its number from 0; the most probable one if left out
            contrast: rather than which class
            smooth: the mean over so many noisy copies of the photo, for methods of one pass
            baseline: what paths begin at and hidden pixels show, which is mean, black or blur
            options: of a method of many passes, such as {"steps": 50}

        Returns:
            picture: the map on the photo, or the network's input where each channel has its values, PNG
            classes: the most probable classes, each label with its probability
            map: the raw values, float32 [S, S] or [C, S, S], .npy
            facts: model, method, title, layer, asked, signed, shape, range, completeness, passes, arrived, notes
        """
        with plainly():
            name, opened, seen = self._open(photo, model)
            index = -1 if layer is None else layer_of(opened, layer)
            log.tell(layers=index % len(opened.layers) + 1)
            asked = self._asked(name, opened, seen, target, contrast)
            asked |= {"method": None if method is None else method_of(opened, method), "layer": index}
            asked |= {"smooth": smooth, "baseline": baseline, "options": options}
            check_passes(opened, asked, self.studio.limits.passes)
            values, facts = self._compute(passes.ask, name, seen.pixels, **asked)
            log.tell(method=facts["method"])
            found = classes(opened, facts.pop("probabilities"), TOP)
            facts["layer"] = next(iter(facts.pop("layers")), None)

            def draw() -> bytes:
                shown, window = fitted(seen, opened, LARGE)
                map = METHODS[facts["method"]].at.per_pixel(values)
                return png(picture(shown, window, map, Look(), facts["layer"] is None, facts["signed"]))

            file = f"{Path(name).stem}-{facts['method']}"
            drawn, kept = files(self.studio, seen, ("explain", name, asked), file, values, draw)
            chances = {one["label"]: one["probability"] for one in found}
            return drawn, chances, kept, {"model": name, **facts, **numbers(values)}

    def sweep(
        self,
        photo: gr.FileData,
        model: str | None = None,
        method: str = DEFAULT_METHOD,
        target: int | str | None = None,
        contrast: int | str | None = None,
    ) -> tuple[gr.FileData, gr.FileData, dict[str, Any]]:
        """One method at every layer of a model, from one pass.

        Args:
            photo: an image file, handle_file(path or address) in Python
            model: name of a model; the one that the page opens with if left out
            method: one of layers that takes one pass, such as hires_cam, grad_cam or guided_grad_cam
            target: the class, by its name or its number from 0; the most probable one if left out
            contrast: rather than which class

        Returns:
            picture: a contact sheet of all layers, PNG
            maps: the raw values, float32 [L, S, S] or [L, C, S, S], .npy
            facts: model, method, title, asked, signed, shape, range, notes, and layers, each with name and range
        """
        with plainly():
            name, opened, seen = self._open(photo, model)
            row = METHODS[method_of(opened, method)]
            if not (row.at.at_every_layer or row.at is Place.THROUGHOUT) or row.path:
                raise RefusalError(f"{row.title} is not read at every layer in one pass. Use /explain.")
            log.tell(layers="all")
            asked = self._asked(name, opened, seen, target, contrast) | {"method": method, "layer": "all"}
            values, facts = self._compute(passes.ask, name, seen.pixels, **asked)
            facts.pop("probabilities")
            layers = [
                {"name": layer, **numbers(one)} for layer, one in zip(facts.pop("layers"), values, strict=True)
            ]

            def draw() -> bytes:
                shown, window = fitted(seen, opened, SMALL)
                tiles = [picture(shown, window, one, Look(), False, row.signed) for one in values]
                named = [line.replace(" · ", "\n", 1) for line in opened.layers]
                captions = [line + empty_line(one, row.signed) for line, one in zip(named, values, strict=True)]
                title = f"{row.title} for {facts['asked']} · {opened.title}"
                return png(contact_sheet(tiles, captions, title=title, cell=SMALL))

            file = f"{Path(name).stem}-{method}-every-layer"
            drawn, kept = files(self.studio, seen, ("sweep", name, asked), file, values, draw)
            return drawn, kept, {"model": name, **facts, **numbers(values), "layers": layers}

    def unit(
        self,
        photo: gr.FileData,
        layer: int | str,
        channel: int,
        model: str | None = None,
        method: str = "guided_backprop",
        place: list[int] | None = None,
    ) -> tuple[gr.FileData, gr.FileData, dict[str, Any]]:
        """What made a unit inside of a model fire: a channel of a layer, brought back to the pixels.

        Args:
            photo: an image file, handle_file(path or address) in Python
            layer: name of a layer, or its number from 1
            channel: number of the channel, from 0
            model: name of a model; the one that the page opens with if left out
            method: one that takes one pass; deconvnet is Zeiler and Fergus's own
            place: row and column in the layer, such as [3, 5]; where the channel is strongest if left out

        Returns:
            picture: the network's input where each channel has its values, else heat on the photo, PNG
            map: the raw values, float32 [C, S, S] or [S, S], .npy
            facts: model, method, title, layer, channel, value, place, pixel (its middle), range, shape
        """
        with plainly():
            name, opened, seen = self._open(photo, model)
            index, row = layer_of(opened, layer), METHODS[method_of(opened, method, many_passes=False)]
            log.tell(layers=index + 1)
            position: Position = "strongest"
            if place is not None:
                if not isinstance(place, list) or len(place) != 2:
                    raise RefusalError(f"The place is a row and a column, such as [3, 5]; got {place!r:.60}.")
                position = whole("row", place[0]), whole("column", place[1])
            asked = index, whole("channel", channel), position, row.name
            values, where, value = self._compute(passes.unit, name, seen.pixels, *asked)

            def draw() -> bytes:
                shown, window = fitted(seen, opened, LARGE)
                map = row.at.per_pixel(values)
                return png(picture(shown, window, map, Look(), row.at.at_image, row.signed))

            file = f"{Path(name).stem}-{row.name}-{asked[1]}"
            drawn, kept = files(self.studio, seen, ("unit", name, asked), file, values, draw)
            facts: dict[str, Any] = {"model": name, "method": row.name, "title": row.title}
            facts |= {"layer": opened.explainer.layers[index]}
            facts |= {"channel": asked[1], "value": number(value), "place": list(where)}
            return drawn, kept, facts | {"pixel": pixel_of(opened, seen, index, where), **numbers(values)}

    def trust(
        self,
        photo: gr.FileData,
        model: str | None = None,
        method: str | None = None,
        layer: int | str | None = None,
        target: int | str | None = None,
        contrast: int | str | None = None,
    ) -> dict[str, Any]:
        """How far a map can be believed: held against maps that know nothing, other classes, and redrawn weights.

        Args:
            photo: an image file, handle_file(path or address) in Python
            model: name of a model; the one that the page opens with if left out
            method: any of the model's file; HiResCAM or Grad-CAM if left out
            layer: name of a layer, or its number from 1; if left out the last one, or for relevance the image
            target: the class, by its name or its number from 0; the most probable one if left out
            contrast: rather than which class

        Returns:
            found: model, method, title, layer, asked, verdicts (name, good, text) and areas under curves
        """
        with plainly():
            name, opened, seen = self._open(photo, model)
            index = -1 if layer is None else layer_of(opened, layer)
            log.tell(layers=index % len(opened.layers) + 1)
            asked = self._asked(name, opened, seen, target, contrast) | {"layer": index}
            asked |= {"method": None if method is None else method_of(opened, method)}
            check_passes(opened, asked | NO_OPTIONS, self.studio.limits.passes)
            found = self._compute(passes.examined, name, seen.pixels, **asked)
            log.tell(method=found["method"])
            labels = opened.labels
            told, other = labels[found.pop("target")], found.pop("contrast")
            found["asked"] = told if other is None else f"{told} rather than {labels[other]}"
            return {"model": name, "title": METHODS[found["method"]].title, **found}

    def _open(self, photo: Any, model: Any) -> tuple[str, Model, Photo]:
        """The model's name, the model and the photo, all checked."""
        name = self.home if model is None else model
        if name not in self.studio.offer:
            raise RefusalError(f"There is no model {name!r:.60}. Choose one from the page's list.")
        log.tell(model=name)
        path = uploaded(photo, self.uploads)
        return name, self.studio.open(name, "default"), self.studio.photo(path)

    def _asked(self, name: str, model: Model, photo: Photo, target: Any, contrast: Any) -> Asked:
        """The classes that are compared, by number. As on the page, one is not compared with itself."""
        wanted, other = class_of(model, target), class_of(model, contrast)
        if other is not None and wanted is None:
            _, wanted, _ = self._compute(passes.classify, name, photo.pixels, None, [])
        return {"target": wanted, "contrast": None if other == wanted else other}

    def _compute(self, work: Callable[..., Any], name: str, *given: Any, **named: Any) -> Any:
        """What the engine answers; what it refuses becomes a sentence."""
        try:
            return self.studio.compute(work, name, "default", *given, **named)
        except ValueError as error:
            raise error if isinstance(error, RefusalError) else RefusalError(sentence(error)) from error


# The interface for programs, and the tools of MCP: what stands here and nothing else.
ENDPOINTS: dict[str, Callable[..., Any]] = {
    "classify": Programs.classify,
    "explain": Programs.explain,
    "sweep": Programs.sweep,
    "unit": Programs.unit,
    "trust": Programs.trust,
}
