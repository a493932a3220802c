"""How far a map can be believed, as one HTML file."""

import argparse
from html import escape
from pathlib import Path

import numpy as np
from torch import Tensor

from ..methods import METHODS
from ..pictures.figures import Look, picture
from ..pictures.photo import load_photo
from ..pictures.render import Picture, data_url, fit
from ..text import whole_page
from ..trust import one_picture
from ..trust.one_picture import Subject, Verdict
from ..trust.plots import AXES, CAUTION, LINES, TITLES, curves_svg
from ..trust.report import examine
from .photos import explainer_of

SIDE = 360  # longest side of a picture, in pixels
STYLE = """
:root { color-scheme: light dark; --map: #4f46e5; }
@media (prefers-color-scheme: dark) { :root { --map: #8b8bf5; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 1.6em 0 .4em; } small, figcaption { opacity: .8; }
.tiles, .plots { display: grid; gap: 16px;
    grid-template-columns: repeat(auto-fit, minmax(min(260px, 100%), 1fr)); }
figure { margin: 0; } img, .curves > svg { width: 100%; height: auto; border-radius: 6px; }
.curves .map { color: var(--map); } .legend, .verdicts { list-style: none; padding: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; }
.good::before { content: "✓ "; color: #16a34a; } .bad::before { content: "✗ "; color: #dc2626; }
.plain::before { content: "· "; }
"""


def trust(options: argparse.Namespace) -> int:
    """Put the map of a photo to the test, print the verdicts, and write them with what they follow from."""
    if Path(options.output).suffix not in (".html", ".htm"):
        raise ValueError(f"{options.output}: the page is HTML; name it .html")
    photo, explainer = load_photo(options.photo), explainer_of(options)
    layer = -1 if options.layer == "last" else options.layer
    asked = one_picture.subject(explainer, photo, options.target, options.method, layer, options.contrast)
    row, at_image = METHODS.get(asked.method), not asked.place
    head = f"{row.title if row else asked.method} for {asked.label(asked.target)}"
    if asked.contrast is not None:
        head += f" rather than {asked.label(asked.contrast)}"
    small = fit(photo, SIDE)

    def drawn(map: Tensor) -> Picture:
        signed = one_picture.has_signs(map, asked.method)
        window = explainer.geometry.window(*small.shape[:2])
        return picture(small, window, np.asarray(map.cpu()), Look(), at_image, signed)

    report = examine(asked)
    body = _tiles("", [(drawn(asked.map), head)])
    if report.curves:
        body += _tiles(
            "Does it know the class?",
            [(drawn(map), f"for {_chance(asked, index)}") for index, map in report.others.items()],
        )
        plots = "".join(
            curves_svg(found, LINES, TITLES[name], AXES[name]) for name, found in report.curves.items()
        )
        body += f"<h2>Does the class hang on what it marks?</h2><div class='plots'>{plots}</div><p>{CAUTION}</p>"
    if report.hidden is not None:
        body += _tiles("Hiding parts of the photo", [(drawn(report.hidden), "what each part costs")])
    if report.redrawn is not None:
        body += _tiles("The same network with its weights redrawn", [(drawn(report.redrawn), head)])
    for verdict in report.verdicts:
        print({True: "+", False: "-", None: " "}[verdict.good], verdict)
    where = asked.place or "the image"
    told = f"{explainer.manifest['model']['title']}, at {where}: {_chance(asked, asked.target)}"
    Path(options.output).write_text(page(head, told, report.verdicts, body), encoding="utf-8")
    print(f"{head} -> {options.output}")
    return 0


def page(head: str, told: str, verdicts: list[Verdict], body: str) -> str:
    """The page, whole by itself."""
    kinds = {True: "good", False: "bad", None: "plain"}
    lines = "".join(f'<li class="{kinds[verdict.good]}">{escape(str(verdict))}</li>' for verdict in verdicts)
    top = f"<h1>{escape(head)}: can it be believed?</h1><p>{escape(told)}</p>"
    return whole_page(head, STYLE, f'{top}<ul class="verdicts">{lines}</ul>{body}')


def _tiles(title: str, pictures: list[tuple[Picture, str]]) -> str:
    drawn = ""
    for one, told in pictures:
        drawn += (
            f'<figure><img alt="{escape(told)}" src="{data_url(one)}">'
            f"<figcaption>{escape(told)}</figcaption></figure>"
        )
    return (f"<h2>{escape(title)}</h2>" if title else "") + f'<div class="tiles">{drawn}</div>'


def _chance(asked: Subject, index: int) -> str:
    number = float(asked.probabilities[index])
    return f"{asked.label(index)} ({one_picture.share(number) if asked.certain else f'{number:.3g}'})"
