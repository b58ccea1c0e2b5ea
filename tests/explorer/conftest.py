"""Stores with known windows for the explorer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bioacoustics.store.database import Store
from bioacoustics.store.schema import RECORDINGS, SCORES, windows_schema

DIM = 12
Maker = Callable[..., Store]


def _rows(recording: str, site: str, begins: datetime | None, vectors: np.ndarray) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for i, vector in enumerate(vectors):
        moment = None if begins is None else begins + timedelta(seconds=5 * i)
        seconds = None if moment is None else moment.hour * 3600 + moment.minute * 60 + moment.second
        rows.append(
            {
                "id": f"{recording}-mix-{i:06d}",
                "recording": recording,
                "file": f"{site}/{recording}.wav",
                "site": site,
                "channel": "mix",
                "start_s": 5.0 * i,
                "end_s": 5.0 * i + 5,
                "start_time": moment.isoformat() if moment else "",
                "time_source": "name" if moment else "unknown",
                "start_utc": moment.astimezone(UTC) if moment and moment.tzinfo else None,
                "second_of_day": seconds,
                "findings": "",
                "model": "m",
                "front_end": "f",
                "audio": f"a-{recording}",
                "vector": vector.astype(np.float16),
            }
        )
    return rows


@pytest.fixture
def make_store(tmp_path: Path) -> Maker:
    """Ask it for a store: recordings as name -> (site, start or None, vectors)."""

    def make(
        recordings: dict[str, tuple[str, datetime | None, np.ndarray]], name: str = "Ñandú.lance"
    ) -> Store:
        store = Store.create(tmp_path / name)
        width = next(iter(recordings.values()))[2].shape[1] if recordings else DIM
        store.make_windows(width)
        store.state("embed", {"command": "embed", "model": "m", "model_path": "encoder.pt", "front_end": {}})
        for recording, (site, begins, vectors) in recordings.items():
            rows = _rows(recording, site, begins, vectors)
            store.upsert("windows", pa.Table.from_pylist(rows, windows_schema(width)))
            about = {
                "id": recording,
                "file": f"{site}/{recording}.wav",
                "path": f"/recordings/{site}/{recording}.wav",
                "site": site,
                "duration_s": 5.0 * len(vectors),
            }
            store.upsert("recordings", pa.Table.from_pylist([about], RECORDINGS))
        return store

    return make


@pytest.fixture
def score_windows() -> Callable[[Store, dict[str, list[float]], tuple[str, ...]], None]:
    """Write scores of a classifier named `c` into a store, by the ids of windows."""

    def write(store: Store, scores: dict[str, list[float]], labels: tuple[str, ...]) -> None:
        store.state("predict c", {"command": "predict", "labels": list(labels)})
        rows = [
            {
                "id": window,
                "model": "c",
                "predicted": labels[int(np.argmax(values))],
                "probability": max(values),
                "scores": values,
            }
            for window, values in scores.items()
        ]
        store.upsert("scores", pa.Table.from_pylist(rows, SCORES), ["id", "model"])

    return write
