"""What a network's outputs are, and what they say in numbers that people read."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

OUTPUTS = ("choice", "independent", "values", "dense", "embedding")


@dataclass(frozen=True)
class Answer:
    """What a network says of one class."""

    index: int
    label: str
    number: float  # a probability or a share, 0..1, or a value as it is
    told: str  # the number as people read it: "12.3%", "-0.731"


def probabilities(logits: Tensor, outputs: str, ending: str) -> Tensor | None:
    """The probabilities of logits [N, K, …]; None for values and embeddings, which have none.

    outputs: one of OUTPUTS. ending: what the network has done to them itself, "softmax", "log_softmax", "sigmoid"
    or nothing: what is a probability already stays as it is.
    """
    if outputs in ("values", "embedding") or (logits.shape[1] == 1 and not ending and outputs != "independent"):
        return None  # one value, or one for each place, is no choice of one
    if ending:
        return logits.float().exp() if ending == "log_softmax" else logits.float()
    return logits.float().sigmoid() if outputs == "independent" else logits.float().softmax(1)


def ranked(logits: Tensor, chances: Tensor | None, labels: Sequence[str]) -> list[list[Answer]]:
    """For each image the classes from the first to the last, with their numbers.

    logits: [N, K] or, of dense ones, [N, K, …]; chances: their probabilities, of which dense ones are told by the
    share of the places where a class is the top one. Without, a dense one is told by its mean over the places.
    """
    shares = chances is not None
    if logits.ndim > 2 and not shares:
        numbers = logits.flatten(2).mean(2)
    elif logits.ndim > 2:
        flat = logits.flatten(2)
        numbers = flat.new_zeros(flat.shape).scatter(1, flat.argmax(1, keepdim=True), 1.0).mean(2)
    else:
        numbers = logits if chances is None else chances
    rows = []
    for row in numbers.double().cpu():
        order = row.sort(descending=True, stable=True).indices.tolist()
        rows.append([_answer(index, labels[index], float(row[index]), shares) for index in order])
    return rows


def _answer(index: int, label: str, number: float, share: bool) -> Answer:
    plain = number == 0 or 0.005 <= abs(number) < 1e6
    return Answer(
        index, label, number, f"{number:.1%}" if share else f"{number:.2f}" if plain else f"{number:.3g}"
    )
