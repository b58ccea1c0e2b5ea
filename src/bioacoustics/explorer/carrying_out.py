"""Carrying out: what answers each request, and how the answer is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.comparison import compare
from bioacoustics.explorer.confounding import Report, confounders, correlations
from bioacoustics.explorer.fitted_map import FittedMap
from bioacoustics.explorer.grouping import group, guidance, joined_by
from bioacoustics.explorer.overview import overview
from bioacoustics.explorer.principal import fit_components
from bioacoustics.explorer.projection import fit_map
from bioacoustics.explorer.requests import (
    AnyRequest,
    CompareRequest,
    GroupRequest,
    GrowthRequest,
    GuidanceRequest,
    MapRequest,
    OverviewRequest,
    PlaceRequest,
    ReportRequest,
    SurveyRequest,
    TeachRequest,
)
from bioacoustics.explorer.steps import Progress, Step, part
from bioacoustics.explorer.surveying import survey
from bioacoustics.explorer.teaching import growth, teach

NUM_FOLLOWED = 8  # components


def carry_out(request: AnyRequest, path: Path, on_progress: Progress) -> None:
    """Compute the answer and write it to `path`, whole or not at all."""
    match request:
        case MapRequest():
            groups = None if request.groups is None else _array(request.groups).tolist()
            fitted = fit_map(_array(request.vectors), request.config, groups=groups, on_progress=on_progress)
            fitted.save(path)
        case PlaceRequest():
            placed = FittedMap.load(request.map).transform(_array(request.vectors), on_progress)
            _save(path, **vars(placed))
        case GroupRequest():
            _save(path, **_grouped(request, on_progress))
        case GuidanceRequest():
            _save(path, **_guided(request, on_progress))
        case TeachRequest() | GrowthRequest():
            _save(path, **_taught(request, on_progress))
        case SurveyRequest():
            tables = (pd.read_parquet(request.recordings), pd.read_parquet(request.windows))
            deployments = Path(request.deployments) if request.deployments else None
            _save(path, **survey(*tables, deployments, on_progress))
        case ReportRequest():
            _save(path, **_reported(request, on_progress))
        case CompareRequest():
            _save(path, **_compared(request, on_progress))
        case OverviewRequest():
            span = (request.start_s, request.end_s)
            _save(path, **vars(overview(Path(request.recording), request.channel, *span, on_progress)))


def _grouped(request: GroupRequest, on_progress: Progress) -> dict[str, np.ndarray]:
    on_progress(0.0, Step("components"))
    vectors = _array(request.vectors)
    components = fit_components(vectors, request.num_components)
    found = group(components.apply(vectors), request.config, on_progress)
    if request.others is not None:
        found = joined_by(found, components.apply(_array(request.others)))
    return {
        "numbers": found.numbers,
        "centroids": found.centroids,
        "distances": found.distances,
        "notes": np.array(found.notes, dtype=str).reshape(-1, 2),
    }


def _guided(request: GuidanceRequest, on_progress: Progress) -> dict[str, np.ndarray]:
    vectors = _array(request.vectors)
    points = fit_components(vectors, request.num_components).apply(vectors)
    told = guidance(points, max_clusters=request.max_clusters, seed=request.seed, on_progress=on_progress)
    best = {"best": np.array(told.best_silhouette), "elbow": np.array(told.elbow)}
    return _columns(told.table) | best


def _taught(request: TeachRequest | GrowthRequest, on_progress: Progress) -> dict[str, np.ndarray]:
    vectors, recordings = _array(request.vectors), _array(request.recordings).tolist()
    said = pd.read_parquet(request.said)
    order = said.pop("position").to_numpy(int)
    targets = np.full((len(vectors), said.shape[1]), np.nan, np.float32)
    targets[order] = said.to_numpy(np.float32)
    names = [name.removeprefix("label ") for name in said.columns]
    if isinstance(request, GrowthRequest):
        return _columns(
            growth(vectors, names, targets, recordings, order, request.config, on_progress=on_progress)
        )
    taught = teach(vectors, names, targets, recordings, request.config, on_progress=on_progress)
    return {
        "labels": np.array(taught.labels, dtype=str),
        "weights": taught.weights,
        "bias": taught.bias,
        "notes": np.array(taught.notes, dtype=str).reshape(-1, 2),
        **_columns(pd.DataFrame([vars(one) for one in taught.judgements]), "judgement "),
        **_columns(pd.DataFrame([vars(one) for one in taught.thresholds]), "threshold "),
    }


def _reported(request: ReportRequest, on_progress: Progress) -> dict[str, np.ndarray]:
    points = FittedMap.load(request.map).principal
    if request.placed is not None:
        with np.load(request.placed, allow_pickle=False) as placed:
            points = np.concatenate([points, placed["principal"]])
    windows = pd.read_parquet(request.windows)
    labels = windows["labels"].tolist()
    report = confounders(points, windows, labels, on_progress=part(on_progress, 0.0, 0.8))
    on_progress(0.8, Step("following"))
    loudness = {"loudness": windows["loudness"].to_numpy(float)}
    table = correlations(points, windows, loudness, num_components=NUM_FOLLOWED)
    return _told(report) | _columns(table, "follows ")


def _compared(request: CompareRequest, on_progress: Progress) -> dict[str, np.ndarray]:
    windows = pd.read_parquet(request.windows)
    points = []
    for name, path in (("here", request.vectors), ("there", request.others)):
        on_progress(0.0, Step("components"))
        vectors = _array(path)[windows[name].to_numpy()]
        points.append(fit_components(vectors).apply(vectors))
    here, there = points
    told = compare(here, there, windows, windows["labels"].tolist(), on_progress=part(on_progress, 0.2, 1.0))
    return {
        "overlap": np.array(told.mean_overlap),
        "chance": np.array(told.chance),
        **_told(told.one, "one "),
        **_told(told.other, "other "),
    }


def _told(report: Report, prefix: str = "") -> dict[str, np.ndarray]:
    return {
        f"{prefix}warnings": np.array(report.warnings, dtype=str).reshape(-1, 2),
        f"{prefix}not_asked": np.array(report.not_asked, dtype=str),
        **_columns(pd.DataFrame([vars(one) for one in report.answers]), f"{prefix}told "),
    }


def _columns(table: pd.DataFrame, prefix: str = "") -> dict[str, np.ndarray]:
    """The columns of a table as arrays that need no pickle."""
    found = {}
    for name in table:
        values = table[name].to_numpy()
        found[f"{prefix}{name}"] = values.astype(str) if values.dtype == object else values
    return found


def _array(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _save(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
