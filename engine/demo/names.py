"""What the files are called that visitors take away: telling, and safe on every file system.

tiger-cat-hires-cam-73-bn2.act-efficientnet-lite0-card.png
"""

import re
import unicodedata
from pathlib import Path

from .language import ENGLISH, language
from .scene import Scene

LONGEST = 100  # characters of a name, its ending included


def file_name(scene: Scene, ending: str, layer: int | None = None) -> str:
    """A name that tells class, method, layer (from 0; None for all of them, or none) and model, and ends in
    `ending`. A layer is told by its number too, so no two of a scene share a name. There is no "_" in it but in
    the ending."""
    question, labels = scene.question, scene.model.labels
    target = question.target or 0
    parts = [slug(labels[target]) or f"class-{target}"]
    if question.contrast is not None:
        parts.append(f"not-{slug(labels[question.contrast]) or f'class-{question.contrast}'}")
    parts.append(slug(question.method))
    if layer is not None:
        parts.append(f"{layer + 1}-{slug(scene.model.explainer.layers[layer], dots=True)}")
    parts.append(slug(Path(question.model).stem if question.model.endswith(".pt") else question.model, dots=True))
    if question.weights != "default":
        parts.append(slug(question.weights))
    while sum(map(len, parts)) + len(parts) - 1 + len(ending) > LONGEST:
        longest = max(range(len(parts)), key=lambda index: len(parts[index]))
        parts[longest] = parts[longest][:-1].rstrip("-.")
    return "-".join(part for part in parts if part) + ending


def spoken(ending: str) -> str:
    """The ending of a file with words in it, which tells their language where that is not English."""
    stem, dot, kind = ending.rpartition(".")
    return ending if language() == ENGLISH else f"{stem}-{language()}{dot}{kind}"


def slug(text: str, dots: bool = False) -> str:
    """Small letters, digits and hyphens, and dots where they are kept; empty where a text has none, as a Chinese
    one. Letters lose their accents: some file systems tell "é" from "e" with an accent, others don't."""
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]+" if dots else r"[^a-z0-9]+", "-", plain).strip("-.")


def safe(name: str) -> str:
    """The name of a file as it is where every file system takes it; what is strange in it becomes a hyphen."""
    path = Path(name)
    stem = re.sub(r"[^\w.-]+", "-", path.stem, flags=re.ASCII).strip("-.") or "model"
    return stem[: LONGEST - len(path.suffix)] + path.suffix
