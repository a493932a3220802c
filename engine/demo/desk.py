"""The handlers of the page: each takes the values of the controls and returns what is to be set."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from .. import PhotoError, WeightsError
from .arrival import arrival
from .controls import CONTROLS, NO_CONTRAST, VIEW, RefusalError, short
from .examples import credit_of
from .language import retold_error, say
from .names import file_name, spoken
from .panels import PANELS
from .question import Question, read_question
from .scene import Scene
from .state import Props, chosen, merge, model_title, offered, shown
from .studio import Studio
from .take import animation, archive, card
from .watch import StoppedError, Watch

Values = dict[Any, Any]  # component -> what was posted for it
# The most probable class is explained, by itself.
ANY_CLASS: dict[str, Any] = {"target": None, "contrast": NO_CONTRAST}
TELL = 0.4  # seconds between two sentences about a model that is on its way; what is there sooner needs none


@contextmanager
def plainly() -> Iterator[None]:
    """Show the errors that are meant for visitors as toasts; of any other the page tells nothing."""
    try:
        yield
    except (PhotoError, WeightsError, RefusalError) as error:
        told = str(error) if isinstance(error, RefusalError) else retold_error(error)
        raise gr.Error(escape(told, quote=False), print_exception=False) from None


class Desk:
    """Where visitors ask: the controls before it, by the names of CONTROLS, and the studio behind it. home: the
    model that the page opens with."""

    def __init__(
        self, part: dict[str, Any], studio: Studio, uploads: Path, examples: Sequence[Path], home: str
    ) -> None:
        self.part, self.studio, self.uploads, self.examples, self.home = part, studio, uploads, examples, home
        self.watch = Watch()

    def question(self, values: Values, **changed: Any) -> Question:
        """Read the controls, but for what is `changed`.

        The model is the one that the page shows. Another may be chosen already while it is on its way, or may
        never come; what is asked meanwhile is about what one sees.
        """
        shown = values.get(self.part["open"])
        model = {name: shown[name] for name in ("model", "untrained") if isinstance(shown, dict) and name in shown}
        return read_question(self._posted(values) | model | changed, self.uploads, self.studio.offer)

    def chosen_model(self, values: Values) -> tuple[str, str]:
        """The model that is chosen, whether it is open or not, and its weights."""
        asked = read_question(self._posted(values), self.uploads, self.studio.offer)
        return asked.model, asked.weights

    def _posted(self, values: Values) -> dict[str, Any]:
        return {name: values[self.part[name]] for name in CONTROLS}

    def show(self, question: Question, *choices: Callable[[Scene], Props]) -> Values:
        """Answer a question; `choices` (`chosen`, `offered`) tell which controls follow the answer."""
        try:
            with self.watch.watching() as tell:
                scene = self.studio.scene(question, tell)
        except StoppedError:
            gr.Info(say("Stopped. What is shown stays."), duration=4)
            return {self.part["heading"]: gr.skip()}
        props = merge(
            shown(scene, self.studio.picture(scene), self.examples), *(choice(scene) for choice in choices)
        )
        return {self.part[name]: gr.update(**settings) for name, settings in props.items()}

    def explain_look(self, values: Values) -> Values:
        """Another method, or another look of its pictures, was chosen."""
        with plainly():
            return self.show(self.question(values))

    def explain_asked(self, values: Values) -> Values:
        """A method was chosen, or a class: to explain, or to compare with, by its number, or by its name in the
        list. Or the page was opened, or gone back to, with an address that says what to show."""
        with plainly():
            asked = posted(values[self.part["asked"]])
            if "address" in asked:
                return self._show_address(str(asked["address"]))
            if "label" in asked:
                open_now = self.question(values)
                labels = self.studio.open(open_now.model, open_now.weights).labels
                if asked["label"] not in labels:
                    raise RefusalError(say("There is no such class. Choose one from the list."))
                asked["target"] = labels.index(asked["label"])
            known = {name: asked[name] for name in ("method", "target", "contrast") if name in asked}
            if not known:
                raise RefusalError(say("The page asked for nothing. Choose a method or a class."))
            choices = [] if "method" in known else [chosen]
            return self.show(self.question(values, **known), *choices)

    def explain_photo(self, values: Values) -> Values:
        """Another photo has come: its own first class is explained. One that can't be read changes nothing."""
        with plainly():
            return self.show_photo(self.question(values, photo=values[self.part["own"]], **ANY_CLASS))

    def explain_example(self, values: Values) -> Values:
        """One of the examples was clicked."""
        with plainly():
            number = values[self.part["examples"]]
            if not isinstance(number, int) or not 0 <= number < len(self.examples):
                told = say(
                    "There are {count} examples, counted from 0. Choose one of them.", count=len(self.examples)
                )
                raise RefusalError(told)
            return self.show_photo(self.question(values, photo={"path": str(self.examples[number])}, **ANY_CLASS))

    def _show_address(self, address: str) -> Values:
        """Answer what an address of the page says; of an empty one, what the page opens with."""
        came = arrival(address, self.examples, self.home, self.uploads, self.studio)
        view = {name: {"value": came.fields[name]} for name in VIEW if name in came.fields}
        choices = (partial(offered, offer=self.studio.offer), lambda scene: view | _model_of(came.question))
        return self.show(came.question, *choices) | {self.part["photo"]: gr.update(value=came.photo)}

    def show_photo(self, question: Question) -> Values:
        """Answer a question about a new photo, which is shown beside the answer."""
        return self.show(question, chosen) | {self.part["photo"]: gr.update(value=str(question.photo))}

    def open_model(self, values: Values) -> Iterator[str]:
        """Load or compile a model, which may have to be downloaded first, and tell in words how far that is."""
        with plainly():
            name, weights = self.chosen_model(values)
            prepared = self.studio.offer.prepared(name, weights)
            with ThreadPoolExecutor(1) as own:
                opened = own.submit(self.studio.open, name, weights)
                while not wait([opened], timeout=TELL).done:
                    yield self.studio.offer.opening(name, weights, prepared)
                opened.result()
        yield ""

    def explain_model(self, values: Values) -> Values:
        """Another model is open: its last layer is shown, by the same method where it has that."""
        with plainly():
            name, weights = self.chosen_model(values)
            model = self.studio.open(name, weights)
            asked = self.question(values, model=name, untrained=weights == "random", **ANY_CLASS, layer=None)
            method = model.method(asked.method)
            return self.show(replace(asked, method=method), partial(offered, offer=self.studio.offer))

    def stop(self) -> None:
        """Stop what is being computed for this visitor."""
        self.watch.stop()

    def draw_frames(self, values: Values) -> tuple[list[tuple[str, str]], list[str]]:
        """The pictures of all layers, for the slider, and the range of each in words."""
        with plainly():
            scene = self.studio.scene(self.question(values))
            frames = [(str(path), line) for path, line in self.studio.frames(scene)]
            return frames, [scene.range_told(layer) for layer in scene.layers]

    def draw_panel(self, values: Values) -> Iterator[str]:
        """The panel that is open below the picture, as HTML, more complete at each step."""
        with plainly():
            asked = posted(values[self.part["wish"]])
            if not asked.get("panel"):
                yield ""
                return
            panel = PANELS.get(str(asked["panel"]))
            if panel is None:
                told = say("There is no panel {name}. Choose one below the picture.", name=short(asked["panel"]))
                raise RefusalError(told)
            scene = self.studio.scene(self.question(values))
            about = f"<p>{escape(say(panel.says))}</p>"
            wish = asked["wish"] if isinstance(asked.get("wish"), dict) else {}
            for answer in panel.steps(self.studio, scene, wish):
                yield about + answer

    def draw_sheet(self, values: Values) -> str:
        """The contact sheet of every layer."""
        with plainly():
            scene = self.studio.scene(self.question(values))
            label = scene.model.labels[scene.question.target or 0]
            told = say("{method} for {label}", method=scene.title, label=label)
            return str(self.studio.sheet(scene, f"{told} · {model_title(scene)}"))

    def draw_card(self, values: Values) -> str:
        """The scene in one picture, to pass on."""
        return self._taken(values, "-card.png", card)

    def draw_film(self, values: Values) -> str:
        """The layers one after the other."""
        return self._taken(values, "-every-layer.webp", animation, every=True)

    def pack(self, values: Values) -> str:
        """Everything of the scene as ZIP."""
        return self._taken(values, ".zip", lambda scene: archive(scene, self._credit(scene)))

    def _taken(self, values: Values, ending: str, make: Callable[[Scene], bytes], every: bool = False) -> str:
        """A file that is made of a scene, of one layer or of `every` one, and kept beside its pictures."""
        with plainly():
            scene = self.studio.scene(self.question(values))
            name = file_name(scene, spoken(ending), None if every or not scene.layers else scene.layer)
            return str(self.studio.keep(scene.key, name, lambda: make(scene)))

    def _credit(self, scene: Scene) -> str:
        """Whose the photo is; empty for those that visitors brought."""
        photo = scene.question.photo.resolve()
        examples = {path.resolve() for path in self.examples}
        return credit_of(photo.name) if photo in examples else ""

    def take_model(self, values: Values) -> str:
        """The model's own file."""
        with plainly():
            asked = self.question(values)
            return str(self.studio.artifact(asked.model, asked.weights))


def posted(text: Any) -> dict[str, Any]:
    """What a component of the page's own was given, as JSON. Raises RefusalError for what no page posts."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusalError(say("The page could not be understood. Reload it and ask again."))
    return found


def _model_of(question: Question) -> Props:
    """The controls of the model, where no visitor has set them."""
    return {"model": {"value": question.model}, "untrained": {"value": question.weights == "random"}}


def pick_layer(click: gr.SelectData) -> tuple[int, Any]:
    """A layer was clicked in the gallery: the slider goes there."""
    return int(click.index) + 1, gr.Tabs(selected="one")
