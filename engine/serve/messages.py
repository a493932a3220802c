"""What goes between the door and a replica, and what is said when nothing can be answered."""

from dataclasses import dataclass
from typing import Any

FAILED = "The network failed at that question. Ask another one, or tell whoever runs this server."


@dataclass(frozen=True)
class Request:
    """A photo, as its file's bytes, and what is asked of it, a Question, or one of `more_questions`. picture: is a
    PNG wanted, and no numbers?"""

    photo: bytes
    question: Any
    picture: bool = False


@dataclass(frozen=True)
class Answer:
    """status: of HTTP. content: a PNG, or what JSON is made of. together: the photos of its pass; first: is it the
    one of them that the pass is counted by?"""

    status: int
    content: bytes | dict[str, Any]
    together: int = 1
    first: bool = True
