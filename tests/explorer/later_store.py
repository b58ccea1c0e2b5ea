"""A later season of `small_store`: two recordings as before, and one with a sound that nobody knows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from small_store import DIM, make_store

from bioacoustics.store.database import Store

NUM_WINDOWS, NUM_NOVEL = 30, 10


def make_later(folder: Path, *, model: str = "m") -> Path:
    """A store `folder/later.lance` of recordings 6 to 8; every window of the last is unlike all others."""
    path = make_store(folder, num_recordings=3, name="later", first=6)
    store = Store.open(path)
    rows = store.table("windows").to_arrow().to_pylist()
    strange = np.zeros(DIM)
    strange[DIM - 1] = 9.0
    for row in rows:
        if row["recording"] == "r8":
            row["vector"] = strange.astype(np.float16)
    store.upsert("windows", pa.Table.from_pylist(rows, store.table("windows").schema))
    store.state("embed", store.fact("embed") | {"model": model})
    return path
