"""Filtering: which windows fit what the visitor looks for."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Windows for which all of this holds; what is left empty does not matter."""

    text: str = ""  # any part of a file name, label or prediction
    sites: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    clusters: tuple[int, ...] = ()
    hours: tuple[float, float] = (0.0, 24.0)  # over midnight where the first is later
    dates: tuple[str, ...] = ()
    min_score: float = 0.0
    min_novelty: float = 0.0
    seasons: tuple[str, ...] = ()
    novel_only: bool = False  # of a new season, what lies off the map

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for."""
        return self == Wanted()


def fitting(
    windows: pd.DataFrame,
    wanted: Wanted,
    clusters: Int[np.ndarray, " windows"] | None = None,
    novelty: np.ndarray | None = None,
    is_novel: Bool[np.ndarray, " windows"] | None = None,
) -> Bool[np.ndarray, " windows"]:
    """Which windows fit; one whose time nobody knows fits no time."""
    fits = np.ones(len(windows), bool)
    if wanted.text.strip():
        fits &= _found(windows, wanted.text.strip())
    if wanted.sites:
        fits &= windows["site"].isin(wanted.sites).to_numpy(bool)
    if wanted.labels:
        asked = set(wanted.labels)
        has_one = {text: bool(asked & set(text.split(","))) for text in windows["labels"].unique()}
        fits &= windows["labels"].map(has_one).to_numpy(bool)
    if wanted.clusters and clusters is not None:
        fits &= np.isin(clusters, wanted.clusters)
    if wanted.hours != (0.0, 24.0):
        first, last = wanted.hours
        hours = windows["hour"].to_numpy(float)
        late, early = hours >= first, hours < last
        fits &= (late & early) if first <= last else (late | early)
    if wanted.dates:
        fits &= windows["date"].isin(wanted.dates).to_numpy(bool)
    if wanted.min_score > 0:
        fits &= np.nan_to_num(windows["probability"].to_numpy(float), nan=-1.0) >= wanted.min_score
    if wanted.min_novelty > 0 and novelty is not None:
        fits &= np.nan_to_num(novelty, nan=-1.0) >= wanted.min_novelty
    if wanted.seasons and "season" in windows:
        fits &= windows["season"].isin(wanted.seasons).to_numpy(bool)
    if wanted.novel_only and is_novel is not None:
        fits &= is_novel
    return fits


def _found(windows: pd.DataFrame, text: str) -> Bool[np.ndarray, " windows"]:
    """Where a text stands in a file name, a label or a prediction, in whatever letters."""
    found = np.zeros(len(windows), bool)
    for name in ("file", "labels", "predicted"):
        column = windows[name].astype("category")
        kinds = column.cat.categories.astype(str).str.casefold().str.contains(text.casefold(), regex=False)
        codes = column.cat.codes.to_numpy()
        found |= np.append(np.asarray(kinds, bool), False)[codes]  # the code of nothing is -1
    return found
