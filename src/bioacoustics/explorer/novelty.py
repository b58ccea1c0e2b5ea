"""Novelty: how far a window lies from everything that a map was made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

NUM_NEIGHBOURS = 5
MAX_REFERENCE = 10_000
_CELLS_PER_BLOCK = 2**24  # distances in memory at once

Points = Float[np.ndarray, "points components"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Windows that are known, and how far apart such windows lie.

    Attributes:
        points: Their principal components, a random part of at most `MAX_REFERENCE`.
        distances: For each, the distance to its fifth neighbour of another recording, ascending. Windows of
            one recording share place, weather and recorder: among them every new recording would be novel.
    """

    points: Points
    distances: Float[np.ndarray, " known"]

    @classmethod
    def of(cls, points: Points, groups: Sequence[str] | None = None, seed: int = 0) -> "Reference":
        """The reference that known windows make; `groups` are their recordings."""
        kept = np.arange(len(points))
        if len(points) > MAX_REFERENCE:
            kept = np.sort(np.random.default_rng(seed).choice(len(points), MAX_REFERENCE, replace=False))
        points = points[kept]
        numbers = np.zeros(len(kept), int)
        if groups is not None:
            numbers = np.unique(np.asarray(groups, dtype=str)[kept], return_inverse=True)[1]
        if len(np.unique(numbers)) < 2:
            numbers = np.arange(
                len(kept)
            )  # one recording: a window is only kept from being its own neighbour
        distances = fifth_distances(points, points, numbers, numbers)
        return cls(points=points, distances=np.sort(distances[np.isfinite(distances)]))

    def score(self, points: Points) -> Float[np.ndarray, " points"]:
        """The share of the known windows that lie closer to their neighbours than these do to the known.

        0 is in the middle of the known, 1 farther away than every one of them.
        """
        if not len(self.distances):
            return np.zeros(len(points))
        distances = fifth_distances(points, self.points)
        scores = np.searchsorted(self.distances, distances, side="left") / len(self.distances)
        return np.where(np.isfinite(distances), scores, np.nan)


def fifth_distances(
    asked: Points,
    known: Float[np.ndarray, "known components"],
    asked_groups: Int[np.ndarray, " points"] | None = None,
    known_groups: Int[np.ndarray, " known"] | None = None,
) -> Float[np.ndarray, " points"]:
    """The distance of each point to its fifth neighbour outside its own group, or to the last there is."""
    found = []
    for first, squares in distance_blocks(asked, known):
        if asked_groups is not None and known_groups is not None:
            squares[asked_groups[first : first + len(squares), None] == known_groups] = np.inf
        rank = min(NUM_NEIGHBOURS, squares.shape[1]) - 1
        ordered = np.partition(squares, rank, axis=1)[:, : rank + 1]
        finite = np.where(np.isfinite(ordered), ordered, -1)
        found.append(np.sqrt(np.where(finite.max(axis=1) < 0, np.nan, finite.max(axis=1))))
    return np.concatenate(found) if found else np.zeros(0)


def distance_blocks(
    asked: Points, known: Float[np.ndarray, "known components"]
) -> Iterator[tuple[int, Float[np.ndarray, "rows known"]]]:
    """Squared distances of some points to all known ones: the first row of a block, and the block."""
    step = max(1, _CELLS_PER_BLOCK // max(1, len(known)))
    lengths = np.square(known).sum(axis=1)
    for first in range(0, len(asked), step):
        rows = asked[first : first + step]
        squares = lengths + np.square(rows).sum(axis=1)[:, None] - 2 * (rows @ known.T)
        yield first, np.maximum(squares, 0)
