"""How fast is the store? Rows in, exact and filtered search beside numpy, the index; a table and a JSON.

Run: python benchmarks/store.py [--rows 1000000] [store.json]; a million windows take about 0.5 GB of disk.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from bioacoustics.store.database import Store
from bioacoustics.store.index import build_index
from bioacoustics.store.nearest import nearest
from bioacoustics.store.schema import windows_schema

DIM = 192
WINDOWS_PER_RECORDING = 720  # an hour of 5 s
ROWS_PER_COMMIT = 2048
TOP = 50
NUM_QUERIES = 15


def main() -> None:
    """Measure, print and save."""
    words = sys.argv[1:]
    num_rows = int(words[words.index("--rows") + 1]) if "--rows" in words else 100_000
    vectors = _clustered(num_rows)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "s.lance")
        results = _measure(store, vectors)
        results["bytes on disk a window, an hour of versions"] = _bytes_in(Path(folder)) / num_rows
        store.table("windows").optimize(cleanup_older_than=timedelta(0))
        results["bytes on disk a window, once they are gone"] = _bytes_in(Path(folder)) / num_rows
    for what, value in results.items():
        print(f"{what:60} {value:12.2f}")
    if words and words[-1].endswith(".json"):
        Path(words[-1]).write_text(json.dumps({"rows": num_rows, **results}, indent=1) + "\n")


def _measure(store: Store, vectors: np.ndarray) -> dict[str, float]:
    store.make_windows(DIM)
    results = {"rows/s in, upserts of 2048, compacted": len(vectors) / _fill(store, vectors)}
    again = _rows(vectors, 0, ROWS_PER_COMMIT)
    results["ms to upsert 2048 rows that are there"] = 1000 * _seconds(
        lambda: store.upsert("windows", again), 3
    )
    rng = np.random.default_rng(1)
    queries = vectors[rng.choice(len(vectors), NUM_QUERIES)].astype(np.float32)
    unit = vectors.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    one = f"recording = 'r{len(vectors) // WINDOWS_PER_RECORDING // 2:05d}'"
    dawn = "second_of_day >= 14400 AND second_of_day < 21600"
    exact: dict[str, Callable[[np.ndarray], object]] = {
        "numpy float32 in memory": lambda query: np.argpartition(-(unit @ query), TOP)[:TOP],
        "store, exact": lambda query: nearest(store, query, TOP),
        "store, exact, one recording": lambda query: nearest(store, query, TOP, condition=one),
        "store, exact, 04:00 to 06:00": lambda query: nearest(store, query, TOP, condition=dawn),
    }
    for name, search in exact.items():
        results[f"ms a query: {name}"] = 1000 * _median_s(search, queries)
    _check(store, unit, queries[0])
    report = build_index(store)
    results["index: seconds to build"] = report.build_s
    results["index: recall at 50"] = report.recall
    results["ms a query: store, by index"] = report.indexed_ms
    return results


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _clustered(num_rows: int) -> np.ndarray:
    """Vectors around 200 centres, as sounds of some kinds are."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, DIM)).astype(np.float32)
    parts = []
    for first in range(0, num_rows, 100_000):
        size = min(100_000, num_rows - first)
        noise = rng.normal(scale=0.7, size=(size, DIM)).astype(np.float32)
        parts.append((centres[rng.integers(0, 200, size)] + noise).astype(np.float16))
    return np.concatenate(parts)


def _rows(vectors: np.ndarray, first: int, stop: int) -> pa.Table:
    numbers = np.arange(first, stop)
    recordings = [f"r{n // WINDOWS_PER_RECORDING:05d}" for n in numbers]
    starts_s = 5.0 * (numbers % WINDOWS_PER_RECORDING)
    seconds = (3600 * (numbers // WINDOWS_PER_RECORDING) + starts_s.astype(int)) % 86400
    text = [""] * len(numbers)
    columns = {
        "id": [f"{r}-mix-{n:08d}" for r, n in zip(recordings, numbers, strict=True)],
        "recording": recordings,
        "file": recordings,
        "site": [f"site {n % 7}" for n in numbers],
        "channel": ["mix"] * len(numbers),
        "start_s": starts_s,
        "end_s": starts_s + 5,
        "start_time": text,
        "start_utc": pa.nulls(len(numbers), pa.timestamp("us", tz="UTC")),
        "second_of_day": seconds.astype(np.int32),
        **dict.fromkeys(("time_source", "findings", "model", "front_end", "audio"), text),
        "vector": pa.FixedSizeListArray.from_arrays(vectors[first:stop].reshape(-1), DIM),
    }
    return pa.Table.from_pydict(columns, schema=windows_schema(DIM))


def _fill(store: Store, vectors: np.ndarray) -> float:
    """Seconds that the store took, without making the rows."""
    elapsed_s = 0.0
    for number, first in enumerate(range(0, len(vectors), ROWS_PER_COMMIT), start=1):
        rows = _rows(vectors, first, min(first + ROWS_PER_COMMIT, len(vectors)))
        started = time.perf_counter()
        store.upsert("windows", rows)
        if number % 64 == 0:
            store.compact()
        elapsed_s += time.perf_counter() - started
    started = time.perf_counter()
    store.compact()
    return elapsed_s + time.perf_counter() - started


def _check(store: Store, unit: np.ndarray, query: np.ndarray) -> None:
    """Exact search must find what numpy finds."""
    ours = nearest(store, query / np.linalg.norm(query), TOP).scores
    theirs = np.sort(unit @ (query / np.linalg.norm(query)))[::-1][:TOP]
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def _median_s(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    search(queries[0])
    return median(_seconds(lambda query=query: search(query), 1) for query in queries)  # type: ignore[misc]


def _seconds(work: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    main()
