"""Listened: the table of what was really listened to; that nothing was found elsewhere means nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from bioacoustics.data.spans import joined
from bioacoustics.data.spreadsheets import Complaints, read_table
from bioacoustics.formats.numbers import number_of

LISTENED_NAME = "listened.csv"  # beside the tables of events
SCHEMA = pa.schema([("file", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
_DIGITS = 3  # windows follow each other to the rounding of their times

Stretches = list[tuple[float, float]]


def stretches_of(windows: Iterable[tuple[float, float]]) -> Stretches:
    """The same time, in order, without overlaps; what touches is one."""
    return joined((round(start_s, _DIGITS), round(end_s, _DIGITS)) for start_s, end_s in windows)


def columns_of(file: str, windows: Iterable[tuple[float, float]]) -> dict[str, list[str] | list[float]]:
    """The rows of one recording, by column."""
    stretches = stretches_of(windows)
    return {
        "file": [file] * len(stretches),
        "start_s": [start_s for start_s, _ in stretches],
        "end_s": [end_s for _, end_s in stretches],
    }


def find_listened(events: Path) -> Path | None:
    """The table that lies beside events, or beside the folder of one format of them; None where none does."""
    folder = events if events.is_dir() else events.absolute().parent
    places = (folder / LISTENED_NAME, folder.absolute().parent / LISTENED_NAME)
    return next((path for path in places if path.is_file()), None)


def read_listened(path: Path) -> Mapping[str, Stretches]:
    """Stretches in seconds by recording; without start_s and end_s, all of a recording.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: A column is missing or a cell cannot be read; each is named with its row.
    """
    table = read_table(path)
    if "file" not in table.columns:
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(table.columns)}, but file is needed, and start_s and "
            "end_s where only part of a recording was listened to"
        )
    complaints = Complaints(path)
    windows: dict[str, Stretches] = {}
    for row in table.rows:
        start, end = (row.cells.get(name, "") for name in ("start_s", "end_s"))
        try:
            stretch = (number_of(start) if start else 0.0, number_of(end) if end else float("inf"))
            if not 0 <= stretch[0] < stretch[1]:
                raise ValueError(f"from {start} s to {end} s")
        except ValueError as error:
            complaints.add("an impossible stretch; correct or remove the row", row.number, f"({error})")
            continue
        windows.setdefault(row.cells["file"].replace("\\", "/"), []).append(stretch)
    complaints.raise_if_any()
    return {file: stretches_of(stretches) for file, stretches in windows.items()}
