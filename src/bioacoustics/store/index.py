"""Index: approximate search over many windows, and how much it misses."""

import time
from dataclasses import dataclass

import numpy as np

from bioacoustics.store.database import Store
from bioacoustics.store.nearest import nearest, vectors_of

FEWEST_WINDOWS = 5_000  # below, exact search answers in milliseconds
WINDOWS_PER_PARTITION = 4_000
NUM_QUERIES = 50
TOP = 50


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What building took and what the index is worth, on windows of this very store."""

    num_windows: int
    build_s: float
    recall: float  # share of the exact 50 nearest that the index finds, mean over 50 windows as queries
    exact_ms: float  # median of one query
    indexed_ms: float


def build_index(store: Store, *, seed: int = 0) -> IndexReport:
    """Build the index anew over all windows there are now, and compare it with exact search.

    Inverted lists over k-means cells with vectors of 8 bits a number (IVF_SQ); candidates are ranked by the
    stored vectors, so that scores stay exact. Windows added later are found too, but by looking at each,
    until the index is built anew.

    Raises:
        ValueError: there are too few windows for an index to be of use.
    """
    from lancedb.index import IvfSq

    num_windows = store.count("windows")
    if num_windows < FEWEST_WINDOWS:
        raise ValueError(
            f"{store.location} holds {num_windows} windows: exact search is fast there, "
            f"and an index pays from {FEWEST_WINDOWS} on"
        )
    table = store.table("windows")
    started = time.perf_counter()
    num_partitions = max(1, num_windows // WINDOWS_PER_PARTITION)
    config = IvfSq(distance_type="cosine", num_partitions=num_partitions, max_iterations=20, sample_rate=64)
    table.create_index("vector", config=config, replace=True)
    build_s = time.perf_counter() - started
    rows = np.sort(np.random.default_rng(seed).choice(num_windows, NUM_QUERIES, replace=False))
    queries = vectors_of(table.take_offsets(rows.tolist()).select(["vector"]).to_arrow())
    found = {exact: [_found(store, query, exact=exact) for query in queries] for exact in (True, False)}
    shares = [len(a & b) / len(a) for (a, _), (b, _) in zip(found[True], found[False], strict=True)]
    exact_ms, indexed_ms = (1000 * float(np.median([s for _, s in found[exact]])) for exact in (True, False))
    return IndexReport(num_windows, build_s, float(np.mean(shares)), exact_ms, indexed_ms)


def _found(store: Store, query: np.ndarray, *, exact: bool) -> tuple[set[str], float]:
    started = time.perf_counter()
    rows = nearest(store, query, TOP, exact=exact).rows
    return set(rows["id"].to_pylist()), time.perf_counter() - started


def has_index(store: Store) -> bool:
    """Whether approximate search is possible."""
    return any(index.columns == ["vector"] for index in store.table("windows").list_indices())
