"""Answers: what work in the background has found, read once for each answer."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bioacoustics.explorer.background import Status
from bioacoustics.explorer.projection import FittedMap
from bioacoustics.explorer.requests import clusters_of, read_answer

KEPT = 6  # answers in memory


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


@lru_cache(maxsize=KEPT)
def _read(path: Path, changed_ns: int) -> Any:
    kind = path.name.partition("-")[0]
    if kind == "map":
        return FittedMap.load(path)
    return clusters_of(read_answer(path)) if kind == "group" else read_answer(path)
