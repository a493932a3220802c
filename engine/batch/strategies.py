"""How a network recognises a class: groups of maps that are alike, and which of them look like a shortcut.

Spectral relevance analysis, Lapuschkin et al. 2019, arXiv:1902.10178: the maps of a class are brought to one small
size, joined to their nearest neighbours, and the graph that this makes falls into as many groups as it has small
eigenvalues before the widest gap.

An object lies elsewhere in each photo, so the mean of many maps of it is flat. What stays sharp in the mean is
always at the same place: a watermark, a frame, a date in the corner.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 12  # of the maps that are compared, in places
NEIGHBOURS, MOST_GROUPS, FEWEST = 10, 6, 8  # FEWEST: maps of a class that are grouped at all
SAMPLE = 1000  # maps of a class that groups are found among
APART = 1e-6  # the weight of what is no neighbour: groups without any way between them have one then
BORDER = 0.15  # of each side, that counts as the border
SAME, ASIDE = 0.5, 0.2  # from which on a group is suspected

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Strategy:
    """A group of a class's maps. members: their places among those that were given. mean: [SIDE, SIDE], of maps
    that sum to one. sameness: how much of single maps' sharpness is left in their mean, 0..1: the mean's overlap
    with itself over that of a map with itself. aside: how far its centre lies from the photo's, in sides. border:
    the share of it in the outer BORDER of each side."""

    members: NDArray[np.int64]
    mean: Maps
    sameness: float
    aside: float
    border: float

    @property
    def suspected(self) -> bool:
        """Is it at one place, and that not in the middle?"""
        return len(self.members) >= FEWEST // 2 and self.sameness >= SAME and self.aside >= ASIDE


def prepared(maps: list[NDArray[Any]]) -> Maps:
    """Maps of any sizes as [N, SIDE, SIDE] of their positive values, each with the sum one; zero where none is."""
    import cv2

    found = np.zeros((len(maps), SIDE, SIDE), np.float32)
    for number, map in enumerate(maps):
        positive = np.maximum(np.nan_to_num(np.asarray(map, np.float32)), 0)
        larger = max(positive.shape) < SIDE
        how = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
        small = cv2.resize(positive, (SIDE, SIDE), interpolation=how)
        total = float(small.sum())
        found[number] = small / total if total > 0 else 0
    return found


def strategies(maps: Maps, seed: int = 0) -> list[Strategy]:
    """The groups of a class's maps [N, SIDE, SIDE], the largest first. Of fewer than FEWEST there is one, and of
    maps that are all at the same place."""
    whole = described(maps, np.arange(len(maps)))
    if len(maps) and whole.sameness >= SAME:
        return [whole]
    labels = groups(maps, seed)
    found = [described(maps, np.flatnonzero(labels == label)) for label in range(int(labels.max(initial=0)) + 1)]
    return sorted((one for one in found if len(one.members)), key=lambda one: -len(one.members))


def groups(maps: Maps, seed: int = 0) -> NDArray[np.int64]:
    """The number of each map's group, int64 [N]."""
    count = len(maps)
    if count < FEWEST:
        return np.zeros(count, np.int64)
    try:
        from sklearn.cluster import SpectralClustering
        from sklearn.neighbors import NearestNeighbors, kneighbors_graph
    except ModuleNotFoundError:
        raise ValueError('groups are found by scikit-learn: pip install "convlens[batch]"') from None

    flat = maps.reshape(count, -1).astype(np.float64)
    chosen = np.arange(count)
    if count > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(count, SAMPLE, replace=False))
    sample = flat[chosen]
    near = kneighbors_graph(sample, min(NEIGHBOURS, len(sample) - 1), include_self=True).toarray()
    joined = 0.5 * (near + near.T)
    number = eigengap(joined)
    if number == 1:
        return np.zeros(count, np.int64)
    labels = SpectralClustering(number, affinity="precomputed", random_state=seed, assign_labels="kmeans")
    own = np.asarray(labels.fit_predict(joined + APART), np.int64)
    if len(chosen) == count:
        return own
    _, nearest = NearestNeighbors(n_neighbors=1).fit(sample).kneighbors(flat)
    return np.asarray(own[nearest[:, 0]], np.int64)


def eigengap(joined: NDArray[np.float64]) -> int:
    """How many groups a graph [N, N] has: as many as its normalised Laplacian has eigenvalues before the
    widest gap among the first ones."""
    degree = joined.sum(1)
    scale = 1 / np.sqrt(np.maximum(degree, 1e-12))
    laplacian = np.eye(len(joined)) - scale[:, None] * joined * scale
    values = np.linalg.eigvalsh(laplacian)[: MOST_GROUPS + 1]
    return 1 + int(np.argmax(np.diff(values)))


def described(maps: Maps, members: NDArray[np.int64]) -> Strategy:
    """What the mean of some maps tells."""
    own = maps[members].astype(np.float64)
    mean = own.mean(0) if len(own) else np.zeros((SIDE, SIDE))
    alone = (own * own).sum((1, 2)).mean() if len(own) else 0.0
    flat = 1 / SIDE**2  # the overlap of two maps that are the same everywhere
    sameness = float(((mean * mean).sum() - flat) / (alone - flat)) if alone > flat else 0.0
    places = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    total = max(float(mean.sum()), 1e-12)
    down, right = float((mean.sum(1) * places).sum()) / total, float((mean.sum(0) * places).sum()) / total
    inside = np.abs(places) <= 0.5 - BORDER
    middle = float(mean[np.ix_(inside, inside)].sum()) / total
    return Strategy(
        members, mean.astype(np.float32), max(0.0, min(1.0, sameness)), float(np.hypot(down, right)), 1 - middle
    )
