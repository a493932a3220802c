"""A card to pass on: pictures, what they answer, and what made them, in the shape that link previews show."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .render import FAINT, INK, PAPER, Picture, text_width, write

WIDTH, HEIGHT = 1200, 630  # pixels: what `og:image` is asked for
MARGIN, GAP = 44, 20
COLUMN = 340  # the least width of a text beside its pictures
SENTENCE, CAPTION, FACT = (46, 40, 34), 18, 20  # sizes of letters; of the sentence, the first one that fits
BOLD, PLAIN = 600, 400


@dataclass(frozen=True)
class Ramp:
    """How to read the colours: uint8 [n, 3], from what the first of them means to the last."""

    colours: NDArray[np.uint8]
    low: str
    high: str


def share_card(
    panels: Sequence[tuple[Picture, str]], sentence: str, facts: Sequence[str], ramp: Ramp | None = None
) -> Picture:
    """Lay out pictures of one height, each with its caption, a sentence and what is to be known: uint8
    [630, 1200, 3].

    The text stands beside the pictures where they are so narrow that it has room there, else the sentence stands
    above and the facts below. There may be any number of panels, as for controls beside a map.
    Raises ValueError for none.
    """
    if not panels:
        raise ValueError("a card needs a picture")
    card = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    aspects = [picture.shape[1] / picture.shape[0] for picture, _ in panels]
    gaps, under = GAP * (len(panels) - 1), 2 * CAPTION
    inner, tallest = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN - under
    left = MARGIN + round(tallest * sum(aspects)) + gaps + 2 * GAP
    if WIDTH - MARGIN - left >= COLUMN:
        _place(card, panels, MARGIN, MARGIN, tallest)
        width = WIDTH - MARGIN - left
        bottom = _facts(card, facts, ramp, left, width, 3, draw=False)
        _sentence(
            card, sentence, left, MARGIN, width, (HEIGHT - MARGIN - bottom - MARGIN) // (SENTENCE[-1] * 5 // 4)
        )
        _facts(card, facts, ramp, left, width, 3)
        return card
    top = _sentence(card, sentence, MARGIN, MARGIN - 8, inner, 2) + GAP
    bottom = _facts(card, facts, ramp, MARGIN, inner, 2)
    tall = min(HEIGHT - MARGIN - bottom - top - under, round((inner - gaps) / sum(aspects)))
    used = round(tall * sum(aspects)) + gaps
    spare = HEIGHT - MARGIN - bottom - top - under - tall
    _place(card, panels, MARGIN + (inner - used) // 2, top + spare // 2, tall)
    return card


def wrapped(text: str, width: int, size: int, weight: int) -> list[str]:
    """The lines of a text, broken at blanks; words of Chinese letters, or wider than `width` pixels, anywhere."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size, weight) <= width:
            lines[-1] = longer
        elif not _breaks(word) and text_width(word, size, weight) <= width:
            lines.append(word)
        else:
            lines[-1] += " " if lines[-1] else ""
            for letter in word:
                lines += [""] if lines[-1] and text_width(lines[-1] + letter, size, weight) > width else []
                lines[-1] += letter
    return lines


def _breaks(word: str) -> bool:
    """May a word be broken at any letter?"""
    return any(unicodedata.east_asian_width(letter) == "W" for letter in word)


def _at_most(lines: list[str], most: int) -> list[str]:
    """The lines; the last of `most` has all that would come after it, and loses its middle where it is written."""
    if len(lines) <= most:
        return lines
    *kept, last = lines[:most]
    for line in lines[most:]:
        last = last.rstrip()
        last += line if _breaks(last[-1]) and _breaks(line[0]) else f" {line}"
    return [*kept, last]


def _sentence(card: Picture, sentence: str, x: int, top: int, width: int, most: int) -> int:
    """Write the sentence in at most so many lines, as large as fits; what does not fit loses its middle. Returns
    where it ends."""
    for size in SENTENCE:
        lines = wrapped(sentence, width, size, BOLD)
        if len(lines) <= most:
            break
    lines = _at_most(lines, most)
    leading = size * 5 // 4
    for number, line in enumerate(lines):
        write(card, line, x, top + size + number * leading, width, size, BOLD, INK)
    return top + size + (len(lines) - 1) * leading + size // 4


def _facts(
    card: Picture, facts: Sequence[str], ramp: Ramp | None, x: int, width: int, most: int, draw: bool = True
) -> int:
    """Write the facts, each in at most so many lines, with the ramp above them, upwards from the lower margin.
    Returns their height."""
    rows = []
    for number, fact in enumerate(facts):
        ink = FAINT if number else INK
        rows += [(line, ink) for line in _at_most(wrapped(fact, width, FACT, PLAIN), most)]
    leading = FACT * 3 // 2
    height = (len(rows) + (ramp is not None)) * leading
    first = HEIGHT - MARGIN - height + leading - FACT // 4
    if not draw:
        return height
    if ramp is not None:
        _ramp(card, ramp, x, first, width)
        first += leading
    for number, (line, ink) in enumerate(rows):
        write(card, line, x, first + number * leading, width, FACT, PLAIN, ink)
    return height


def _ramp(card: Picture, ramp: Ramp, x: int, baseline: int, width: int) -> None:
    """The colours between what their ends mean."""
    words = text_width(ramp.low, CAPTION, PLAIN), text_width(ramp.high, CAPTION, PLAIN)
    bar = max(40, min(180, width - sum(words) - 2 * GAP))
    write(card, ramp.low, x, baseline, width, CAPTION, PLAIN, FAINT)
    start = x + words[0] + GAP // 2
    colours = cv2.resize(ramp.colours[None], (bar, 10), interpolation=cv2.INTER_LINEAR)
    card[baseline - 11 : baseline - 1, start : start + bar] = colours[:, : max(0, WIDTH - MARGIN - start)]
    rest = width - (start - x) - bar - GAP // 2
    if rest > 0:
        write(card, ramp.high, start + bar + GAP // 2, baseline, rest, CAPTION, PLAIN, FAINT)


def _place(card: Picture, panels: Sequence[tuple[Picture, str]], x: int, top: int, tall: int) -> None:
    """Pictures side by side, `tall` pixels each, with their captions below."""
    for picture, caption in panels:
        wide = max(1, round(tall * picture.shape[1] / picture.shape[0]))
        method = cv2.INTER_AREA if tall < picture.shape[0] else cv2.INTER_LINEAR
        right = min(x + wide, WIDTH - MARGIN)
        card[top : top + tall, x:right] = cv2.resize(picture, (wide, tall), interpolation=method)[:, : right - x]
        write(card, caption, x, top + tall + CAPTION * 5 // 4, max(wide, 120), CAPTION, PLAIN, FAINT)
        x += wide + GAP
