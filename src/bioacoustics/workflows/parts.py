"""Parts: windows of an unfinished table, in small files that appear whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bioacoustics.audio.writing import atomic_write
from bioacoustics.inference.windows import Ending
from bioacoustics.workflows.journal import Key, Mark
from bioacoustics.workflows.team import Team

_ENDINGS = b"endings"
WINDOW = pa.schema(
    [
        ("recording", pa.string()),
        ("channel", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("findings", pa.string()),
        ("values", pa.list_(pa.float32())),
    ]
)


class Parts:
    """A folder of numbered Parquet files; the windows of one take follow each other in order of time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spans: dict[Key, list[tuple[Path, int, int]]] = {}  # file, first row, number of rows
        self._marks: dict[Key, Mark] = {}
        for path in sorted(folder.glob("[0-9]*.parquet")):
            self._take_in(path, pyarrow.parquet.read_table(path))
        last = max((int(path.stem) for path in folder.glob("[0-9]*.parquet")), default=0)
        team = Team.here()  # whose processes write side by side
        self._numbers = count(1 + last + team.rank, team.size)
        self._read = lru_cache(maxsize=4)(pyarrow.parquet.read_table)

    def marks(self) -> dict[Key, Mark]:
        """How far each take has got."""
        return self._marks

    def add(self, windows: pa.Table, endings: list[tuple[Key, Ending]]) -> None:
        """Commit windows and the takes that have come to their end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        done = [key for key, ending in endings if ending.problem is None]
        windows = windows.replace_schema_metadata({_ENDINGS: json.dumps(done)})
        path = self.folder / f"{next(self._numbers):08d}.parquet"
        with atomic_write(path) as file:
            pyarrow.parquet.write_table(windows, file)
        self._take_in(path, windows)

    def windows_of(self, key: Key) -> Iterator[pa.Table]:
        """The windows of one take, piece by piece."""
        for path, first, length in self._spans.get(key, ()):
            yield self._read(path).slice(first, length)

    def remove(self) -> None:
        """Throw all away."""
        self._read.cache_clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _take_in(self, path: Path, windows: pa.Table) -> None:
        recordings, channels, starts_s, findings = (
            windows[name].to_pylist() for name in ("recording", "channel", "start_s", "findings")
        )
        keys = list(zip(recordings, channels, strict=True))
        changes = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
        for first, stop in pairwise([*changes, len(keys)]):  # none in a part that only ends takes
            self._spans.setdefault(keys[first], []).append((path, first, stop - first))
            mark = self._marks.setdefault(keys[first], Mark())
            mark.last_start_s = starts_s[stop - 1]
            mark.findings.update(*(text.split() for text in findings[first:stop]))
        for recording, channel in json.loads(windows.schema.metadata[_ENDINGS]):
            self._marks.setdefault((recording, channel), Mark()).is_done = True


def values_of(windows: pa.Table) -> np.ndarray:
    """The outputs of the model, (windows, values)."""
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in windows["values"].chunks])
    return flat.reshape(windows.num_rows, -1)


def leading_values(windows: pa.Table, count: int) -> np.ndarray:
    """The first outputs of each window, (windows, count), where windows have different numbers of them."""
    return np.stack([row.values.to_numpy()[:count] for row in windows["values"]])
