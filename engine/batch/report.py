"""A data set's report, one HTML file: what the model looks at by class, and where that looks like a shortcut."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PhotoError
from ..methods import METHODS
from ..pictures.colours import colors_of
from ..pictures.render import data_url, fit
from ..text import whole_page
from .drawn import DrawnBoxes, Inside, inside
from .places import on_this_machine
from .questions import EVERY
from .reading import StoredMap, read_maps
from .store import rows_of, told_there
from .strategies import BORDER, Strategy, prepared, strategies

THUMBNAIL, EXAMPLES, SHEET = 150, 4, 8  # longest side in pixels; photos of a strategy, and of a sheet
CLASSES = 60  # classes that have a section, those with most photos
STYLE = """
:root { color-scheme: light dark; --line: #8884; } body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px;
    margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 2em; border-top: 1px solid var(--line); padding-top: .6em; }
h3 { font-size: 1em; margin: 1.2em 0 .3em; } .row { display: flex; flex-wrap: wrap; gap: 10px; }
figure { margin: 0; max-width: 160px; } figure img { display: block; max-width: 100%; border-radius: 4px; }
figcaption { font-size: 12px; opacity: .8; overflow-wrap: anywhere; }
.mean img { image-rendering: pixelated; width: 120px; }
.suspected { border-left: 4px solid #dc2626; padding-left: 10px; } table { border-collapse: collapse; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid; } th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
"""
SORT = """
addEventListener("click", ({target}) => {
    const head = target.closest("th"), table = head?.closest("table");
    if (!table || !target.closest("button")) return;
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") === "descending";
    for (const one of head.parentNode.children) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b)) * (up ? 1 : -1));
    table.tBodies[0].append(...rows);
});
"""


@dataclass(frozen=True, eq=False)
class ClassReport:
    """What was found of a class. maps: its photos', the surest first; found: their strategies; inside: of those
    whose photos people drew boxes on, in the same order, how much lies in them, None for the others."""

    label: str
    maps: list[StoredMap]
    found: list[Strategy]
    inside: list[Inside | None]

    @property
    def suspected(self) -> list[Strategy]:
        """Those that look like a shortcut, the one with most photos first."""
        return [one for one in self.found if one.suspected]

    @property
    def within(self) -> Inside | None:
        """The means of what is known of boxes; None where nothing is."""
        known = [one for one in self.inside if one is not None]
        if not known:
            return None
        return Inside(float(np.mean([one.share for one in known])), float(np.mean([one.room for one in known])))

    @property
    def outside(self) -> bool:
        """Do its maps lie outside the boxes: less of them inside than of a map that is the same everywhere?"""
        within = self.within
        return within is not None and within.share < within.room


def class_reports(out: str | Path, asked: str | None = None, boxes: str | Path | None = None) -> list[ClassReport]:
    """Every class that maps are of, those with a suspicion first, then those with most photos.

    asked: one of the questions, as it was asked; the first unless given, of all layers the last one. boxes:
    that people drew, a COCO file. Raises ValueError where there are none.
    """
    told = told_there(out)
    question = asked or told["asked"]["asked"][0]
    if question.endswith(f"@{EVERY}"):
        method = question.partition("@")[0]
        names = (
            map["asked"] for row in rows_of(out, ["maps"]) for map in row["maps"][::-1] if map["method"] == method
        )
        question = next(names, question)
    drawn = None if boxes is None else DrawnBoxes(boxes)
    by_class: dict[int, list[StoredMap]] = {}
    for one in read_maps(out, question):
        by_class.setdefault(one.target, []).append(one)
    found = []
    for target, maps in by_class.items():
        ranked = sorted(maps, key=lambda map: (-_chance(map), map.path))
        held = [inside(map, own) if drawn is not None and (own := drawn.of(map)) else None for map in ranked]
        groups = strategies(prepared([map.values for map in ranked]))
        found.append(ClassReport(told["classes"][target], ranked, groups, held))
    if drawn is not None and all(one.within is None for one in found):
        raise ValueError(
            f"{drawn.name} has boxes for none of these photos: it names them by their paths, or names"
        )
    return sorted(
        found,
        key=lambda one: (-sum(len(s.members) for s in one.suspected), not one.outside, -len(one.maps), one.label),
    )


def write_report(
    out: str | Path, file: str | Path, asked: str | None = None, boxes: str | Path | None = None
) -> list[ClassReport]:
    """Write the report of a folder of rows; what was found, by class. Otherwise as `class_reports`."""
    path = on_this_machine(file, "reports")
    found = class_reports(out, asked, boxes)
    told = told_there(out)
    broken = [row for row in rows_of(out, ["path", "error"]) if row["error"] is not None]
    head = f"What {told['model']['title']} looks at"
    first = found[0].maps[0] if found else None
    method = METHODS[first.method].title if first and first.method in METHODS else ""
    method += f" at {first.layer}" if first and first.layer else ""
    total = sum(len(one.maps) for one in found)
    body = f"<h1>{escape(head)}</h1><p>{total} photos of {len(found)} classes, by {escape(method)}"
    body += f"; {len(broken)} could not be read.</p>" if broken else ".</p>"
    body += _suspicions(found) + _table(found)
    for one in found[:CLASSES]:
        body += _section(one)
    if len(found) > CLASSES:
        body += f"<p>{len(found) - CLASSES} more classes, of fewer photos, stand in the table alone.</p>"
    if broken:
        lines = "".join(f"<li>{escape(row['path'])}: {escape(row['error'])}</li>" for row in broken[:200])
        body += f"<h2>Photos that could not be read</h2><ul>{lines}</ul>"
    path.write_text(whole_page(head, STYLE, body, SORT), encoding="utf-8")
    return found


def _suspicions(found: Sequence[ClassReport]) -> str:
    lines = [
        f"<li><a href='#{_anchor(one.label)}'>{escape(one.label)}</a>: {len(strategy.members)} of "
        f"{len(one.maps)} photos by the same place, {_where(strategy)}</li>"
        for one in found
        for strategy in one.suspected
    ]
    lines += [
        f"<li><a href='#{_anchor(one.label)}'>{escape(one.label)}</a>: {one.within.share:.0%} of its maps lie in "
        f"the boxes that people drew, which take {one.within.room:.0%} of what the network saw</li>"
        for one in found
        if one.outside and one.within
    ]
    if not lines:
        return "<p>No class is recognised at one place away from the middle.</p>"
    return (
        "<h2>Shortcuts suspected</h2><p>An object lies elsewhere in each photo. What many maps of a class mark at "
        "one and the same place, away from the middle, may be a watermark, a frame or a date. Look at the photos "
        f"before you believe it.</p><ul>{''.join(lines)}</ul>"
    )


def _table(found: Sequence[ClassReport]) -> str:
    heads = ["class", "photos", "surest", "wrong", "strategies", "sameness", f"in the outer {BORDER:.0%}"]
    held = any(one.within is not None for one in found)
    heads += ["in boxes (room)"] if held else []
    rows = ""
    for one in found:
        wrong = sum(map.label is not None and map.label != _top(map) for map in one.maps)
        first, within = one.found[0], one.within
        told = "" if within is None else f"{within.share:.2f} ({within.room:.2f})"
        cells: list[tuple[Any, str]] = [
            (one.label, f"<a href='#{_anchor(one.label)}'>{escape(one.label)}</a>"),
            (len(one.maps), str(len(one.maps))), (_chance(one.maps[0]), f"{_chance(one.maps[0]):.2f}"),
            (wrong, str(wrong)), (len(one.found), str(len(one.found))),
            (first.sameness, f"{first.sameness:.2f}"), (first.border, f"{first.border:.2f}"),
        ]  # fmt: skip
        cells += [(-1 if within is None else within.share - within.room, told)] if held else []
        row = "".join(f'<td data-value="{escape(str(value))}">{text}</td>' for value, text in cells)
        rows += f"<tr>{row}</tr>"
    columns = "".join(f"<th><button>{escape(head)}</button></th>" for head in heads)
    return f"<h2>Classes</h2><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def _section(one: ClassReport) -> str:
    body = f"<h2 id='{_anchor(one.label)}'>{escape(one.label)}</h2>"
    for number, strategy in enumerate(one.found, 1):
        kind = " class='suspected'" if strategy.suspected else ""
        named = "all photos" if len(one.found) == 1 else f"strategy {number}, {len(strategy.members)} photos"
        figures = _mean(strategy)
        # Those nearest to their mean show best what it is made of.
        near = prepared([one.maps[place].values for place in strategy.members.tolist()])
        order = np.argsort(np.square(near - strategy.mean).sum((1, 2)))[:EXAMPLES]
        figures += "".join(_photo(one.maps[int(strategy.members[place])]) for place in order)
        body += f"<div{kind}><h3>{escape(named)}: {_where(strategy)}</h3><div class='row'>{figures}</div></div>"
    known = [number for number, held in enumerate(one.inside) if held is not None]
    aside = sorted(known, key=lambda number: _gain(one.inside[number]))[:SHEET]
    wrong = [map for map in one.maps if map.label is not None and map.label != _top(map)]
    for title, maps in (
        ("most sure", one.maps[:SHEET]),
        ("least sure", one.maps[: -SHEET - 1 : -1] if len(one.maps) > SHEET else []),
        ("against their label", wrong[:SHEET]),
        ("farthest from their boxes", [one.maps[number] for number in aside]),
    ):
        if maps:
            figures = "".join(map(_photo, maps))
            body += f"<h3>{title}</h3><div class='row'>{figures}</div>"
    return body


def _where(strategy: Strategy) -> str:
    return (
        f"sameness {strategy.sameness:.2f}, {strategy.aside:.2f} sides from the middle, {strategy.border:.0%} in "
        f"the outer {BORDER:.0%}"
    )


def _mean(strategy: Strategy) -> str:
    most = max(float(strategy.mean.max()), 1e-12)
    drawn = colors_of("viridis")[np.round(255 * strategy.mean / most).astype(np.uint8)]
    return f'<figure class="mean"><img alt="mean map" src="{data_url(np.asarray(drawn, np.uint8))}">' + (
        "<figcaption>mean map</figcaption></figure>"
    )


def _photo(map: StoredMap) -> str:
    """A thumbnail with its map, as a link to the photo; its name alone where that is not there any more."""
    top = f"{_top(map)} {_chance(map):.2f}" + (f", is {map.label}" if map.label not in (None, _top(map)) else "")
    told = f"<figcaption>{escape(map.path)}<br>{escape(top)}</figcaption>"
    try:
        drawn = fit(map.overlay(), THUMBNAIL)
    except PhotoError:
        return f"<figure>{told}</figure>"
    image = f'<img alt="{escape(map.path)}" loading="lazy" src="{data_url(drawn, "jpeg")}">'
    owner = getattr(map.read, "__self__", None)  # a file's own method: in a tar or a data set no photo has a link
    if isinstance(owner, Path):
        image = f'<a href="{escape(owner.resolve().as_uri())}">{image}</a>'
    return f"<figure>{image}{told}</figure>"


def _gain(held: Inside | None) -> float:
    return 0.0 if held is None else held.share - held.room


def _top(map: StoredMap) -> str:
    return map.top[0][1]


def _chance(map: StoredMap) -> float:
    """The probability of the class that the map is of; 0 where it is not among the first."""
    return next((chance for index, _, chance in map.top if index == map.target), 0.0)


def _anchor(label: str) -> str:
    return "class-" + "".join(letter if letter.isalnum() else "-" for letter in label)
