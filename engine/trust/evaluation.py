"""Every method by every metric on the photos of a data set, with the controls beside them.

No number of it is a rank. Each column asks something else, and what a map gets for being blurred, small or in the
middle stands in the rows of the controls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ..run.explainer import Explainer
from .agreement import gini, histogram_entropy, spearman
from .controls import CONTROLS
from .curves import STEPS, deletion, insertion
from .filling import road
from .one_picture import Subject, flat, likeness, subject
from .pointing import grid_energy, grid_hit, grid_mosaics

Values = dict[str, dict[str, float]]  # name of a map or control -> column -> number
SIDE = 2  # cells of a mosaic, in each direction


@dataclass(frozen=True)
class Column:
    """A metric. better: 1 where a high number speaks for a map, -1 where a low one does, 0 where neither does.
    says: what it asks, with the numbers that tell how to read it."""

    title: str
    better: int
    says: str


COLUMNS = {
    "deletion": Column(
        "Deletion", -1,
        "area under the class's probability while the map's pixels become mean colour (RISE, arXiv:1806.07421)",
    ),
    "insertion": Column(
        "Insertion", 1, "the same while they come back to a blurred photo; edges alone do well in it"
    ),
    "road": Column(
        "ROAD", 1, "removal without holes, least marked first less most marked first (arXiv:2202.00449); chance: 0"
    ),
    "same_class": Column(
        "Same for another class", -1,
        "Spearman's correlation with the map of a class that is neither likely nor unlikely; 1: knows no class",
    ),
    "same_weights": Column(
        "Same without learning", -1, "with the map of the network with redrawn weights (arXiv:1810.03292)"
    ),
    "entropy_rise": Column(
        "eMPRT", 1, "by how much of itself the entropy of the map rises by that (arXiv:2401.06465)"
    ),
    "hiding": Column(
        "Agrees with hiding", 1, "Spearman's correlation with occlusion's map, which needs no gradient"
    ),
    "missing": Column("Missing", -1, "the share of the score that the values don't make up, where they should"),
    "arrived": Column("Arrived", 0, "the share of the score that relevance brought to the map"),
    "gini": Column("Sparseness", 0, "Gini index: a sparse map is easier to read and no truer"),
    "grid_energy": Column(
        "Grid energy", 1,
        "share of what is positive in its own cell of mosaics of four sure photos (arXiv:2104.00032); chance: .25",
    ),
    "grid_contrast": Column(
        "Grid with contrast", 1, "the same, asked for its class rather than the mosaic's other three"
    ),
    "grid_hit": Column("Grid hit", 1, "how often the largest value lies in its own cell; chance: .25"),
}  # fmt: skip
OF_MOSAICS = ("grid_energy", "grid_contrast", "grid_hit")


def named(asked: str) -> tuple[str, int | str]:
    """Method and layer of "hires_cam" or "hires_cam@blocks.4.2"."""
    method, _, layer = asked.partition("@")
    return method, layer or -1


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is asked of each photo: `asked` are methods, or methods at layers, see `named`; columns: which of
    COLUMNS; seed: of controls, redrawn weights and mosaics; options: of methods of many passes, by their names.
    Raises ValueError for names that there are not, before the first photo."""

    explainer: Explainer
    asked: Sequence[str]
    columns: Sequence[str] = tuple(COLUMNS)
    seed: int = 0
    options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise ValueError(f"there is no column {name!r}: they are {', '.join(COLUMNS)}")
        if not self.asked:
            raise ValueError(f"no method is asked for: the file has {', '.join(self.explainer.methods)}")
        for method in self.options:
            if method not in [named(asked)[0] for asked in self.asked]:
                raise ValueError(f"there are options of {method!r}, which is not asked for")
        for asked in self.asked:
            method, layer = named(asked)
            if method not in self.explainer.methods:
                raise ValueError(f"the file has no {method!r}: it has {', '.join(self.explainer.methods)}")
            if isinstance(layer, str) and layer not in self.explainer.layers:
                raise ValueError(f"the file has no layer {layer!r}: it has {', '.join(self.explainer.layers)}")

    @cached_property
    def redrawn(self) -> Explainer:
        """The network with redrawn weights, made once."""
        return self.explainer.randomised(seed=self.seed)

    def of_photo(self, x: Tensor, target: int, number: int = 0) -> Values:
        """The columns that are of a photo, of an image [1, C, S, S] and its class; number: of the photo, by which
        the random map is another one each time."""
        wanted = [name for name in self.columns if name not in OF_MOSAICS]
        subjects = {asked: self._subject(x, target, asked) for asked in self.asked}
        maps = {asked: one.map for asked, one in subjects.items()}
        maps |= {name: draw(x, self.seed + number)[0].float() for name, draw in CONTROLS.items()}
        values: Values = {who: {} for who in maps}
        stacked = torch.stack([*maps.values()])
        every = x.expand(len(maps), *x.shape[1:])
        score = subjects[self.asked[0]].score
        of_all: dict[str, Callable[[], Tensor]] = {
            "deletion": lambda: deletion(score, every, stacked, steps=STEPS).auc,
            "insertion": lambda: insertion(score, every, stacked, steps=STEPS).auc,
            "road": lambda: road(score, every, stacked).value,
            "gini": lambda: gini(stacked),
        }
        for name in wanted:
            if name in of_all:
                for who, value in zip(maps, of_all[name]().tolist(), strict=True):
                    values[who][name] = value
        if "hiding" in wanted and "occlusion" in self.explainer.methods:
            hidden = self.explainer.ask(x, target, "occlusion").values[0].float()
            for who, map in maps.items():
                if named(who)[0] == "occlusion":
                    continue  # it is what the others are held against
                values[who]["hiding"] = float(spearman(map[None], hidden[None]))
        for who in maps:
            own = self._of_subject(subjects[who], wanted) if who in subjects else _of_control(wanted)
            values[who].update(own)
        return values

    def of_mosaics(self, images: Tensor, classes: Tensor, count: int, first: int = 0) -> Iterator[Values]:
        """The columns that are of mosaics, one after the other, each the mean over its four cells.

        images: [M, C, S, S], classes: int64 [M], see `grid_mosaics`. first: how many mosaics are known already.
        """
        mosaics, members = grid_mosaics(images, classes, SIDE, count, self.seed)
        for number in range(first, count):
            mosaic, places = mosaics[number][None], members[number]
            own = classes[places].tolist()
            cells = [self._of_cell(mosaic, own, cell, number) for cell in range(len(own))]
            yield {
                who: {name: sum(cell[who][name] for cell in cells) / len(cells) for name in cells[0][who]}
                for who in cells[0]
            }

    def _of_cell(self, x: Tensor, classes: Sequence[int], cell: int, number: int) -> Values:
        others = [index for place, index in enumerate(classes) if place != cell]
        values: Values = {}
        for asked in self.asked:
            method, layer = named(asked)
            options = self.options.get(method)
            answers = [
                self.explainer.ask(x, classes[cell], method, layer, contrast=rather, options=options)
                for rather in (None, others)
            ]
            plain, contrasted = (flat(one.values, method, one.at) for one in answers)
            values[asked] = self._on_grid(plain, contrasted, cell)
        for name, draw in CONTROLS.items():
            map = draw(x, self.seed + number)
            values[name] = self._on_grid(map, map, cell)
        return values

    def _on_grid(self, plain: Tensor, contrasted: Tensor, cell: int) -> dict[str, float]:
        found = {
            "grid_energy": lambda: grid_energy(plain, cell, SIDE),
            "grid_contrast": lambda: grid_energy(contrasted, cell, SIDE),
            "grid_hit": lambda: grid_hit(plain, cell, SIDE),
        }
        return {name: float(found[name]()) for name in OF_MOSAICS if name in self.columns}

    def _subject(self, x: Tensor, target: int, asked: str) -> Subject:
        method, layer = named(asked)
        return subject(self.explainer, x, target, method, layer, options=self.options.get(method))

    def _of_subject(self, asked: Subject, wanted: Sequence[str]) -> dict[str, float]:
        """What takes further maps of the same method, or was told with its own."""
        found = {}
        if "same_class" in wanted:
            found["same_class"] = likeness(asked.map, asked.map_of(asked.middle))
        if ("same_weights" in wanted or "entropy_rise" in wanted) and "constants" in self.explainer.manifest:
            other = asked.map_of(asked.target, self.redrawn)
            before, after = (float(histogram_entropy(map[None])) for map in (asked.map, other))
            found["same_weights"] = likeness(asked.map, other)
            found["entropy_rise"] = (after - before) / before if before else torch.nan
        if asked.missing is not None:
            found["missing"] = asked.missing
        if asked.arrived is not None:
            found["arrived"] = asked.arrived
        return {name: value for name, value in found.items() if name in wanted}


def _of_control(wanted: Sequence[str]) -> dict[str, float]:
    """A control asks no network: it is the same for every class, and for every network's weights."""
    known = {"same_class": 1.0, "same_weights": 1.0, "entropy_rise": 0.0}
    return {name: value for name, value in known.items() if name in wanted}
