"""The handlers of the page: each takes the values of the controls and returns what is to be set."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from .. import METHODS, MODELS, PhotoError, WeightsError
from ..models.weights import arrived
from ..models.zoo import DEFAULT_MODEL
from . import words
from .question import CONTROLS, DEFAULT_METHOD, Question, RefusalError, read_question
from .scene import Scene
from .state import Props, chosen, classes, merge, model_title, offered, shown
from .studio import Studio

Values = dict[Any, Any]  # component -> what was posted for it
ANY_CLASS: dict[str, Any] = {"target": None, "contrast": -1}  # the most probable one is explained, by itself
TELL = 0.4  # seconds between two sentences about a model that is on its way; what is there sooner needs none


@contextmanager
def plainly() -> Iterator[None]:
    """Show the errors that are meant for visitors as toasts; of any other the page tells nothing."""
    try:
        yield
    except (PhotoError, WeightsError, RefusalError) as error:
        raise gr.Error(escape(str(error), quote=False), print_exception=False) from None


class Desk:
    """Where visitors ask: the controls before it, by the names of CONTROLS, and the studio behind it."""

    def __init__(self, part: dict[str, Any], studio: Studio, uploads: Path, examples: Sequence[Path]) -> None:
        self.part, self.studio, self.uploads, self.examples = part, studio, uploads, examples

    def question(self, values: Values, **changed: Any) -> Question:
        """Read the controls, but for what is `changed`.

        The model is the one that the page shows. Another may be chosen already while it is on its way, or may
        never come; what is asked meanwhile is about what one sees.
        """
        shown = values.get(self.part["open"])
        model = {name: shown[name] for name in ("model", "untrained") if isinstance(shown, dict) and name in shown}
        return read_question(self._posted(values) | model | changed, self.uploads)

    def chosen_model(self, values: Values) -> tuple[str, str]:
        """The model that is chosen, whether it is open or not, and its weights."""
        asked = read_question(self._posted(values), self.uploads)
        return asked.model, asked.weights

    def _posted(self, values: Values) -> dict[str, Any]:
        return {name: values[self.part[name]] for name in CONTROLS}

    def show(self, question: Question, *choices: Callable[[Scene], Props]) -> Values:
        """Answer a question; `choices` (`chosen`, `offered`) tell which controls follow the answer."""
        scene = self.studio.scene(question)
        props = merge(shown(scene, self.studio.picture(scene)), *(choice(scene) for choice in choices))
        return {self.part[name]: gr.update(**settings) for name, settings in props.items()}

    def explain_look(self, values: Values) -> Values:
        """Another method, or another look of its pictures, was chosen."""
        with plainly():
            return self.show(self.question(values))

    def explain_class(self, values: Values) -> Values:
        """Another class was chosen."""
        with plainly():
            return self.show(self.question(values), chosen)

    def explain_click(self, values: Values, click: gr.SelectData) -> Values:
        """A class was clicked in the list."""
        with plainly():
            asked = self.question(values)
            labels = self.studio.open(asked.model, asked.weights).labels
            if click.value not in labels:
                raise RefusalError("There is no such class. Choose one from the list.")
            return self.show(self.question(values, target=labels.index(click.value)), chosen)

    def explain_photo(self, values: Values) -> Values:
        """Another photo has come: its own first class is explained. One that can't be read changes nothing."""
        with plainly():
            return self.show_photo(self.question(values, photo=values[self.part["own"]], **ANY_CLASS))

    def explain_example(self, values: Values) -> Values:
        """One of the examples was clicked."""
        with plainly():
            number = values[self.part["examples"]]
            if not isinstance(number, int) or not 0 <= number < len(self.examples):
                raise RefusalError(f"There are {len(self.examples)} examples, counted from 0. Choose one of them.")
            return self.show_photo(self.question(values, photo={"path": str(self.examples[number])}, **ANY_CLASS))

    def show_photo(self, question: Question) -> Values:
        """Answer a question about a new photo, which is shown beside the answer."""
        return self.show(question, chosen) | {self.part["photo"]: gr.update(value=str(question.photo))}

    def open_model(self, values: Values) -> Iterator[str]:
        """Load or compile a model, which may have to be downloaded first, and tell in words how far that is."""
        with plainly():
            name, weights = self.chosen_model(values)
            prepared = self.studio.prepared(name, weights)
            with ThreadPoolExecutor(1) as own:
                opened = own.submit(self.studio.open, name, weights)
                while not wait([opened], timeout=TELL).done:
                    yield words.opening(name, weights, prepared, arrived(MODELS[name].url))
                opened.result()
        yield ""

    def explain_model(self, values: Values) -> Values:
        """Another model is open: its last layer is shown, by the same method where it has that."""
        with plainly():
            name, weights = self.chosen_model(values)
            offers = self.studio.open(name, weights).explainer.one_pass_methods
            asked = self.question(values, model=name, untrained=weights == "random", **ANY_CLASS, layer=None)
            method = asked.method if asked.method in offers else DEFAULT_METHOD
            return self.show(replace(asked, method=method), partial(offered, limits=self.studio.limits))

    def draw_frames(self, values: Values) -> tuple[list[tuple[str, str]], list[str]]:
        """The pictures of all layers, for the slider, and the range of each in words."""
        with plainly():
            scene = self.studio.scene(self.question(values))
            frames = [(str(path), line) for path, line in self.studio.frames(scene)]
            return frames, [scene.range_told(layer) for layer in scene.layers]

    def draw_sheet(self, values: Values) -> str:
        """The contact sheet of every layer."""
        with plainly():
            scene = self.studio.scene(self.question(values))
            method, label = METHODS[scene.question.method].title, scene.model.labels[scene.question.target or 0]
            return str(self.studio.sheet(scene, f"{method} for {label} · {model_title(scene)}"))

    def take_model(self, values: Values) -> str:
        """The model's own file."""
        with plainly():
            asked = self.question(values)
            return str(self.studio.artifact(asked.model, asked.weights))

    def ask(
        self,
        photo: gr.FileData,
        model: str = DEFAULT_MODEL,
        method: str = DEFAULT_METHOD,
        layer: int | None = None,
        target: int | None = None,
        contrast: int | None = None,
    ) -> tuple[gr.FileData, dict[str, float]]:
        """Explain a photo: the picture of a layer (from 1; else the last), and the most probable classes.

        target, contrast: numbers of classes, from 0; else the most probable one, compared with none.
        """
        fields = {"photo": photo, "model": model, "method": method, "layer": layer, "target": target}
        with plainly():
            scene = self.studio.scene(read_question(fields | {"contrast": contrast}, self.uploads))
            return gr.FileData(path=str(self.studio.picture(scene))), classes(scene)


def pick_layer(click: gr.SelectData) -> tuple[int, Any]:
    """A layer was clicked in the gallery: the slider goes there."""
    return int(click.index) + 1, gr.Tabs(selected="one")
