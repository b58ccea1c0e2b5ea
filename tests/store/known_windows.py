"""Windows with known vectors: what is nearest can be computed by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from bioacoustics.store.schema import windows_schema

DIM = 16
START = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


def window_rows(num_rows: int, *, recording: str = "r0", site: str = "north", seed: int = 0) -> pa.Table:
    """Windows of 5 s, one after the other from 22:00 UTC on, with random vectors."""
    vectors = np.random.default_rng(seed).normal(size=(num_rows, DIM)).astype(np.float16)
    rows = []
    for i, vector in enumerate(vectors):
        moment = START + timedelta(seconds=5 * i)
        rows.append(
            {
                "id": f"{recording}-mix-{i:06d}",
                "recording": recording,
                "file": f"{site}/{recording}.wav",
                "site": site,
                "channel": "mix",
                "start_s": 5.0 * i,
                "end_s": 5.0 * i + 5,
                "start_time": moment.isoformat(),
                "start_utc": moment,
                "second_of_day": moment.hour * 3600 + moment.minute * 60 + moment.second,
                "findings": "",
                "model": "m",
                "front_end": "f",
                "audio": "a",
                "vector": vector,
            }
        )
    return pa.Table.from_pylist(rows, windows_schema(DIM))
