"""What somebody wants who comes with an address of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .address import OF_THE_MODEL, PHOTO, fields_of, posted_for
from .controls import CONTROLS, DEFAULT_METHOD
from .question import Question, read_question
from .studio import Studio


@dataclass(frozen=True)
class Arrival:
    """The question of an address, the photo's path in it, and what its controls would have posted."""

    question: Question
    photo: str
    fields: dict[str, Any]


def arrival(address: str, examples: Sequence[Path], home: str, uploads: Path, studio: Studio) -> Arrival:
    """Read an address, from the "?" on; an empty one asks what the page opens with, about the model `home`.

    The model is opened for it. Raises RefusalError for what no page has written, and as `Studio.open` does.
    """
    told = fields_of(address, examples)
    first = posted_for(told, None, OF_THE_MODEL)
    photo = told.get(PHOTO, str(examples[0]))
    given = {"model": home, "untrained": False, "photo": {"path": photo}} | first
    asked = read_question(given, uploads, studio.offer)
    model = studio.open(asked.model, asked.weights)
    rest = [name for name, control in CONTROLS.items() if control.address and name not in first]
    fields = {"method": model.method(DEFAULT_METHOD)} | given | posted_for(told, model, rest)
    return Arrival(read_question(fields, uploads, studio.offer), photo, fields)
