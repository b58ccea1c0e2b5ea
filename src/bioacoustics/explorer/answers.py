"""Answers: what work in the background has found, read once for each answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bioacoustics.explorer.background import Status
from bioacoustics.explorer.confounding import Report, Told
from bioacoustics.explorer.fitted_map import FittedMap, Placed, joined_map
from bioacoustics.explorer.grouping import Clusters
from bioacoustics.explorer.judging import Judgement, Threshold
from bioacoustics.explorer.overview import Overview
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.teaching import Taught

KEPT = 12  # answers in memory
Answer = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Work:
    """How far some work is, and the newest of its results: of this request or of the one before."""

    state: str
    error: str = ""
    result: Any = None


def work_of(status: Status) -> Work:
    """The state of a slot with its result in memory; one that cannot be read any more counts as none."""
    if status.result is None:
        return Work(status.state, status.error)
    try:
        return Work(status.state, status.error, _read(status.result, status.result.stat().st_mtime_ns))
    except (OSError, ValueError, KeyError) as error:
        return Work("failed", f"{status.result}: {error}; remove this file of the cache")


def map_with(map_path: Path, placed: Path | None, num_others: int) -> FittedMap:
    """A map on which other windows stand behind its own; where they are not placed yet, they have no place.

    Raises:
        ValueError: A file cannot be read, or places other windows.
    """
    stamps = tuple(0 if path is None else path.stat().st_mtime_ns for path in (map_path, placed))
    return _joined(map_path, placed, num_others, stamps)


def read_answer(path: Path) -> Answer:
    """The arrays of an answer (of a map rather use `FittedMap.load`)."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def clusters_of(answer: Answer) -> Clusters:
    """The clusters that answer a `GroupRequest`."""
    return Clusters(
        numbers=answer["numbers"],
        centroids=answer["centroids"],
        distances=answer["distances"],
        notes=_sentences(answer["notes"]),
    )


def taught_of(answer: Answer) -> Taught:
    """The classifier that answers a `TeachRequest`."""
    return Taught(
        labels=tuple(answer["labels"].tolist()),
        weights=answer["weights"],
        bias=answer["bias"],
        thresholds=tuple(Threshold(**row) for row in _rows(answer, "threshold ")),
        judgements=tuple(Judgement(**row) for row in _rows(answer, "judgement ")),
        notes=_sentences(answer["notes"]),
    )


def report_of(answer: Answer, prefix: str = "") -> Report:
    """The report that a `ReportRequest` or, under a prefix, a `CompareRequest` asks for."""
    return Report(
        answers=tuple(Told(**row) for row in _rows(answer, f"{prefix}told ")),
        warnings=_sentences(answer[f"{prefix}warnings"]),
        not_asked=tuple(answer[f"{prefix}not_asked"].tolist()),
    )


def table_of(answer: Answer, prefix: str = "") -> pd.DataFrame:
    """The columns whose names begin so, as a table."""
    return pd.DataFrame(
        {name.removeprefix(prefix): answer[name] for name in answer if name.startswith(prefix)}
    )


@lru_cache(maxsize=KEPT)
def _read(path: Path, changed_ns: int) -> Any:
    match path.name.partition("-")[0]:
        case "map":
            return FittedMap.load(path)
        case "group":
            return clusters_of(read_answer(path))
        case "teach":
            return taught_of(read_answer(path))
        case "growth":
            return table_of(read_answer(path))
        case "overview":
            found = read_answer(path)
            return Overview(found["levels"], int(found["sample_rate_hz"]), float(found["heard_s"]))
        case _:
            return read_answer(path)


@lru_cache(maxsize=4)
def _joined(map_path: Path, placed: Path | None, num_others: int, stamps: tuple[int, ...]) -> FittedMap:
    fitted: FittedMap = _read(map_path, stamps[0])
    return joined_map(fitted, Placed(**read_answer(placed)) if placed else fitted.nowhere(num_others))


def _rows(answer: Answer, prefix: str) -> list[dict[str, Any]]:
    """The rows of a table with Python's own numbers and texts."""
    columns = {name.removeprefix(prefix): answer[name].tolist() for name in answer if name.startswith(prefix)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _sentences(array: np.ndarray) -> tuple[Sentence, ...]:
    return tuple(Sentence(str(en), str(es)) for en, es in array)
