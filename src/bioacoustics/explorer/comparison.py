"""Comparison: whether two models give windows the same neighbours, and which of them knows the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bioacoustics.explorer.collection import Collection
from bioacoustics.explorer.confounding import Report, confounders
from bioacoustics.explorer.novelty import distance_blocks
from bioacoustics.explorer.steps import DONE, Progress, Step, silent

MAX_WINDOWS = 5000  # that are compared, drawn by the seed

Points = Float[np.ndarray, "windows components"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """How alike two sets of vectors are.

    Attributes:
        positions: The windows that were compared.
        overlap: For each, the share of its nearest windows that are the same in both.
        chance: What the overlap would be if the neighbours had nothing to do with each other.
        one: What the vectors of the first tell of labels, sites and recordings.
        other: The same of the second.
    """

    positions: Int[np.ndarray, " compared"]
    overlap: Float[np.ndarray, " compared"]
    chance: float
    one: Report
    other: Report

    @property
    def mean_overlap(self) -> float:
        """Over all windows."""
        return float(self.overlap.mean())


@dataclass(frozen=True, eq=False, kw_only=True)
class Aligned:
    """A map turned, mirrored, moved and scaled to lie on another as well as it goes.

    Attributes:
        coordinates: Of the turned map.
        disparity: What is left, from 0 (the same shape) to 1 (nothing in common).
    """

    coordinates: Float[np.ndarray, "windows dimensions"]
    disparity: float


def matched(one: Collection, other: Collection) -> tuple[Int[np.ndarray, " same"], Int[np.ndarray, " same"]]:
    """The positions of the windows that both have: of the same recording, channel, start and end.

    Raises:
        ValueError: They have fewer than three in common.
    """
    keys = [
        pd.MultiIndex.from_arrays(
            [
                windows["file"].astype(str),
                windows["channel"].astype(str),
                windows["start_s"].round(3),
                windows["end_s"].round(3),
            ]
        )
        for windows in (one.windows, other.windows)
    ]
    places = keys[1].get_indexer(keys[0])
    shared = np.flatnonzero(places >= 0)
    if len(shared) < 3:
        raise ValueError(
            f"{one.location} and {other.location} have {len(shared)} windows in common: embed the same "
            "recordings with the same --window_s and --stride_s"
        )
    return shared, places[shared]


def compare(
    one: Float[np.ndarray, "windows components"],
    other: Float[np.ndarray, "others its_components"],
    windows: pd.DataFrame,
    labels: Sequence[str],
    *,
    num_neighbours: int = 10,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Comparison:
    """Compare two sets of points of the same windows, such as the principal components of two models.

    Raises:
        ValueError: They are not as many, or fewer than three.
    """
    if len(one) != len(other) or len(one) < 3:
        raise ValueError(
            f"{len(one)} and {len(other)} windows: two models are compared on the same, at least three"
        )
    report = on_progress or silent
    finite = np.flatnonzero(np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1))
    positions = finite
    if len(finite) > MAX_WINDOWS:
        positions = np.sort(np.random.default_rng(seed).choice(finite, MAX_WINDOWS, replace=False))
    count = min(num_neighbours, len(positions) - 1)
    report(0.0, Step("neighbours"))
    first, second = nearest(one[positions], count), nearest(other[positions], count)
    overlap = np.array([len(np.intersect1d(a, b)) for a, b in zip(first, second, strict=True)]) / count
    told = np.asarray(labels, dtype=str).tolist()
    report(0.3, Step("first_model"))
    one_report = confounders(one, windows, told, seed=seed)
    report(0.6, Step("second_model"))
    other_report = confounders(other, windows, told, seed=seed)
    report(1.0, DONE)
    return Comparison(
        positions=positions,
        overlap=overlap,
        chance=count / max(len(positions) - 1, 1),
        one=one_report,
        other=other_report,
    )


def nearest(points: Points, count: int) -> Int[np.ndarray, "windows count"]:
    """The nearest other windows of each, in no order."""
    found = []
    for first, squares in distance_blocks(points, points):
        rows = np.arange(len(squares))
        squares[rows, first + rows] = np.inf
        found.append(np.argpartition(squares, count - 1, axis=1)[:, :count])
    return np.concatenate(found)


def aligned(
    coordinates: Float[np.ndarray, "windows dimensions"], onto: Float[np.ndarray, "windows dimensions"]
) -> Aligned:
    """Lay one map of the same windows onto another (orthogonal Procrustes analysis, Schönemann 1966)."""
    known = np.isfinite(coordinates).all(axis=1) & np.isfinite(onto).all(axis=1)
    moved = coordinates[known].astype(np.float64)
    target = onto[known].astype(np.float64)
    middle, aim = moved.mean(axis=0), target.mean(axis=0)
    left, values, right = np.linalg.svd((moved - middle).T @ (target - aim))
    total = float(np.square(moved - middle).sum())
    scale = values.sum() / total if total > 0 else 0.0
    turned = scale * (coordinates - middle) @ (left @ right) + aim
    spread = float(np.square(target - aim).sum())
    rest = float(np.square(turned[known] - target).sum())
    return Aligned(
        coordinates=turned.astype(np.float32), disparity=rest / spread if spread > 0 else float(total > 0)
    )
