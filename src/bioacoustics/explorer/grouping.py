"""Grouping: clusters of windows, numbered by size, with guidance, typical and odd members."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field

from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import DONE, Progress, Step, silent

NOBODY = -1  # the number of windows in no cluster
MAX_JUDGED = 3000  # windows that silhouettes are computed of, drawn by the seed
_BLOCK_ITERATIONS = 100

Points = Float[np.ndarray, "windows components"]


class KMeansConfig(BaseModel, frozen=True, extra="forbid"):
    """K-means: every window belongs to the nearest of k centres."""

    method: Literal["kmeans"] = "kmeans"
    num_clusters: int = Field(default=8, ge=1, le=200)
    seed: int = Field(default=0, ge=0, lt=2**31)


class HDBSCANConfig(BaseModel, frozen=True, extra="forbid"):
    """HDBSCAN: clusters are where it is dense; windows in between belong to none."""

    method: Literal["hdbscan"] = "hdbscan"
    min_cluster_size: int = Field(default=15, ge=2)
    min_samples: int | None = Field(default=None, ge=1)  # None: as many as the size


GroupConfig = Annotated[KMeansConfig | HDBSCANConfig, Field(discriminator="method")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Clusters:
    """What belongs together.

    Attributes:
        numbers: The cluster of each window: 0 the largest, `NOBODY` for none. Equally large ones are in the
            order of their first windows, so that the same clusters always have the same numbers.
        centroids: The mean of each cluster.
        distances: Of each window to the centroid of its cluster; NaN for none.
        notes: What was adapted or left out.
    """

    numbers: Int[np.ndarray, " windows"]
    centroids: Float[np.ndarray, "clusters components"]
    distances: Float[np.ndarray, " windows"]
    notes: tuple[Sentence, ...] = ()

    @property
    def num_clusters(self) -> int:
        """How many there are."""
        return len(self.centroids)

    @property
    def sizes(self) -> Int[np.ndarray, " clusters"]:
        """The number of windows of each."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=self.num_clusters)

    def typical(self, cluster: int, num: int = 9) -> Int[np.ndarray, " chosen"]:
        """The windows nearest to the centroid, the nearest first."""
        members = np.flatnonzero(self.numbers == cluster)
        return members[np.argsort(self.distances[members], kind="stable")[:num]]

    def odd(self, cluster: int, num: int = 9) -> Int[np.ndarray, " chosen"]:
        """The windows farthest from the centroid, the farthest first."""
        members = np.flatnonzero(self.numbers == cluster)
        return members[np.argsort(-self.distances[members], kind="stable")[:num]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Guidance:
    """How good each number of clusters is.

    Attributes:
        table: Columns num_clusters, inertia (squared distances to the centres), silhouette (-1 to 1, how much
            nearer windows are to their own cluster than to the next one).
        best_silhouette: The number with the largest silhouette.
        elbow: Where more clusters stop to help much: the number farthest from the straight line between the
            first and the last inertia.
    """

    table: pd.DataFrame
    best_silhouette: int
    elbow: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well clusters and labels say the same, 1 if entirely, about 0 if by chance.

    Attributes:
        rand: Adjusted Rand index; NaN without labels.
        mutual_information: Adjusted mutual information; NaN without labels.
        num_windows: Windows that have both a label and a cluster.
    """

    rand: float
    mutual_information: float
    num_windows: int


def group(
    points: Points, config: KMeansConfig | HDBSCANConfig, on_progress: Progress | None = None
) -> Clusters:
    """Find clusters, usually in principal components; points that are not finite belong to none."""
    from sklearn.cluster import HDBSCAN

    report = on_progress or silent
    report(0.0, Step("clusters"))
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    rows = np.asarray(points[finite], np.float32)
    notes: list[Sentence] = []
    found = np.zeros(len(rows), int)
    num_different = len(np.unique(rows, axis=0)) if len(rows) <= MAX_JUDGED else len(rows)
    match config:
        case KMeansConfig():
            wanted = min(config.num_clusters, num_different)
            if wanted < config.num_clusters:
                notes.append(
                    Sentence(
                        f"{wanted} clusters, not {config.num_clusters}: there are no more different windows.",
                        f"{wanted} grupos, no {config.num_clusters}: no hay más ventanas diferentes.",
                    )
                )
            if wanted > 1:
                found = _kmeans(rows, wanted, config.seed)[0]
        case HDBSCANConfig():
            found = np.full(len(rows), NOBODY)
            size = config.min_cluster_size
            if len(rows) > max(size, config.min_samples or 1):
                engine = HDBSCAN(min_cluster_size=size, min_samples=config.min_samples, copy=True)
                found = engine.fit_predict(rows)
            if (found == NOBODY).all():
                notes.append(
                    Sentence(
                        f"No cluster of {size} windows or more: try a smaller size.",
                        f"Ningún grupo de {size} ventanas o más: pruebe un tamaño menor.",
                    )
                )
    numbers = np.full(len(points), NOBODY)
    numbers[finite] = by_size(found)
    centroids = _centroids(points, numbers)
    distances = np.full(len(points), np.nan)
    inside = numbers >= 0
    distances[inside] = np.linalg.norm(points[inside] - centroids[numbers[inside]], axis=1)
    report(1.0, DONE)
    return Clusters(numbers=numbers, centroids=centroids, distances=distances, notes=tuple(notes))


def joined_by(clusters: Clusters, points: Float[np.ndarray, "others components"]) -> Clusters:
    """The same clusters with other windows behind their own: each joins the nearest centroid.

    One that lies farther from it than every member belongs to none: it is unlike all that was grouped.
    """
    numbers = np.full(len(points), NOBODY)
    distances = np.full(len(points), np.nan)
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if clusters.num_clusters and len(finite):
        away = np.linalg.norm(points[finite, None] - clusters.centroids[None], axis=2)
        nearest = away.argmin(axis=1)
        farthest = np.array(
            [clusters.distances[clusters.numbers == number].max() for number in range(clusters.num_clusters)]
        )
        joins = away.min(axis=1) <= farthest[nearest]
        numbers[finite[joins]] = nearest[joins]
        distances[finite[joins]] = away.min(axis=1)[joins]
    return replace(
        clusters,
        numbers=np.concatenate([clusters.numbers, numbers]),
        distances=np.concatenate([clusters.distances, distances]),
    )


def by_size(found: Int[np.ndarray, " windows"]) -> Int[np.ndarray, " windows"]:
    """Clusters renumbered: 0 the largest, then smaller ones, ties by the first window; negative stays so."""
    numbers = np.full(len(found), NOBODY)
    names, firsts, counts = np.unique(found, return_index=True, return_counts=True)
    known = names >= 0
    for number, name in enumerate(names[known][np.lexsort((firsts[known], -counts[known]))]):
        numbers[found == name] = number
    return numbers


def guidance(
    points: Points, *, max_clusters: int = 20, seed: int = 0, on_progress: Progress | None = None
) -> Guidance:
    """Try K-means with 2 to `max_clusters` clusters on at most `MAX_JUDGED` windows drawn by the seed.

    Raises:
        ValueError: There are fewer than four different windows.
    """
    from sklearn.metrics import silhouette_score

    report = on_progress or silent
    rows = np.asarray(points[np.isfinite(points).all(axis=1)], np.float32)
    if len(rows) > MAX_JUDGED:
        rows = rows[np.random.default_rng(seed).choice(len(rows), MAX_JUDGED, replace=False)]
    num_different = len(np.unique(rows, axis=0))
    if num_different < 4:
        raise ValueError(
            f"{num_different} different windows are too few to compare numbers of clusters, 4 are needed"
        )
    table = []
    numbers = range(2, min(max_clusters, num_different - 1) + 1)
    for done, number in enumerate(numbers):
        report(done / len(numbers), Step("comparing_clusters", number))
        found, inertia = _kmeans(rows, number, seed)
        table.append((number, inertia, float(silhouette_score(rows, found))))
    frame = pd.DataFrame(table, columns=["num_clusters", "inertia", "silhouette"])
    best = int(frame["num_clusters"].iloc[int(frame["silhouette"].to_numpy().argmax())])
    report(1.0, DONE)
    return Guidance(table=frame, best_silhouette=best, elbow=_elbow(frame))


def agreement(numbers: Int[np.ndarray, " windows"], labels: Sequence[str]) -> Agreement:
    """Compare clusters with labels, on windows that have exactly both ("" is no label)."""
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    named = np.asarray(labels, dtype=str)
    both = (named != "") & (numbers >= 0)
    if both.sum() < 2:
        return Agreement(rand=float("nan"), mutual_information=float("nan"), num_windows=int(both.sum()))
    return Agreement(
        rand=float(adjusted_rand_score(named[both], numbers[both])),
        mutual_information=float(adjusted_mutual_info_score(named[both], numbers[both])),
        num_windows=int(both.sum()),
    )


def cluster_table(clusters: Clusters, windows: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """One row a cluster: size and share, its recordings and sites, its commonest label with its share."""
    rows = []
    named = np.asarray(labels, dtype=str)
    for cluster, size in enumerate(clusters.sizes):
        inside = clusters.numbers == cluster
        names, counts = np.unique(named[inside & (named != "")], return_counts=True)
        best = int(counts.argmax()) if len(counts) else None
        rows.append(
            {
                "cluster": cluster,
                "size": int(size),
                "share": size / max(len(windows), 1),
                "recordings": windows["recording"][inside].nunique(),
                "sites": windows["site"][inside].nunique(),
                "commonest_label": "" if best is None else str(names[best]),
                "label_share": np.nan if best is None else counts[best] / counts.sum(),
            }
        )
    columns = ["cluster", "size", "share", "recordings", "sites", "commonest_label", "label_share"]
    return pd.DataFrame(rows, columns=columns)


def _kmeans(rows: Points, num_clusters: int, seed: int) -> tuple[Int[np.ndarray, " windows"], float]:
    from sklearn.cluster import KMeans

    engine = KMeans(num_clusters, n_init=4, random_state=seed, max_iter=_BLOCK_ITERATIONS).fit(rows)
    return engine.labels_.astype(int), float(engine.inertia_)


def _centroids(
    points: Points, numbers: Int[np.ndarray, " windows"]
) -> Float[np.ndarray, "clusters components"]:
    count = int(numbers.max(initial=NOBODY)) + 1
    means = [points[_is(numbers, cluster)].mean(axis=0, dtype=np.float64) for cluster in range(count)]
    return np.array(means).reshape(count, points.shape[1])


def _is(numbers: Int[np.ndarray, " windows"], cluster: int) -> Bool[np.ndarray, " windows"]:
    return np.asarray(numbers == cluster)


def _elbow(table: pd.DataFrame) -> int:
    """Both axes from 0 to 1; the point farthest below the diagonal (Satopää et al. 2011, "Kneedle")."""
    numbers, inertia = table["num_clusters"].to_numpy(float), table["inertia"].to_numpy(float)
    along = (numbers - numbers[0]) / max(numbers[-1] - numbers[0], 1)
    height = (inertia - inertia[-1]) / max(inertia[0] - inertia[-1], 1e-12)
    return int(numbers[np.argmax(1 - along - height)])
