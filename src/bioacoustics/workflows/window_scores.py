"""Window scores: what a classifier said of every window, kept beside its predictions to make events of."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, Field

from bioacoustics.audio.reading import Channel
from bioacoustics.inference.patch_scores import PatchGrid, unpack
from bioacoustics.workflows.embed import WINDOW_COLUMNS, window_columns
from bioacoustics.workflows.journal import RunSettings
from bioacoustics.workflows.parts import leading_values
from bioacoustics.workflows.sources import Source

FACTS_KEY = b"bioacoustics_scores"


class ScoreFacts(BaseModel, frozen=True, extra="forbid"):
    """What scores are of; saved in the table."""

    labels: tuple[str, ...] = Field(min_length=1)
    multi_label: bool | None = None  # None where nobody said so
    grid: PatchGrid | None = None


def windows_beside(output: Path) -> Path:
    """Where the window scores of a table of predictions lie."""
    return output.with_name(f"{output.name}.windows.parquet")


class WindowScoreRows:
    """A row for each window: all scores in one list, and the patches of the likeliest labels."""

    def __init__(self, settings: RunSettings, facts: ScoreFacts) -> None:
        self._settings, self._facts = settings, facts
        columns = [*WINDOW_COLUMNS, ("scores", pa.list_(pa.float32()))]
        if facts.grid is not None:
            columns += [("kept", pa.list_(pa.int32())), ("patches", pa.list_(pa.float16()))]
        self.schema = pa.schema(columns, metadata={FACTS_KEY: facts.model_dump_json().encode()})

    def rows(
        self, source: Source, channel: Channel, windows: Iterator[pa.Table]
    ) -> Iterator[dict[str, object]]:
        """The rows of one take."""
        num_classes, grid = len(self._facts.labels), self._facts.grid
        for piece in windows:
            columns = window_columns(self._settings, source, channel, piece)
            columns["scores"] = list(leading_values(piece, num_classes))
            if grid is not None:
                kept, patches = [], []
                for row, start_s, end_s in zip(
                    piece["values"], piece["start_s"].to_pylist(), piece["end_s"].to_pylist(), strict=True
                ):
                    of_window, heard = unpack(row.values.to_numpy(), num_classes, grid, end_s - start_s)
                    kept.append(of_window)
                    patches.append(heard)
                columns |= {"kept": kept, "patches": patches}
            yield columns
