"""Mixture: windows of several sources in one training, each with its share of every update."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from jaxtyping import Int

from bioacoustics.audio.draws import permuted
from bioacoustics.data.windows import Origin, Window, Windows


@dataclass(frozen=True, kw_only=True)
class Source:
    """Windows of one kind.

    Attributes:
        windows: What there is to read.
        origins: Where each window comes from; the name of the source is the same in all.
        ratio: How many rows of an update it gets, in relation to the other sources.
    """

    windows: Windows
    origins: Sequence[Origin]
    ratio: float

    def __post_init__(self) -> None:
        assert len(self.windows) == len(self.origins) > 0


class MixedWindows:
    """The windows of several sources, numbered through in the order of the sources.

    With `num_classes`, windows of sources without targets get some that say that nothing is known: NaN.
    """

    def __init__(self, sources: Sequence[Source], *, num_classes: int = 0) -> None:
        self._sources = tuple(sources)
        self._unknown = np.full(num_classes, np.nan, dtype=np.float32) if num_classes else None
        self._ends = list(accumulate(len(source.windows) for source in sources))
        self.num_samples = max(source.windows.num_samples for source in sources)
        self.window_s = max(source.windows.window_s for source in sources)

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, index: int, draw_id: int) -> Window:
        """Read a window of the source that holds this number, and say where it comes from."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        source = self._sources[number]
        local = index - (self._ends[number] - len(source.windows))
        window = source.windows.read(local, draw_id)
        target = self._unknown if window.target is None else window.target
        return replace(window, target=target, origin=source.origins[local])


class Mixture:
    """Which source every row of an update is of, and which of its windows: a function of the draw id.

    Each source has a fixed number of rows in every update, at least one, evenly spread, and goes through its
    own windows in epochs of its own: a small source is heard again and again, a large one is not cut short.

    Args:
        num_windows: Windows of each source.
        ratios: How many rows each gets in relation to the others.
        rows_per_update: Rows of an update over all processes and micro-batches.
    """

    def __init__(self, num_windows: Sequence[int], ratios: Sequence[float], *, rows_per_update: int) -> None:
        self.rows_per_update = rows_per_update
        self.num_windows = sum(num_windows)
        self._sizes = tuple(num_windows)
        self._starts = tuple(accumulate(num_windows[:-1], initial=0))
        self.num_rows = shared_out(rows_per_update, ratios)
        self._source_of_row = _spread(self.num_rows)
        self._number_in_source = [
            int((self._source_of_row[:row] == source).sum()) for row, source in enumerate(self._source_of_row)
        ]

    def index_of(self, draw_id: int, seed: int) -> int:
        """The window that this draw reads."""
        update, row = divmod(draw_id, self.rows_per_update)
        source = int(self._source_of_row[row])
        draw = update * self.num_rows[source] + self._number_in_source[row]
        epoch, position = divmod(draw, self._sizes[source])
        # Sources of one size must not go through their windows in the same order.
        return self._starts[source] + permuted(
            position, self._sizes[source], seed, epoch * len(self._sizes) + source
        )

    def replacement_of(self, draw_id: int, number: int) -> int:
        """A window of the same source, chosen by a random number."""
        source = int(self._source_of_row[draw_id % self.rows_per_update])
        return self._starts[source] + number % self._sizes[source]


def shared_out(num_rows: int, ratios: Sequence[float]) -> tuple[int, ...]:
    """Whole numbers that add up to `num_rows` and come closest to the ratios, each at least 1.

    Raises:
        ValueError: There are fewer rows than sources, or a ratio is not positive.
    """
    if num_rows < len(ratios):
        raise ValueError(
            f"an update of {num_rows} windows cannot hold one of each of {len(ratios)} sources; raise the "
            "batch size or --update_freq"
        )
    if min(ratios) <= 0:
        raise ValueError(f"the ratios of the sources must be positive, got {list(ratios)}")
    wanted = np.asarray(ratios, dtype=np.float64) * num_rows / sum(ratios)
    counts = np.maximum(np.floor(wanted).astype(int), 1)
    while counts.sum() < num_rows:
        counts[np.argmax(wanted - counts)] += 1
    while counts.sum() > num_rows:
        counts[np.argmax(np.where(counts > 1, counts - wanted, -np.inf))] -= 1
    return tuple(counts.tolist())


def _spread(counts: Sequence[int]) -> Int[np.ndarray, " rows"]:
    """The source of each row, so that every stretch of rows has about the same mixture."""
    places = [
        ((number + 0.5) / count, source) for source, count in enumerate(counts) for number in range(count)
    ]
    return np.array([source for _, source in sorted(places)])
