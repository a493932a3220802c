"""What an evaluation found, as a table: for people as a page or Markdown, for programs as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch

from ..methods import METHODS
from ..text import whole_page
from .controls import CONTROLS
from .evaluation import COLUMNS, OF_MOSAICS, Values, named
from .one_picture import SAME, UNLEARNT
from .over_images import Summary, summarised

# A control is the same whatever is asked; a map passes below the thresholds of a single picture's verdicts.
ENOUGH = {"same_class": SAME, "same_weights": UNLEARNT}
NAMES = {"random": "control: by chance", "centre": "control: the middle", "sobel": "control: edges"}
STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; padding: 0 1em;
    max-width: 1300px; } .wide { overflow-x: auto; } table { border-collapse: collapse; white-space: nowrap; }
th, td { padding: 5px 10px; text-align: right; } th:first-child { text-align: left; }
thead th { vertical-align: bottom; white-space: normal; min-width: 5em; } tbody tr { border-top: 1px solid #8884; }
tbody.controls { border-top: 2px solid #888; opacity: .85; } td small { display: block; opacity: .75; }
td.good { font-weight: 700; } td.bad { color: light-dark(#b91c1c, #f87171); } dt { font-weight: 600; }
dd { margin: 0 0 .5em; } h2 { font-size: 1.1em; margin-top: 1.8em; }
"""
READING = (
    "Bold: the interval lies beyond the best control's mean, or below 0.9 and 0.5 where a map should not stay the "
    "same. Red: the mean is no better than the best control's. "
    "Below each mean is the interval that 95 of 100 draws of as many photos have their mean in (bootstrap); of "
    "few photos it is too narrow. No column ranks the methods, and deletion and insertion often contradict each "
    "other."
)


@dataclass(frozen=True, eq=False)
class Table:
    """asked: the methods, in their order. columns: names of COLUMNS. photos, mosaics: what was measured of each.
    told: what is to be known of it, in sentences."""

    asked: Sequence[str]
    columns: Sequence[str]
    photos: Sequence[Values]
    mosaics: Sequence[Values] = ()
    told: Sequence[str] = ()

    def summary(self) -> dict[str, dict[str, Summary]]:
        """Name of a method or control -> column -> mean and interval; only what was measured."""
        found: dict[str, dict[str, Summary]] = {}
        for who in (*self.asked, *CONTROLS):
            found[who] = {}
            for column in self.columns:
                rows = self.mosaics if column in OF_MOSAICS else self.photos
                values = [row[who][column] for row in rows if column in row.get(who, {})]
                if values:
                    found[who][column] = summarised(torch.tensor(values, dtype=torch.float64))
        return found

    def sentences(self) -> list[str]:
        """What follows from the table, by the thresholds of a single picture's verdicts."""
        found, told = self.summary(), []
        for who in self.asked:
            own = found[who]
            if "same_class" in own and own["same_class"].mean >= SAME:
                told.append(
                    f"{title(who)} does not know the class: the map of another one is "
                    f"{own['same_class'].mean:.2f} the same."
                )
            if "same_weights" in own and own["same_weights"].mean >= UNLEARNT:
                told.append(
                    f"{title(who)} shows the photo rather than what was learnt: with redrawn weights it is "
                    f"{own['same_weights'].mean:.2f} the same."
                )
            worse = [
                COLUMNS[name].title for name in own if name not in ENOUGH and standing(found, who, name) == -1
            ]
            if worse:
                told.append(f"{title(who)} is no better than a map that knows nothing in: {', '.join(worse)}.")
        return told

    def as_json(self) -> dict[str, Any]:
        """Numbers alone; what is no number is None."""
        return {
            "photos": len(self.photos),
            "mosaics": len(self.mosaics),
            "told": list(self.told),
            "says": self.sentences(),
            "table": {
                who: {
                    name: {
                        key: _known(getattr(one, key)) for key in ("mean", "low", "high", "count", "unmeasured")
                    }
                    for name, one in own.items()
                }
                for who, own in self.summary().items()
            },
        }

    def as_markdown(self) -> str:
        """The means with half of their intervals' width."""
        found = self.summary()
        columns = [name for name in self.columns if any(name in own for own in found.values())]
        lines = [
            ["map", *(f"{COLUMNS[name].title} {_arrow(name)}".strip() for name in columns)],
            ["---"] * (len(columns) + 1),
        ]
        for who, own in found.items():
            cells = [_cell(own.get(name), standing(found, who, name)) for name in columns]
            lines.append([title(who), *cells])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def as_html(self, head: str) -> str:
        """A page, whole by itself."""
        found = self.summary()
        columns = [name for name in self.columns if any(name in own for own in found.values())]
        heads = "".join(f'<th scope="col">{escape(COLUMNS[name].title)} {_arrow(name)}</th>' for name in columns)
        bodies = ""
        for kind, names in (("methods", self.asked), ("controls", CONTROLS)):
            cells = {who: "".join(_html(found, who, name) for name in columns) for who in names}
            rows = "".join(
                f'<tr><th scope="row">{escape(title(who))}</th>{own}</tr>' for who, own in cells.items()
            )
            bodies += f'<tbody class="{kind}">{rows}</tbody>'
        says = "".join(f"<li>{escape(line)}</li>" for line in self.sentences())
        told = "".join(f"<p>{escape(line)}</p>" for line in self.told)
        meanings = "".join(
            f"<dt>{escape(COLUMNS[name].title)}</dt><dd>{escape(COLUMNS[name].says)}</dd>" for name in columns
        )
        body = (
            f"<h1>{escape(head)}</h1>{told}<ul>{says}</ul>"
            f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>{bodies}</table></div>'
            f"<p>{escape(READING)}</p><h2>What the columns ask</h2><dl>{meanings}</dl>"
        )
        return whole_page(head, STYLE, body)


def title(who: str) -> str:
    """A method, or a method at a layer, or a control, as people call it."""
    if who in NAMES:
        return NAMES[who]
    method, layer = named(who)
    called = METHODS[method].title if method in METHODS else method
    return called if layer == -1 else f"{called}, {layer}"


def standing(found: Mapping[str, Mapping[str, Summary]], who: str, column: str) -> int:
    """How a method stands beside the best control of a column: 1 where its interval lies beyond that one's mean,
    -1 where its mean is no better, 0 where neither, or where nothing speaks for a map."""
    sign = COLUMNS[column].better
    if column in ENOUGH and who not in CONTROLS and column in found[who]:
        own = found[who][column]
        return 1 if own.high < ENOUGH[column] else -1 if own.mean >= ENOUGH[column] else 0
    best = [sign * found[name][column].mean for name in CONTROLS if column in found[name]]
    if not sign or who in CONTROLS or column not in found[who] or not best:
        return 0
    own = found[who][column]
    end = own.low if sign > 0 else own.high
    if math.isfinite(end) and sign * end > max(best):
        return 1
    return -1 if sign * own.mean <= max(best) else 0


def _arrow(name: str) -> str:
    return {1: "↑", -1: "↓", 0: ""}[COLUMNS[name].better]


def _cell(one: Summary | None, stands: int) -> str:
    if one is None or not math.isfinite(one.mean):
        return "–"
    text = f"**{one.mean:.3f}**" if stands > 0 else f"{one.mean:.3f}"
    return text if not math.isfinite(one.low) else f"{text} ± {(one.high - one.low) / 2:.3f}"


def _html(found: Mapping[str, Mapping[str, Summary]], who: str, column: str) -> str:
    one, kind = found[who].get(column), {1: "good", -1: "bad", 0: "plain"}[standing(found, who, column)]
    if one is None or not math.isfinite(one.mean):
        return "<td>–</td>"
    between = f"<small>{one.low:.3f} to {one.high:.3f}</small>" if math.isfinite(one.low) else ""
    return f'<td class="{kind}">{one.mean:.3f}{between}</td>'


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
